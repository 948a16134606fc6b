"""What the configuration asks of one checkout, and how its commit is found in a clone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.checkouts.addresses import places_of, protocol_of, ref_problem
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.models import Repository
from trajgen_assets.core.errors import ConfigError, UnknownNameError
from trajgen_assets.core.git import Git


@dataclass(frozen=True)
class Pin:
    """One entry of `meta_info.repositories` that is a git repository.

    Attributes:
        folder: where its checkout lies, absolute and without links.
        ref: a branch or a tag; counts only where there is no `commit`.
        readonly: whether its files lose their write bits.
    """

    name: str
    url: str
    folder: Path
    commit: str | None = None
    ref: str | None = None
    readonly: bool = True

    @property
    def words(self) -> str:
        """What is asked for, as a person reads it."""
        return self.commit[:12] if self.commit else f"{self.ref}"

    def commit_in(self, git: Git) -> str | None:
        """The commit that this asks for, by what a clone knew of its origin last; None if it has it not."""
        places = [self.commit] if self.commit else places_of(self.ref or "")
        found = (git.ask("rev-parse", "--verify", "--quiet", f"{place}^{{commit}}") for place in places)
        return next((commit.strip() for commit in found if commit), None)


def pins_of(config: Config, *, ref: str | None = None) -> dict[str, Pin]:
    """The git repositories that the configuration names, by name.

    Args:
        ref: what to take instead of the configured branch or ref; a configured commit counts before it.

    Raises:
        ConfigError: `ref` is no name of a branch, a tag or a commit.
    """
    if ref is not None and (problem := ref_problem(ref)):
        raise ConfigError(f"--ref {problem}", where=repr(ref), mend="name one that the origin has: `git ls-remote URL`")
    named = config.meta_info.repositories.items()
    return {name: _pin(config, name, each, each.url, ref) for name, each in named if each.url}


def chosen_pins(config: Config, *, name: str | None, ref: str | None) -> Iterator[Pin]:
    """The pin called `name`, or all of them for None and for `all`.

    Raises:
        ConfigError: `ref` is not usable, or it is a package of the index.
        UnknownNameError: there is none of this name.
    """
    pins = pins_of(config, ref=ref)
    if name in (None, "all"):
        yield from pins.values()
        return
    if name in config.meta_info.repositories and name not in pins:
        mend = "nothing: `trajgen setup-envs` installs it"
        raise ConfigError(f"{name} is of the package index, and is not checked out", mend=mend)
    if name not in pins:
        known = ", ".join(pins) or "none"
        raise UnknownNameError(
            f"no repository is called {name}",
            where="meta_info.repositories",
            why=f"known: {known}",
            mend="name one of these, or add it there",
        )
    yield pins[str(name)]


def _pin(config: Config, name: str, repository: Repository, url: str, ref: str | None) -> Pin:
    if protocol_of(url) == "file" and "://" not in url:
        url = str(config.resolve(url))
    folder = config.resolve(repository.path).resolve()
    wanted = ref or repository.ref or repository.branch
    commit = repository.commit or (wanted if wanted and re.fullmatch(r"[0-9a-f]{40}", wanted) else None)
    return Pin(name, url, folder, commit, wanted, repository.readonly)
