from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.config.test_load import MINIMAL, merged
from trajgen_assets.core.config import Config, parse_config
from trajgen_assets.core.config.effective import effective
from trajgen_assets.core.config.scaffolds import OPENHANDS_CODEACT, Harness
from trajgen_assets.core.errors import ConfigError

PINNED = {"meta_info": {"repositories": {"openhands": {"url": "https://host.test/openhands", "commit": "7" * 40}}}}
LEAST = {"evaluator": "msb", "python": "/srv/openhands/bin/python"}
ROWS = {"provider": "multi_swe_jsonl", "dataset_name": "rows/tasks.jsonl"}
CHOSEN = {"task_source": ROWS, "rollout": {"harness": "openhands"}, "openhands": LEAST}


def config_of(*extra: Any) -> Config:
    """A configuration of OpenHands with each of `extra` merged into it."""
    plain: Any = merged(merged(MINIMAL, PINNED), {"runtime_info": {"input": CHOSEN}})
    for each in extra:
        plain = merged(plain, each)
    return parse_config(yaml.safe_dump(plain), Path("/srv/block/config.yaml"))


def with_inputs(**inputs: Any) -> dict[str, Any]:
    return {"runtime_info": {"input": inputs}}


def with_keys(**keys: Any) -> dict[str, Any]:
    return with_inputs(openhands=keys)


def problem_of(*extra: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(*extra)
    return str(caught.value)


def test_a_file_that_names_no_harness_is_rolled_out_by_harbor_as_ever() -> None:
    config = parse_config(yaml.safe_dump(MINIMAL), Path("/srv/block/config.yaml"))
    inputs = config.runtime_info.input
    assert (inputs.rollout.harness, inputs.openhands, inputs.agent.name) == (Harness.HARBOR, None, "terminus-2")


def test_the_defaults_are_the_harness_own_where_it_has_some() -> None:
    config = config_of()
    chosen = config.runtime_info.input.openhands
    assert chosen is not None
    own = {"language": "java", "use_hint_text": False, "use_instance_image": True, "run_with_browsing": False}
    assert {name: getattr(chosen, name) for name in own} == own
    assert (chosen.eval_docker_image_prefix, chosen.runtime_container_image) == ("mswebench", None)
    assert (chosen.agent_cls, chosen.timeout_s, chosen.eval_note) == ("CodeActAgent", 7200.0, None)
    assert config.campaign().agent.scaffold is OPENHANDS_CODEACT
    assert config.notices() == []


def test_iterations_are_the_agents_turns_under_another_name_and_said_once() -> None:
    assert config_of(with_keys(max_iterations=50)).campaign().agent.max_turns == 50
    assert config_of(with_inputs(agent={"max_turns": 30})).campaign().agent.max_turns == 30
    both = with_inputs(agent={"max_turns": 30}, openhands={"max_iterations": 50})
    assert "agent: max_turns is openhands.max_iterations under another name" in problem_of(both)


def test_a_campaign_may_have_turns_of_its_own() -> None:
    config = config_of(with_inputs(campaigns={"b": {"agent": {"max_turns": 5}}}))
    assert (config.campaign("b").agent.max_turns, config.campaign("b").agent.scaffold) == (5, OPENHANDS_CODEACT)


def test_what_the_harness_decides_is_not_shown_as_said_by_the_file() -> None:
    origins = {setting.key: setting.origin for setting in effective(config_of(), {})}
    assert origins["runtime_info.input.agent.name"] == "default"
    assert origins["runtime_info.input.openhands.evaluator"] == "file"
    assert origins["runtime_info.input.openhands.use_hint_text"] == "default"  # with what counts where nothing is said
    assert "runtime_info.input.openhands.skip_ids" not in origins


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (with_inputs(rollout={"harness": "openhand"}), "rollout.harness: should be 'harbor' or 'openhands'"),
        (
            with_inputs(task_source={"provider": None, "dataset_name": "t"}),
            "rollout: openhands rolls out rows (provider",
        ),
        (
            with_inputs(task_sources=[{"dataset_name": "t"}]),
            "rolls out rows (provider: multi_swe_jsonl), and t has folders",
        ),
        (
            with_inputs(task_source={"dataset_name": "tasks"}),
            "task_source: dataset_name should be a file of rows, named *",
        ),
        (with_inputs(task_source={"staging": "link"}), "task_source: staging can only be copy"),
        (with_inputs(openhands=None), "openhands: is missing: rollout.harness is openhands"),
        ({"meta_info": {"repositories": None}}, "meta_info: repositories.openhands is missing"),
        (with_keys(evaluator=None), "openhands.evaluator: is missing"),
        (with_keys(evaluator="swebench"), "openhands.evaluator: should be 'msb', 'velora' or 'none'"),
        (with_keys(python=None), "openhands.python: is missing"),
        (with_keys(language="Python"), "openhands.language: should be 'python', 'java'"),
        (with_keys(split="test"), "openhands.split: should be train"),
        (with_keys(eval_num_workers=0), "openhands.eval_num_workers"),
        (with_keys(max_iterations=0), "openhands.max_iterations"),
        (with_keys(max_output_tokens=0), "openhands.max_output_tokens"),
        (with_keys(timeout_s=0), "openhands.timeout_s"),
        (with_keys(llm_config="gpt"), "openhands.llm_config: should be llm.<name>"),
        (with_keys(agent_cls="Code Act"), "openhands.agent_cls: should be the name of a class"),
        (with_keys(eval_docker_image_prefix="mswebench/"), "without a slash at its end"),
        (with_keys(eval_docker_image_prefix="MSWE"), "in lower case"),
        (with_keys(runtime_container_image="skip"), "`skip` is no name"),
        (with_keys(eval_note="a b"), "openhands.eval_note"),
        (with_keys(dataset="data/x.jsonl"), "name the rows in task_source"),
        (with_keys(eval_n_limit=1), "use `trajgen start --limit N`"),
        (with_keys(eval_output_dir="out"), "under the job's folder"),
        (with_keys(skip_ids="a,b"), "excluded_tasks.txt"),
        (with_keys(max_iteration=3), "the nearest known key is max_iterations"),
        (with_inputs(env_extra={"LANGUAGE": "go"}), "env_extra: LANGUAGE is openhands.language: set it there"),
        (with_inputs(env_extra={"RUNTIME": "remote"}), "env_extra: RUNTIME is docker here: remove it"),
        (with_inputs(env_extra={"SANDBOX_ENV_GITHUB_TOKEN": "${T}"}), "would put a key into each container"),
        (with_inputs(harbor_job={"environment": "local"}), "set harbor_job.environment to docker (it is local)"),
        (with_inputs(harbor_job={"network": "proxy_only"}), "harbor_job.network cannot be proxy_only"),
        (with_inputs(agent={"name": "claude-code"}), "claude-code is rolled out by harbor, and rollout.harness is"),
        (with_inputs(campaigns={"b": {"agent": {"name": "oracle"}}}), "campaigns: b: oracle is rolled out by harbor"),
    ],
)
def test_what_the_harness_cannot_do_is_refused(extra: dict[str, Any], said: str) -> None:
    assert said in problem_of(extra)


