"""What a job's trials could see of the host that they ran on: no secrets, and yet nothing for training data.

It is written down with the job, because its data may be made later, elsewhere, or from a root that was moved.
"""

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trajgen_assets.core.atomic import write_json
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import PROJECT, Root

LOCAL_NAMES = ("localhost", "host.docker.internal")


class HostFacts(BaseModel):
    """`jobs/<job>/host.json`. Never a key: trial keys are known by their shape."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    proxy: tuple[str, ...] = Field(default=(), strict=False, description="Addresses of the job's proxy, host:port.")
    host: tuple[str, ...] = Field(default=(), strict=False, description="Names of the host.")
    paths: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, strict=False, description="root, checkout, home, tasks: as named, and as resolved."
    )

    @classmethod
    def of(
        cls, root: Root, *, proxy_host: str, proxy_port: int, tasks: Iterable[Path], proxy_names: Iterable[str] = ()
    ) -> Self:
        """Look at this host, for a job under `root` whose tasks come from the folders `tasks`.

        Its proxy is also called by `proxy_names`, which need not have a port.
        """
        name = socket.gethostname()
        addresses = (f"{each}:{proxy_port}" for each in (proxy_host, *LOCAL_NAMES))
        return cls(
            proxy=tuple(dict.fromkeys((*addresses, *proxy_names))),
            host=tuple(dict.fromkeys((name, name.partition(".")[0]))),
            paths={
                "root": _spellings(root.path),
                "checkout": _spellings(PROJECT),
                "home": _spellings(Path.home()),
                "tasks": tuple(path for folder in tasks for path in _spellings(folder)),
            },
        )


def write_host_facts(path: Path, facts: HostFacts) -> None:
    """Write them atomically and durably."""
    write_json(path, facts.model_dump(mode="json"))


def load_host_facts(path: Path) -> HostFacts:
    """Read them; a job that has none (it ran elsewhere, or under an earlier version) is known nothing of.

    Raises:
        ConversionError: the file is there and cannot be read.
    """
    try:
        return HostFacts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return HostFacts()
    except (ValidationError, OSError) as error:
        why = f"{error.error_count()} of its fields are wrong" if isinstance(error, ValidationError) else error.strerror
        raise ConversionError("what a job could see of its host cannot be read", where=path, why=why) from None


def _spellings(path: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys((str(path.absolute()), str(path.resolve()))))
