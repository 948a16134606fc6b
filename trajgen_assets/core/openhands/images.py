"""The images that tasks begin from: what each is called, and how it comes from a tar file into the engine.

`run_infer` looks for one name, by LANGUAGE; the Multi-SWE-bench evaluator and VeloraHarness look for others of the same
image. So each image has all of its spellings once it is here. Source: OpenHands 0.62.0, `multi_swe_bench/run_infer.py`
and VeloraHarness, by what they ask the engine for.
"""

import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.counting import count_of, some_of
from trajgen_assets.core.errors import RequirementError, TaskError
from trajgen_assets.core.intake.rows import ID, Row
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.rollout.docker import ask_docker
from trajgen_assets.core.rollout.images import full_name, stored_images

LOAD_TIMEOUT_S = 1800.0
LIST_TIMEOUT_S = 60.0
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
# Names that a row of VeloraHarness gives its image itself; an address of a store is none.
OWN_NAMES = ("task_specific_image", "image_storage_uri")

N_SHOWN = 10

_NAME = re.compile(r"[a-z0-9][a-z0-9._/:@-]*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LOADED = re.compile(r"^Loaded image(?: ID)?: (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class TaskImage:
    """The image of one task.

    Attributes:
        wanted: what run_infer asks the engine for.
        spellings: all names that it is to have, `wanted` first.
        own: names under which it may be here, too, by its row.
        stems: names that its tar file may have, without `.tar`, in lower case; one that ends in `*` is a beginning.
    """

    task_id: str
    spellings: tuple[str, ...]
    own: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        return self.spellings[0]


@dataclass(frozen=True)
class ImagePlan:
    """What is to be done so that each task has its image.

    Attributes:
        to_tag: images that are here under another name, with that name.
        to_load: tar files, each with the images that it holds.
        missing: images that are neither here nor in a tar file.
    """

    present: tuple[TaskImage, ...]
    to_tag: Mapping[str, tuple[TaskImage, ...]]
    to_load: Mapping[Path, tuple[TaskImage, ...]]
    missing: tuple[TaskImage, ...]


def image_of(row: Row, chosen: OpenHands) -> TaskImage:
    """The image of a row.

    Raises:
        TaskError: the row's id cannot be part of an image's name.
    """
    task_id, repo, prefix = str(row[ID]), str(row.get("repo") or ""), chosen.eval_docker_image_prefix
    number = task_id.rpartition("-")[2]
    by_id = f"{prefix}/sweb.eval.x86_64.{task_id.lower().replace('__', '_s_')}:latest"
    by_number = f"{prefix}/{repo.replace('/', '_m_').lower()}:pr-{number}"
    others = (f"{prefix}/sweb.eval.x86_64.{task_id.lower()}:latest", f"{by_number.rpartition(':')[0]}:pr-{task_id}")
    wanted = by_id if chosen.language == "python" else by_number
    if not _NAME.fullmatch(wanted):
        mend = "give the task another id, or exclude it"
        raise TaskError("no image can be called as run_infer would", where=task_id, why=wanted, mend=mend)
    spellings = [name for name in dict.fromkeys((wanted, by_id, by_number, *others)) if _NAME.fullmatch(name)]
    own = (str(row.get(name) or "") for name in OWN_NAMES)
    named = tuple(full_name(name) for name in own if name and "://" not in name)
    return TaskImage(task_id, tuple(spellings), named, tuple(_stems(task_id, repo, str(row.get("base_commit") or ""))))


def _stems(task_id: str, repo: str, commit: str) -> Iterator[str]:
    """`<id>`, `<owner>_<name>-<commit>`, and where an id ends in the beginning of a commit, that beginning."""
    place, number = repo.replace("/", "_").lower(), task_id.rpartition("-")[2].lower()
    yield task_id.lower()
    if commit:
        yield f"{place}-{commit.lower()}"
    if re.fullmatch(r"[0-9a-f]{7,40}", number) and not number.isdecimal():
        yield f"{place}-{number}*"


def plan_images(images: Iterable[TaskImage], here: Iterable[str], folder: Path | None) -> ImagePlan:
    """Sort out `images` by what the engine has (`here`) and by the tar files in `folder`. Loads and changes nothing.

    Raises:
        RequirementError: the folder cannot be read, or two tar files may hold one image.
    """
    known, tars = set(here), read_tars(folder) if folder else {}
    present: list[TaskImage] = []
    to_tag: dict[str, tuple[TaskImage, ...]] = {}
    to_load: dict[Path, tuple[TaskImage, ...]] = {}
    missing: list[TaskImage] = []
    for image in images:
        found = [name for name in (*image.spellings, *image.own) if name in known]
        if set(image.spellings) <= known:
            present.append(image)
        elif found:
            to_tag[found[0]] = (*to_tag.get(found[0], ()), image)
        elif tar := _tar_of(image, tars):
            to_load[tar] = (*to_load.get(tar, ()), image)
        else:
            missing.append(image)
    return ImagePlan(tuple(present), to_tag, to_load, tuple(missing))


def read_tars(folder: Path) -> dict[Path, tuple[str, ...]]:
    """The tar files in `folder`, each with the names of the images in it, as far as these can be read without loading.

    Raises:
        RequirementError: the folder cannot be read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(TAR_SUFFIXES) and path.is_file())
    except OSError as error:
        mend = "correct openhands.images_dir, or leave it out"
        raise RequirementError("the images cannot be looked at", where=folder, why=error.strerror, mend=mend) from error
    return {path: names_in(path) for path in paths}


def names_in(tar: Path) -> tuple[str, ...]:
    """The names of the images in a tar file as `docker save` writes it; none of a compressed or another one."""
    if tar.suffix != ".tar":
        return ()
    with suppress(OSError, tarfile.TarError, ValueError, TypeError, KeyError), tarfile.open(tar, "r:") as archive:
        member = archive.extractfile("manifest.json")
        listed = json.loads(member.read()) if member else []
        return tuple(full_name(name) for each in listed for name in each.get("RepoTags") or [])
    return ()


def ready_images(rows: Iterable[Row], chosen: OpenHands, folder: Path | None, say: Say) -> ImagePlan:
    """Bring the image of each row into the engine, under all of its names.

    Args:
        folder: of tar files; None if there is none.

    Returns:
        What was done.

    Raises:
        RequirementError: images are missing, all of them named, and nothing was loaded; or the engine fails.
        TaskError: a row's id cannot be part of an image's name.
    """
    images = [image_of(row, chosen) for row in rows] if chosen.use_instance_image else []
    plan = plan_images(images, stored_images(timeout_s=LIST_TIMEOUT_S) if images else (), folder)
    if plan.missing:
        raise missing_error(plan.missing, folder)
    for name, of_it in plan.to_tag.items():
        _tag(name, of_it)
    for tar, of_it in plan.to_load.items():
        say(f"loading {tar.name}")
        _tag(_loaded(tar, of_it), of_it)
    return plan


def missing_error(missing: Sequence[TaskImage], folder: Path | None) -> RequirementError:
    """The refusal for images that are neither here nor in a tar file."""
    named = some_of([f"{image.wanted} ({image.task_id})" for image in missing], N_SHOWN)
    place = f"put its tar file into {folder}" if folder else "name a folder of tar files in openhands.images_dir"
    what = f"{count_of(len(missing), 'image')} of tasks not here"
    return RequirementError(what, where=folder, why=named, mend=f"{place}, or pull it with `docker pull`")


def _tar_of(image: TaskImage, tars: Mapping[Path, tuple[str, ...]]) -> Path | None:
    by_content = [path for path, names in tars.items() if {*image.spellings, *image.own} & set(names)]
    found = by_content or [path for path in tars if _is_named_for(image, path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        mend = "leave one of them in the folder"
        raise RequirementError(f"several files may hold the image of {image.task_id}", where=names, mend=mend)
    return found[0] if found else None


def _is_named_for(image: TaskImage, path: Path) -> bool:
    stem = next(path.name.removesuffix(each) for each in reversed(TAR_SUFFIXES) if path.name.endswith(each)).lower()
    return any(stem.startswith(each[:-1]) if each.endswith("*") else stem == each for each in image.stems)


def _loaded(tar: Path, images: Sequence[TaskImage]) -> str:
    """Load a tar file; returns the name, or the id, of the image in it that is the one of `images`."""
    what, mend = "an image could not be loaded", "see what Docker says; save the image anew with `docker save`"
    said = ask_docker("load", "--input", str(tar), what=what, mend=mend, timeout_s=LOAD_TIMEOUT_S)
    names: list[str] = _LOADED.findall(said)
    wanted = {name for image in images for name in (*image.spellings, *image.own)}
    fitting = [name for name in names if full_name(name) in wanted] or names
    if len(fitting) != 1 and not {full_name(name) for name in fitting} <= wanted:
        why = f"it holds {', '.join(names) or 'no image'}"
        raise RequirementError(f"it is not plain which image of {tar.name} is meant", where=tar, why=why, mend=mend)
    return fitting[0]


def _tag(name: str, images: Sequence[TaskImage]) -> None:
    what, mend = "an image could not be given a name", "see what Docker says"
    for spelling in dict.fromkeys(spelling for image in images for spelling in image.spellings):
        if spelling != full_name(name):
            ask_docker("tag", name, spelling, what=what, mend=mend)
