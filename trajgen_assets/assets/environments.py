"""The uv environments that jobs run in: built anew when lock or interpreter changed, else left as they stand."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.assets.failing import failing_by
from trajgen_assets.assets.standing import is_news, provenance_of_root
from trajgen_assets.core.checkouts.converter import converter_sources_in
from trajgen_assets.core.checkouts.harbor import sources_in
from trajgen_assets.core.paths import Root
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.environments import Environment, standing_environment
from trajgen_assets.core.provision.on_demand import inputs_of, needed_environment
from trajgen_assets.core.provision.setup import HARBOR, LITELLM, SWE_DATA_PROCESS
from trajgen_assets.core.provision.source import Source
from trajgen_assets.core.redact import Redactor
from trajgen_assets.names import HARBOR_ENV, LITELLM_ENV, SWE_DATA_PROCESS_ENV, SWE_DATA_PROCESS_REPO

ASSETS = {HARBOR: HARBOR_ENV, LITELLM: LITELLM_ENV, SWE_DATA_PROCESS: SWE_DATA_PROCESS_ENV}
MADE_FROM = {SWE_DATA_PROCESS: [SWE_DATA_PROCESS_REPO]}

# Digits of a digest that a page shows; an environment's own has as many.
N_DIGITS = 16

CONTENTS = {
    HARBOR: "One materialization is Harbor in the version that `locks/harbor.txt` pins, on a Python of its own.",
    LITELLM: "One materialization is the LiteLLM proxy in the version that `locks/litellm.txt` pins.",
    SWE_DATA_PROCESS: (
        "One materialization is the pinned converter at the commit of its checkout, with the packages that "
        "`locks/swe-data-process.txt` pins; where `meta_info.repositories` pins none, nothing is built."
    ),
}
COMMON = (
    " It is built when its lock or its interpreter changed, and else left as it stands, with its event. Its version is "
    "the digest of both: trajectories made in another one are out of date, and nothing rolls them out again by itself. "
    "A job builds what it lacks before it claims a task."
)
OF_CONVERSIONS = (
    " It is built when its lock, its commit or its interpreter changed, and else left as it stands, with its event. A "
    "conversion builds it where `sft_conversion.engine` chooses it."
)


class BuildConfig(dg.Config):
    """How an environment is made."""

    rebuild: bool = False
    """Build it anyway, for one that is damaged. The one that stands is put away when the new one is complete."""


def environment_assets() -> list[dg.AssetsDefinition]:
    """An asset for each environment. Reads the locks: whose lock has changed is shown as out of date."""
    return [_environment_asset(name, key) for name, key in ASSETS.items()]


def _environment_asset(name: str, key: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"build_{key.path[-1]}",
        specs=[
            entry(
                key,
                Words(
                    what=CONTENTS[name] + (OF_CONVERSIONS if name == SWE_DATA_PROCESS else COMMON),
                    writes=f"`<environments>/store/{name}-<digest>/`, and last the link `<environments>/{name}`.",
                    fails=(
                        "when a package cannot be had, or is not what its lock says; the one that stands goes on "
                        "standing."
                    ),
                ),
                deps=MADE_FROM.get(name, []),
                skippable=True,
                group=Group.ENVIRONMENTS,
                grain=Grain.WHOLE,
                kinds={"uv", "python"},
                code_version=inputs_of(name)[:N_DIGITS],
                code=[needed_environment],
            )
        ],
    )
    def build(
        context: dg.AssetExecutionContext, config: BuildConfig, platform: PlatformResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Build the environment if something changed; on unchanged inputs the standing event stays."""
        with failing_by(Redactor.of_environ()):
            sources = _sources(name, platform.config_file(), context.log.info)
            if name == SWE_DATA_PROCESS and not sources:
                context.log.info("the configuration pins no swe_data_process, so there is nothing to build")
                return
            env_dir = platform.artifacts_root().env
            found = needed_environment(name, env_dir, context.log.info, rebuild=config.rebuild, sources=sources)
        context.log.info(f"{found.path.name}: {'built' if found.built else 'as it stands'}")
        if is_news(context.instance, key, None, found.record.digest) or _is_waited_for(context):
            yield dg.MaterializeResult(
                key, metadata=metadata_of(found), data_version=dg.DataVersion(found.record.digest)
            )

    return build


def _sources(name: str, config_file: Path, say: Say) -> Mapping[str, Source]:
    return converter_sources_in(config_file) if name == SWE_DATA_PROCESS else sources_in(config_file, say)


def _is_waited_for(context: dg.AssetExecutionContext) -> bool:
    """Whether the run is to make something of it, too: Dagster would skip a step whose upstream yields nothing."""
    return not context.job_def.asset_layer.selected_asset_keys <= set(ASSETS.values())


def report_environments(instance: dg.DagsterInstance, root: Root) -> None:
    """Report what stands and Dagster does not show: it was built without a run."""
    for name in ASSETS:
        if (standing := standing_environment(root.env, name)) is not None:
            report_environment(instance, standing)


def report_environment(instance: dg.DagsterInstance, environment: Environment) -> None:
    """Report an environment that a job or a command uses, unless it is what the standing event says."""
    key, version = ASSETS[environment.name], environment.record.digest
    if is_news(instance, key, None, version):
        tags = provenance_of_root(version, environment.record.inputs[:N_DIGITS])
        instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata_of(environment), tags=tags))


def metadata_of(environment: Environment) -> dict[str, Any]:
    """What an environment is. How long it took is not known of one that was built by an earlier version."""
    record = environment.record
    took = {} if record.build_s is None else {"build_s": record.build_s}
    source = {} if record.source is None else {"source_commit": record.source}
    return (
        took
        | source
        | {
            "digest": record.digest,
            "interpreter": f"{record.version} at {record.interpreter}",
            "packages": environment.n_packages,
            "size_mb": environment.size_bytes // 2**20,
            "built_at": record.built_at,
            "path": dg.MetadataValue.path(str(environment.path)),
        }
    )
