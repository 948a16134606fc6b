"""The agents that containers have mounted: there, whole, and of the scaffold and version that are asked for."""

from collections.abc import Iterable, Iterator

from trajgen_assets.core.config.scaffolds import Place
from trajgen_assets.core.errors import RequirementError, TrajgenError
from trajgen_assets.core.preflight.findings import Finding, Subject, fail, ok, warn
from trajgen_assets.core.rollout.plan import uses_docker
from trajgen_assets.core.runtimes.images import MEND, ImageFolder, export_folder, image_id, is_offered
from trajgen_assets.core.runtimes.mounting import Choice, Mount, Origin, checked, choice_of, folder_of


def mounted(subject: Subject) -> Iterator[Finding]:
    """What the containers of each campaign get, where its agent runs in them."""
    for name in subject.campaigns:
        agent = subject.config.campaign(name).agent
        if agent.scaffold.place is not Place.CONTAINER:
            continue
        if not uses_docker(subject.config.runtime_info.input.harbor_job.environment):
            yield ok("nothing is mounted: that takes containers of Docker", subject=name)
            continue
        choice = choice_of(subject.config, name, subject.root.env)
        try:
            yield from (
                _not_built(name, agent.scaffold.agent, agent.version)
                if choice is None
                else [_look(subject, choice, name)]
            )
        except TrajgenError as error:
            yield fail(error, subject=name)


def _not_built(campaign: str, scaffold: str, version: str | None) -> Iterable[Finding]:
    of_version = f" in version {version}" if version else ""
    text = f"no runtime of {scaffold} is built{of_version}: where an image lacks it, each trial downloads it"
    option = f" --version {version}" if version else ""
    return [warn(text, f"run `trajgen build-runtime {scaffold}{option}`", subject=campaign)]


def _look(subject: Subject, choice: Choice, campaign: str) -> Finding:
    if choice.origin is not Origin.IMAGE:
        return _told(checked(choice, folder_of(choice)), campaign)
    subject.need_engine()
    found = image_id(choice.image)
    if found is None:
        if not is_offered(choice.image):
            raise RequirementError(f"the image {choice.image} is not here, and no registry gives it", mend=MEND)
        return warn(f"the image {choice.image} is not here: the next job pulls it", "pull it now", subject=campaign)
    place = export_folder(subject.root.env, found, choice.subpath)
    if ImageFolder.read(place.path) is None:
        return ok(f"the next job takes {choice.subpath} out of {choice.image}, once", subject=campaign)
    return _told(checked(choice, place.tree, image=found), campaign)


def _told(mount: Mount, campaign: str) -> Finding:
    where = " and ".join(map(str, mount.targets))
    if mount.needs is None:
        text = f"{mount.told} at {where}: it has no manifest.json, so nothing is known of it before a trial"
        return warn(text, f"build one: `trajgen build-runtime {mount.made.scaffold}`", subject=campaign)
    return ok(f"{mount.told} at {where}; it needs {mount.needs}", subject=campaign)
