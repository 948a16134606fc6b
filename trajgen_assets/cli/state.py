"""What the options before a command say, and the handles that commands open from them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console

from resources.config_file import config_path, named_config
from resources.platform import PlatformResource
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.placing import placing_notices
from trajgen_assets.core.platform import Platform

# What is piped into a file is not cut to the width of a terminal that is not there.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


@dataclass(frozen=True)
class State:
    """Root, configuration file and verbosity of one call."""

    root: Root
    config: Path
    verbose: bool

    @classmethod
    def of(cls, root: Path | None, config: Path | None, *, verbose: bool) -> "State":
        """Options first, then the environment, then a configuration that the root has of its own, then the checkout."""
        chosen = Root.from_environ(root)
        own = chosen.path / "config.yaml"
        return cls(chosen, config_path(config or named_config() or (own if own.exists() else None)), verbose)

    def with_own_config(self) -> "State":
        """The same, with the configuration that a root of its own is given, unless one was named."""
        is_default = named_config() is None and self.config == config_path()
        is_own = is_default and self.root.path != PROJECT / "artifacts"
        return replace(self, config=self.root.path / "config.yaml") if is_own else self

    def load(self) -> Config:
        """Read the configuration; say what in it is not used, and what should not be in it."""
        config = load_config(self.config)
        for line in [*config.warnings(), *config.notices(), *placing_notices(self.root, config)]:
            typer.echo(f"note: {line}", err=True)
        return config

    @contextmanager
    def platform(self) -> Iterator[Platform]:
        """Root, configuration and ledger, closed afterwards."""
        self.load()
        platform = PlatformResource(root=str(self.root.path), config=str(self.config)).open()
        with platform.ledger:
            yield platform


def state_of(context: typer.Context) -> State:
    """The state that the options before the command made."""
    state: State = context.obj
    return state
