"""Images of trials that are over: compose labels each with its project, which Harbor names after the trial.

A trial removes its own image when it ends; one that was killed leaves it. Images that tasks name are not built here and
have no such label. The build cache has none either, so what is done about that is done to all of it (`build_cache`).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from trajgen_assets.core.errors import ConversionError, RequirementError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.docker import PROJECT_LABEL, ask_docker
from trajgen_assets.core.rollout.trials import load_trials

LABELLED = f"label={PROJECT_LABEL}"


@dataclass(frozen=True)
class TrialImage:
    """An image that was built for a trial of a job that is over."""

    image: str
    job: str
    trial: str
    size_bytes: int

    def remove(self) -> str | None:
        """Remove it. Returns why it stays, if it does: a container still uses it, or another image is made of it."""
        try:
            ask_docker("image", "rm", self.image, what="the image stays")
        except RequirementError as error:
            return error.why or error.what
        return None


def trial_images(root: Root, ledger: Ledger) -> list[TrialImage]:
    """The images of trials of this root's jobs that are over, as the engine has them.

    Raises:
        RequirementError: the engine does not answer.
    """
    owners = {project_of(trial): (job, trial) for job, trial in _trials_over(root, ledger)}
    ids = dict.fromkeys(ask_docker("image", "ls", "--quiet", "--no-trunc", "--filter", LABELLED).split())
    if not (ids and owners):
        return []
    found = json.loads(ask_docker("image", "inspect", *ids))
    labelled = [(each, each["Config"]["Labels"][PROJECT_LABEL]) for each in found]
    return [TrialImage(each["Id"], *owners[name], each["Size"]) for each, name in labelled if name in owners]


def project_of(trial_name: str) -> str:
    """What Harbor 0.25.0 has compose call a trial (harbor/environments/docker/docker.py)."""
    name = re.sub(r"[^a-z0-9_-]", "-", f"{trial_name}__env".lower())
    return name if name[0].isalnum() else f"0{name}"


def _trials_over(root: Root, ledger: Ledger) -> Iterator[tuple[str, str]]:
    for job in ledger.jobs():
        if job.state.is_over:
            try:
                trials = load_trials(root.job(job.name).trials).trials
            except ConversionError:  # refused before it had any, or of the earlier system
                continue
            yield from ((job.name, each.trial_name) for each in trials if each.trial_name)
