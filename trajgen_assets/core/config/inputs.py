"""`runtime_info.input`: the model endpoint, the tasks, the job, the agent, automation, conversion."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.alerts import AlertsChoice
from trajgen_assets.core.config.budget import BudgetChoice, LimitChoice
from trajgen_assets.core.config.llm_api import LlmApi
from trajgen_assets.core.config.openhands import (
    OpenHands,
    Rollout,
    environ_problem,
    harness_of,
    openhands_problem,
    output_limit_problem,
)
from trajgen_assets.core.config.remote import is_listened_at, options_problem, public_url_problem
from trajgen_assets.core.config.scaffolds import (
    AUTO,
    DEFAULT_AGENT,
    OPENHANDS_CODEACT,
    ORACLE,
    Harness,
    Place,
    Scaffold,
    earlier_name,
    harness_problem,
    place_problem,
    scaffold_of,
    scaffold_problem,
    sft_name_of,
    sft_scaffold_problem,
)
from trajgen_assets.core.config.secrets import Secret
from trajgen_assets.core.config.section import (
    Count,
    EnvMap,
    ModelName,
    Notice,
    NoticeOn,
    Number,
    Positive,
    SafeName,
    Section,
    Share,
    refuse_unless,
    with_defaults,
)
from trajgen_assets.core.config.task_source import TaskSourceChoice
from trajgen_assets.core.intake.source import ROWS_PROVIDER
from trajgen_assets.core.keys import MAIN_CAMPAIGN, SMOKE_CAMPAIGN, is_safe_name

# `local` is ours; the others are those of Harbor 0.25.0.
ENVIRONMENTS = (
    "local", "docker", "podman", "sbx", "singularity", "apple-container", "kata", "daytona", "e2b", "modal", "runloop",
    "langsmith", "ec2", "gke", "ack", "openshift", "novita", "islo", "tensorlake", "cwsandbox", "use-computer",
    "cua-cloud", "blaxel", "opensandbox", "beam", "skypilot", "hf-sandbox", "hyperbrowser", "vercel", "runta", "prime",
    "mosaic", "smol", "sail", "kernel",
)  # fmt: skip

# What a sandbox reaches while its agent works. `local` has no network at all.
Network = Literal["open", "proxy_only"]
CLOSABLE = ("docker", "local")

KNOWN_ENVIRONMENTS = f"should be one of {', '.join(ENVIRONMENTS)}"

# The fields of `agent` that are of no use to some scaffold.
KNOBS = ("max_turns", "temperature", "version")
# Those of an agent that runs in the container.
MOUNT_KNOBS = ("runtime_image", "runtime_host_path")

_NO_MODEL = (
    f"{ORACLE} only checks a host: name it in a campaign of its own, such as check: {{agent: {{name: {ORACLE}}}}}"
)

_Checked = TypeVar("_Checked")


def _unless(problem: str | None, value: _Checked) -> _Checked:
    """Refuse with `problem` if there is one, else hand `value` on."""
    if problem is not None:
        raise PydanticCustomError("refused", "{problem}", {"problem": problem})
    return value


def lies_under(folder: str) -> AfterValidator:
    """A validator for the places that the original let one choose below a fixed folder."""

    def holds(text: str | None) -> bool:
        return text is None or is_under(text, folder)

    return refuse_unless(holds, f"should lie under {folder}")


def is_under(text: str, folder: str) -> bool:
    """Whether a path of the file leads to `folder` or into it, as far as its words say."""
    return PurePosixPath(os.path.normpath(text)).is_relative_to(folder)


def is_deep(text: str) -> bool:
    """Whether a path of a container is absolute and hides nothing of the image that others need, as `/opt` would."""
    path = PurePosixPath(text)
    return path.is_absolute() and len(path.parts) > 2 and ".." not in path.parts


def is_inside(text: str) -> bool:
    """Whether a path leads nowhere but down."""
    return ".." not in PurePosixPath(text).parts


_TOO_SHALLOW = "should be a path of its own in the container, such as /opt/custom-agent-runtime/claude-code"

# Where jobs and data may be told to lie. Left out, they lie under the artifacts root.
JOBS_DIR = "artifacts/jobs"
DataDir = Annotated[
    str,
    refuse_unless(lambda text: not is_under(text, JOBS_DIR), f"should not lie under {JOBS_DIR}, where jobs lie"),
]


class LitellmProxy(Section):
    """The proxy that each job has. `port` is the first job's; jobs beside it take the next free ones.

    With a `public_url`, agents in sandboxes call it by that, and it listens at `host`, or on loopback.
    """

    config_template: Annotated[str | None, Notice("is not read: the proxy's configuration is generated")] = None
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    host: Annotated[str | None, refuse_unless(is_listened_at, "should be an IPv4 address, or ${NAME} for one")] = None
    public_url: str | None = None
    master_key: Annotated[Secret | None, Notice("is not used: each job's proxy gets a fresh key")] = None

    @field_validator("public_url")
    @classmethod
    def _leads_to_one_proxy(cls, public_url: str | None, info: ValidationInfo) -> str | None:
        return _unless(public_url_problem(public_url, port=info.data.get("port")) if public_url else None, public_url)


class HarborJob(Section):
    """How Harbor runs a job."""

    environment: Annotated[str, refuse_unless(ENVIRONMENTS.__contains__, KNOWN_ENVIRONMENTS)] = "docker"
    network: Network = "open"
    environment_options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    n_concurrent: Positive = 8
    n_tasks: Positive | None = None
    max_retries: Count = 2
    max_infra_retries: Count = 3
    timeout_multiplier: Number = 2.0
    stall_margin_s: Positive = 600
    min_free_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    patch_max_mb: Count = 64
    patch_tree_max_mb: Positive = 1024
    jobs_dir: Annotated[str | None, lies_under(JOBS_DIR)] = None
    dataset_path: Annotated[
        str | None,
        lies_under("artifacts/tasks"),
        Notice("is not used: tasks are staged under the name of their data set; set task_source.dataset"),
    ] = None
    dataset: Annotated[SafeName | None, Notice("is not used: set task_source.dataset")] = None
    job_name_prefix: Annotated[str | None, Notice("is not used: a job's name begins with its data set")] = None

    @field_validator("network")
    @classmethod
    def _can_be_closed(cls, network: Network, info: ValidationInfo) -> Network:
        environment = info.data.get("environment", CLOSABLE[0])
        problem = f"can be proxy_only in {' and '.join(CLOSABLE)}, not in {environment}"
        return _unless(problem if network == "proxy_only" and environment not in CLOSABLE else None, network)

    @field_validator("environment_options")
    @classmethod
    def _are_for_it(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return _unless(options_problem(options, info.data.get("environment", CLOSABLE[0])), options)


class Agent(Section):
    """The scaffold that drives the model through a task."""

    name: Annotated[str, NoticeOn(say=earlier_name)] = DEFAULT_AGENT
    version: str | None = None
    max_turns: Positive = 80
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    model_name: Annotated[str | None, Notice("is not used: the model is llm_api.model")] = None
    api_protocol: Annotated[str | None, Notice("is not used: the scaffold decides it")] = None
    runtime_image: str | None = None
    runtime_host_path: str | None = None
    orchestration_runtime: Annotated[str | None, Notice("is not used: the scaffold decides it")] = None
    import_path: Annotated[
        str | None, refuse_unless(lambda path: path is None, "cannot be chosen here: remove it and choose agent.name")
    ] = None

    @field_validator("name")
    @classmethod
    def _is_supported(cls, name: str) -> str:
        return _unless(scaffold_problem(name), name)

    @property
    def scaffold(self) -> Scaffold:
        """What the rest of the program calls this agent."""
        return scaffold_of(self.name)

    @property
    def options(self) -> dict[str, Any]:
        """What Harbor's agent is told."""
        told = {name: getattr(self, name) for name in self.scaffold.settings}
        return {name: value for name, value in told.items() if value is not None} | dict(self.scaffold.options)

    @property
    def sampling(self) -> dict[str, float]:
        """What the proxy sets in each model call, because the agent cannot be told."""
        return {name: getattr(self, name) for name in self.scaffold.by_proxy if name != "max_turns"}

    @property
    def max_calls(self) -> int | None:
        """How many model calls of a trial the proxy lets through; None where the agent itself ends by its turns."""
        return self.max_turns + self.scaffold.n_other_calls if "max_turns" in self.scaffold.by_proxy else None

    @property
    def names_runtime(self) -> bool:
        """Whether its containers have a runtime mounted that the configuration names."""
        return self.scaffold.place is Place.CONTAINER and bool(self.runtime_host_path or self.runtime_image)

    def unused_by(self, scaffold: Scaffold) -> list[str]:
        """Those of its fields that the file sets and that `scaffold` cannot honour."""
        unused = {knob for knob in KNOBS if not scaffold.honours(knob)}
        mounted = () if scaffold.place is Place.CONTAINER else MOUNT_KNOBS
        return [knob for knob in (*KNOBS, *MOUNT_KNOBS) if knob in self.model_fields_set & {*unused, *mounted}]


