from pathlib import Path
from typing import Any

import pytest
import yaml

from trajgen_assets.core.config import Config, load_config, parse_config
from trajgen_assets.core.config.pins import HARBOR_VERSION
from trajgen_assets.core.errors import ConfigError

PACKAGE = {"name": "harbor", "version": HARBOR_VERSION}

PROJECT = Path(__file__).resolve().parents[3]

MINIMAL: dict[str, Any] = {
    "runtime_info": {
        "input": {
            "llm_api": {"model": "openai/m", "api_base_url": "http://127.0.0.1:1/v1", "api_key": "${TEST_LLM_KEY}"},
            "task_source": {"dataset_name": "../swe_tasks/py-cc"},
        }
    }
}


def merged(base: Any, extra: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(extra, dict)):
        return extra
    return {**base, **{key: merged(base.get(key), value) for key, value in extra.items()}}


ENDPOINT = {"api_base_url": "http://a/v1", "api_key": "${A}"}


def config_of(**extra: Any) -> Config:
    """The minimal configuration with `extra` merged in; `input` stands for runtime_info.input."""
    if "input" in extra:
        extra["runtime_info"] = merged({"input": extra.pop("input")}, extra.get("runtime_info", {}))
    return parse_config(yaml.safe_dump(merged(MINIMAL, extra)), Path("/srv/block/config.yaml"))


def problems_of(**extra: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(**extra)
    return str(caught.value)


def test_a_missing_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trajgen init"):
        load_config(tmp_path / "config.yaml")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n", "text\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="empty or not a mapping"):
        parse_config(text, Path("/c.yaml"))


@pytest.mark.parametrize(
    "text", ["a: [1\n", "a: !!python/name:os.system\n", "a: 1\n---\nb: 2\n", "a: 2026-13-45\n", "a: *b"]
)
def test_a_file_that_is_not_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"not YAML.*Mend: correct the file at that line; `trajgen config validate`"):
        parse_config(text, Path("/c.yaml"))


def test_a_yaml_error_names_the_line_and_quotes_nothing_of_the_file() -> None:
    with pytest.raises(ConfigError, match="line 2") as caught:
        parse_config("api_key: sk-hidden\n  model: x: y\n", Path("/c.yaml"))
    assert "sk-hidden" not in str(caught.value)


def test_bytes_that_are_no_text_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_all_problems_are_in_one_error_one_line_each_with_path_and_line() -> None:
    text = """\
runtime_info:
  input:
    llm_api:
      model: human
      api_bas: http://x/v1
      api_key: 12345
    task_source: {dataset_name: py-cc}
    harbor_job:
      n_concurrent: 2
      n_concurrent: 4
      n_tasks: many
"""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, Path("/c.yaml"))
    assert str(caught.value).splitlines()[1:] == [
        "  runtime_info.input.llm_api.model: is still `human`: fill it in, or use `trajgen init` (line 4)",
        "  runtime_info.input.harbor_job.n_concurrent is set 2 times (lines 9, 10)",
        "  runtime_info.input.llm_api.api_base_url: is missing (line 3)",
        "  runtime_info.input.llm_api.api_key: should be text: put it in quotes, or write ${NAME} (line 6)",
        "  runtime_info.input.llm_api.api_bas: unknown key; the nearest known key is api_base (line 5)",
        "  runtime_info.input.harbor_job.n_tasks: should be a whole number (line 11)",
    ]


def test_the_template_of_the_project_is_refused_only_for_what_a_person_must_fill_in() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(PROJECT / "config.yaml")
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 3
    assert all("is still `human`" in line for line in lines)


