"""What a check finds, and what it looks at."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError, EndpointError, RequirementError, TrajgenError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.preflight.demand import Demand, demand_of
from trajgen_assets.core.rollout.docker import ask_docker, check_engine
from trajgen_assets.core.rollout.endpoint import check_reachable
from trajgen_assets.core.rollout.plan import uses_docker

# An engine that needs longer than this to tell its version is no engine to begin a job with.
ENGINE_TIMEOUT_S = 5.0


class Level(StrEnum):
    """`fail`: a job would be refused, or go wrong. `skip`: not looked at, because something else failed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class NotLookedError(Exception):
    """A check has nothing to look at, because something else failed; that has a line of its own."""


@dataclass(frozen=True)
class Finding:
    """One line of a check. A failure is an error of the family, so that whoever refuses a job can raise it.

    Attributes:
        subject: what the line is about, where the check has several.
    """

    level: Level
    text: str
    mend: str = ""
    subject: str = ""
    error: TrajgenError | None = None


def ok(text: str, *, subject: str = "") -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, text, subject=subject)


def warn(text: str, mend: str = "", *, subject: str = "") -> Finding:
    """It works, and somebody should know."""
    return Finding(Level.WARN, text, mend, subject)


def fail(error: TrajgenError, *, subject: str = "") -> Finding:
    """A job would be refused, or go wrong."""
    place = f" ({error.where})" if error.where else ""
    why = f": {error.why}" if error.why else ""
    return Finding(Level.FAIL, f"{error.what}{place}{why}", error.mend or "", subject, error)


def skip(reason: object, *, subject: str = "") -> Finding:
    """It was not looked at, because of what has a line of its own."""
    return Finding(Level.SKIP, f"not looked at: {reason}", subject=subject)


@dataclass(frozen=True)
class Subject:
    """What is looked at: a root with its configuration and its ledger, each of which may be out of order.

    Attributes:
        n_tasks: how many tasks the job has that is about to begin; None when no job is.
        campaign: the campaign of that job; None for all.
    """

    root: Root
    config_file: Path
    config_or_error: Config | ConfigError
    ledger_or_error: Ledger | TrajgenError
    n_tasks: int | None = None
    campaign: str | None = None

    @property
    def config(self) -> Config:
        """The configuration. Raises NotLookedError if it cannot be read."""
        if isinstance(self.config_or_error, ConfigError):
            raise NotLookedError("the configuration cannot be read")
        return self.config_or_error

    @property
    def ledger(self) -> Ledger:
        """The ledger. Raises NotLookedError if it cannot be opened."""
        if not isinstance(self.ledger_or_error, Ledger):
            raise NotLookedError("the ledger cannot be opened")
        return self.ledger_or_error

    @property
    def campaigns(self) -> list[str]:
        """The campaigns that are looked at."""
        return [self.campaign] if self.campaign else self.config.campaigns()

    @property
    def n_at_once(self) -> int:
        """How many trials one job runs at a time."""
        inputs = self.config.runtime_info.input
        most = min(inputs.harbor_job.n_concurrent, inputs.automation.max_trials)
        return most if self.n_tasks is None else min(most, self.n_tasks)

    @cached_property
    def unreachable(self) -> dict[str, EndpointError]:
        """The endpoints that are asked for and at which nothing listens, each tried once."""
        pools = (self.config.campaign(name).llm_api.pool for name in self.campaigns)
        return dict(_unreachable(dict.fromkeys(each.api_base_url for pool in pools for each in pool)))

    @cached_property
    def engine(self) -> str | RequirementError:
        """The version of the Docker engine, asked for once, or why there is none."""
        try:
            return check_engine(ENGINE_TIMEOUT_S)
        except RequirementError as error:
            return error

    @cached_property
    def engine_folder(self) -> str | None:
        """Where the Docker engine keeps sandboxes, if trials run in it and that folder is on this host."""
        if not uses_docker(self.config.runtime_info.input.harbor_job.environment):
            return None
        self.need_engine()
        folder = ask_docker("info", "--format", "{{.DockerRootDir}}", timeout_s=ENGINE_TIMEOUT_S).strip()
        return folder if Path(folder).is_dir() else None

    @cached_property
    def demand(self) -> Demand:
        """What the tasks ask of the machine."""
        return demand_of(self.config)

    def need_engine(self) -> None:
        """Raise NotLookedError if the Docker engine does not answer."""
        if isinstance(self.engine, RequirementError):
            raise NotLookedError("the Docker engine does not answer")


def _unreachable(addresses: Iterable[str]) -> Iterator[tuple[str, EndpointError]]:
    for address in addresses:
        try:
            check_reachable(address)
        except EndpointError as error:
            yield address, error


@contextmanager
def looked_at(root: Root, config_file: Path) -> Iterator[Subject]:
    """Read what there is under `root`, without changing any of it."""
    try:
        config: Config | ConfigError = load_config(config_file)
    except ConfigError as error:
        config = error
    try:
        opened = looking_at_ledger(root)
        ledger = opened.__enter__()
    except TrajgenError as error:
        yield Subject(root, config_file, config, error)
        return
    try:
        yield Subject(root, config_file, config, ledger)
    finally:
        opened.__exit__(None, None, None)
