"""What one look at an installation has before it: root, ledger, configuration, and what was read of them once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.heartbeat import is_heard
from trajgen_assets.core.report.standing.models import JobStanding
from trajgen_assets.core.rollout.budget import UsedUp, day_used_up
from trajgen_assets.core.rollout.lost import lost_jobs


@dataclass(frozen=True)
class Sight:
    """Everything that a standing follows from. Looking changes nothing."""

    root: Root
    ledger: Ledger
    config: Config | ConfigError

    @property
    def sources(self) -> list[TaskSource]:
        """The configured ones, none where the configuration cannot be read."""
        return [] if isinstance(self.config, ConfigError) else list(self.config.sources())

    @cached_property
    def now(self) -> datetime:
        return self.ledger.now()

    @cached_property
    def has_daemon(self) -> bool:
        """Whether the daemon was heard of lately."""
        return is_heard(self.root, self.now)

    @property
    def is_misconfigured(self) -> bool:
        """Whether nothing can begin because of what a person wrote."""
        return isinstance(self.config, ConfigError) or isinstance(self.excluded, ConfigError)

    @property
    def is_automatic(self) -> bool:
        """Whether jobs begin by themselves."""
        config = self.config
        return self.has_daemon and isinstance(config, Config) and config.runtime_info.input.automation.enabled

    @cached_property
    def excluded(self) -> frozenset[str] | ConfigError:
        """The excluded tasks, or why their lists cannot be read."""
        try:
            return frozenset() if isinstance(self.config, ConfigError) else excluded_ids(self.config, self.root)
        except ConfigError as error:
            return error

    @cached_property
    def jobs(self) -> tuple[JobStanding, ...]:
        """Those that are not over."""
        lost = {job.row.name for job in lost_jobs(self.root, self.ledger)}
        open_jobs = self.ledger.jobs(JobState.RUNNING, JobState.ASSIGNED)
        return tuple(self._of_job(job, is_lost=job.name in lost) for job in open_jobs)

    @cached_property
    def outages(self) -> dict[str, tuple[datetime, str]]:
        """Data sets whose launches an outage holds: until when, and why."""
        return dict(self._outages())

    @cached_property
    def used_up(self) -> UsedUp | None:
        """Why the day's budget lets no job begin; None where it does."""
        return None if isinstance(self.config, ConfigError) else day_used_up(self.root, self.config, self.ledger)

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """Data sets whose manifest is there, and was never registered under `main`."""
        there = [source.dataset for source in self.sources if source.manifest.is_file()]
        return tuple(dataset for dataset in there if self.ledger.manifest(MAIN_CAMPAIGN, dataset) is None)

    def free(self) -> tuple[dict[str, int], int]:
        """Free tasks of each data set that has any, and how many more there were if none were excluded."""
        if isinstance(self.config, ConfigError):
            return {}, 0
        free: dict[str, int] = {}
        n_excluded = 0
        exclude = frozenset[str]() if isinstance(self.excluded, ConfigError) else self.excluded
        for dataset in (source.dataset for source in self.sources):
            for campaign in self.config.campaigns():
                n_all = self.ledger.free(campaign, dataset).n
                n = self.ledger.free(campaign, dataset, exclude=exclude).n if exclude else n_all
                n_excluded += n_all - n
                if n:
                    free[dataset] = free.get(dataset, 0) + n
        return free, n_excluded

    def _of_job(self, job: JobRow, *, is_lost: bool) -> JobStanding:
        n_ended = len(self.ledger.job_attempts(job.name)) if job.state is JobState.RUNNING else 0
        request = self.ledger.stop_request(job.name)
        ending = request.words if request else None
        return JobStanding(job.name, job.dataset, job.campaign, job.state.value, job.n_tasks, n_ended, is_lost, ending)

    def _outages(self) -> Iterator[tuple[str, tuple[datetime, str]]]:
        for source in self.sources:
            breaker = self.ledger.breaker_state(source.dataset)
            if breaker.until is not None and breaker.holds(self.now):
                yield source.dataset, (breaker.until, breaker.why)
