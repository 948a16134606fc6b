"""Which jobs a data set is made of, and under which name."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trajgen_assets.core.errors import ConfigError, ConversionError, RefusedError, UnknownNameError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN, is_safe_name
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.candidates import why_left_out
from trajgen_assets.core.sft.receipt import load_receipt

OnePerTask = Literal["best", "first"]


class Selection(BaseModel):
    """What a person asked for. Jobs or campaigns, and not both; a campaign is asked for its jobs at each build."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    jobs: tuple[str, ...] = Field(default=(), description="Names of jobs.")
    campaigns: tuple[str, ...] = Field(default=(), description="All jobs of these campaigns that are over.")
    one_per_task: OnePerTask | None = Field(
        default=None,
        description="Rows of one trial of each task alone: best by reward, then by score; first by the age of its job.",
    )

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing."""
        return not (self.jobs or self.campaigns)


@dataclass(frozen=True)
class Chosen:
    """The jobs of a data set, oldest first, and why others of its campaigns are not among them."""

    jobs: Sequence[str]
    left_out: dict[str, str] = field(default_factory=dict)


def refuse_name(root: Root, name: str, jobs: Collection[str]) -> None:
    """Make sure that `name` may be that of a data set; `jobs` are the names that count as jobs beside those on disk.

    Raises:
        ConfigError: it is no plain name.
        RefusedError: a job has it, whose data lie in the same place, or something else lies there.
    """
    if not is_safe_name(name):
        mend = "use letters, digits, '.', '_', '+' and '-', starting with a letter or digit, 200 at most"
        raise ConfigError(f"{name[:80]!r} cannot be the name of a data set", mend=mend)
    files = root.job(name)
    if name in jobs or files.dir.exists() or files.proxy.exists() or load_receipt(files.sft) is not None:
        why = f"the data of that job lie in {files.sft}"
        raise RefusedError("a job has this name", where=name, why=why, mend="choose another name")
    if files.sft.exists() and not files.sft.is_symlink():
        mend = "choose another name, or move it away"
        raise RefusedError("what lies there was made by no build of a data set", where=files.sft, mend=mend)


def choose_jobs(root: Root, ledger: Ledger, selection: Selection) -> Chosen:
    """Find the jobs of a selection. Their order is that of the ledger, whatever order they were named in.

    Raises:
        ConfigError: nothing is asked for, or both jobs and campaigns are.
        RefusedError: a campaign is the smoke test's.
        UnknownNameError: there is no such job, or no job of that campaign has ended with data.
    """
    if selection.is_empty or (selection.jobs and selection.campaigns):
        raise ConfigError("a data set is made of jobs or of campaigns", mend="name jobs, or one campaign or more")
    known = ledger.jobs()
    if selection.jobs:
        return Chosen(_in_order(root, known, selection.jobs))
    if SMOKE_CAMPAIGN in selection.campaigns:
        raise RefusedError("a smoke test becomes no training data", where=SMOKE_CAMPAIGN, mend="name another campaign")
    rows = [row for row in known if row.campaign in selection.campaigns]
    left_out = {row.name: why for row in rows if (why := _why_no_rows(root, row)) is not None}
    chosen = [row.name for row in rows if row.name not in left_out]
    if not chosen:
        why = "; ".join(f"{job}: {reason}" for job, reason in left_out.items()) or "no job was rolled out under it"
        raise UnknownNameError("no job gives rows", where=", ".join(selection.campaigns), why=why)
    return Chosen(chosen, left_out)


def _in_order(root: Root, known: Sequence[JobRow], names: Sequence[str]) -> list[str]:
    """The named jobs, each once: first those that the ledger does not know, by name, then the others by age."""
    for name in names:
        if not root.job(name).dir.exists():
            raise UnknownNameError("there is no job of that name", where=name, mend="see `trajgen status` for names")
    age = {row.name: n for n, row in enumerate(known)}
    return sorted(set(names), key=lambda name: (age.get(name, -1), name))


def _why_no_rows(root: Root, job: JobRow) -> str | None:
    """Why a job of a campaign cannot give rows; what is wrong with its files is said when its data is looked for."""
    try:
        if (why := why_left_out(root, job)) is not None:
            return why
        has_result = any(trial.accepted for trial in load_trials(root.job(job.name).trials).trials)
    except ConversionError:
        return None
    return None if has_result else "no trial of it counts"
