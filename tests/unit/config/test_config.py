import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.unit.config.test_load import MINIMAL, config_of
from trajgen_assets.core.config import Config, Secret, parse_config, redacted
from trajgen_assets.core.config.pins import HARBOR_VERSION
from trajgen_assets.core.config.scaffolds import SUPPORTED_SCAFFOLDS
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.redact import Redactor

LITERAL = "sk-literal-0123456789"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_LLM_KEY", "sk-from-the-environment\n")
    return "sk-from-the-environment"


def test_a_missing_environment_variable_is_named_only_when_the_secret_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_LLM_KEY", raising=False)
    api_key = config_of().campaign().llm_api.api_key
    with pytest.raises(ConfigError, match="TEST_LLM_KEY is not set"):
        api_key.reveal()


def test_an_environment_variable_of_several_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LLM_KEY", "a\nb")
    with pytest.raises(ConfigError, match="line break"):
        Secret("${TEST_LLM_KEY}").reveal()


def test_a_secret_is_read_from_the_environment_without_margins(key: str) -> None:
    assert config_of().campaign().llm_api.api_key.reveal() == key


def test_a_literal_secret_works_and_is_warned_of() -> None:
    config = config_of(input={"llm_api": {"api_key": LITERAL}, "env_extra": {"HF_TOKEN": "hf_x", "MAX_TOKENS": 3}})
    assert config.campaign().llm_api.api_key.reveal() == LITERAL
    assert [line.split()[0] for line in config.warnings()] == [
        "runtime_info.input.llm_api.api_key",
        "runtime_info.input.env_extra.HF_TOKEN",
    ]


def test_no_copy_of_a_configuration_holds_a_secret_wherever_it_was_written() -> None:
    llm_api = {"api_key": LITERAL, "description": f"bought as {LITERAL}"}
    copy = redacted(config_of(input={"llm_api": llm_api, "env_extra": {"NOTE": f"see {LITERAL}!"}}))
    assert LITERAL not in json.dumps(copy)
    assert copy["runtime_info"]["input"]["env_extra"]["NOTE"] == "see <redacted:runtime_info.input.llm_api.api_key>!"


def test_no_print_or_dump_of_a_configuration_shows_a_literal_secret() -> None:
    config = config_of(
        input={
            "llm_api": {"api_key": LITERAL},
            "litellm_proxy": {"master_key": f"{LITERAL}-2"},
            "campaigns": {"b": {"llm_api": {"model": "a/b", "api_base_url": "http://x", "api_key": f"{LITERAL}-3"}}},
            "env_extra": {"OTHER_API_KEY": f"{LITERAL}-4", "HF_TOKEN": "${HF_TOKEN}"},
        },
        environment={"extra": {"MY_SECRET": f"{LITERAL}-5"}},
        meta_info={
            "resources": {"pwd": f"{LITERAL}-6"},
        },
    )
    for text in (
        repr(config),
        str(config),
        config.model_dump_json(exclude={"meta_info"}),
        json.dumps(redacted(config)),
    ):
        assert LITERAL not in text
    assert redacted(config)["runtime_info"]["input"]["env_extra"] == {
        "OTHER_API_KEY": "<redacted>",
        "HF_TOKEN": "${HF_TOKEN}",
    }


def test_a_login_within_an_address_is_redacted_wherever_it_stands() -> None:
    copy = redacted(config_of(status={"blockers": ["see https://me:pw@host/x", {"at": "ssh://git@host"}]}))
    assert copy["status"]["blockers"] == ["see https://<redacted>@host/x", {"at": "ssh://<redacted>@host"}]


def test_a_redacted_copy_of_a_clean_file_is_itself_valid_and_equal() -> None:
    config = config_of(status={"last_updated": "2026-05-06"})
    again = parse_config(yaml.safe_dump(redacted(config)), config.path)
    assert redacted(again) == redacted(config)
    assert again.notices() == []


