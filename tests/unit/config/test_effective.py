"""What counts, and where it comes from."""

from pathlib import Path

import pytest
import yaml

from trajgen_assets.core.config import load_config
from trajgen_assets.core.config.effective import Setting, as_yaml, effective
from trajgen_assets.core.config.load import key_lines

TEXT = """\
runtime_info:
  input:
    llm_api:
      upstream_model: openai/m
      api_base_url: http://127.0.0.1:9/v1
      api_key: sk-literal-0123456789
    task_sources:
    - {dataset_name: js-cc}
    - dataset_name: py-cc
      staging: link
    litellm_proxy: {master_key: "${MASTER}"}
    campaigns: {b: {agent: {max_turns: 3}}}
    env_extra: {HF_TOKEN: "${HF_TOKEN}", LITELLM_NUM_WORKERS: 1}
status: {phase: running}
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Setting]:
    monkeypatch.setenv("HF_TOKEN", "hf-0123456789")
    monkeypatch.delenv("MASTER", raising=False)
    monkeypatch.setenv("HARBOR_EXCLUDE_TASKS", "a-1")
    (tmp_path / "config.yaml").write_text(TEXT)
    found = effective(load_config(tmp_path / "config.yaml"), key_lines(tmp_path / "config.yaml"))
    return {each.key: each for each in found}


def test_each_key_says_whether_it_is_of_the_file_and_of_which_line_or_a_default(settings: dict[str, Setting]) -> None:
    inputs = "runtime_info.input"
    assert settings[f"{inputs}.llm_api.model"].said == "file, line 4"
    assert settings[f"{inputs}.task_sources.1.staging"].said == "file, line 10"
    assert settings[f"{inputs}.task_sources.0.staging"].said == "default"
    assert settings[f"{inputs}.harbor_job.n_concurrent"] == Setting(
        ("runtime_info", "input", "harbor_job", "n_concurrent"), 8, "default"
    )
    assert settings[f"{inputs}.campaigns.b.agent.max_turns"].value == 3


def test_a_reference_says_whether_it_is_set_and_no_secret_is_shown(settings: dict[str, Setting]) -> None:
    inputs = "runtime_info.input"
    assert settings[f"{inputs}.llm_api.api_key"].value == "<redacted>"
    assert settings[f"{inputs}.env_extra.HF_TOKEN"].value == "${HF_TOKEN}"
    assert "which is set" in settings[f"{inputs}.env_extra.HF_TOKEN"].said
    assert "which is NOT set" in settings[f"{inputs}.litellm_proxy.master_key"].said
    assert "0123456789" not in "".join(as_yaml(list(settings.values())))


def test_what_nothing_reads_is_shown_only_where_the_file_sets_it(settings: dict[str, Setting]) -> None:
    assert settings["status.phase"].value == "running"
    assert "status.progress" not in settings
    assert "runtime_info.input.litellm_proxy.config_template" not in settings


def test_the_list_of_the_environment_is_shown_beside_the_file(settings: dict[str, Setting]) -> None:
    assert (settings["HARBOR_EXCLUDE_TASKS"].value, settings["HARBOR_EXCLUDE_TASKS"].origin) == ("a-1", "environment")


def test_what_is_shown_is_yaml_with_the_same_values(settings: dict[str, Setting]) -> None:
    shown = yaml.safe_load("\n".join(as_yaml(list(settings.values()))))
    assert shown["runtime_info"]["input"]["task_sources"][1]["staging"] == "link"
    assert shown["runtime_info"]["input"]["env_extra"]["LITELLM_NUM_WORKERS"] == "1"
    for each in settings.values():
        place = shown
        for part in each.loc:
            place = place[part]
        assert place == each.value
