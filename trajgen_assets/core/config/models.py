"""The sections of config.yaml around the input: the block itself, what a run leaves, and older keys."""

import os
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.checkouts.addresses import address_problem, ref_problem
from trajgen_assets.core.config.inputs import JOBS_DIR, DataDir, Inputs, is_under, lies_under
from trajgen_assets.core.config.pins import harbor_commit_problem, no_wheel_problem, package_problem, stand_in
from trajgen_assets.core.config.secrets import Secret
from trajgen_assets.core.config.section import (
    EnvMap,
    Notice,
    NoticeOn,
    SafeName,
    Section,
    Strings,
    refuse_for,
    refuse_unless,
)

RepositoryUrl = Annotated[str, refuse_for(address_problem)]
GitRef = Annotated[str, refuse_for(ref_problem)]
Commit = Annotated[str, refuse_unless(re.compile(r"[0-9a-f]{40}").fullmatch, "should be 40 hex digits")]

_ELSEWHERE = Notice("is not used: everything runs on the machine that it is started on")
# What stands in a command line for another machine, and must be no option of it.
Login = Annotated[
    str, refuse_unless(re.compile(r"[^-\s][^\s\x00-\x1f\x7f]*").fullmatch, "should be one word, without a leading -")
]
Folder = Annotated[str, refuse_unless(re.compile(r"[^\x00-\x1f\x7f]+").fullmatch, "should be a path")]
_BY_LOCK = Notice("is not used: the version comes from the lock file")
_TUNED_ELSEWHERE = Notice("is not read: set the key itself under runtime_info.input")


class Resources(Section):
    """The machine that the block was declared for. On another one a job is refused, with the line to begin it there."""

    ip: Login = "local"
    user: Login | None = None
    pwd: Annotated[Secret | None, Notice("is not used: ssh asks for it, or for a key")] = None
    directory: Folder | None = None
    public_storage: Annotated[str | None, _ELSEWHERE] = None
    description: str = ""


class Repository(Section):
    """A managed checkout, pinned by `commit`, else `ref`, else the newest commit of `branch`.

    With `name` and `version` in place of `url` it is a package of the index, by `hashes` if there are some.
    `build` says that Harbor is built from it, tested or not, in place of the one that the lock file pins.
    """

    url: RepositoryUrl | None = None
    name: str | None = None
    version: str | None = None
    hashes: Strings = ()
    commit: Annotated[Commit | None, NoticeOn(say=stand_in)] = None
    ref: GitRef | None = None
    branch: GitRef | None = None
    path: str = ""
    readonly: bool = True
    build: bool = False

    @model_validator(mode="after")
    def _is_pinned(self) -> Self:
        of_git = (self.url, self.commit, self.ref, self.branch)
        of_index = (self.name, self.version, *self.hashes)
        if any(of_index) and (any(of_git) or self.build or not (self.name and self.version)):
            raise PydanticCustomError("pin", "needs url and pin of git, or name and version of a package, and not both")
        if not self.is_package and not self.url:
            raise PydanticCustomError("pin", "needs a url, or name and version of a package")
        if not self.is_package and not (self.commit or self.ref or self.branch):
            raise PydanticCustomError("pin", "needs a commit, a ref or a branch")
        return self

    @property
    def is_package(self) -> bool:
        """Whether it is a package of the index, of which nothing is checked out."""
        return self.version is not None

    @property
    def target(self) -> str:
        """What is checked out, as git reads it in a clone."""
        return self.commit or self.ref or f"origin/{self.branch}"


class LitellmVersions(Section):
    """Exact versions that the bash system asked for."""

    python_version: Annotated[str | None, _BY_LOCK] = None
    litellm_version: Annotated[str | None, _BY_LOCK] = None


class Environments(Section):
    """Where the uv environments are found: links, replaced when an environment is rebuilt."""

    harbor_uv: str = "artifacts/env/harbor-uv"
    litellm_uv: str = "artifacts/env/litellm-venv"
    swe_data_process_uv: str = "artifacts/env/swe-data-process-uv"
    swe_data_process_extras: Strings = ("llm",)
    litellm: LitellmVersions = LitellmVersions()


