"""Pausing from the web UI: two jobs that a person launches there, with the data set and the reason as configuration."""

import dagster as dg

from resources.config_file import config_path
from resources.platform import PlatformResource
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.standing import configured, publish_standing

WEB_UI = "the web UI"


class PauseConfig(dg.Config):
    """What is to get no new job, and why."""

    dataset: str = ""
    """One data set; empty for every one."""

    reason: str = ""
    """Shown wherever something waits for it."""


class ResumeConfig(dg.Config):
    """What may get new jobs again."""

    dataset: str = ""
    """One data set; empty lifts every pause that a person made."""


@dg.op(name="pause", out=dg.Out(dg.Nothing))
def _pause(context: dg.OpExecutionContext, config: PauseConfig, platform: PlatformResource) -> None:
    """Note the pause in the ledger; the configuration may be broken, which is one reason to pause."""
    root, file = platform.artifacts_root(), config_path(platform.config)
    with open_ledger(root) as ledger:
        context.log.info(ledger.pause(config.dataset, WEB_UI, config.reason).words)
        publish_standing(root, ledger, configured(file))


@dg.op(name="resume", out=dg.Out(dg.Nothing))
def _resume(context: dg.OpExecutionContext, config: ResumeConfig, platform: PlatformResource) -> None:
    """Lift pauses, and say which."""
    root, file = platform.artifacts_root(), config_path(platform.config)
    with open_ledger(root) as ledger:
        lifted = ledger.resume(config.dataset)
        context.log.info("; ".join(f"lifted: {each.words}" for each in lifted) or "nothing was paused")
        publish_standing(root, ledger, configured(file))


@dg.job(description="Begin no new job until resume_rollouts, by whatever it is asked for. What runs goes on.")
def pause_rollouts() -> None:
    """One step."""
    _pause()


@dg.job(description="Let new jobs begin again: of one data set, or of all.")
def resume_rollouts() -> None:
    """One step."""
    _resume()
