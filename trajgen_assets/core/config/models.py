"""The sections of config.yaml around the input: the block itself, what a run leaves, and older keys."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.inputs import Inputs
from trajgen_assets.core.config.secrets import Secret
from trajgen_assets.core.config.section import EnvMap, Notice, SafeName, Section, Strings, refuse_unless

RepositoryUrl = Annotated[
    str,
    refuse_unless(
        lambda url: not re.match(r"https?://[^/]*@", url), "should hold no login: let git ask its credential store"
    ),
]
Commit = Annotated[str, refuse_unless(re.compile(r"[0-9a-f]{40}").fullmatch, "should be 40 hex digits")]

_ELSEWHERE = Notice("is not used: everything runs on the machine that it is started on")
_BY_LOCK = Notice("is not used: the version comes from the lock file")
_TUNED_ELSEWHERE = Notice("is not read: set the key itself under runtime_info.input")


class Resources(Section):
    """The machine that the block was declared for."""

    ip: Annotated[str, _ELSEWHERE] = "local"
    user: Annotated[str | None, _ELSEWHERE] = None
    pwd: Annotated[Secret | None, _ELSEWHERE] = None
    directory: Annotated[str | None, _ELSEWHERE] = None
    public_storage: Annotated[str | None, _ELSEWHERE] = None
    description: str = ""


class Repository(Section):
    """A managed checkout, pinned by `commit`, else `ref`, else the newest commit of `branch`."""

    url: RepositoryUrl
    commit: Commit | None = None
    ref: str | None = None
    branch: str | None = None
    path: str = ""
    readonly: bool = True

    @model_validator(mode="after")
    def _is_pinned(self) -> Self:
        if not (self.commit or self.ref or self.branch):
            raise PydanticCustomError("pin", "needs a commit, a ref or a branch")
        return self

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
    def _have_places(cls, named: dict[str, Repository]) -> dict[str, Repository]:
        return {
            name: each if each.path else each.model_copy(update={"path": f"repos/{name}"})
            for name, each in named.items()
        }


class RawTrajectories(Section):
    """The declared output of a job's rollouts."""

    description: str = ""
    path: Annotated[str, Notice("is not used: jobs lie in the folder jobs of the artifacts root")] = "artifacts/jobs"
    trajectory_format: str = "<job>/<trial>/agent/litellm-trajectory.jsonl"
    consumer_block: str = "sft"


class SftData(Section):
    """The declared output of conversion. `format` chooses the shape of lf.json."""

    description: str = ""
    path: Annotated[str, Notice("is not used: data sets lie in the folder sft_data of the artifacts root")] = (
        "artifacts/sft_data"
    )
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