class RuntimeMount(Section):
    """Of a runtime that the agent names: where containers find it besides our own place, and where its image has it."""

    container_runtime_root: Annotated[str | None, refuse_unless(is_deep, _TOO_SHALLOW)] = None
    image_subpath: Annotated[str | None, refuse_unless(is_inside, "should not lead up")] = None


class CampaignChoice(Section):
    """What a campaign does differently from `llm_api` and `agent`: another model, or another whole endpoint."""

    model: ModelName | None = None
    llm_api: LlmApi | None = None
    agent: Agent | None = None

    @field_validator("llm_api")
    @classmethod
    def _names_one_model(cls, llm_api: LlmApi | None, info: ValidationInfo) -> LlmApi | None:
        both = llm_api is not None and info.data.get("model") is not None
        return _unless("name the model here or beside it, not twice" if both else None, llm_api)


class Automation(Section):
    """What the sensor may start by itself. Rollouts cost money, so it is off unless switched on."""

    enabled: bool = False
    batch_min: Positive = 1
    batch_max: Positive = 32
    max_jobs: Positive = 4
    max_trials: Positive = 16
    wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    max_tasks_per_day: Positive | None = None

    @field_validator("batch_max")
    @classmethod
    def _holds_batch_min(cls, batch_max: int, info: ValidationInfo) -> int:
        short = batch_max < info.data.get("batch_min", 1)
        return _unless("should not be less than batch_min" if short else None, batch_max)


