"""A configuration that cannot be used: no new job begins, and a person is told once for each state of the file."""

import hashlib
from pathlib import Path

from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.alerts import alert

NOTE = "configuration"


def why_unusable(root: Root, config: Path, redactor: Redactor) -> str | None:
    """What is wrong with the configuration, after an alert if that is new; None if it can be used.

    Raises:
        LedgerError: there is no ledger that could say whether it is new.
    """
    try:
        load_config(config)
    except ConfigError as error:
        why = redactor.error(error)
        _tell_once(root, config, why)
        return why
    return None


def _tell_once(root: Root, config: Path, why: str) -> None:
    """The same file with the same fault is no news: ticks come every half minute."""
    content = config.read_bytes() if config.is_file() else b""
    state = hashlib.sha256(content + b"\0" + why.encode()).hexdigest()
    with open_ledger(root) as ledger:
        is_news = ledger.note_once(NOTE, state)
    if is_news:
        alert(root, "configuration", f"no new job begins: {why}")