class MetaInfo(Section):
    """What the block is called, and what it is built from."""

    name: str = "trajgen"
    label: str = ""
    description: str = ""
    parent: str = ""
    subblocks: dict[str, Any] = Field(default_factory=dict)
    dependencies: dict[str, Any] = Field(default_factory=dict)
    resources: Resources = Resources()
    repositories: dict[SafeName, Repository] = Field(default_factory=dict)
    environment: Environments = Environments()

    @field_validator("repositories")
    @classmethod
    def _have_a_tested_harbor(cls, named: dict[str, Repository]) -> dict[str, Repository]:
        harbor = named.get("harbor")
        commit = harbor.commit if harbor and not harbor.build else None
        if commit and (problem := harbor_commit_problem(commit)):
            raise PydanticCustomError("refused", "{problem}", {"problem": problem})
        return named

    @field_validator("repositories")
    @classmethod
    def _have_locked_packages(cls, named: dict[str, Repository]) -> dict[str, Repository]:
        for entry, each in named.items():
            if each.name and each.version:
                problem = no_wheel_problem(entry) or package_problem(each.name, each.version, each.hashes)
                if problem is None and entry != each.name:
                    problem = f"{entry} is of git: of the package index only harbor can be"
                if problem:
                    raise PydanticCustomError("refused", "{problem}", {"problem": problem})
        return named

    @field_validator("repositories")
    @classmethod
    def _have_places(cls, named: dict[str, Repository]) -> dict[str, Repository]:
        return {
            name: each if each.path else each.model_copy(update={"path": f"repos/{name}"})
            for name, each in named.items()
        }


class RawTrajectories(Section):
    """The declared output of a job's rollouts."""

    description: str = ""
    path: Annotated[str | None, lies_under(JOBS_DIR)] = None
    trajectory_format: str = "<job>/<trial>/agent/litellm-trajectory.jsonl"
    consumer_block: str = "sft"


class SftData(Section):
    """The declared output of conversion. `format` chooses the shape of lf.json."""

    description: str = ""
    path: DataDir | None = None
    format: Literal["sharegpt", "llamafactory_lf_v0.1"] = "sharegpt"
    trajectory_format: str = "<job>/lf.json"
    consumer_block: str = "sft"


class Outputs(Section):
    """What a run leaves behind, and for whom."""

    raw_trajectories_dir: RawTrajectories = RawTrajectories()
    sft_data_dir: SftData = SftData()


class RuntimeInfo(Section):
    """The one-shot intent of a run."""

    input: Inputs
    output: Outputs = Outputs()

    @field_validator("output")
    @classmethod
    def _declares_where_things_lie(cls, output: Outputs, info: ValidationInfo) -> Outputs:
        inputs: Inputs | None = info.data.get("input")
        if inputs is None:  # it is wrong itself, and said so
            return output
        for declared, key, chosen in (
            (output.raw_trajectories_dir.path, "harbor_job.jobs_dir", inputs.harbor_job.jobs_dir),
            (output.sft_data_dir.path, "sft_conversion.out_dir", inputs.sft_conversion.out_dir),
        ):
            if declared and chosen and not is_under(chosen, os.path.normpath(declared)):
                text = f"{declared} is declared, and {key} is {chosen}: name one folder, or leave the path out here"
                raise PydanticCustomError("refused", "{text}", {"text": text})
        return output


class ExtraEnvironment(Section):
    """The older place of `runtime_info.input.env_extra`."""

    extra: EnvMap = Field(default_factory=dict)


class Status(Section):
    """The older operational snapshot: kept, never read. Live state is in the ledger and the web UI."""

    phase: Any = None
    progress: Any = None
    next_steps: Any = None
    blockers: Any = None
    last_updated: Any = None


class TunableParams(Section):
    """The older list of knobs that an agent may tune."""

    temperature: Annotated[Any, _TUNED_ELSEWHERE] = None
    max_turns: Annotated[Any, _TUNED_ELSEWHERE] = None
    n_concurrent: Annotated[Any, _TUNED_ELSEWHERE] = None
    timeout_multiplier: Annotated[Any, _TUNED_ELSEWHERE] = None


class Evolving(Section):
    """The older section around `tunable_params`."""

    description: str = ""
    tunable_params: TunableParams = TunableParams()
