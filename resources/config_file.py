"""Which configuration a process works with."""

import os
from pathlib import Path

from trajgen_assets.core.paths import PROJECT


def named_config() -> str | None:
    """What `TRAJGEN_CONFIG` names: whoever sets it says which model is paid for, so it wins over what a root holds."""
    return os.environ.get("TRAJGEN_CONFIG") or None


def config_path(given: str | Path | None = None) -> Path:
    """`given`, else `TRAJGEN_CONFIG`, else `config.yaml` of the checkout; a bare name not here lies beside that one."""
    chosen = Path(given or named_config() or PROJECT / "config.yaml").expanduser()
    beside = PROJECT / chosen.name
    is_variant = chosen == Path(chosen.name) and not chosen.exists() and beside.exists()
    return (beside if is_variant else chosen).absolute()
