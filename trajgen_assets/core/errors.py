"""The one family of errors: each says what happened, where, why, and how to mend it.

TrajgenError
├── ConfigError (ValueError)                 config.yaml is missing, malformed or unfilled
│   └── SecretsFileError                     secrets.env beside it cannot be used
├── UnknownNameError (LookupError)           a task, job or run that a person names is not there
├── ManifestError (ValueError)               a manifest cannot be trusted
│   └── ManifestMissingError (FileNotFoundError)
├── TaskError (ValueError)                   a task folder cannot be used
│   └── TaskChangedError                     its content is not what was staged or recorded
├── LedgerError (RuntimeError)               the ledger cannot be trusted: nothing may be rolled out
│   ├── LedgerMissingError (FileNotFoundError)
│   ├── LedgerCorruptError
│   ├── LedgerMovedError                     it has gone on to a server, and lives there
│   ├── ImportRefusedError (ValueError)      what is to be imported cannot be read, or is ambiguous
│   └── StaleLeaseError                      a write with an old fencing number was refused
├── RequirementError (RuntimeError)          the machine lacks a program, a Python or disk space
│   └── ShortageError                        too little disk or memory is free to begin a job now
├── EnvironmentBuildError (RuntimeError)     a uv environment could not be built
├── CheckoutError (RuntimeError)             a pinned repository could not be brought to its pin
├── DownloadError (RuntimeError)             a task source elsewhere could not be brought here whole
├── EndpointError (ConnectionError)          the model endpoint does not answer as it should
├── ProxyError (ConnectionError)             the LiteLLM proxy did not start or died
├── HarnessError (RuntimeError)              Harbor did not start, or left nothing that can be read
├── RefusedError (RuntimeError)              a job was refused before any trial; nothing was consumed
├── StoppedError (RuntimeError)              a person or a budget asked for the end of a job, and it has ended
├── ArchiveError (ValueError)                an entry of the run archive cannot be read
├── ConversionError (ValueError)             a job cannot be turned into training data
├── PackageError (ValueError)                a state package cannot be written or trusted
├── DashboardError (ValueError)              the dashboard cannot be written where it was asked for
└── BusyError (BlockingIOError)              another process holds what is needed
"""

from typing import Self


class TrajgenError(Exception):
    """Base of every error that a user is meant to read.

    Args:
        what: what happened, in one clause without a full stop.
        where: file, line, key or command that it happened at.
        why: the reason, when it is not plain from `what`.
        mend: what the reader can do about it.
    """

    def __init__(self, what: str, *, where: object = None, why: object = None, mend: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.why = None if why is None else str(why)
        self.mend = mend
        text = what
        if self.where:
            text += f" ({self.where})"
        if self.why:
            text += f": {self.why}"
        if mend:
            text = f"{text.rstrip('.')}. Mend: {mend}"
        super().__init__(text)

    def __str__(self) -> str:
        return str(self.args[0])

    def at(self, where: object) -> Self:
        """Return the same error with its place filled in, for a caller that knows it."""
        return type(self)(self.what, where=where, why=self.why, mend=self.mend)


class ConfigError(TrajgenError, ValueError):
    """config.yaml is missing, malformed, unfilled, or asks for what does not exist."""


class SecretsFileError(ConfigError):
    """`secrets.env` beside config.yaml cannot be read, or others than its owner could."""


class UnknownNameError(TrajgenError, LookupError):
    """A task, job or run that a person names is not there, or the name fits several."""


class ManifestError(TrajgenError, ValueError):
    """A manifest cannot be trusted, so nothing is concluded from it."""


class ManifestMissingError(ManifestError, FileNotFoundError):
    """There is no manifest where one is configured. It never means that there are no tasks."""


class TaskError(TrajgenError, ValueError):
    """A task folder is missing, incomplete, or leads outside itself."""


class TaskChangedError(TaskError):
    """The content of a task is not what its recorded digest says."""


class LedgerError(TrajgenError, RuntimeError):
    """The ledger cannot be trusted. Nothing may be rolled out until it can."""


class LedgerMissingError(LedgerError, FileNotFoundError):
    """There is no ledger. It never means that nothing was consumed."""


class LedgerCorruptError(LedgerError):
    """The ledger is there but cannot be read as one of ours."""


class LedgerMovedError(LedgerError):
    """What is here is no longer the ledger: it has moved to a server, and goes on there alone."""


class ImportRefusedError(LedgerError, ValueError):
    """What is to be imported cannot be read, or does not say which task it means. Nothing was taken from it."""


class StaleLeaseError(LedgerError):
    """A write carried a fencing number that is no longer the newest."""


class RequirementError(TrajgenError, RuntimeError):
    """The machine lacks something that has to be there first."""


class ShortageError(RequirementError):
    """Too little disk or memory is free for a job to begin. It is looked at anew before each job."""


class EnvironmentBuildError(TrajgenError, RuntimeError):
    """A uv environment could not be built. None is left half-built."""


class CheckoutError(TrajgenError, RuntimeError):
    """A pinned repository could not be brought to its pin. The checkout that stood goes on standing as it was."""


class DownloadError(TrajgenError, RuntimeError):
    """A task source elsewhere could not be brought here whole, or is not what may be unpacked. What stood stands."""


class EndpointError(TrajgenError, ConnectionError):
    """The model endpoint is out of reach or does not answer as it should."""


class ProxyError(TrajgenError, ConnectionError):
    """The LiteLLM proxy never got ready, or died."""


class HarnessError(TrajgenError, RuntimeError):
    """Harbor did not start, or left nothing that can be read."""


class RefusedError(TrajgenError, RuntimeError):
    """A job was refused before any trial of it began."""


class StoppedError(TrajgenError, RuntimeError):
    """A person or a budget asked for the end of a job. What ended before is settled, the rest is pending again."""


class ArchiveError(TrajgenError, ValueError):
    """An entry of the run archive cannot be read."""


class ConversionError(TrajgenError, ValueError):
    """A job cannot be turned into training data."""


class DashboardError(TrajgenError, ValueError):
    """The dashboard cannot be written where it was asked for, or as what it was asked for."""


class PackageError(TrajgenError, ValueError):
    """A state package cannot be written without a secret or a change in it, or cannot be trusted. Nothing is left."""


class BusyError(TrajgenError, BlockingIOError):
    """Another process holds a lock or slot that is needed."""
