"""An older configuration becomes a new one that means the same, says what changed, and holds no secret."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.config.test_load import MINIMAL, merged
from trajgen_assets.core.config import load_config, parse_config, redacted
from trajgen_assets.core.config.migrate import Migration, Note, migrate
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.paths import PROJECT

OLD = PROJECT / "examples" / "old_configs"
ERAS = [OLD / "config.trajgen.yaml", OLD / "config.tracer.yaml"]
KEY = "sk-planted-4711-0815"


@pytest.fixture(autouse=True)
def _no_list_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARBOR_EXCLUDE_TASKS", raising=False)


def old_file(folder: Path, **extra: Any) -> Path:
    if "input" in extra:
        extra["runtime_info"] = merged({"input": extra.pop("input")}, extra.get("runtime_info", {}))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "old.yaml"
    path.write_text(yaml.safe_dump(merged(MINIMAL, extra), sort_keys=False))
    return path


def migrated(old: Path, target: Path | None = None) -> Migration:
    before = old.read_bytes()
    made = migrate(old, target or old.with_name("new.yaml"))
    assert old.read_bytes() == before
    return made


@pytest.mark.parametrize("old", ERAS, ids=lambda path: path.name)
def test_what_was_migrated_means_the_same_and_needs_no_further_word(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-an-invented-key-0123456789")
    made = migrated(old)
    before, after = load_config(old), parse_config(made.text, old.with_name("new.yaml"))
    assert after.warnings() == []
    assert {line.split()[0] for line in after.notices()} == {"meta_info.repositories.harbor.commit"}
    assert after.campaign().agent == before.campaign().agent
    assert after.campaign().llm_api.api_key.reveal() == before.campaign().llm_api.api_key.reveal()
    assert after.sources() == before.sources()
    assert excluded_ids(after) == excluded_ids(before) == {"ostrava-labs__dagweave-19", "lumenfield__ignorepath-73"}
    for section in ("harbor_job", "automation", "agent", "task_source"):
        kept = [redacted(each)["runtime_info"]["input"][section] for each in (before, after)]
        kept[0].pop("split", None), kept[1].pop("split", None)
        assert kept[0] == kept[1]
    assert (after.jobs_folder, after.data_folder) == (before.jobs_folder, before.data_folder)
    assert after.runtime_info.input.litellm_proxy.port == before.runtime_info.input.litellm_proxy.port


@pytest.mark.parametrize("old", ERAS, ids=lambda path: path.name)
def test_migrating_again_changes_nothing_but_the_comments(old: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(migrated(old).text)
    again = migrated(tmp_path / "config.yaml")
    assert yaml.safe_load(again.text) == yaml.safe_load((tmp_path / "config.yaml").read_text())


def test_what_is_kept_is_a_note_and_no_change_and_a_current_file_has_neither(tmp_path: Path) -> None:
    made = migrated(ERAS[0], tmp_path / "new.yaml")
    assert ("runtime_info.input.litellm_proxy.port", True) in [(key, isinstance(n, Note)) for key, n in made.words]
    assert (made.n_changes > 0, made.n_notes > 0) == (True, True)
    current = migrated(old_file(tmp_path, input={"harbor_job": {"n_concurrent": 2}}))
    assert (current.words, current.n_changes, current.n_notes) == ((), 0, 0)
    comments = [line for line in current.text.splitlines() if line.lstrip().startswith("#")]
    assert len(comments) == 1


def test_a_path_that_is_absolute_already_is_no_change(tmp_path: Path) -> None:
    old = old_file(tmp_path / "a", input={"task_source": {"dataset_name": str(tmp_path / "tasks")}})
    assert migrated(old, tmp_path / "b" / "new.yaml").n_changes == 0


@pytest.mark.parametrize("old", ERAS, ids=lambda path: path.name)
def test_every_key_of_the_old_file_is_kept_or_named_in_a_comment(old: Path) -> None:
    text = migrated(old).text
    given = set(re.findall(r"^ *(\w+):(?! *(?:\"\"|null|\{\}|\[\]) *$)", old.read_text(), re.MULTILINE))
    unnamed = {name for name in given if not re.search(rf"\b{name}\b", text)}
    within_left_out = {"extra", "phase", "progress", "next_steps", "last_updated", "tunable_params"}
    says_nothing = {"resources", "ip", "runtime_mount"}
    assert unnamed <= within_left_out | says_nothing


def test_no_secret_is_copied_and_each_is_handed_over_by_a_name_of_its_own(tmp_path: Path) -> None:
    old = old_file(
        tmp_path,
        input={
            "llm_api": {"api_key": KEY},
            "litellm_proxy": {"master_key": f"{KEY}-m"},
            "campaigns": {"b": {"llm_api": {"model": "a/b", "api_base_url": "http://x", "api_key": f"{KEY}-b"}}},
            "env_extra": {"HF_TOKEN": f"{KEY}-hf", "LLM_API_KEY": f"{KEY}-e", "PROXY": f"http://me:{KEY}@host:1"},
        },
        environment={"extra": {"OLD_TOKEN": f"{KEY}-old"}},
        meta_info={"resources": {"pwd": f"{KEY}-pwd"}, "description": f"see https://me:{KEY}@host/wiki"},
    )
    made = migrated(old)
    assert "4711" not in made.text
    assert made.secrets == {
        "LLM_API_KEY": "runtime_info.input.llm_api.api_key",
        "CAMPAIGNS_B_LLM_API_KEY": "runtime_info.input.campaigns.b.llm_api.api_key",
        "OLD_TOKEN": "runtime_info.input.env_extra.OLD_TOKEN",
        "HF_TOKEN": "runtime_info.input.env_extra.HF_TOKEN",
        "LLM_API_KEY_2": "runtime_info.input.env_extra.LLM_API_KEY",
        "PROXY": "runtime_info.input.env_extra.PROXY",
    }
    assert all(f"{name}: what stood at" in made.text for name in made.secrets)


def test_a_secret_where_nobody_expects_one_is_refused_without_being_shown(tmp_path: Path) -> None:
    old = old_file(tmp_path, input={"llm_api": {"api_key": KEY, "description": f"the key is {KEY}"}})
    with pytest.raises(ConfigError, match="a secret stands where it does not belong") as caught:
        migrated(old)
    assert "4711" not in str(caught.value)
    assert "description: the key is <redacted:" in str(caught.value)


def test_from_another_folder_the_same_files_are_meant_and_no_exclusion_is_lost(tmp_path: Path) -> None:
    old = old_file(
        tmp_path / "block",
        input={
            "task_source": {"dataset_name": "tasks"},
            "harbor_job": {"jobs_dir": "artifacts/jobs"},
            "sft_conversion": {"out_dir": "artifacts/sft_data", "exclude_repos_file": "repos.txt"},
            "env_extra": {"HARBOR_EXCLUDE_TASKS": "a-1 more.txt"},
        },
        runtime_info={"output": {"sft_data_dir": {"path": "artifacts/sft_data"}}},
    )
    (tmp_path / "block" / "excluded_tasks.txt").write_text("b-2\n")
    (tmp_path / "block" / "more.txt").write_text("c-3\n")
    target = tmp_path / "elsewhere" / "config.yaml"
    made = migrated(old, target)
    before, after = load_config(old), parse_config(made.text, target)
    assert after.sources() == before.sources()
    assert after.data_folder == before.data_folder
    assert after.jobs_folder is None
    assert "jobs_dir left out" in made.text
    repos = after.runtime_info.input.sft_conversion.exclude_repos
    assert after.resolve(repos) == before.resolve(before.runtime_info.input.sft_conversion.exclude_repos)
    assert "renamed from exclude_repos_file" in made.text
    assert excluded_ids(after) == excluded_ids(before) == {"a-1", "b-2", "c-3"}


@pytest.mark.parametrize("said", ["swe_bench", "none"])
def test_a_list_of_repositories_that_has_a_name_is_no_path(tmp_path: Path, said: str) -> None:
    old = old_file(tmp_path / "block", input={"sft_conversion": {"exclude_repos": said}})
    made = migrated(old, tmp_path / "elsewhere" / "config.yaml")
    assert parse_config(made.text, tmp_path).runtime_info.input.sft_conversion.exclude_repos == said


def test_exclusions_of_both_older_places_are_joined(tmp_path: Path) -> None:
    old = old_file(
        tmp_path,
        environment={"extra": {"HARBOR_EXCLUDE_TASKS": "a-1", "A": "old", "B": "2"}},
        input={"env_extra": {"HARBOR_EXCLUDE_TASKS": "b-2", "A": "new"}},
    )
    env = yaml.safe_load(migrated(old).text)["runtime_info"]["input"]["env_extra"]
    assert env == {"HARBOR_EXCLUDE_TASKS": "a-1 b-2", "A": "new", "B": "2"}


def test_a_file_of_the_earlier_system_keeps_the_only_shape_of_rows_that_there_was(tmp_path: Path) -> None:
    old = old_file(tmp_path, input={"litellm_proxy": {"port": 4001}})
    made = migrated(old)
    assert yaml.safe_load(made.text)["runtime_info"]["output"]["sft_data_dir"]["format"] == "llamafactory_lf_v0.1"
    assert "format" not in migrated(old_file(tmp_path / "new")).text


def test_all_tasks_no_agent_name_and_odd_text_come_through(tmp_path: Path) -> None:
    old = old_file(
        tmp_path,
        input={
            "harbor_job": {"n_tasks": None},
            "agent": {"name": "terminus2"},
            "llm_api": {"description": "two\nlines: # 'and' \"quotes\" \u2028 🙂", "model": "openai/1.5"},
            "campaigns": {"2": {}, "yes": {"agent": {"max_turns": 3}}},
            "env_extra": {"N": 4, "YES": "yes", "EMPTY": ""},
        },
        meta_info={"dependencies": {"from": {"x": ["a", {"b": None}]}}},
    )
    made = migrated(old)
    assert "n_tasks was null, which meant all tasks" in made.text
    assert "# was terminus2" in made.text
    before, after = load_config(old), parse_config(made.text, old.with_name("new.yaml"))
    assert after.runtime_info.input.llm_api == before.runtime_info.input.llm_api
    assert after.campaigns() == before.campaigns()
    assert after.child_env() == before.child_env()
    assert after.meta_info == before.meta_info


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"input": {"agent": {"name": "custom-codex"}}}, "'custom-codex' is no known agent"),
        ({"command_override": "harbor run"}, "command_override: is not run here"),
        ({"input": {"llm_api": {"model": "human"}, "agnt": {}}}, "has 2 problems"),
    ],
)
def test_a_file_that_is_not_valid_is_not_migrated_and_all_its_problems_are_named(
    tmp_path: Path, extra: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        migrated(old_file(tmp_path, **extra))
