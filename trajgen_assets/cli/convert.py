"""`trajgen convert`: training data from jobs that were rolled out, without rolling out anything."""

from pathlib import Path
from typing import Annotated

import typer

from trajgen_assets.cli.jobs import refuse_unknown_job
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.placing import place_data
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.making import making_data
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.tasks_today import tasks_today


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("convert")(convert)


def convert(
    context: typer.Context,
    job: Annotated[list[str], typer.Option(help="Name of a job; repeat the option for more.")],
) -> None:
    """Turn the accepted trajectories of jobs into IM and LF data sets; unchanged inputs are left as they are."""
    with state_of(context).platform() as platform:
        settings = ConversionSettings.of(platform.config)
        for name in job:
            refuse_unknown_job(platform.root, name)
            _refuse_smoke_test(platform.root.job(name).trials)
        for name in job:
            place_data(platform.root, platform.config, platform.root.job(name))
            with making_data(platform.root, name):
                receipt = convert_job(platform.root.job(name), settings, tasks_today(platform, name))
            state = "written" if receipt.changed else "unchanged"
            typer.echo(f"{name}: {count_of(receipt.n_rows, 'row')}, {state}: {receipt.folder}")
            for kind, reasons in receipt.rejected.items():
                for reason, count in reasons.items():
                    typer.echo(f"  rejected {kind}: {count} by {reason}")


def _refuse_smoke_test(trials: Path) -> None:
    """Say no to a job of the smoke campaign.

    Raises:
        RefusedError: it is one.
        ConversionError: there is no readable trials.json.
    """
    job = load_trials(trials)
    if job.campaign == SMOKE_CAMPAIGN:
        why = f"its campaign is {SMOKE_CAMPAIGN}, which only tries an installation out"
        mend = "roll the tasks out in another campaign: `trajgen start`"
        raise RefusedError("a smoke test becomes no training data", where=job.job, why=why, mend=mend)
