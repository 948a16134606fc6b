"""What a conversion starts from, and the signature by which an equal one is known again."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from trajgen_assets.core.capture.stored import content_sha256, content_size_bytes, stored
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.host_facts import HostFacts, load_host_facts
from trajgen_assets.core.rollout.patch import PatchRecord, read_patch_record
from trajgen_assets.core.rollout.trials import TrialEntry, TrialsFile, load_trials
from trajgen_assets.core.sft.filters import Filter, read_excluded_repos, task_filters, trial_filters
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.placeholders import Placeholders
from trajgen_assets.core.sft.scaffolds import Scaffold, scaffold_for
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.task_today import TaskToday
from trajgen_assets.core.sft.tokens.source import TokenizerFiles, find_tokenizer

# Raised whenever the same inputs and settings would give other bytes than before.
CODE_VERSION = "17"


@dataclass(frozen=True)
class Plan:
    """Everything that decides what im.jsonl will hold."""

    job: JobPaths
    trials: TrialsFile
    scaffold: Scaffold
    settings: ConversionSettings
    excluded_repos: tuple[str, ...]
    host: HostFacts
    tasks: Mapping[str, TaskToday]
    tokenizer: TokenizerFiles | None = None
    engine: Mapping[str, str] | None = None

    @classmethod
    def of(
        cls,
        job: JobPaths,
        settings: ConversionSettings,
        tasks: Mapping[str, TaskToday] | None = None,
        engine: Mapping[str, str] | None = None,
    ) -> Self:
        """Read what a conversion of `job` starts from.

        Args:
            job: where its files lie.
            settings: what a person chose.
            tasks: what is known today of the job's tasks.
            engine: what decides what another converter than the built-in one writes.

        Raises:
            ConversionError: there is no readable trials.json, the scaffold is unknown or another one than the
                job's, the list of excluded repositories is missing, the job's host.json is unreadable, or the
                tokenizer is not to be had.
        """
        trials = load_trials(job.trials)
        scaffold = scaffold_for(settings.scaffold, trials.scaffold)
        excluded = read_excluded_repos(settings.exclude_repos_file)
        tokenizer = find_tokenizer(settings.tokenizer_name) if settings.tokenizer_name else None
        return cls(job, trials, scaffold, settings, excluded, load_host_facts(job.host), tasks or {}, tokenizer, engine)

    def restricted_to(self, trials: Iterable[TrialEntry]) -> Self:
        """Return the plan with no other trials than these, which suffices to convert them."""
        return replace(self, trials=self.trials.model_copy(update={"trials": tuple(trials)}))

    @cached_property
    def placeholders(self) -> Placeholders:
        """What stands in the rows for what only the job's host had."""
        return Placeholders.of(self.host)

    @cached_property
    def patches(self) -> dict[str, PatchRecord]:
        """What is known of the final patches of accepted trials, by the name of the trial."""
        names = [trial.trial_name for trial in self.trials.trials if trial.accepted and trial.trial_name]
        return {name: record for name in names if (record := read_patch_record(self.job, name)) is not None}

    @property
    def filters(self) -> tuple[Filter[TrialEntry], ...]:
        """What a trial has to pass before its trajectory is read, in this order."""
        return trial_filters(self.settings, self.excluded_repos, self.patches, self.tasks)

    @property
    def stored_settings(self) -> Json:
        """The settings as the receipt shows them: the content of files instead of their paths."""
        shown = self.settings.model_dump(mode="json", exclude={"exclude_repos_file", "lf_format", "tokenizer_name"})
        other = {"engine": dict(self.engine)} if self.engine else {}  # without one, settings are as they always were
        return (
            shown
            | other
            | {
                "scaffold": self.scaffold.name,
                "excluded_repos": list(self.excluded_repos),
                "tokenizer": self.tokenizer.stated if self.tokenizer else None,
            }
        )

    def signature(self) -> str:
        """Digest the code version, settings, trials.json, host.json, which trajectories and patches are there, and how
        the job's tasks stand today, as far as the settings ask for it.
        """
        present = [_presence(self.job.dir, trial) for trial in self.trials.trials if trial.accepted]
        recorded = [self.trials.model_dump(mode="json"), self.host.model_dump(mode="json")]
        patches = [[name, record.status, record.sha256] for name, record in self.patches.items()]
        asked = task_filters(self.settings, self.tasks)
        tasks = [[each.passes(trial) for each in asked] for trial in self.trials.trials if trial.accepted]
        inputs = [CODE_VERSION, self.stored_settings, *recorded, present, patches, tasks]
        return sha256_json(inputs)


def sha256_json(value: object) -> str:
    """Return the SHA-256 in hex of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _presence(folder: Path, trial: TrialEntry) -> list[str | int | None]:
    """Tell by digest and size which trajectory a trial has, without reading it where its digest is recorded."""
    path = folder / str(trial.trajectory)
    if stored(path) is None:
        return [trial.trial_name, None, None]
    return [trial.trial_name, trial.trajectory_sha256 or content_sha256(path), content_size_bytes(path)]
