"""`runtime_info.input.rollout` and `openhands`: which harness rolls out, and how OpenHands' Multi-SWE-bench one is run.

Keys are named after the flags and variables of `evaluation.benchmarks.multi_swe_bench.run_infer` at OpenHands 0.62.
"""

import re
from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.model_list import max_output_tokens
from trajgen_assets.core.config.scaffolds import Harness
from trajgen_assets.core.config.section import Notice, NoticeOn, Number, Positive, SafeName, Section, refuse_unless

# `run_infer` gives an agent no instruction at all for any other word, and says nothing.
Language = Literal["python", "java", "go", "c", "cpp", "javascript", "typescript", "rust"]

# What a configuration must not set itself, with where it is said instead.
_DATASET = "is written for each process from the tasks of its job: name the rows in task_source"
_LIMIT = "is not passed, since it counts finished rows too: use `trajgen start --limit N`"
_SKIP = "is written from the ledger: name tasks to leave out in excluded_tasks.txt beside this file"
_OUTPUT = "is fixed: the harness writes under the job's folder, in openhands/"

# What run_infer and its image builder read, and the key that says it here.
ENVIRON_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "LANGUAGE": "language",
        "USE_HINT_TEXT": "use_hint_text",
        "USE_INSTANCE_IMAGE": "use_instance_image",
        "RUN_WITH_BROWSING": "run_with_browsing",
        "EVAL_DOCKER_IMAGE_PREFIX": "eval_docker_image_prefix",
        "RUNTIME_CONTAINER_IMAGE": "runtime_container_image",
        "SKIP_IDS": "skip_ids",
    }
)


# What is the same in every run, and why.
FIXED_ENVIRON: Mapping[str, str] = MappingProxyType(
    {
        "RUNTIME": "is docker here",
        "EVAL_SKIP_MAXIMUM_RETRIES_EXCEEDED": "is true here, so that one task cannot end the others",
        "SANDBOX_ENV_GITHUB_TOKEN": "would put a key into each container, where the agent can read it",
        "ITERATIVE_EVAL_MODE": "belongs to another benchmark, and does nothing in this one",
    }
)


def _told(text: str) -> NoticeOn:
    """Has something said about any other value than the default, which is honoured all the same."""
    return NoticeOn(say=lambda _: (f" {text}",))


def _is_absent(value: Any) -> bool:
    return value is None


def _is_an_image(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9][\w.:/@-]*", text) is not None and text != "skip"


_Word = Annotated[str, refuse_unless(re.compile(r"[A-Za-z_]\w*").fullmatch, "should be the name of a class")]
_LlmSection = Annotated[
    str, refuse_unless(re.compile(r"llm\.[A-Za-z0-9_]+").fullmatch, "should be llm.<name>, a section of config.toml")
]
_Prefix = Annotated[
    str,
    refuse_unless(
        re.compile(r"[a-z0-9][a-z0-9._:-]*(/[a-z0-9._-]+)*").fullmatch,
        "should be the beginning of an image's name, in lower case and without a slash at its end",
    ),
]
_NO_IMAGE = "should be the name of an image that is there, or left out for one that is built (`skip` is no name)"


VELORA_EVALUATOR = "evaluation/benchmarks/multi_swe_bench/scripts/eval_pilot2_standardized.py"


class Rollout(Section):
    """Which harness rolls tasks out."""

    harness: Annotated[Harness, Field(strict=False)] = Harness.HARBOR


