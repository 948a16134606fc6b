"""What a run is made from, looked at as it begins: repositories, environments, endpoint, and copies of its inputs."""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from trajgen_assets.core.atomic import write_bytes, write_text
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.llm_api import Endpoint
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.git import git_says
from trajgen_assets.core.intake.exclusions import FILE_NAME, excluded_ids
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.provision.record import Record
from trajgen_assets.core.report.archive.images import image_names
from trajgen_assets.core.report.archive.models import (
    EndpointOfPool,
    EnvironmentMade,
    Inputs,
    ManifestCopy,
    Origin,
    Repository,
)
from trajgen_assets.core.report.archive.models import Upstream as UpstreamRecord
from trajgen_assets.core.rollout.plan import uses_docker

INPUTS = "inputs"

# A larger manifest is not copied whole for every run: a million ids are 40 MB.
COPY_SIZE_BYTES = 1 << 20


def origin_of(platform: Platform, job: JobRow, folder: Path) -> Origin:
    """What the run of `job` is made from; copies go to `folder/inputs/`.

    What cannot be told is left out: the record of a run must not end the run.

    Raises:
        OSError: the copies cannot be written.
    """
    config = platform.config
    rows = platform.ledger.tasks_of_job(job.name)
    return Origin(
        environment=config.runtime_info.input.harbor_job.environment,
        upstream=_upstream(config, job.campaign),
        repositories=_repositories(config, job.dataset),
        environments=made_environments({"harbor": platform.harbor_env, "litellm": platform.litellm_env}),
        inputs=_copied(platform, job.dataset, [row.task_id for row in rows], folder / INPUTS),
        task_digests={row.task_id: row.digest for row in rows if row.digest},
    )


def images_of(platform: Platform, job: JobRow) -> tuple[str, ...]:
    """The images that the tasks of `job` name, where its trials run in Docker; else none."""
    if not uses_docker(platform.config.runtime_info.input.harbor_job.environment):
        return ()
    with suppress(ConfigError):
        folder = platform.config.source(job.dataset).folder
        rows = platform.ledger.tasks_of_job(job.name)
        return tuple(sorted({name for row in rows for name in image_names(folder / row.task_id)}))
    return ()


def _upstream(config: Config, campaign: str) -> UpstreamRecord | None:
    try:
        api = config.campaign(campaign).llm_api
    except ConfigError:
        return None
    several = tuple(_endpoint(each) for each in api.pool) if len(api.pool) > 1 else None
    return UpstreamRecord(
        model=api.model,
        api_base_url=api.pool[0].api_base_url,
        served_model=api.model.rpartition("/")[2],
        endpoints=several,
    )


def _endpoint(endpoint: Endpoint) -> EndpointOfPool:
    """What may be told of an endpoint: all but its key."""
    told = {name: getattr(endpoint, name) for name in EndpointOfPool.model_fields}
    return EndpointOfPool(**told)


def _repositories(config: Config, dataset: str) -> dict[str, Repository]:
    found = {"trajgen": _repository(PROJECT, whole=True)}
    with suppress(ConfigError):
        found["tasks"] = _repository(config.source(dataset).folder, whole=False)
    return {name: repository for name, repository in found.items() if repository is not None}


def _repository(folder: Path, *, whole: bool) -> Repository | None:
    """The checkout that `folder` lies in. Whether it is clean is asked of our own only: a task source may be large."""
    commit = git_says(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = git_says(folder, "status", "--porcelain", "--untracked-files=no") if whole else None
    return Repository(path=str(folder), commit=commit, is_clean=None if changes is None else not changes)


def made_environments(places: Mapping[str, Path]) -> dict[str, EnvironmentMade]:
    """What is known of the environments at these places, or behind these links; nothing of one that is not there."""
    found = {}
    for name, place in places.items():
        home = place.resolve()
        if (record := Record.read(home)) is not None:
            found[name] = EnvironmentMade(
                digest=record.digest,
                inputs=record.inputs,
                store=home.name,
                python=record.version,
                built_at=record.built_at,
            )
    return found


def _copied(platform: Platform, dataset: str, task_ids: Collection[str], folder: Path) -> Inputs:
    manifest, n_excluded = None, None
    with suppress(ConfigError):
        manifest = _copy_manifest(platform.config.source(dataset).manifest, task_ids, folder)
    with suppress(ConfigError):
        excluded = sorted(excluded_ids(platform.config, platform.root))
        n_excluded = len(excluded)
        write_text(folder / FILE_NAME, "".join(f"{task_id}\n" for task_id in excluded))
    return Inputs(manifest=manifest, n_excluded=n_excluded)


def _copy_manifest(path: Path, task_ids: Collection[str], folder: Path) -> ManifestCopy | None:
    if not path.is_file():  # a pipe in its place must not hang us
        return None
    size_bytes = path.stat().st_size
    target = folder / path.name
    if size_bytes <= COPY_SIZE_BYTES:
        data = path.read_bytes()
        write_bytes(target, data)
        sha256 = hashlib.sha256(data).hexdigest()
        return ManifestCopy(path=str(path), sha256=sha256, size_bytes=len(data), copied="whole")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    whole = f"the manifest has {size_bytes} bytes, sha256 {sha256}"
    note = f"# the ids of the job's {count_of(len(task_ids), 'task')} only: {whole}\n"
    write_text(target.with_suffix(".txt"), note + "".join(f"{task_id}\n" for task_id in task_ids))
    return ManifestCopy(path=str(path), sha256=sha256, size_bytes=size_bytes, copied="part")
