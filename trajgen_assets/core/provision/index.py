"""The package index: whatever pip and uv are configured to use, and no host of our own choosing."""

import configparser
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

UV_INDEX_NAMES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX")


def index_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What uv has to be told so that it asks the index, and trusts the certificates, that pip is configured for.

    uv does not read pip's configuration. What is configured for uv itself always wins. Extra indexes are left
    out: every package is pinned by hash, and uv would prefer them to the main one.
    """
    pip = pip_settings(environ)
    settings = {}
    if "index-url" in pip and not _uv_has_index(environ):
        settings["UV_DEFAULT_INDEX"] = pip["index-url"]
    certificates = pip.get("cert") or environ.get("REQUESTS_CA_BUNDLE")
    if certificates and not environ.get("SSL_CERT_FILE"):
        settings["SSL_CERT_FILE"] = certificates
    return settings


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's `index-url` and `cert`, as pip itself would find them: variables first, then the nearest file."""
    found: dict[str, str] = {}
    for path in _pip_files(environ):
        found |= _pip_file(path)
    variables = {name: environ.get(f"PIP_{name.upper().replace('-', '_')}") for name in ("index-url", "cert")}
    return found | {name: value for name, value in variables.items() if value}


def _pip_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files that pip reads, the later over the earlier."""
    chosen = environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    if home := environ.get("HOME"):
        yield Path(home) / ".pip" / "pip.conf"
    yield from (folder / "pip" / "pip.conf" for folder in _config_homes(environ))
    if chosen:
        yield Path(chosen)


def _pip_file(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):  # pip will complain of it better than we can
        return {}
    sections = [parser[name] for name in ("global", "install") if parser.has_section(name)]
    return {name: section[name] for section in sections for name in ("index-url", "cert") if name in section}


def _uv_has_index(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in UV_INDEX_NAMES) or any(_names_index(path) for path in _uv_files(environ))


def _uv_files(environ: Mapping[str, str]) -> Iterator[Path]:
    if chosen := environ.get("UV_CONFIG_FILE"):
        yield Path(chosen)
    yield from (folder / "uv" / "uv.toml" for folder in _config_homes(environ))
    yield Path("/etc/uv/uv.toml")


def _config_homes(environ: Mapping[str, str]) -> Iterator[Path]:
    if chosen := environ.get("XDG_CONFIG_HOME"):
        yield Path(chosen)
    elif home := environ.get("HOME"):
        yield Path(home) / ".config"


def _names_index(path: Path) -> bool:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return any(name in table for table in (settings, settings.get("pip", {})) for name in ("index", "index-url"))
