"""The repositories that the configuration pins: each brought to its pin by a click, as by `trajgen update-repos`."""

import re
from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.assets.failing import failing_by
from trajgen_assets.assets.standing import is_news
from trajgen_assets.core.checkouts.addresses import normal_url
from trajgen_assets.core.checkouts.pin import pins_of
from trajgen_assets.core.checkouts.update import Updated, update
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.redact import Redactor
from trajgen_assets.names import repository_asset

# What the catalogue has whether the configuration names it or not.
KNOWN = ("harbor", "swe_data_process")
NOT_PINNED = "not pinned"


def repository_assets() -> list[dg.AssetsDefinition]:
    """`harbor_repo`, `swe_data_process_repo`, and one for each other repository that the configuration names now."""
    named = dict.fromkeys([*KNOWN, *_names_in_configuration()])
    return [_repository_asset(name, repository_asset(name)) for name in named]


def _names_in_configuration() -> Iterator[str]:
    """Nothing of a configuration that cannot be read: the preflight and each run say why."""
    try:
        yield from PlatformResource().configuration().meta_info.repositories
    except ConfigError:
        return


def _repository_asset(name: str, key: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"check_out_{re.sub(r'[^A-Za-z0-9_]', '_', name)}",
        specs=[
            entry(
                key,
                Words(
                    what=(
                        f"One materialization is one commit of the repository `{name}` that `meta_info.repositories` "
                        "pins: by its commit, else by its tag or branch, whose newest commit is then asked for. Its "
                        "version is the commit. Where the configuration does not pin it, that is its version."
                    ),
                    writes="the checkout at the pin's `path`, detached, with its submodules, and read-only.",
                    fails=(
                        "when a person has changed the checkout, it is of another origin, or the origin does not "
                        "answer; the checkout stays as it is."
                    ),
                ),
                skippable=True,
                group=Group.UPSTREAM,
                grain=Grain.WHOLE,
                kinds={"git"},
                code=[update],
            )
        ],
    )
    def check_out(context: dg.AssetExecutionContext, platform: PlatformResource) -> Iterator[dg.MaterializeResult[Any]]:
        """Bring the checkout to its pin; where it stands there already, its event stays."""
        with failing_by(Redactor.of_environ()):
            config = platform.configuration()
            done = _updated(context, config, name)
        version = done.commit if done else _words_of(config, name)
        if is_news(context.instance, key, None, version):
            metadata = metadata_of(done) if done else {"pin": version}
            yield dg.MaterializeResult(key, metadata=metadata, data_version=dg.DataVersion(version))

    return check_out


def _updated(context: dg.AssetExecutionContext, config: Config, name: str) -> Updated | None:
    pin = pins_of(config).get(name)
    if pin is None:
        context.log.info(f"{name}: {_words_of(config, name)}, so there is nothing to check out")
        return None
    done = update(pin, context.log.info)
    context.log.info(f"{name}: {'went to' if done.is_changed else 'unchanged at'} {done.commit}")
    return done


def _words_of(config: Config, name: str) -> str:
    """What stands for a version where nothing is checked out."""
    package = config.meta_info.repositories.get(name)
    return f"{package.name} {package.version} of the package index" if package else NOT_PINNED


def metadata_of(done: Updated) -> dict[str, Any]:
    """What stands now, and what stood before."""
    pin = done.pin
    return {
        "commit": done.commit,
        "commit_before": done.before or "none",
        "pin": pin.words,
        "origin": normal_url(pin.url),
        "path": dg.MetadataValue.path(str(pin.folder)),
        "is_read_only": pin.readonly,
    }
