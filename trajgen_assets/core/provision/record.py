"""What an environment was made from: the one file that says whether it may be used as it stands."""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path

RECORD = "trajgen-environment.json"


@dataclass(frozen=True)
class Record:
    """What an environment was made from, kept in the environment itself.

    Attributes:
        inputs: digest of the lock, which pins the sources, and of the kind of machine.
        source: the commit that its main package was built from; None where that is the lock's.
        build_s: seconds that building it took; None where it was built before that was noted.
    """

    name: str
    interpreter: str
    version: str
    inputs: str
    built_at: str
    schema_version: int = 1
    build_s: float | None = None
    source: str | None = None

    @property
    def digest(self) -> str:
        """What the environment is, in 16 hex digits: its interpreter and its inputs. Part of its name in the store."""
        identity = json.dumps([self.interpreter, self.version, self.inputs])
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def write(self, environment: Path) -> None:
        (environment / RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, environment: Path) -> "Record | None":
        """The record of `environment`; None if it has none that we understand. What a later version added is let be."""
        try:
            found = json.loads((environment / RECORD).read_bytes())
            return cls(**{each.name: found[each.name] for each in fields(cls) if each.name in found})
        except (OSError, ValueError, TypeError):
            return None


def inputs_digest(*files: Path, place: str = "") -> str:
    """Digest of the content of `files`, of `place`, and of the kind of machine."""
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    text = json.dumps([contents, place, platform.system(), platform.machine(), *platform.libc_ver()])
    return hashlib.sha256(text.encode()).hexdigest()


def is_current(environment: Path, inputs: str) -> bool:
    """Whether `environment` was completed from `inputs` and still stands on the interpreter that it was made for.

    Reads two files and runs nothing, so that a second set-up costs nothing.
    """
    record = Record.read(environment)
    python = environment / "bin" / "python"
    return (
        record is not None
        and record.inputs == inputs
        and os.access(python, os.X_OK)
        and os.path.realpath(python) == record.interpreter
    )