def test_known_secrets_can_be_redacted_from_any_text(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET_TOKEN", raising=False)
    config = config_of(input={"env_extra": {"HF_TOKEN": "hf_0123456789", "OTHER_TOKEN": "${UNSET_TOKEN}"}})
    text = Redactor(config.secret_values()).text(f"401 {key} hf_0123456789")
    assert text == "401 <redacted:TEST_LLM_KEY> <redacted:runtime_info.input.env_extra.HF_TOKEN>"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        config_of().runtime_info.input.agent.max_turns = 3  # type: ignore[misc]


def test_the_shortest_file_has_the_documented_defaults() -> None:
    inputs = config_of().runtime_info.input
    assert (inputs.harbor_job.environment, inputs.harbor_job.network) == ("docker", "open")
    assert (inputs.harbor_job.n_concurrent, inputs.harbor_job.n_tasks) == (8, None)
    assert (inputs.harbor_job.max_retries, inputs.harbor_job.max_infra_retries) == (2, 3)
    assert (inputs.agent.name, inputs.agent.max_turns, inputs.agent.temperature) == ("terminus-2", 80, 0.7)
    assert not inputs.automation.enabled
    assert inputs.automation.max_tasks_per_day is None
    assert inputs.sft_conversion.instance_status == "resolved"
    assert config_of().runtime_info.output.sft_data_dir.format == "sharegpt"


def test_a_network_can_be_closed_where_the_platform_closes_it() -> None:
    for environment in ("docker", "local"):
        job = config_of(input={"harbor_job": {"environment": environment, "network": "proxy_only"}})
        assert job.runtime_info.input.harbor_job.network == "proxy_only"
    for environment in ("podman", "daytona"):
        with pytest.raises(ConfigError, match=f"can be proxy_only in docker and local, not in {environment}"):
            config_of(input={"harbor_job": {"environment": environment, "network": "proxy_only"}})
    assert config_of(input={"harbor_job": {"environment": "podman"}}).runtime_info.input.harbor_job.network == "open"


def test_an_empty_value_counts_as_absent() -> None:
    config = config_of(input={"agent": {"runtime_host_path": "", "version": None}, "sft_conversion": None})
    assert config.notices() == []
    assert config.runtime_info.input.sft_conversion.scaffold == "auto"


def test_the_older_names_of_keys_still_work() -> None:
    text = """\
runtime_info:
  input:
    llm_api: {upstream_model: openai/m, api_base: "http://x/v1", api_key: "${K}"}
    task_source: {dataset_name: py-cc}
"""
    llm_api = parse_config(text, Path("/c.yaml")).campaign().llm_api
    assert (llm_api.model, llm_api.api_base_url) == ("openai/m", "http://x/v1")


def test_every_key_that_nothing_reads_says_what_happens_instead() -> None:
    config = config_of(
        input={
            "litellm_proxy": {"master_key": "${MASTER}", "config_template": "scripts/x.yaml"},
            "harbor_job": {"job_name_prefix": "x"},
            "agent": {"version": "2.1.118", "runtime_image": "some/image:1"},
            "campaigns": {"b": {"agent": {"runtime_host_path": "x"}}},
            "env_extra": {"LITELLM_NUM_WORKERS": 1, "ANOTHER": 1},
        },
        meta_info={"resources": {"pwd": "${PWD_THERE}"}, "environment": {"litellm": {"litellm_version": "1.83.14"}}},
        evolving={"tunable_params": {"temperature": 0.5}},
    )
    assert [line.split()[0].removeprefix("runtime_info.input.") for line in config.notices()] == [
        "litellm_proxy.config_template",
        "litellm_proxy.master_key",
        "harbor_job.job_name_prefix",
        "env_extra.LITELLM_NUM_WORKERS",
        "meta_info.resources.pwd",
        "meta_info.environment.litellm.litellm_version",
        "evolving.tunable_params.temperature",
        "agent.version",
        "agent.runtime_image",
        "campaigns.b.agent.runtime_host_path",
    ]


def test_sources_are_absolute_from_the_folder_of_the_file_and_named_after_their_folder() -> None:
    config = config_of(
        input={
            "task_sources": [
                {"dataset_name": "/data/js-cc", "staging": "link"},
                {"dataset_name": "more/", "dataset": "go-cc", "manifest": "lists/go.txt"},
            ]
        }
    )
    first, second, third = config.sources()
    assert (first.dataset, first.folder, first.manifest, first.staging) == (
        "py-cc",
        Path("/srv/swe_tasks/py-cc"),
        Path("/srv/swe_tasks/py-cc/verifiable_tasks.txt"),
        "copy",
    )
    assert (second.dataset, second.staging) == ("js-cc", "link")
    assert (third.dataset, third.folder, third.manifest) == (
        "go-cc",
        Path("/srv/block/more"),
        Path("/srv/block/lists/go.txt"),
    )


def test_a_source_is_found_by_its_data_set() -> None:
    config = config_of()
    assert [config.source("py-cc")] == config.sources()
    with pytest.raises(ConfigError, match="known: py-cc"):
        config.source("js-cc")


def test_an_agent_knows_its_scaffold() -> None:
    assert config_of().campaign().agent.scaffold.sft == "terminus2"


def test_a_list_of_sources_needs_no_single_one() -> None:
    config = config_of(input={"task_source": None, "task_sources": [{"dataset_name": "/data/js-cc"}]})
    assert [source.dataset for source in config.sources()] == ["js-cc"]


def test_main_and_smoke_are_the_file_s_own_model_and_agent() -> None:
    config = config_of()
    assert config.campaigns() == ["main"]
    assert config.campaign("smoke").llm_api == config.campaign("main").llm_api == config.runtime_info.input.llm_api


def test_an_unknown_campaign_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="known: main, b"):
        config_of(input={"campaigns": {"b": {}}}).campaign("c")


