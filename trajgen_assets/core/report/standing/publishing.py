"""`status.yaml`: written when it says something else than before."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError, TrajgenError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.standing.looking import signature_of, standing_of

log = logging.getLogger(__name__)


def publish_standing(root: Root, ledger: Ledger, config: Config | ConfigError) -> bool:
    """Write `status.yaml` where it says something else than before. What goes wrong is logged: it stops nothing.

    Returns:
        Whether the file says now where things stand.
    """
    redactor = Redactor.of_environ() if isinstance(config, ConfigError) else Redactor.of(config)
    try:
        said = _redacted(standing_of(root, ledger, config).as_dict(), redactor.text)
        if said != _published(root.status):
            write_yaml(root.status, said | {"last_updated": stamp()})
    except (OSError, TrajgenError) as error:
        log.warning("%s is not up to date: %s", root.status, redactor.error(error))
        return False
    return True


def publish_standing_of(platform: Platform) -> bool:
    """As `publish_standing`, for whoever has a platform."""
    return publish_standing(platform.root, platform.ledger, platform.config)


def publish_standing_if_changed(platform: Platform, seen: str | None, *, tasks_seen: str) -> str | None:
    """As `publish_standing_of`, unless nothing has changed since `seen` was returned.

    For a caller that comes often: with 100,000 tasks a look at all of them takes 150 ms, and this without it 1 ms.

    Args:
        platform: of the installation.
        seen: what the last call returned.
        tasks_seen: differs where a task or their published view has changed, as `refresh_if_changed` says it.

    Returns:
        What to hand to the next call; None where the file could not be written.
    """
    signature: str | None = None
    with suppress(OSError, TrajgenError):  # then nothing is known to be as it was, and publishing says what is wrong
        signature = signature_of(platform, tasks_seen)
        if f"{signature} {_written_at_ns(platform.root.status)}" == seen:
            return seen
    if not publish_standing_of(platform) or signature is None:
        return None
    return f"{signature} {_written_at_ns(platform.root.status)}"


@contextmanager
def standing_published(platform: Platform) -> Iterator[None]:
    """Publish it after the block, however that ends."""
    try:
        yield
    finally:
        publish_standing_of(platform)


def _published(path: Path) -> dict[str, Any] | None:
    """What the file says, without its time; None where it cannot be read."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(said, dict):
            return {name: value for name, value in said.items() if name != "last_updated"}
    return None


def _redacted(said: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(said, dict):
        return {name: _redacted(each, redact) for name, each in said.items()}
    if isinstance(said, list):
        return [_redacted(each, redact) for each in said]
    return redact(said) if isinstance(said, str) else said


def _written_at_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
