"""A configuration that cannot be used: no new job begins, and a person is told once for each state of the file."""

import hashlib
from pathlib import Path

from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.alerts import Alert, raise_alerts


def why_unusable(root: Root, config: Path, redactor: Redactor) -> str | None:
    """What is wrong with the configuration, after an alert if that is new; None if it can be used."""
    try:
        load_config(config)
    except ConfigError as error:
        why = redactor.error(error)
        content = config.read_bytes() if config.is_file() else b""
        state = hashlib.sha256(content + b"\0" + why.encode()).hexdigest()
        raise_alerts(root, [Alert("configuration", state[:16], f"no new job begins: {why}")])
        return why
    return None