def test_a_campaign_changes_just_what_it_says_and_prices_belong_to_their_model() -> None:
    config = config_of(
        input={
            "llm_api": {"input_cost_per_token": 1e-6},
            "agent": {"temperature": 0.1},
            "campaigns": {"b": {"model": "openai/other", "agent": {"max_turns": 5}}},
        }
    )
    campaign = config.campaign("b")
    assert (campaign.llm_api.model, campaign.llm_api.input_cost_per_token) == ("openai/other", None)
    assert campaign.llm_api.api_base_url == config.campaign().llm_api.api_base_url
    assert (campaign.agent.max_turns, campaign.agent.temperature) == (5, 0.1)


ORACLE = {"agent": {"name": "oracle"}}


@pytest.mark.parametrize("place", [ORACLE, {"campaigns": {"main": ORACLE}}])
def test_the_oracle_is_refused_where_it_would_consume_tasks(place: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="oracle only checks a host"):
        config_of(input=place)


def test_the_oracle_takes_none_of_the_settings_of_a_model_in_a_campaign_of_its_own() -> None:
    agent = config_of(input={"campaigns": {"check": ORACLE}}).campaign("check").agent
    assert (agent.scaffold.sft, agent.options) == (None, {})


def test_the_environment_of_children_joins_both_places_and_reads_references(key: str) -> None:
    config = config_of(
        environment={"extra": {"A": "old", "HARBOR_EXCLUDE_TASKS": "excluded_tasks.txt  a-1\na-2"}},
        input={"env_extra": {"A": 4, "B": "${TEST_LLM_KEY}"}},
    )
    assert config.child_env() == {"A": "4", "B": key, "HARBOR_EXCLUDE_TASKS": "excluded_tasks.txt  a-1\na-2"}


def test_exclusions_of_every_place_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARBOR_EXCLUDE_TASKS", "c-3")
    monkeypatch.setenv("MY_LIST", "b-2")
    config = config_of(
        environment={"extra": {"HARBOR_EXCLUDE_TASKS": "a-1"}},
        input={"env_extra": {"HARBOR_EXCLUDE_TASKS": "${MY_LIST}"}},
    )
    assert config.exclusion_texts() == [
        ("environment.extra.HARBOR_EXCLUDE_TASKS", "a-1"),
        ("runtime_info.input.env_extra.HARBOR_EXCLUDE_TASKS", "b-2"),
        ("the environment's HARBOR_EXCLUDE_TASKS", "c-3"),
    ]
    assert config.named_environ()["HARBOR_EXCLUDE_TASKS"] == "c-3"


