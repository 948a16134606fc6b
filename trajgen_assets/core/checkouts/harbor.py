"""The Harbor that jobs run: of the lock, unless the configuration says that its pinned checkout is to be built."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from trajgen_assets.core.checkouts.faults import commit_at_pin
from trajgen_assets.core.checkouts.pin import Pin, pins_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.git import Git
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.setup import HARBOR
from trajgen_assets.core.provision.source import Source

NAME = "harbor"
Sources = Mapping[str, Source]


def sources_of(config: Config) -> Sources:
    """The sources that environments are built from, by the environment's name; empty where all come from locks.

    Raises:
        RefusedError: Harbor's checkout is to be built, and is not there, or not what its pin says.
        CheckoutError: git cannot read it.
    """
    repository = config.meta_info.repositories.get(NAME)
    if repository is None or not repository.build:
        return {}
    return {HARBOR: source_of(pins_of(config)[NAME])}


def sources_in(config_file: Path, say: Say) -> Sources:
    """As `sources_of`, for those who work without a configuration, too: what cannot be read names no sources."""
    try:
        config = load_config(config_file)
    except ConfigError:
        say("the configuration cannot be read, so Harbor is the one of its lock")
        return {}
    return sources_of(config)


def source_of(pin: Pin, *, is_built: bool = True) -> Source:
    """The commit that the checkout of `pin` is at; `is_built` as for `Source`. Raises as `sources_of` does."""
    commit = commit_at_pin(pin, f"{pin.name} is not built from this checkout")
    return Source(commit, lambda folder: _export(pin.folder, commit, folder), is_built)


def _export(checkout: Path, commit: str, folder: Path) -> None:
    """Write the files of `commit` into `folder`. The checkout and its index stay as they are."""
    with TemporaryDirectory() as temp:
        git = Git(checkout, environ={"GIT_INDEX_FILE": str(Path(temp) / "index")})
        git.told("read-tree", commit)
        git.told("checkout-index", "--all", f"--prefix={folder}/")
