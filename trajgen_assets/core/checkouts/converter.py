"""The pinned converter, which `sft_conversion.engine: swe_data_process` runs in place of the built-in one."""

from collections.abc import Mapping
from pathlib import Path

from trajgen_assets.core.checkouts.harbor import source_of
from trajgen_assets.core.checkouts.pin import pins_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.provision.setup import SWE_DATA_PROCESS
from trajgen_assets.core.provision.source import Source

NAME = "swe_data_process"


def is_converter_chosen(config: Config) -> bool:
    """Whether the pinned converter makes the training data, and not the built-in one."""
    return config.runtime_info.input.sft_conversion.engine == NAME


def has_converter(config: Config) -> bool:
    """Whether the configuration pins one, chosen or not."""
    return NAME in pins_of(config)


def converter_source(config: Config) -> Source:
    """The commit that its checkout is at.

    Raises:
        ConfigError: the configuration pins none.
        RefusedError: it is not checked out, or not what its pin says.
        CheckoutError: git cannot read it.
    """
    if not has_converter(config):
        raise ConfigError(
            "no converter is pinned",
            where=f"meta_info.repositories.{NAME}",
            mend="name its url and its commit there, or set runtime_info.input.sft_conversion.engine to builtin",
        )
    return source_of(pins_of(config)[NAME], is_built=False)


def converter_sources_in(config_file: Path) -> Mapping[str, Source]:
    """What the converter's environment is made from, by the environment's name; empty where none is pinned.

    Raises:
        ConfigError: the configuration cannot be read.
        RefusedError, CheckoutError: as for `converter_source`.
    """
    config = load_config(config_file)
    return {SWE_DATA_PROCESS: converter_source(config)} if has_converter(config) else {}
