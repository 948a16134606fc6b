"""Which converter a conversion runs, and how it is told: its modules and their command lines."""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trajgen_assets.core.checkouts.converter import NAME, converter_source, is_converter_chosen
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.scaffolds import AUTO
from trajgen_assets.core.errors import ConfigError, ConversionError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.provision.on_demand import needed_environment
from trajgen_assets.core.provision.setup import LOCKS, SWE_DATA_PROCESS
from trajgen_assets.core.sft.receipt import sha256_file
from trajgen_assets.core.sft.settings import ConversionSettings, LfFormat

__all__ = ["NAME", "Converter", "arguments_for", "converter_of", "module_of", "refuse_unfit", "refuse_unfit_choice"]

# All of these lie in the folder that a converter runs in, so that its command line names no path of a machine.
JOB_DIR, IM_OUTPUT, LF_OUTPUT, STATS, TOKENIZER = "job", "im.jsonl", "lf.json", "lf.stats.json", "tokenizer"

LF_FORMAT: LfFormat = "llamafactory_lf_v0.1"
FAMILIES = {
    "claude_code": "claudecode_opencode.convert_cc_to_im",
    "open_code": "claudecode_opencode.convert_oc_to_im",
    "openhands_sdk": "openhands.convert_openhands_sdk_to_im",
    "terminus2": "terminus2.convert_terminus2_to_im",
}
TERMINUS = "terminus2"

# What the built-in converter does to rows, and this one does not: the value that says so, for each key.
UNDONE = {
    "first_turn": "keep",
    "leaks": "keep",
    "mask_error_turns": False,
    "over_length": "reject",
    "cutoff_len": 131072,
}


@dataclass(frozen=True)
class Converter:
    """The pinned converter.

    Attributes:
        commit: of its sources.
        environment: gives the environment that it runs in, built if it is not there.
    """

    commit: str
    environment: Callable[[], Environment]

    @cached_property
    def stated(self) -> dict[str, str]:
        """What of it decides what it writes, as receipts have it: its sources, and the packages that they import."""
        lock = PROJECT / "locks" / LOCKS[SWE_DATA_PROCESS]
        return {"name": NAME, "commit": self.commit, "lock_sha256": sha256_file(lock)}


def converter_of(config: Config, env_dir: Path, say: Say) -> Converter | None:
    """The pinned converter, if the configuration chooses it; None for the built-in one.

    Raises:
        ConfigError, RefusedError, CheckoutError: as for `converter_source`.
    """
    if not is_converter_chosen(config):
        return None
    source = converter_source(config)
    sources = {SWE_DATA_PROCESS: source}
    return Converter(source.commit, lambda: needed_environment(SWE_DATA_PROCESS, env_dir, say, sources=sources))


def refuse_unfit(settings: ConversionSettings, scaffold: str) -> None:
    """See that this converter does what is chosen.

    Raises:
        ConversionError: it has no option for it, or does not read what was rolled out.
    """
    if scaffold not in FAMILIES:
        mend = "set runtime_info.input.sft_conversion.engine to builtin"
        raise ConversionError(f"swe_data_process does not read trajectories of {scaffold}", mend=mend)
    if settings.tokenizer_name is None:
        mend = "name a folder, or owner/name@commit, as sft_conversion.tokenizer_name"
        raise ConversionError(
            "swe_data_process writes rows by a tokenizer's chat template, and none is named", mend=mend
        )
    if settings.lf_format != LF_FORMAT:
        mend = f"set runtime_info.output.sft_data_dir.format to {LF_FORMAT}"
        raise ConversionError(f"swe_data_process does not write {settings.lf_format}", mend=mend)
    others = [name for name, value in UNDONE.items() if getattr(settings, name) != value]
    if others:
        mend = "; ".join(f"set {name} to {UNDONE[name]}" for name in others) + ", or engine to builtin"
        raise ConversionError(
            f"swe_data_process has nothing for {', '.join(others)}",
            where="runtime_info.input.sft_conversion",
            mend=mend.replace("False", "false"),
        )


def refuse_unfit_choice(config: Config, campaigns: Iterable[str]) -> None:
    """See that what `campaigns` roll out can be converted as the configuration says, before it is paid for.

    Raises:
        ConfigError: it names a scaffold that they do not roll out, or what the chosen converter has no option for.
    """
    chosen = config.runtime_info.input.sft_conversion
    scaffolds = [config.campaign(name).agent.scaffold for name in campaigns]
    named = sorted({each.sft for each in scaffolds if each.sft})
    if not chosen.enabled or not named:
        return
    if chosen.scaffold not in (AUTO, *named):
        raise ConfigError(
            f"trajectories of {', '.join(named)} cannot be converted as {chosen.scaffold}",
            where="runtime_info.input.sft_conversion.scaffold",
            mend="set it to auto",
        )
    if is_converter_chosen(config):
        for name in named:
            _refuse_as_configured(ConversionSettings.of(config), name)


def _refuse_as_configured(settings: ConversionSettings, scaffold: str) -> None:
    try:
        refuse_unfit(settings, scaffold)
    except ConversionError as error:
        where = error.where or "runtime_info.input.sft_conversion"
        raise ConfigError(error.what, where=where, why=error.why, mend=error.mend) from error


def arguments_for(settings: ConversionSettings, scaffold: str) -> list[str]:
    """The options of the converter of `scaffold`, for a job folder that holds what is to be converted and no more.

    Which trials these are was decided before, by the filters of trials, so that each has its reason in the receipt.
    """
    told = ["--job-dir", JOB_DIR, "--im-output", IM_OUTPUT, "--lf-output", LF_OUTPUT, "--tokenizer-name", TOKENIZER]
    told += ["--instance-status", "all", "--exclude-repos-file", ""]
    if settings.max_instances is not None:
        told += ["--max-instances", str(settings.max_instances)]
    if scaffold != TERMINUS:
        told += ["--reasoning-check-mode", settings.reasoning_check_mode]
        told += ["--reasoning-content-ratio-threshold", str(settings.reasoning_content_ratio_threshold)]
    return told


def module_of(environment: Path, scaffold: str) -> str:
    """The module of the pinned sources in `environment` that converts trajectories of `scaffold`.

    The package was called `swe_data_process` at first, and otherwise later: it is what its project says.
    """
    project = tomllib.loads((environment / "source" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = re.sub(r"[-_.]+", "_", project["name"]).lower()
    return f"{package}.{FAMILIES[scaffold]}"