class OpenHands(Section):
    """How `run_infer` runs, and what its rows are graded by. One process has one task.

    Attributes:
        max_iterations: None leaves it to `agent.max_turns`, which is the same thing.
        max_output_tokens: None leaves it to OpenHands.
        python: an interpreter whose environment has OpenHands' dependencies; with `lock`, the one to make it for.
        lock: pinned requirements with hashes that an environment is made from.
        evaluator: `none` gives no reward.
        evaluator_dataset: the rows of the Multi-SWE-bench data set itself, which `msb` grades by; None for those of
            the task source.
        evaluator_script: of `velora`, in the checkout.
        timeout_s: of one task, from the start of its process; what the harness has itself with several workers.
        eval_timeout_s: of one task's evaluation.
    """

    evaluator: Literal["msb", "velora", "none"]
    agent_cls: _Word = "CodeActAgent"
    llm_config: _LlmSection = "llm.trajgen"
    max_iterations: Positive | None = None
    eval_num_workers: Annotated[
        Positive,
        _told("is of little use: a process has one task, so more workers add infer_logs and the harness's own 2 hours"),
    ] = 1
    split: str = "train"
    eval_note: SafeName | None = None
    dataset: Annotated[Any, refuse_unless(_is_absent, _DATASET), Notice()] = None
    eval_n_limit: Annotated[Any, refuse_unless(_is_absent, _LIMIT), Notice()] = None
    eval_output_dir: Annotated[Any, refuse_unless(_is_absent, _OUTPUT), Notice()] = None
    language: Language = "java"
    use_hint_text: Annotated[
        bool, _told("does nothing: run_infer of multi_swe_bench reads USE_HINT_TEXT and uses it nowhere")
    ] = False
    use_instance_image: Annotated[
        bool,
        _told("has each runtime built on a bare image with a clone from the network, instead of the task's image"),
    ] = True
    run_with_browsing: Annotated[
        bool, _told("adds a line to the prompt that forbids browsing, and makes a browser that fails an error")
    ] = False
    eval_docker_image_prefix: _Prefix = "mswebench"
    runtime_container_image: Annotated[
        str | None,
        refuse_unless(lambda text: text is None or _is_an_image(text), _NO_IMAGE),
        _told("is read by VeloraHarness alone: run_infer of OpenHands 0.62 builds its runtime image all the same"),
    ] = None
    skip_ids: Annotated[Any, refuse_unless(_is_absent, _SKIP), Notice()] = None
    max_input_tokens: Positive | None = None
    max_output_tokens: Positive | None = None
    native_tool_calling: bool | None = None
    lock: str | None = None
    python: Annotated[str | None, Field(validate_default=True)] = None
    evaluator_python: str | None = None
    evaluator_dataset: str | None = None
    evaluator_script: str = VELORA_EVALUATOR
    images_dir: str | None = None
    timeout_s: Number = 7200.0
    eval_timeout_s: Number = 900.0

    @field_validator("split")
    @classmethod
    def _is_that_of_a_file(cls, split: str) -> str:
        if split != "train":
            text = "should be train: rows of a JSONL file have no other split, and run_infer ends with KeyError: 'test'"
            raise PydanticCustomError("refused", "{text}", {"text": text})
        return split

    @field_validator("python")
    @classmethod
    def _has_dependencies_from_somewhere(cls, python: str | None, info: ValidationInfo) -> str | None:
        if python is None and info.data.get("lock") is None:
            text = (
                "is missing: name the interpreter of an environment that has OpenHands' dependencies, or openhands.lock"
            )
            raise PydanticCustomError("refused", "{text}", {"text": text})
        return python


def harness_of(info: ValidationInfo) -> Harness | None:
    """The harness that `runtime_info.input` names; None where that is wrong itself."""
    rollout: Rollout | None = info.data.get("rollout")
    return rollout.harness if rollout else None


def openhands_problem(chosen: OpenHands | None, info: ValidationInfo) -> str | None:
    """Why OpenHands cannot roll out what `runtime_info.input` says before this section, or None if it can."""
    if harness_of(info) is not Harness.OPENHANDS:
        return None
    if chosen is None:
        return "is missing: rollout.harness is openhands, and this is how it is run"
    if (harbor_job := info.data.get("harbor_job")) is not None and harbor_job.environment != "docker":
        return f"makes containers of Docker: set harbor_job.environment to docker (it is {harbor_job.environment})"
    if harbor_job is not None and harbor_job.network != "open":
        return "makes containers with a network of their own: harbor_job.network cannot be proxy_only"
    llm_api = info.data.get("llm_api")
    return output_limit_problem(llm_api.model, chosen) if llm_api else None


def output_limit_problem(model: str, chosen: OpenHands | None) -> str | None:
    """Why `model` cannot write as many tokens in one reply as OpenHands would ask it for; None if it can."""
    asked, limit = chosen.max_output_tokens if chosen else None, max_output_tokens(model)
    if asked is None or limit is None or asked <= limit:
        return None
    return f"max_output_tokens {asked} is more than {model} writes: set it to {limit} or less, or leave it out"


def environ_problem(env: Mapping[str, str], info: ValidationInfo) -> str | None:
    """What `env_extra` sets and this section says, for a file whose harness is OpenHands."""
    if harness_of(info) is not Harness.OPENHANDS:
        return None
    said = (f"{name} is openhands.{key}: set it there" for name, key in ENVIRON_KEYS.items() if name in env)
    fixed = (f"{name} {why}: remove it" for name, why in FIXED_ENVIRON.items() if name in env)
    return next(chain(said, fixed), None)
