"""`runtime_info.input.task_source`: where tasks come from.

A provider is an entry of `_PROBLEM_OF`, which says what an entry of that provider lacks, and a case of `locate`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.secrets import Secret
from trajgen_assets.core.config.section import (
    Notice,
    Positive,
    SafeName,
    Section,
    Strings,
    absolute,
    refuse_unless,
)
from trajgen_assets.core.intake.remote.remote import (
    GIB,
    HARBOR_REGISTRY,
    HUGGINGFACE,
    REMOTE_PROVIDERS,
    Limits,
    Remote,
)
from trajgen_assets.core.intake.rows import SUFFIX
from trajgen_assets.core.intake.source import MANIFEST_NAME, NO_MANIFEST, ROWS_PROVIDER, StagingMode, TaskSource

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REGISTRY_NAME = re.compile(r"(?:[\w.-]+/)?[\w.-]+@[\w.:+-]+", re.ASCII)
# Versions of a registry that are another content tomorrow.
_MOVING = ("latest", "head")
_OF_HUB = ("revision", "allow_patterns", "archive", "token")
_OF_REGISTRY = ("registry",)


def _leads_down(path: str) -> bool:
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts and "\\" not in path


_Inner = Annotated[str, refuse_unless(_leads_down, "should be a path within what is downloaded")]


class DownloadChoice(Section):
    """How a source that is not on this host gets here."""

    revision: Annotated[
        str | None,
        refuse_unless(
            lambda text: text is None or re.fullmatch("[0-9a-f]{40}", text),
            "should be a commit of 40 hex digits: a branch or tag is another content tomorrow",
        ),
    ] = None
    allow_patterns: Strings = ()
    archive: Annotated[
        _Inner | None,
        refuse_unless(
            lambda text: text is None or text.lower().endswith(ARCHIVE_SUFFIXES),
            f"should be the name of one of {', '.join(ARCHIVE_SUFFIXES)}",
        ),
    ] = None
    token: Secret | None = None
    registry: str | None = None
    subfolder: _Inner | None = None
    dir: str = "artifacts/sources"
    max_gb: Positive = 100
    max_files: Positive = 1_000_000


class TaskSourceChoice(Section):
    """One folder of tasks, here or elsewhere, or one JSONL file.

    Its data set is named after it unless `dataset` says otherwise.
    """

    dataset_name: str
    provider: Literal["local", "huggingface", "harbor_registry", "multi_swe_jsonl"] = "local"
    dataset: SafeName | None = None
    manifest: str | None = None
    staging: StagingMode = "copy"
    download: Annotated[DownloadChoice, Field(validate_default=True)] = DownloadChoice()
    split: Annotated[str | None, Notice("is not used: neither a folder of tasks nor a file of rows has splits")] = None

    @model_validator(mode="after")
    def _fits_its_provider(self) -> Self:
        if problem := _PROBLEM_OF[self.provider](self):
            raise PydanticCustomError("refused", "{problem}", {"problem": problem})
        return self

    @property
    def is_remote(self) -> bool:
        """Whether it has to be downloaded."""
        return self.provider in REMOTE_PROVIDERS

    def locate(self, base: Path) -> TaskSource:
        """Make the source's paths absolute, relative ones from the folder `base`."""
        if self.is_remote:
            return self._of_download(base)
        folder = absolute(base, self.dataset_name)
        if self.provider == ROWS_PROVIDER:
            beside = folder if self.manifest == NO_MANIFEST else absolute(folder.parent, MANIFEST_NAME)
            named = absolute(base, self.manifest) if self.manifest not in (None, NO_MANIFEST) else beside
            return TaskSource(self.dataset or folder.stem, folder, named, self.staging)
        manifest = absolute(base, self.manifest) if self.manifest else folder / MANIFEST_NAME
        return TaskSource(self.dataset or folder.name, folder, manifest, self.staging)

    def remote(self, base: Path) -> Remote:
        """What is to be downloaded, and where to; relative paths of the file are from `base`."""
        chosen, dataset = self.download, self.dataset or _short_name(self.dataset_name)
        registry = chosen.registry
        if registry and "://" not in registry:
            registry = str(absolute(base, registry))
        return Remote(
            self.provider,
            dataset,
            self.dataset_name,
            absolute(base, chosen.dir) / dataset,
            revision=chosen.revision,
            allow_patterns=chosen.allow_patterns,
            archive=chosen.archive,
            subfolder=chosen.subfolder,
            registry=registry,
            limits=Limits(chosen.max_gb * GIB, chosen.max_files),
            token=chosen.token.reveal if chosen.token else None,
            is_all_verified=self.manifest == NO_MANIFEST,
        )

    def _of_download(self, base: Path) -> TaskSource:
        remote = self.remote(base)
        found = remote.every_task if self.manifest == NO_MANIFEST else remote.tasks / MANIFEST_NAME
        named = absolute(base, self.manifest) if self.manifest not in (None, NO_MANIFEST) else found
        return TaskSource(remote.dataset, remote.tasks, named, self.staging)


