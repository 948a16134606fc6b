"""The checks, in the order of the flow; each is made though others fail."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from trajgen_assets.core.config.secrets_file import values_to_hide
from trajgen_assets.core.errors import RefusedError, TrajgenError
from trajgen_assets.core.preflight import (
    configuration,
    containers,
    endpoint,
    environments,
    host,
    machine,
    openhands,
    openhands_tasks,
    remote,
    repositories,
    runtimes,
    state,
    tasks,
)
from trajgen_assets.core.preflight.canary import canary
from trajgen_assets.core.preflight.findings import Finding, Level, NotLookedError, Subject, fail, skip
from trajgen_assets.core.redact import Redactor, environ_secrets

SCHEMA_VERSION = 1

Look = Callable[[Subject], Finding | Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        refuses: a job is refused by what it looks at, by this check or where it is met; else the job would begin.
        at_start: a job makes it when it begins, and is refused by it: together they take under 3 s.
    """

    group: str
    name: str
    look: Look
    refuses: bool = False
    at_start: bool = False


CHECKS = (
    Check("configuration", "file", configuration.file, refuses=True),
    Check("configuration", "secrets.env", configuration.secrets_file, refuses=True),
    Check("configuration", "older keys", configuration.older_keys),
    Check("configuration", "secrets", configuration.literal_secrets),
    Check("configuration", "agent", configuration.agent_settings),
    Check("configuration", "training data", configuration.training_data, refuses=True, at_start=True),
    Check("configuration", "spending", configuration.spending),
    Check("configuration", "budget", configuration.budget, refuses=True, at_start=True),
    Check("root", "ledger", state.ledger, refuses=True),
    Check("root", "published view", state.published_view),
    Check("root", "Dagster", state.dagster_instance, refuses=True),
    Check("root", "jobs", state.jobs),
    Check("root", "pauses", state.pauses),
    Check("repositories", "checkouts", repositories.checkouts),
    Check("environments", "locks", environments.equal_to_locks),
    Check("environments", "programs", environments.programs_run),
    Check("tasks", "manifests", tasks.manifests, refuses=True),
    Check("tasks", "excluded", tasks.exclusions, refuses=True),
    Check("tasks", "partitions", tasks.partitions),
    Check("machine", "host", host.declared_host, refuses=True, at_start=True),
    Check("machine", "terminal", host.terminal),
    Check("machine", "proxy port", machine.proxy_port, refuses=True, at_start=True),
    Check("machine", "disk", machine.disk, refuses=True, at_start=True),
    Check("machine", "memory", machine.memory, refuses=True, at_start=True),
    Check("sandboxes", "environment", containers.environment, refuses=True, at_start=True),
    Check("sandboxes", "way to", remote.way_to_proxy),
    Check("sandboxes", "networks", containers.networks, refuses=True, at_start=True),
    Check("sandboxes", "isolation", containers.isolation, refuses=True, at_start=True),
    Check("sandboxes", "images", containers.images),
    Check("sandboxes", "agents", runtimes.mounted, refuses=True),
    Check("openhands", "checkout", openhands.checkout, refuses=True, at_start=True),
    Check("openhands", "action execution server", openhands.server, refuses=True, at_start=True),
    Check("openhands", "update_mcp_server", openhands.endpoint, refuses=True, at_start=True),
    Check("openhands", "selected_ids", openhands.selection, refuses=True, at_start=True),
    Check("openhands", "packages", openhands.packages, refuses=True, at_start=True),
    Check("openhands", "output limit", openhands.output_limit),
    Check("openhands", "split", openhands.split),
    Check("openhands", "llm section", openhands.llm_section),
    Check("openhands", "browser", openhands.browser),
    Check("openhands", "language", openhands_tasks.language, refuses=True, at_start=True),
    Check("openhands", "platform", openhands.platform),
    Check("openhands", "task images", openhands_tasks.images, refuses=True),
    Check("openhands", "runtime image", openhands_tasks.runtime_image, refuses=True),
    Check("openhands", "evaluator", openhands_tasks.evaluator, refuses=True, at_start=True),
    Check("model", "key", endpoint.keys, refuses=True, at_start=True),
    Check("model", "connection", endpoint.connection, refuses=True, at_start=True),
)
PROBE = Check("model", "completion", endpoint.completion, refuses=True)
MISCONFIGURED = frozenset({"file", "secrets.env", "excluded"})


def canary_check(n_tasks: int, say: Callable[[str], None]) -> Check:
    """The check that rolls out `n_tasks` tasks without a model; `say` gets a line of progress at a time."""
    return Check("canary", "tasks", lambda subject: canary(subject, n_tasks, say))


@dataclass(frozen=True)
class Line:
    """One line of the report; `refuses` as for its check."""

    group: str
    check: str
    level: Level
    text: str
    mend: str = ""
    error: TrajgenError | None = None
    refuses: bool = False

    def as_json(self) -> dict[str, Any]:
        """The line as programs read it."""
        return {name: value for name, value in asdict(self).items() if name not in ("error", "refuses")}


def look(subject: Subject, checks: Iterable[Check] = CHECKS) -> Iterator[Line]:
    """Make `checks`, one after another; yields each line as it is known. No line holds a known secret."""
    config = subject.config_or_error
    hidden = environ_secrets() | values_to_hide(subject.config_file)
    redactor = Redactor(hidden) if isinstance(config, TrajgenError) else Redactor.of(config)
    for check in checks:
        for found in _findings(check, subject):
            name = f"{check.name} {found.subject}".rstrip()
            text, mend = redactor.text(found.text), redactor.text(found.mend)
            yield Line(check.group, name, found.level, text, mend, found.error, check.refuses)


def refuse_unless_all_pass(subject: Subject) -> None:
    """Make the checks that a job is refused by, before it consumes anything.

    Raises:
        EndpointError, RequirementError, ConfigError, RefusedError: one of them failed; the first that did.
    """
    for line in look(subject, (check for check in CHECKS if check.at_start)):
        if line.level is Level.FAIL:
            raise line.error or RefusedError(line.text, mend=line.mend)


def report(lines: Iterable[Line]) -> dict[str, Any]:
    """All lines, as `trajgen dryrun --json` prints them."""
    listed = list(lines)
    return {
        "schema_version": SCHEMA_VERSION,
        "ready": not any(line.level is Level.FAIL for line in listed),
        "counts": {level.value: sum(line.level is level for line in listed) for level in Level},
        "checks": [line.as_json() for line in listed],
    }


def is_misconfigured(lines: Iterable[Line]) -> bool:
    """Whether the configuration, or a list of exclusions that it names, cannot be used by anything."""
    return any(line.level is Level.FAIL and line.check in MISCONFIGURED for line in lines)


def verdict(lines: Iterable[Line]) -> str:
    """What would become of a job that is begun now, in one sentence."""
    failed = [line for line in lines if line.level is Level.FAIL]
    if not failed:
        return "Ready: `trajgen start`"
    if any(line.refuses for line in failed):
        return "A job would be refused"
    return "A job would begin, and go wrong: mend what failed first"


def _findings(check: Check, subject: Subject) -> Iterator[Finding]:
    """What a check finds. Whatever stops it is its finding: the others are made all the same."""
    try:
        found = check.look(subject)
        yield from [found] if isinstance(found, Finding) else found
    except NotLookedError as reason:
        yield skip(reason)
    except TrajgenError as error:
        yield fail(error)
    except Exception as error:  # noqa: BLE001  a file that cannot be read, say, must not hide what the next check finds
        yield fail(RefusedError(f"the check was stopped by {type(error).__name__}", why=error))