def test_an_untested_commit_of_harbor_is_refused_with_the_tested_ones_and_an_earlier_pin_says_what_runs() -> None:
    def with_pin(commit: str) -> Config:
        return config_of(meta_info={"repositories": {"harbor": {"url": "git@host:org/harbor.git", "commit": commit}}})

    with pytest.raises(ConfigError, match=f"{'1' * 40} was never tested.*ff04349, 3062421, 4d76f38, 348d10f"):
        with_pin("1" * 40)
    built = {"url": "git@host:org/harbor.git", "commit": "1" * 40, "build": True}
    assert config_of(meta_info={"repositories": {"harbor": built}}).notices() == []
    (notice,) = with_pin("ff04349" + "0" * 33).notices()
    assert "repositories.harbor.commit is not checked out: Harbor 0.25.0" in notice


def test_the_harbor_that_is_said_to_run_is_the_one_of_the_lock() -> None:
    lock = Path(__file__).resolve().parents[3] / "locks" / "harbor.txt"
    assert f"\nharbor=={HARBOR_VERSION} " in "\n" + lock.read_text()


def test_another_repository_may_have_any_pin() -> None:
    config = config_of(meta_info={"repositories": {"swe_data_process": {"url": "x", "commit": "1" * 40}}})
    assert config.notices() == []


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("terminus-2", "terminus-2"),
        ("terminus2", "terminus-2"),
        ("custom-terminus-2", "terminus-2"),
        ("custom-claude-code", "claude-code"),
        ("custom-opencode", "opencode"),
        ("custom-openhands-sdk", "openhands-sdk"),
        ("openhands", "openhands-sdk"),
        ("mini-swe-agent", "mini-swe-agent"),
    ],
)
def test_an_agent_is_found_under_the_name_that_it_had_before_and_a_word_says_so(name: str, canonical: str) -> None:
    config = config_of(input={"agent": {"name": name}})
    assert config.campaign().agent.scaffold.agent == canonical
    said = [] if name == canonical else [f"runtime_info.input.agent.name {name} is the scaffold {canonical} here"]
    assert config.notices() == said


def test_each_agent_is_told_what_it_takes_and_the_proxy_the_rest() -> None:
    given = {"name": "claude-code", "max_turns": 7, "temperature": 0.2, "version": "2.1.329"}
    agent = config_of(input={"agent": given}).campaign().agent
    assert agent.options == {"max_turns": 7, "version": "2.1.329"}
    assert (agent.sampling, agent.max_calls) == ({"temperature": 0.2}, None)
    agent = config_of(input={"agent": {**given, "name": "opencode"}}).campaign().agent
    assert (agent.options, agent.sampling, agent.max_calls) == ({"version": "2.1.329"}, {"temperature": 0.2}, 8)
    assert (config_of().campaign().agent.sampling, config_of().campaign().agent.options["temperature"]) == ({}, 0.7)


def test_a_campaign_with_another_agent_does_not_take_over_the_version_of_the_first() -> None:
    campaigns = {"b": {"agent": {"name": "terminus-2"}}, "c": {"agent": {"max_turns": 3}}}
    config = config_of(input={"agent": {"name": "claude-code", "version": "2.1.329"}, "campaigns": campaigns})
    assert (config.campaign("b").agent.version, config.campaign("c").agent.version) == (None, "2.1.329")
    assert config.notices() == []


@pytest.mark.parametrize("scaffold", [each.sft for each in SUPPORTED_SCAFFOLDS.values() if each.sft])
def test_every_scaffold_can_be_named_for_conversion(scaffold: str) -> None:
    assert config_of(input={"sft_conversion": {"scaffold": scaffold}}).notices() == []