def test_an_agent_of_openhands_is_refused_where_harbor_rolls_out() -> None:
    plain = merged(MINIMAL, with_inputs(agent={"name": "openhands-codeact"}))
    with pytest.raises(ConfigError, match=r"openhands-codeact is rolled out by openhands, and rollout\.harness is"):
        parse_config(yaml.safe_dump(plain), Path("/srv/block/config.yaml"))


def test_a_limit_of_output_above_what_the_model_writes_is_refused_with_the_models_own() -> None:
    gpt_4o = with_inputs(llm_api={"model": "openai/gpt-4o"})
    assert "more than openai/gpt-4o writes: set it to 16384 or less" in problem_of(
        gpt_4o, with_keys(max_output_tokens=64000)
    )
    assert config_of(gpt_4o, with_keys(max_output_tokens=16384)).notices() == []
    assert config_of(with_keys(max_output_tokens=64000)).notices() == []  # nobody knows what openai/m writes


def test_a_limit_of_output_is_held_to_the_model_of_each_campaign() -> None:
    campaigns = with_inputs(campaigns={"b": {"model": "openai/gpt-4o"}})
    assert "campaigns: b: max_output_tokens 64000" in problem_of(campaigns, with_keys(max_output_tokens=64000))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"use_hint_text": True}, "use_hint_text does nothing"),
        ({"run_with_browsing": True}, "run_with_browsing adds a line to the prompt that forbids browsing"),
        ({"use_instance_image": False}, "use_instance_image has each runtime built on a bare image"),
        ({"eval_num_workers": 4}, "eval_num_workers is of little use: a process has one task"),
        ({"runtime_container_image": "a/b:c"}, "runtime_container_image is read by VeloraHarness alone"),
    ],
)
def test_what_does_not_do_what_its_name_says_is_told(keys: dict[str, Any], said: str) -> None:
    assert [line for line in config_of(with_keys(**keys)).notices() if said in line]


def test_the_section_is_told_to_be_unused_where_harbor_rolls_out() -> None:
    config = config_of(with_inputs(rollout={"harness": "harbor"}, task_source={"provider": None, "dataset_name": "t"}))
    assert config.notices() == ["runtime_info.input.openhands is not used: rollout.harness is harbor"]


def test_rows_are_not_rolled_out_by_harbor() -> None:
    plain = merged(MINIMAL, with_inputs(task_source=ROWS))
    with pytest.raises(
        ConfigError, match=r"rollout: harbor rolls out folders of tasks, and rows/tasks\.jsonl has rows"
    ):
        parse_config(yaml.safe_dump(plain), Path("/srv/block/config.yaml"))


def test_which_rows_are_verified_is_said_by_a_manifest_beside_them_by_another_or_by_none() -> None:
    (source,) = config_of().sources()
    assert (source.dataset, source.folder) == ("tasks", Path("/srv/block/rows/tasks.jsonl"))
    assert source.manifest == Path("/srv/block/rows/verifiable_tasks.txt")
    (source,) = config_of(with_inputs(task_source={"manifest": "mine.txt", "dataset": "java"})).sources()
    assert (source.dataset, source.manifest) == ("java", Path("/srv/block/mine.txt"))
    (source,) = config_of(with_inputs(task_source={"manifest": "none"})).sources()
    assert source.manifest == source.folder


def test_of_folders_none_is_no_manifest() -> None:
    plain = merged(MINIMAL, with_inputs(task_source={"manifest": "none"}))
    with pytest.raises(ConfigError, match="manifest can be none only for rows of a JSONL file"):
        parse_config(yaml.safe_dump(plain), Path("/srv/block/config.yaml"))


def test_a_wheel_of_openhands_is_refused_with_what_it_lacks() -> None:
    wheel = {"name": "openhands-ai", "version": "0.62.0", "url": None, "commit": None}
    said = problem_of({"meta_info": {"repositories": {"openhands": wheel}}})
    assert "openhands cannot be a package: its wheel has no evaluation/" in said
