"""What stands in the run archive: a line of the index, an entry's metadata, and what an entry begins with."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trajgen_assets.core.runtimes.manifest import RuntimeMade

Status = Literal["completed", "failed", "interrupted", "refused"]

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class RunRow(BaseModel):
    """One entry as `index.yaml` has it. What is None stands in no file: the job did not get so far."""

    model_config = _STRICT

    id: str = Field(pattern=r"^run_\d{3,}$")
    job: str
    status: Status
    started_at: str
    completed_at: str
    archive: str
    notes: str = ""
    dataset: str | None = None
    campaign: str | None = None
    n_tasks: int | None = None
    n_trials: int | None = None
    n_accepted: int | None = None
    mean_reward: float | None = None
    cost_usd: float | None = None
    outage: str | None = None
    n_runs: int | None = None


class Repository(BaseModel):
    """A checkout that a run was made from."""

    model_config = _STRICT

    path: str
    commit: str
    is_clean: bool | None = Field(default=None, description="Null where that was not looked at.")


class EnvironmentMade(BaseModel):
    """A uv environment that a run used."""

    model_config = _STRICT

    digest: str = Field(description="What it is, as the environment's asset shows it.")
    inputs: str | None = Field(default=None, description="Digest of its lock file and of the kind of machine.")
    store: str = Field(description="Its folder in the store of environments.")
    python: str
    built_at: str


class ManifestCopy(BaseModel):
    """The manifest at the beginning of a run, and how much of it was copied."""

    model_config = _STRICT

    path: str
    sha256: str
    size_bytes: int
    copied: Literal["whole", "part"] = Field(description="`part`: only the ids of the job's tasks; it was too large.")


class Inputs(BaseModel):
    """What a run was made from; the copies lie in the entry's folder `inputs/`."""

    model_config = _STRICT

    manifest: ManifestCopy | None = None
    n_excluded: int | None = Field(default=None, description="Ids in `inputs/excluded_tasks.txt`.")


class EndpointOfPool(BaseModel):
    """One of several endpoints behind the proxy."""

    model_config = _STRICT

    name: str = Field(description="What the field `upstream` of a call's record says.")
    model: str
    api_base_url: str
    weight: float
    requests_per_minute: int | None = None
    timeout_s: float


class Upstream(BaseModel):
    """The model endpoint behind the proxy, or the endpoints."""

    model_config = _STRICT

    model: str
    api_base_url: str = Field(description="Of the first, where there are several.")
    served_model: str = Field(description="The name that agents ask for.")
    endpoints: tuple[EndpointOfPool, ...] | None = Field(
        default=None, strict=False, description="Where there are several: all of them, sticky by task."
    )


class Origin(BaseModel):
    """What a run was made from, as it stood when the run began."""

    model_config = _STRICT

    environment: str | None = Field(default=None, description="Where trials run: `docker`, `local`, …")
    upstream: Upstream | None = None
    repositories: dict[str, Repository] = Field(default_factory=dict)
    environments: dict[str, EnvironmentMade] = Field(default_factory=dict)
    runtime: RuntimeMade | None = Field(default=None, description="The agent that containers had mounted.")
    inputs: Inputs = Inputs()
    task_digests: dict[str, str] = Field(default_factory=dict)


class Begun(BaseModel):
    """`begun.json`: what is known of a run from its first moment, in the folder of its open entry."""

    model_config = _STRICT

    schema_version: Literal[1] = 1
    job: str
    owner: str
    started_at: str
    origin: Origin = Origin()
    config: str | None = Field(default=None, description="The configuration's file, for commands to be copied.")
    image_names: tuple[str, ...] = Field(
        default=(), strict=False, description="Images that the tasks name, where trials run in Docker."
    )


class RunMetadata(Origin, RunRow):
    """`metadata.yaml`. Version 1 had neither an origin nor rewards."""

    model_config = _STRICT

    schema_version: Literal[1, 2] = 2
    block: Literal["trajgen"] = "trajgen"
    dagster_run_id: str
    exit_code: int
    n_graded: int | None = None
    n_resolved: int | None = None
    n_tokens: int | None = None
    causes: dict[str, int] = Field(default_factory=dict)
    stopped_for: str | None = None
    accepted_digest: str | None = Field(default=None, description="Over the accepted trials, which data sets name.")
    images: dict[str, str] | None = Field(default=None, description="Image to digest, where trials run in Docker.")

    def as_dict(self) -> dict[str, Any]:
        """As `metadata.yaml` has it: without what there is nothing of."""
        head = {"schema_version": self.schema_version, "block": self.block}
        said = self.model_dump(mode="json", exclude_none=True)
        return head | {name: value for name, value in said.items() if value != {}}

    @property
    def row(self) -> RunRow:
        """Its line of the index."""
        return RunRow(**{name: getattr(self, name) for name in RunRow.model_fields})