def test_the_template_with_these_filled_in_is_valid(tmp_path: Path) -> None:
    text = (PROJECT / "config.yaml").read_text()
    for value in ("openai/m", "http://127.0.0.1:1/v1", "py-cc"):
        text = text.replace(": human ", f": {value} ", 1)
    config = parse_config(text, tmp_path / "config.yaml")
    assert config.notices() == []
    assert config.warnings() == []


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"input": {"agnt": {}}}, "runtime_info.input.agnt: unknown key; the nearest known key is agent"),
        ({"input": {"agent": {"n_concurrent": 3}}}, "known key is runtime_info.input.harbor_job.n_concurrent"),
        ({"input": {"task_sources": [{"dataset_name": "x", "stagin": "copy"}]}}, "nearest known key is staging"),
        ({"input": {"campaigns": {"b": {"modle": "x/y"}}}}, "campaigns.b.modle: unknown key; the nearest"),
        ({"input": {"llm_api": {"api_base": "http://x"}}}, "another name of api_base_url, which is set too"),
        ({"wholly_unlike": 1}, "known here: runtime_info, meta_info"),
        ({"input": {"llm_api": {"model": "m"}}}, "should be provider/name"),
        ({"input": {"llm_api": {"api_base_url": "host:80"}}}, "should be an http(s) address"),
        ({"input": {"llm_api": {"api_base_url": "http://u:pw@host/v1"}}}, "without user, password"),
        ({"input": {"llm_api": {"api_key": ""}}}, "api_key: is missing"),
        ({"input": {"llm_api": {"api_key": "$KEY"}}}, "exactly ${NAME}"),
        ({"input": {"llm_api": {"endpoints": [ENDPOINT]}}}, "llm_api.api_key: is said by each of the endpoints"),
        ({"input": {"llm_api": {"endpoints": [{"weight": 0.0}]}}}, "endpoints.0.api_base_url: is missing"),
        ({"input": {"llm_api": {"endpoints": [ENDPOINT | {"weight": 0.0}]}}}, "endpoints.0.weight: should be greater"),
        ({"input": {"llm_api": {"endpoints": [ENDPOINT | {"name": "a"}] * 2}}}, "two of them are named a"),
        ({"input": {"llm_api": {"endpoints": [ENDPOINT | {"name": "m"}]}}}, "one is named m, as the model is"),
        ({"input": {"llm_api": {"api_key": "Bearer ${KEY}"}}}, "exactly ${NAME}"),
        ({"input": {"llm_api": {"api_key": "<redacted>"}}}, "was redacted in this copy"),
        ({"input": {"llm_api": None}}, "runtime_info.input.llm_api: is missing"),
        ({"input": {"task_source": None}}, "no folder of tasks is named"),
        ({"input": {"task_source": {"provider": "huggingface"}}}, "should be owner/name"),
        ({"input": {"task_source": {"dataset": "a/b"}}}, "task_source.dataset: should be letters"),
        ({"input": {"task_source": {"dataset_name": "some folder"}}}, "cannot name a data set"),
        ({"input": {"task_sources": [{"dataset_name": "/elsewhere/py-cc"}]}}, "two sources are named py-cc"),
        ({"input": {"task_sources": [{"dataset_name": "PY-CC"}]}}, "two sources are named PY-CC"),
        ({"input": {"agent": {"name": "made-up"}}}, "'made-up' is no known agent; supported now: terminus-2"),
        ({"input": {"agent": {"import_path": "a:B"}}}, "cannot be chosen here"),
        ({"input": {"sft_conversion": {"scaffold": "codex"}}}, "'codex' is no known scaffold; known: auto,"),
        ({"input": {"campaigns": {"smoke": {}}}}, "smoke is reserved"),
        ({"input": {"campaigns": {"a/b": {}}}}, "should be letters"),
        ({"input": {"agent": {"name": "opencod"}}}, "'opencod' is no known agent; the nearest is opencode; supported"),
        ({"input": {"campaigns": {"b": {"agent": {"name": "codex"}}}}}, "b.agent.name: 'codex' is no known agent"),
        (
            {"input": {"agent": {"name": "claude-code"}, "harbor_job": {"environment": "local"}}},
            "input.agent: claude-code runs inside the sandbox",
        ),
        (
            {"input": {"campaigns": {"b": {"agent": {"name": "claude-code"}}}, "harbor_job": {"environment": "e2b"}}},
            "at which sandboxes of e2b reach this host",
        ),
        ({"input": {"harbor_job": {"n_concurrent": True}}}, "n_concurrent: should be a whole number"),
        ({"input": {"harbor_job": {"n_concurrent": 0}}}, "should be greater than or equal to 1"),
        ({"input": {"harbor_job": {"timeout_multiplier": float("nan")}}}, "timeout_multiplier: should be"),
        ({"input": {"harbor_job": {"jobs_dir": "artifacts/jobs/../../x"}}}, "should lie under artifacts/jobs"),
        ({"runtime_info": {"output": {"raw_trajectories_dir": {"path": "/x"}}}}, "should lie under artifacts/jobs"),
        ({"input": {"sft_conversion": {"out_dir": "artifacts/jobs"}}}, "should not lie under artifacts/jobs"),
        ({"input": {"litellm_proxy": {"port": 65536}}}, "litellm_proxy.port: should be less than"),
        (
            {
                "input": {"sft_conversion": {"out_dir": "a"}},
                "runtime_info": {"output": {"sft_data_dir": {"path": "artifacts/sft_data"}}},
            },
            "runtime_info.output: artifacts/sft_data is declared, and sft_conversion.out_dir is a: name one folder",
        ),
        ({"input": {"automation": {"batch_min": 9, "batch_max": 3}}}, "should not be less than batch_min"),
        ({"input": {"env_extra": {"1A": "x"}}}, "is no name for an environment variable"),
        ({"input": {"env_extra": {"A": True}}}, "A should be text"),
        ({"meta_info": {"repositories": {"harbor": {"url": "x"}}}}, "needs a commit, a ref or a branch"),
        ({"meta_info": {"repositories": {"harbor": {"url": "x", "commit": "abc"}}}}, "should be 40 hex digits"),
        ({"meta_info": {"repositories": {"h": {"url": "x", "ref": "--upload-pack=x"}}}}, "not begin with '-'"),
        ({"meta_info": {"repositories": {"h": {"url": "ext::sh", "ref": "v1"}}}}, "should be an https or ssh address"),
        ({"meta_info": {"repositories": {"h": {"branch": "v1"}}}}, "needs a url, or name and version of a package"),
        ({"meta_info": {"repositories": {"h": {"name": "harbor"}}}}, "and not both"),
        ({"meta_info": {"repositories": {"h": {"name": "x", "version": "1"}}}}, "x 1 is not what the lock"),
        ({"meta_info": {"repositories": {"harbor": PACKAGE | {"version": "9"}}}}, "harbor 9 is not what the lock"),
        ({"meta_info": {"repositories": {"other": PACKAGE}}}, "of the package index only harbor can be"),
        ({"meta_info": {"repositories": {"harbor": PACKAGE | {"build": True}}}}, "and not both"),
        (
            {"meta_info": {"repositories": {"harbor": PACKAGE | {"hashes": ["sha256:0"]}}}},
            "sha256:0 is no hash of harbor",
        ),
        ({"meta_info": {"repositories": {"h": {"url": "https://t@host/x", "ref": "v1"}}}}, "should hold no login"),
        ({"meta_info": {"name": 2}}, "meta_info.name: should be text: put it in quotes"),
        ({"command_override": "harbor run"}, "command_override: is not run here"),
        ({"runtime_info": {"output": {"sft_data_dir": {"format": "alpaca"}}}}, "'sharegpt' or 'llamafactory_lf_v0.1'"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_refused_with_its_path_and_the_way_out(extra: dict[str, Any], said: str) -> None:
    assert said in problems_of(**extra)


def test_no_refusal_shows_a_secret() -> None:
    text = problems_of(input={"llm_api": {"api_key": "${sk-very-secret", "model": 3}})
    assert "very-secret" not in text


def test_the_marker_is_found_in_lists_and_free_sections() -> None:
    said = problems_of(status={"next_steps": ["human"]}, meta_info={"dependencies": {"x": {"y": "human"}}})
    assert "status.next_steps.0: is still `human`" in said
    assert "meta_info.dependencies.x.y: is still `human`" in said


def test_a_value_that_holds_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"status.phase: holds itself"):
        parse_config(yaml.safe_dump(MINIMAL) + "status: &s\n  phase: *s\n", Path("/c.yaml"))


def test_merge_keys_and_aliases_work_as_yaml_means_them() -> None:
    text = """\
runtime_info:
  input:
    llm_api: &api {model: openai/a, api_base_url: "http://x", api_key: "${K}"}
    task_source: {dataset_name: py-cc}
    campaigns: {b: {llm_api: {<<: *api, model: openai/b}}, c: {llm_api: *api}}
"""
    config = parse_config(text, Path("/c.yaml"))
    assert config.campaign("b").llm_api.model == "openai/b"
    assert config.campaign("c").llm_api == config.campaign().llm_api
