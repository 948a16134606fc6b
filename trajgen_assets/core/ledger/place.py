"""Where a root's ledger lies: in a file of the root, or in a database on a server that the root names.

`ledger_server.yaml` in the root names the server, never with a password in it: once it is there, the server has the
ledger, whatever the environment of a process says. TRAJGEN_LEDGER_URL says where set-up makes the ledger of a new root,
and by which address and password later processes reach it.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.config.secrets import read_environ
from trajgen_assets.core.config.secrets_file import SecretsFile
from trajgen_assets.core.errors import ConfigError, LedgerCorruptError, LedgerError
from trajgen_assets.core.paths import LEDGER_URL_ENV, PROJECT, Root

DRIVER = "postgresql+psycopg2"
FORM = f"{DRIVER}://USER:${{PASSWORD_VARIABLE}}@HOST:PORT/DATABASE"
_NAMES_OF_DRIVER = {"postgresql", "postgres", DRIVER}
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# How Postgres' own library finds a password, or who is to be trusted, without an address that says it.
LIBPQ_ENV = ("PGPASSWORD", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY")
_SECRET_OPTIONS = {"password", "sslpassword"}


class PlaceFile(BaseModel):
    """`ledger_server.yaml`: the address without its password, and which ledger is to be found there."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: int
    url: str
    ledger_id: str


@dataclass(frozen=True)
class Server:
    """The database that holds, or is to hold, a ledger.

    Attributes:
        url: its address with the password.
        named: the same as a file may say it: with `${NAME}` for what stood so, and without a literal password.
        ledger_id: which ledger the root had there; None where the root has not had one yet.
    """

    url: sa.URL = field(repr=False)
    named: str
    ledger_id: str | None = None

    @property
    def where(self) -> str:
        """The address for people: neither password nor options."""
        return _bare(self.url).render_as_string()


def has_ledger(root: Root) -> bool:
    """Whether the root has a ledger of its own: a file, or a place on a server."""
    return root.ledger.exists() or root.ledger_place.exists()


def is_shared(root: Root) -> bool:
    """Whether other hosts may work with the root's ledger."""
    return root.ledger_place.exists()


def ledger_place(root: Root) -> str:
    """Where the root's ledger lies, for people."""
    server = server_of(root)
    return str(root.ledger) if server is None else server.where


def server_of(root: Root) -> Server | None:
    """The server that has the root's ledger, or is to have it; None if a file has.

    Raises:
        ConfigError: the address is malformed, or a variable that it names is not set.
        LedgerError: the root has a ledger in a file, too, or its `ledger_server.yaml` cannot be read.
    """
    place = _read_place(root)
    if place is not None:
        return server_at(root, root.ledger_url or place.url, place.ledger_id)
    if root.ledger_url is None:
        return None
    if root.ledger.exists():
        raise LedgerError(
            f"{LEDGER_URL_ENV} names a server, and this root has a ledger in a file",
            where=root.ledger,
            mend=f"move it with `trajgen ledger migrate --to URL`, or unset {LEDGER_URL_ENV}",
        )
    return server_at(root, root.ledger_url)


def server_at(root: Root, text: str, ledger_id: str | None = None, *, named_by: str = LEDGER_URL_ENV) -> Server:
    """The server at the address `text`, whose `${NAME}` are filled in from the environment or from `secrets.env`.

    Args:
        named_by: where the address stands, for the error.

    Raises:
        ConfigError: it is no such address, or a variable is not set. The text itself is not quoted.
    """
    filled = _REFERENCE.sub(lambda found: _value(root, found[1], is_whole=found[0] == text), text)
    try:
        url = sa.make_url(filled)
    except (sa.exc.ArgumentError, ValueError):
        raise _no_address(named_by, None) from None
    if url.drivername not in _NAMES_OF_DRIVER:
        raise _no_address(named_by, f"it begins with {url.drivername}://")
    if not url.database:
        raise _no_address(named_by, "it names no database")
    if _SECRET_OPTIONS & set(url.query):
        raise _no_address(named_by, "a password stands before the host, not among the options")
    return Server(url.set(drivername=DRIVER), _without_password(text, url), ledger_id)


def _no_address(named_by: str, why: str | None) -> ConfigError:
    return ConfigError("this is no address of a Postgres database", where=named_by, why=why, mend=f"write it as {FORM}")


def server_environ(root: Root, *names: str) -> dict[str, str]:
    """What a child needs of our environment to reach the servers that the variables `names` are the addresses of."""
    texts = {name: os.environ[name] for name in names if os.environ.get(name)}
    place = _read_place(root)
    referred = {each for text in [*texts.values(), place.url if place else ""] for each in _REFERENCE.findall(text)}
    ours = {name: value for name, value in os.environ.items() if name in referred or name in LIBPQ_ENV}
    return texts | ours


def holds_password(text: str) -> bool:
    """Whether the address `text` holds a password in clear, as a command line would show it to everybody."""
    if _REFERENCE.fullmatch(text):
        return False
    try:
        password = sa.make_url(text).password
    except (sa.exc.ArgumentError, ValueError):
        return "@" in text
    return bool(password) and not _REFERENCE.fullmatch(str(password))


def write_place(root: Root, server: Server, ledger_id: str) -> None:
    """Say in the root that its ledger lies there from now on."""
    root.path.mkdir(parents=True, exist_ok=True)
    content = PlaceFile(schema_version=1, url=server.named, ledger_id=ledger_id)
    write_yaml(root.ledger_place, content.model_dump(), mode=0o600)


def _read_place(root: Root) -> PlaceFile | None:
    path = root.ledger_place
    try:
        return PlaceFile.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        return None
    except OSError as error:
        what, mend = "it cannot be read where the ledger lies", "give this user the right to read it"
        raise LedgerError(what, where=path, why=error.strerror, mend=mend) from error
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError):
        mend = "put it back from a copy"
        raise LedgerCorruptError("this does not say where the ledger lies", where=path, mend=mend) from None


def _without_password(text: str, url: sa.URL) -> str:
    if _REFERENCE.fullmatch(text):
        return text
    return _bare(url).update_query_dict(url.query).render_as_string() if holds_password(text) else text


def _bare(url: sa.URL) -> sa.URL:
    """The address without its password, which `set` does not take away, and without options."""
    return sa.URL.create(DRIVER, url.username, None, url.host, url.port, url.database)


def _value(root: Root, name: str, *, is_whole: bool) -> str:
    value = _looked_up(root, name)
    return value if is_whole else quote(value, safe="")


def _looked_up(root: Root, name: str) -> str:
    if os.environ.get(name, "").strip():
        return read_environ(name)
    configs = [Path(os.environ.get("TRAJGEN_CONFIG") or PROJECT / "config.yaml"), root.path / "config.yaml"]
    files = [SecretsFile.beside(config.expanduser().absolute()) for config in configs]
    return next((file.values[name] for file in files if name in file), "") or read_environ(name)
