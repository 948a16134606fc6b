"""Whether sandboxes that are elsewhere reach a job's proxy: asked from within one of them, before the first trial."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajgen_assets.core.atomic import write_json
from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.errors import HarnessError, RequirementError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.process import child_env
from trajgen_assets.core.provision.command import run
from trajgen_assets.core.rollout.harbor import QUIET_ENV

REACH_TRIAL = "reach-test"
SCRIPT = "reach_check.py"
# Beside the sandbox's own limit, which is the task's: asking, and removing the sandbox.
MARGIN_S = 180.0


@dataclass(frozen=True)
class WayToProxy:
    """What is asked, and of which job.

    Attributes:
        python: Harbor's interpreter.
        environment: where trials run, as Harbor's job configuration says it.
        task: whose sandbox is made.
        url: the proxy as agents call it.
        environ: what Harbor is told beyond the allow-list.
        build_timeout_s: the longest that the sandbox may take to be made.
    """

    files: JobPaths
    python: Path
    environment: Mapping[str, Any]
    task: Path
    url: str
    environ: Mapping[str, str]
    build_timeout_s: float

    def ask(self) -> dict[str, Any]:
        """What was found: `step`, and what was answered there.

        Raises:
            HarnessError: the check itself did not run to its end.
        """
        order = {
            "environment": dict(self.environment),
            "task": str(self.task),
            "folder": str(self.files.proxy / REACH_TRIAL),
            "session": f"{self.files.dir.name}-{REACH_TRIAL}__env",
            "trial": REACH_TRIAL,
        }
        path = self.files.proxy / f"{REACH_TRIAL}.json"
        write_json(path, order)
        env = child_env({**QUIET_ENV, "PYTHONPATH": str(self.files.guest), **self.environ})
        done = run([self.python, self.files.guest / SCRIPT, path], env=env, timeout_s=self.build_timeout_s + MARGIN_S)
        try:
            found: dict[str, Any] = json.loads(done.tail[-1])
        except (IndexError, ValueError):
            what = "whether sandboxes reach the proxy could not be asked"
            mend = "see what `trajgen dryrun` says of the environment"
            raise HarnessError(what, where=SCRIPT, why=done.reason, mend=mend) from None
        finally:
            (self.files.proxy / "ended" / REACH_TRIAL).touch()  # its key was for this once
        return found


def refuse_unless_reached(way: WayToProxy, proxy: RunningProxy) -> None:
    """Make a sandbox, and ask the job's own proxy for its models from within.

    Raises:
        RequirementError: the sandbox cannot be made, or another thing than this proxy answers, or nothing.
        HarnessError: the check itself did not run to its end.
    """
    found = way.ask()
    if (problem := _problem(found, proxy)) is not None:
        what, mend = problem
        raise RequirementError(what, where=way.url, why=found.get("said") or None, mend=mend)


def _problem(found: Mapping[str, Any], proxy: RunningProxy) -> tuple[str, str] | None:
    """What is wrong, and its mend."""
    listens = f"the proxy listens at {proxy.host}:{proxy.port}"
    step, status = found["step"], found.get("status")
    if step == "no sandbox":
        return "a sandbox could not be made", "see what `trajgen dryrun` says of the environment"
    if step == "no tool":
        return (
            "whether the sandbox reaches the proxy cannot be asked: its image has neither curl nor python3",
            "use an image that has one of them; for an http address bash does as well",
        )
    if step == "not reached":
        return (
            "the sandbox cannot connect to the proxy",
            f"have litellm_proxy.public_url lead to where {listens}: by a tunnel or a reverse proxy to it, or by an "
            "address of this host that sandboxes reach, set as litellm_proxy.host",
        )
    if status in (401, 403):
        return (
            f"the proxy of another job answers there ({status})",
            f"put {{port}} into litellm_proxy.public_url, or run one job at a time, on its port; {listens}",
        )
    if status != 200 or proxy.served_model not in str(found["said"]):
        return (
            f"something else than the job's proxy answers there ({status})",
            f"have litellm_proxy.public_url lead to where {listens}",
        )
    return None