def test_jobs_and_data_lie_where_the_file_says_from_its_own_folder_and_else_under_the_root() -> None:
    config = config_of()
    assert (config.jobs_folder, config.data_folder) == (None, None)
    declared = {"raw_trajectories_dir": {"path": "artifacts/jobs"}, "sft_data_dir": {"path": "artifacts/sft_data"}}
    config = config_of(runtime_info={"output": declared})
    assert (config.jobs_folder, config.data_folder) == (
        Path("/srv/block/artifacts/jobs"),
        Path("/srv/block/artifacts/sft_data"),
    )
    chosen = {"harbor_job": {"jobs_dir": "artifacts/jobs/smoke"}, "sft_conversion": {"out_dir": "artifacts/sft_data/a"}}
    config = config_of(input=chosen, runtime_info={"output": declared})
    assert (config.jobs_folder, config.data_folder) == (
        Path("/srv/block/artifacts/jobs/smoke"),
        Path("/srv/block/artifacts/sft_data/a"),
    )
    assert config.notices() == []


def test_a_repository_is_pinned_by_commit_then_ref_then_branch() -> None:
    commit = "4d76f38" + "0" * 33
    repositories = {
        "harbor": {"url": "x", "commit": commit, "branch": "main"},
        "b": {"url": "x", "ref": "v1", "branch": "main", "path": "elsewhere"},
        "c": {"url": "x", "branch": "main"},
    }
    named = config_of(meta_info={"repositories": repositories}).meta_info.repositories
    assert [named[name].target for name in repositories] == [commit, "v1", "origin/main"]
    assert [named[name].path for name in repositories] == ["repos/harbor", "elsewhere", "repos/c"]


def test_the_minimal_file_is_really_minimal() -> None:
    for path in (("llm_api", "model"), ("llm_api", "api_base_url"), ("llm_api", "api_key"), ("task_source",)):
        short = json.loads(json.dumps(MINIMAL))
        section = short["runtime_info"]["input"]
        for part in path[:-1]:
            section = section[part]
        del section[path[-1]]
        with pytest.raises(ConfigError):
            parse_config(yaml.safe_dump(short), Path("/c.yaml"))


def _pooled(**more: Any) -> dict[str, Any]:
    endpoints = [{"api_base_url": "http://a/v1", "api_key": "${A}"}, more]
    return {"model": "openai/m", "endpoints": endpoints, "api_base_url": None, "api_key": None}


def test_several_endpoints_take_from_llm_api_what_they_do_not_say() -> None:
    second = {"api_base": "http://b/v1", "api_key": "${B}", "name": "far", "upstream_model": "openai/other"}
    limits = {"weight": 2.5, "requests_per_minute": 30, "timeout_s": 90.0}
    api = _pooled(**second, **limits) | {"timeout_s": 120.0, "requests_per_minute": 600}
    config = config_of(input={"llm_api": api})
    first, other = config.campaign().llm_api.pool
    assert (first.name, first.model, first.weight) == ("endpoint-1", "openai/m", 1.0)
    assert (first.requests_per_minute, first.timeout_s) == (600, 120.0)
    assert (other.name, other.model, other.api_base_url) == ("far", "openai/other", "http://b/v1")
    assert (other.weight, other.requests_per_minute, other.timeout_s) == (2.5, 30, 90.0)
    assert config.named_references() >= {"A", "B"}


def test_one_endpoint_is_a_pool_of_one() -> None:
    [only] = config_of().campaign().llm_api.pool
    assert (only.name, only.model, only.requests_per_minute, only.timeout_s) == ("endpoint-1", "openai/m", None, 600.0)


def test_another_model_of_a_campaign_is_asked_for_at_each_endpoint() -> None:
    pooled = _pooled(api_base_url="http://b/v1", api_key="${B}", model="openai/m-at-b")
    config = config_of(input={"llm_api": pooled, "campaigns": {"other": {"model": "openai/n"}}})
    assert [each.model for each in config.campaign().llm_api.pool] == ["openai/m", "openai/m-at-b"]
    assert [each.model for each in config.campaign("other").llm_api.pool] == ["openai/n", "openai/n"]


def test_the_address_of_a_webhook_is_named_and_never_written_into_the_file() -> None:
    named = config_of(input={"alerts": {"webhook": "${ALERTS}", "file": "alerts.jsonl"}})
    assert named.named_references() >= {"ALERTS"}
    with pytest.raises(ConfigError, match="whoever knows the address can write there") as refused:
        config_of(input={"alerts": {"webhook": "https://hooks.example/T0/planted-webhook"}})
    assert "planted-webhook" not in str(refused.value)
