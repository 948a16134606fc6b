"""The scaffolds whose trajectories can become training data, by name."""

from trajgen_assets.core.config.scaffolds import ORACLE
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.rollout.trials import TrialsFile
from trajgen_assets.core.sft.scaffolds.base import Conversation, Scaffold
from trajgen_assets.core.sft.scaffolds.claude_code import ClaudeCode
from trajgen_assets.core.sft.scaffolds.mini_swe_agent import MiniSweAgent
from trajgen_assets.core.sft.scaffolds.open_code import OpenCode
from trajgen_assets.core.sft.scaffolds.openhands_codeact import OpenHandsCodeAct
from trajgen_assets.core.sft.scaffolds.openhands_sdk import OpenHandsSdk
from trajgen_assets.core.sft.scaffolds.terminus2 import Terminus2
from trajgen_assets.core.sft.settings import AUTO_SCAFFOLD

__all__ = [
    "SCAFFOLDS",
    "Conversation",
    "Scaffold",
    "is_training_data",
    "may_become_data",
    "scaffold_for",
    "why_no_data",
]

SCAFFOLDS: dict[str, Scaffold] = {
    scaffold.name: scaffold
    for scaffold in (ClaudeCode(), MiniSweAgent(), OpenCode(), OpenHandsCodeAct(), OpenHandsSdk(), Terminus2())
}


def is_training_data(scaffold: str) -> bool:
    """Whether trajectories of a job that was rolled out with `scaffold` can become training data."""
    return scaffold in SCAFFOLDS


def may_become_data(job: TrialsFile) -> bool:
    """Whether training data can be made of a job: of a smoke test or a host check never."""
    return why_no_data(job) is None


def why_no_data(job: TrialsFile) -> str | None:
    """Why no training data can be made of a job, in words; None if it can."""
    if job.campaign == SMOKE_CAMPAIGN:
        return "a smoke test becomes no training data"
    if is_training_data(job.scaffold):
        return None
    if job.scaffold == ORACLE:
        return "a check of a host becomes no training data"
    return f"trajectories of {job.scaffold} cannot become training data: they are recorded and kept"


def scaffold_for(asked: str, rolled_out_with: str) -> Scaffold:
    """Return the scaffold that reads a job.

    Args:
        asked: a scaffold's name, or `auto` for the one of the job.
        rolled_out_with: the scaffold that trials.json names.

    Raises:
        ConversionError: it is not known, or not the one that the job was rolled out with.
    """
    name = rolled_out_with if asked == AUTO_SCAFFOLD else asked
    if asked == AUTO_SCAFFOLD and not is_training_data(rolled_out_with):
        mend = "roll the tasks out with one of these in another campaign"
        known = f"training data is made from {', '.join(sorted(SCAFFOLDS))}"
        raise ConversionError(f"a job of {rolled_out_with[:80]!r} cannot become training data", why=known, mend=mend)
    if name not in SCAFFOLDS:
        raise ConversionError(
            f"no scaffold is called {name[:80]!r}",
            why=f"known are {', '.join(sorted(SCAFFOLDS))}",
            mend="choose one of these",
        )
    if name != rolled_out_with:
        raise ConversionError(
            f"the job was rolled out with {rolled_out_with}, not with {name}", mend="leave the scaffold at auto"
        )
    return SCAFFOLDS[name]
