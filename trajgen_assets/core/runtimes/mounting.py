"""Which runtime the containers of a campaign get: a folder of this host, one out of an image, or one that was built.

In the container the image's own agent goes before the mount, and the mount before Harbor's installer; that is the
business of the agents in `guest/harbor`. Here is only what is mounted, and whether it is what it should be.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.inputs import Agent
from trajgen_assets.core.errors import ConfigError, RequirementError
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.rollout.plan import uses_docker
from trajgen_assets.core.runtimes.build import standing_runtimes
from trajgen_assets.core.runtimes.catalogue import BLUEPRINTS, Blueprint
from trajgen_assets.core.runtimes.images import ImageFolder, export, export_folder, image_id, pull
from trajgen_assets.core.runtimes.manifest import MANIFEST, RuntimeMade, RuntimeManifest
from trajgen_assets.core.runtimes.tree import listing_of

INPUTS = "runtime_info.input"
ROOT = PurePosixPath("/")


class Origin(StrEnum):
    """Where a runtime comes from."""

    HOST_PATH = "host_path"
    IMAGE = "image"
    BUILT = "built"


@dataclass(frozen=True)
class Mount:
    """A runtime as the containers of a job have it.

    Attributes:
        folder: what is mounted, read-only.
        targets: where: at our own place, and where the earlier system's runtimes expect to lie.
        needs: what an image has to have for it; None where that is not known.
    """

    folder: Path
    targets: tuple[PurePosixPath, ...]
    made: RuntimeMade
    needs: str | None

    @property
    def told(self) -> str:
        """What it is, to a person."""
        named = f"{self.made.scaffold} {self.made.version or 'of an unknown version'}"
        return f"{named} ({self.made.origin}: {self.made.store})"

    @property
    def volumes(self) -> list[dict[str, Any]]:
        """As a compose file has them. Compose would read a `$` as a variable; a folder that is gone is no new one."""
        source = str(self.folder).replace("$", "$$")
        shape = {"type": "bind", "source": source, "read_only": True, "bind": {"create_host_path": False}}
        return [{**shape, "target": str(target)} for target in self.targets]


@dataclass(frozen=True)
class Choice:
    """What a campaign names, or what stands in the store; not yet looked at.

    Attributes:
        folder: what is to be mounted. It may have to be taken out of `image` first.
        key: the key of the configuration that names it.
    """

    blueprint: Blueprint
    origin: Origin
    agent: Agent
    targets: tuple[PurePosixPath, ...]
    key: str = ""
    folder: Path | None = None
    image: str = ""
    subpath: PurePosixPath = ROOT


def choice_of(config: Config, campaign: str, env_dir: Path) -> Choice | None:
    """What `campaign` has mounted: what it names, else what was built for it; None if that is nothing."""
    agent = config.campaign(campaign).agent
    blueprint = BLUEPRINTS.get(agent.scaffold.agent)
    if blueprint is None or not uses_docker(config.runtime_info.input.harbor_job.environment):
        return None
    if agent.names_runtime:
        return _named(config, agent, blueprint)
    wanted = (each for each in standing_runtimes(env_dir, blueprint.scaffold) if _fits(agent, each.manifest))
    if (found := next(wanted, None)) is None:
        return None
    return Choice(blueprint, Origin.BUILT, agent, (blueprint.mount_point,), folder=found.path)


def ready_mount(choice: Choice, env_dir: Path, say: Say) -> Mount:
    """The mount of `choice`; what has to be taken out of an image first is, and once for each image.

    Raises:
        ConfigError: what the configuration names is not there, or is not a runtime of this scaffold and version.
        RequirementError: the runtime was changed since it was built, or the engine does not give the image.
    """
    if choice.origin is not Origin.IMAGE:
        return checked(choice, folder_of(choice))
    found = image_id(choice.image) or pull(choice.image, say)
    place = export_folder(env_dir, found, choice.subpath)
    return checked(choice, export(place, choice.image, found, choice.subpath, say).tree, image=found)


def folder_of(choice: Choice) -> Path:
    """The folder that `choice` names itself. Raises ConfigError if there is none."""
    if choice.folder is None or not choice.folder.is_dir():
        raise ConfigError("there is no such folder", where=choice.key, why=choice.folder, mend=_mend(choice))
    return choice.folder


def checked(choice: Choice, folder: Path, *, image: str | None = None) -> Mount:
    """See that `folder` is a whole runtime of the scaffold and the version that are asked for. Reads no content.

    Raises:
        ConfigError, RequirementError: it is not.
    """
    program = folder / "bin" / choice.blueprint.programs[0]
    if not program.is_symlink() and not program.is_file():  # a link may lead to where the folder is mounted
        what = f"this is no runtime of {choice.blueprint.scaffold}: it has no bin/{program.name}"
        raise ConfigError(what, where=choice.key or folder, why=folder, mend=_mend(choice))
    manifest, listing = RuntimeManifest.read(folder), listing_of(folder, without=MANIFEST)
    if manifest is not None:
        _refuse_other(choice, folder, manifest)
        _refuse_changed(choice, folder, manifest, listing)
    made = RuntimeMade(
        scaffold=choice.blueprint.scaffold,
        origin=choice.origin.value,
        version=manifest.version if manifest else None,
        digest=image or (manifest.digest if manifest else listing[:16]),
        tree_sha256=_tree_digest(folder, manifest),
        store=str(folder) if choice.origin is Origin.HOST_PATH else _name_in_store(folder),
    )
    return Mount(folder, choice.targets, made, manifest.needs if manifest else None)


def _named(config: Config, agent: Agent, blueprint: Blueprint) -> Choice:
    """What `agent` names: a folder goes before an image, which in the earlier system was what the folder came from."""
    overrides = config.runtime_info.input.runtime_mount
    earlier = PurePosixPath(overrides.container_runtime_root or blueprint.earlier_mount_point)
    targets = tuple(dict.fromkeys((blueprint.mount_point, earlier)))
    if agent.runtime_host_path:
        folder = config.resolve(agent.runtime_host_path)
        return Choice(blueprint, Origin.HOST_PATH, agent, targets, f"{INPUTS}.agent.runtime_host_path", folder)
    subpath = ROOT / (overrides.image_subpath or blueprint.earlier_mount_point)
    key, image = f"{INPUTS}.agent.runtime_image", agent.runtime_image or ""
    return Choice(blueprint, Origin.IMAGE, agent, targets, key, image=image, subpath=subpath)


def _fits(agent: Agent, manifest: RuntimeManifest) -> bool:
    return agent.version in (None, manifest.version)


def _refuse_other(choice: Choice, folder: Path, manifest: RuntimeManifest) -> None:
    if manifest.scaffold == choice.blueprint.scaffold and _fits(choice.agent, manifest):
        return
    asked = " ".join(filter(None, (choice.blueprint.scaffold, choice.agent.version)))
    what = f"{asked} is asked for, and the runtime holds {manifest.scaffold} {manifest.version}"
    raise ConfigError(what, where=choice.key or folder, mend=_mend(choice))


def _refuse_changed(choice: Choice, folder: Path, manifest: RuntimeManifest, listing: str) -> None:
    if manifest.listing_sha256 != listing:
        mend = f"run `trajgen build-runtime {choice.blueprint.scaffold} --rebuild`"
        raise RequirementError("a runtime is not what was built: files are missing or changed", where=folder, mend=mend)


def _mend(choice: Choice) -> str:
    build = f"`trajgen build-runtime {choice.blueprint.scaffold}"
    build += f" --version {choice.agent.version}`" if choice.agent.version else "`"
    other = " or runtime_mount.image_subpath" if choice.origin is Origin.IMAGE else ""
    return f"correct {choice.key}{other}, or leave it out and run {build}" if choice.key else f"run {build}"


def _tree_digest(folder: Path, manifest: RuntimeManifest | None) -> str | None:
    exported = ImageFolder.read(folder.parent)
    return manifest.tree_sha256 if manifest else exported.tree_sha256 if exported else None


def _name_in_store(folder: Path) -> str:
    return folder.parent.name if folder.name == ImageFolder.TREE else folder.name
