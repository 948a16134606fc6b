"""What commands that remove or pack have in common: a root at rest, sizes in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from trajgen_assets.cli.state import State
from trajgen_assets.core.clean.at_rest import at_rest
from trajgen_assets.core.clean.trees import Size
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.counting import count_of

MB = 1_000_000


def configuration(state: State) -> Config | None:
    """The configuration, if there is one.

    Raises:
        ConfigError: there is one that cannot be read, so that nobody can tell what it names.
    """
    return load_config(state.config) if state.config.exists() else None


@contextmanager
def resting(state: State, config: Config | None) -> Iterator[None]:
    """Nobody else is at work in the root within the block."""
    n_slots = config.runtime_info.input.automation.max_jobs if config else 0
    with at_rest(state.root, holder="trajgen, which tidies up", n_slots=n_slots):
        yield


def said(size: Size) -> str:
    """Count and bytes in words."""
    return f"{count_of(size.n_files, 'file')}, {size.size_bytes / MB:,.2f} MB"