def _short_name(name: str) -> str:
    """`name` of `owner/name@version`."""
    return name.rpartition("/")[2].partition("@")[0]


def _rows_problem(choice: TaskSourceChoice) -> str | None:
    if PurePosixPath(choice.dataset_name).suffix != SUFFIX:
        return f"dataset_name should be a file of rows, named *{SUFFIX}"
    if choice.staging != "copy":
        return "staging can only be copy: a row is no folder"
    return _foreign(choice, ())


def _folder_problem(choice: TaskSourceChoice) -> str | None:
    if choice.manifest == NO_MANIFEST:
        return (
            "manifest can be none only for rows of a JSONL file (provider: multi_swe_jsonl) and for what is "
            "downloaded (huggingface, harbor_registry)"
        )
    return _foreign(choice, ())


def _hub_problem(choice: TaskSourceChoice) -> str | None:
    if not _HUB_NAME.fullmatch(choice.dataset_name):
        return "dataset_name should be owner/name, a repository of data sets on the hub"
    if choice.download.revision is None:
        return "download.revision is missing: the commit to download, 40 hex digits"
    if choice.download.archive and choice.download.allow_patterns:
        return "download.archive names the one file that is fetched: leave download.allow_patterns out"
    return _foreign(choice, _OF_REGISTRY)


def _registry_problem(choice: TaskSourceChoice) -> str | None:
    if not _REGISTRY_NAME.fullmatch(choice.dataset_name):
        return "dataset_name should be name@version, or org/name@ref, as Harbor's registry has it"
    if (version := choice.dataset_name.rpartition("@")[2]).lower() in _MOVING:
        return f"the version {version} is another content tomorrow: name a fixed one"
    return _foreign(choice, _OF_HUB)


def _foreign(choice: TaskSourceChoice, names: tuple[str, ...]) -> str | None:
    """Why a key of `download` has no place here: `names` if the provider downloads, any if it does not."""
    given = {name for name, field in DownloadChoice.model_fields.items() if _is_set(choice, name, field.default)}
    if not choice.is_remote and given:
        return f"download is for huggingface and harbor_registry: nothing is downloaded for {choice.provider}"
    wrong = next((name for name in names if name in given), None)
    return f"download.{wrong} is not used for {choice.provider}" if wrong else None


def _is_set(choice: TaskSourceChoice, name: str, default: object) -> bool:
    """Not by what the file sets: a written copy of the configuration has all defaults in it."""
    return bool(getattr(choice.download, name) != default)


_PROBLEM_OF: Mapping[str, Callable[[Any], str | None]] = MappingProxyType(
    {
        "local": _folder_problem,
        HUGGINGFACE: _hub_problem,
        HARBOR_REGISTRY: _registry_problem,
        ROWS_PROVIDER: _rows_problem,
    }
)