# Lists of excluded repositories that have a name; whatever else is given is a file.
NAMED_REPO_LISTS = ("swe_bench", "none")


class LlmScore(Section):
    """How `trajgen score --llm` has rows judged by a model; nothing else does that.

    Attributes:
        llm_api: the judge's endpoint and model; without it, those of the rollouts.
        concurrency: questions at a time.
        budget: for all answers about one job, over all runs of the command.
    """

    llm_api: LlmApi | None = None
    concurrency: Positive = 4
    budget: LimitChoice = LimitChoice()


class SftConversion(Section):
    """Which trajectories of a job become training data, and how."""

    ALIASES: ClassVar[Mapping[str, str]] = {"exclude_repos_file": "exclude_repos"}

    enabled: bool = False
    engine: Literal["builtin", "swe_data_process"] = "builtin"
    scaffold: str = AUTO
    instance_status: Literal["resolved", "unresolved", "all"] = "resolved"
    max_instances: Positive | None = None
    exclude_repos: str = NAMED_REPO_LISTS[0]
    retired: Literal["reject", "keep"] = "reject"
    revoked: Literal["reject", "keep"] = "reject"
    task_changed: Literal["reject", "keep"] = "reject"
    tokenizer_name: str | None = None
    reasoning_check_mode: Literal["strict", "adaptive"] = "adaptive"
    reasoning_content_ratio_threshold: Share = 0.2
    resolved_from: Share | None = None
    unknown: Literal["reject", "keep"] = "reject"
    first_turn: Literal["reject", "keep"] = "reject"
    leaks: Literal["reject", "keep"] = "reject"
    cutoff_len: Positive = 131072
    over_length: Literal["reject", "cut"] = "reject"
    mask_error_turns: bool = False
    take_cut: bool = False
    llm_score: LlmScore = LlmScore()
    out_dir: DataDir | None = None

    @field_validator("scaffold")
    @classmethod
    def _is_supported(cls, scaffold: str) -> str:
        name = sft_name_of(scaffold)
        return _unless(sft_scaffold_problem(name), name)


