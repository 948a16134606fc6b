"""What a proxy noted of the calls that it refused for a budget."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from trajgen_assets.core.paths import JobPaths


class Refusal(BaseModel):
    """What a proxy noted when it refused a call: whose budget is used up, and a sentence."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    scope: str
    text: str

    @property
    def is_of_trial(self) -> bool:
        """Whether it was the trial's own budget, and not that of its job or of the day."""
        return self.scope == "trial"

    @property
    def is_of_job(self) -> bool:
        """Whether it was its job's, of which every job has a new one."""
        return self.scope == "job"


def refusal_of_trial(files: JobPaths, trial_name: str) -> Refusal | None:
    """Why calls of a trial were refused for a budget; None if none was."""
    return _noted(files.over_budget(trial_name))


def refusal_of_job(files: JobPaths) -> Refusal | None:
    """Why the proxy of a job answers no trial any more; None while it does."""
    return _noted(files.budget_stop)


def _noted(path: Path) -> Refusal | None:
    try:
        return Refusal.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