class CaptureChoice(Section):
    """What becomes of the record of model calls."""

    compress: Literal["none", "zstd"] = "none"


class Inputs(Section):
    """Everything that a run is made from."""

    llm_api: LlmApi
    litellm_proxy: LitellmProxy = LitellmProxy()
    task_source: TaskSourceChoice | None = None
    task_sources: Annotated[tuple[TaskSourceChoice, ...], Field(strict=False, validate_default=True)] = ()
    harbor_job: HarborJob = HarborJob()
    rollout: Annotated[Rollout, Field(validate_default=True)] = Rollout()
    openhands: Annotated[OpenHands | None, Field(validate_default=True)] = None
    budget: BudgetChoice = BudgetChoice()
    agent: Annotated[Agent, Field(validate_default=True)] = Agent()
    capture: CaptureChoice = CaptureChoice()
    runtime_mount: RuntimeMount = RuntimeMount()
    campaigns: dict[SafeName, CampaignChoice] = Field(default_factory=dict)
    automation: Automation = Automation()
    alerts: AlertsChoice = AlertsChoice()
    sft_conversion: SftConversion = SftConversion()
    env_extra: EnvMap = Field(default_factory=dict)

    def all_sources(self) -> tuple[TaskSourceChoice, ...]:
        """The one source of the file and its list of sources together."""
        return (*([self.task_source] if self.task_source else []), *self.task_sources)

    @field_validator("task_sources")
    @classmethod
    def _are_distinct(cls, listed: tuple[TaskSourceChoice, ...], info: ValidationInfo) -> tuple[TaskSourceChoice, ...]:
        if "task_source" not in info.data:  # it is wrong itself, and said so
            return listed
        single: TaskSourceChoice | None = info.data["task_source"]
        base = info.context["path"].parent if info.context else Path()
        return _unless(_sources_problem([*([single] if single else []), *listed], base), listed)

    @field_validator("rollout")
    @classmethod
    def _takes_the_tasks(cls, rollout: Rollout, info: ValidationInfo) -> Rollout:
        single, listed = info.data.get("task_source"), info.data.get("task_sources", ())
        problems = (_kind_problem(rollout.harness, each) for each in (*([single] if single else []), *listed))
        return _unless(next(filter(None, problems), None), rollout)

    @field_validator("harbor_job")
    @classmethod
    def _closes_what_it_can(cls, harbor_job: HarborJob, info: ValidationInfo) -> HarborJob:
        proxy: LitellmProxy | None = info.data.get("litellm_proxy")
        is_public = proxy is not None and proxy.public_url is not None and harbor_job.environment == "docker"
        problem = "network: proxy_only carries calls to the proxy itself: leave litellm_proxy.public_url out"
        return _unless(problem if is_public and harbor_job.network == "proxy_only" else None, harbor_job)

    @field_validator("openhands")
    @classmethod
    def _is_there_and_can_run(cls, openhands: OpenHands | None, info: ValidationInfo) -> OpenHands | None:
        return _unless(openhands_problem(openhands, info), openhands)

    @field_validator("agent")
    @classmethod
    def _is_of_the_harness(cls, agent: Agent, info: ValidationInfo) -> Agent:
        harness, chosen = harness_of(info), info.data.get("openhands")
        iterations = chosen.max_iterations if harness is Harness.OPENHANDS and chosen else None
        if iterations and "max_turns" in agent.model_fields_set:
            return _unless("max_turns is openhands.max_iterations under another name: set one of them", agent)
        if harness is Harness.OPENHANDS:
            agent = with_defaults(agent, name=OPENHANDS_CODEACT.agent, max_turns=iterations or agent.max_turns)
        return _unless(harness_problem(agent.scaffold, harness) if harness else None, agent)

    @field_validator("agent")
    @classmethod
    def _rolls_out_a_model(cls, agent: Agent) -> Agent:
        return _unless(_NO_MODEL if agent.name == ORACLE else None, agent)

    @field_validator("agent")
    @classmethod
    def _runs_where_it_can(cls, agent: Agent, info: ValidationInfo) -> Agent:
        return _unless(_place_problem(agent, info), agent)

    @field_validator("campaigns")
    @classmethod
    def _run_where_they_can(
        cls, campaigns: dict[str, CampaignChoice], info: ValidationInfo
    ) -> dict[str, CampaignChoice]:
        agents = {name: choice.agent for name, choice in campaigns.items() if choice.agent is not None}
        problems = (f"{name}: {why}" for name, agent in agents.items() if (why := _place_problem(agent, info)))
        return _unless(next(problems, None), campaigns)

    @field_validator("campaigns")
    @classmethod
    def _are_of_the_harness(
        cls, campaigns: dict[str, CampaignChoice], info: ValidationInfo
    ) -> dict[str, CampaignChoice]:
        problems = (f"{name}: {why}" for name, each in campaigns.items() if (why := _harness_problem(each, info)))
        return _unless(next(problems, None), campaigns)

    @field_validator("campaigns")
    @classmethod
    def _roll_out_a_model_in_main(cls, campaigns: dict[str, CampaignChoice]) -> dict[str, CampaignChoice]:
        main = campaigns.get(MAIN_CAMPAIGN, CampaignChoice()).agent
        return _unless(_NO_MODEL if main and main.name == ORACLE else None, campaigns)

    @field_validator("campaigns")
    @classmethod
    def _leave_smoke(cls, campaigns: dict[str, CampaignChoice]) -> dict[str, CampaignChoice]:
        reserved = f"the name {SMOKE_CAMPAIGN} is reserved for smoke tests"
        return _unless(reserved if SMOKE_CAMPAIGN in campaigns else None, campaigns)

    @field_validator("env_extra")
    @classmethod
    def _leaves_what_is_set_elsewhere(cls, env: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        return _unless(environ_problem(env, info), env)


def _place_problem(agent: Agent, info: ValidationInfo) -> str | None:
    """Why `agent` cannot work in the environment that the file names; None too if that is wrong itself."""
    harbor_job: HarborJob | None = info.data.get("harbor_job")
    proxy: LitellmProxy | None = info.data.get("litellm_proxy")
    if harbor_job is None or proxy is None:
        return None
    return place_problem(agent.scaffold, harbor_job.environment, has_public_url=proxy.public_url is not None)


def _kind_problem(harness: Harness, source: TaskSourceChoice) -> str | None:
    """Why `harness` cannot roll out what `source` has, or None if it can."""
    has_rows = source.provider == ROWS_PROVIDER
    if has_rows == (harness is Harness.OPENHANDS):
        return None
    kind, wanted = ("rows", "folders of tasks") if has_rows else ("folders", f"rows (provider: {ROWS_PROVIDER})")
    return f"{harness} rolls out {wanted}, and {source.dataset_name[:80]} has {kind}"


def _harness_problem(choice: CampaignChoice, info: ValidationInfo) -> str | None:
    """Why the harness that the file names cannot roll out with what a campaign says itself."""
    harness, agent = harness_of(info), choice.agent
    named = agent.scaffold if agent is not None and "name" in agent.model_fields_set else None
    if named is not None and harness and (problem := harness_problem(named, harness)):
        return problem
    model = choice.llm_api.model if choice.llm_api else choice.model
    return output_limit_problem(model, info.data.get("openhands")) if model and harness is Harness.OPENHANDS else None


def _sources_problem(choices: list[TaskSourceChoice], base: Path) -> str | None:
    if not choices:
        return "no folder of tasks is named: set task_source.dataset_name"
    seen: set[str] = set()
    for source in (choice.locate(base) for choice in choices):
        if not is_safe_name(source.dataset):
            return f"the folder name {source.dataset[:80]!r} cannot name a data set: set task_source.dataset"
        if source.dataset.lower() in seen:  # one folder on a disk that ignores case
            return f"two sources are named {source.dataset}: give one of them another name with dataset"
        seen.add(source.dataset.lower())
    return None
