"""What a person retired is read from every place that may name it, and a broken list is never an empty one."""

import os
from pathlib import Path

import pytest

from trajgen_assets.core.config import Config, parse_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.exclusions import Exclusion, excluded_ids, exclusions
from trajgen_assets.core.paths import Root

LISTED = """\
description: what was consumed
runs:
- {task_id: a-1, status: done, reward: 0.0}
- {task_id: b-2, status: failed}
- {task_id: c-3, status: skipped, note: flaky}
- {task_id: d-4, status: pending}
- {task_id: e-5, status: running}
"""
MAPPED = """\
run_id: run_001
target_tasks: 40
last_checked: 2026-05-06 10:00
tasks:
  a-1: {status: done, reward: 0.0, error: AgentTimeoutError}
  b-2: failed
  c-3: {status: skipped}
  d-4: {status: pending}
"""


@pytest.fixture(autouse=True)
def _no_list_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARBOR_EXCLUDE_TASKS", raising=False)


def config_in(folder: Path, tokens: str = "") -> Config:
    api = '{model: openai/m, api_base_url: "http://127.0.0.1:9/v1", api_key: "${K}"}'
    inputs = f'llm_api: {api}, task_source: {{dataset_name: tasks}}, env_extra: {{HARBOR_EXCLUDE_TASKS: "{tokens}"}}'
    return parse_config(f"runtime_info: {{input: {{{inputs}}}}}", folder / "config.yaml")


@pytest.mark.parametrize("token", ["retired.txt", "lists/retired", "artifacts/processed_tasks.yaml", "ledger.yml"])
def test_a_list_that_is_named_and_not_there_is_an_error(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigError, match=Path(token).name):
        excluded_ids(config_in(tmp_path, token))


def test_ids_files_and_the_list_beside_the_configuration_add_up_each_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "excluded_tasks.txt").write_text("# none of these\na-1  # flaky\n\n")
    (tmp_path / "more").write_text("b-2\n")
    place = "runtime_info.input.env_extra.HARBOR_EXCLUDE_TASKS"
    assert exclusions(config_in(tmp_path, "c-3 more")) == [
        Exclusion("a-1", "excluded_tasks.txt, line 2: flaky"),
        Exclusion("c-3", place),
        Exclusion("b-2", f"more of {place}, line 1"),
    ]


@pytest.mark.parametrize("text", [LISTED, MAPPED])
def test_of_a_ledger_of_the_earlier_system_the_ids_that_are_over_count(tmp_path: Path, text: str) -> None:
    (tmp_path / "processed_tasks.yaml").write_text(text)
    found = exclusions(config_in(tmp_path, "processed_tasks.yaml"))
    assert [(each.task_id, each.source.rsplit(": ", 1)[1]) for each in found] == [
        ("a-1", "done"),
        ("b-2", "failed"),
        ("c-3", "skipped"),
    ]


def test_the_list_of_the_environment_counts_beside_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARBOR_EXCLUDE_TASKS", " b-2\n c-3 ")
    assert excluded_ids(config_in(tmp_path, "a-1")) == {"a-1", "b-2", "c-3"}


def test_the_published_view_of_the_root_is_left_to_its_ledger(tmp_path: Path) -> None:
    root = Root(tmp_path / "artifacts")
    config = config_in(tmp_path, "a-1 artifacts/consumption_ledger.yaml")
    assert excluded_ids(config, root) == {"a-1"}
    with pytest.raises(ConfigError, match=r"consumption_ledger\.yaml"):
        excluded_ids(config, Root(tmp_path / "another"))


def test_the_published_view_is_known_however_its_place_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "real" / "consumption_ledger.yaml").write_text(LISTED)
    for root in (Root(tmp_path / "linked"), Root(tmp_path / "linked" / ".." / "real")):
        for token in ("real/consumption_ledger.yaml", "linked/consumption_ledger.yaml"):
            assert excluded_ids(config_in(tmp_path, f"z-9 {token}"), root) == {"z-9"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("runs: [{task_id: a-1, status: finished}]", "line 1: status 'finished' is not known"),
        ("runs: [{status: done}]", "it has no task_id"),
        ("runs:\n  job-1: [{task_id: a-1, status: done}]", "neither a list `runs` nor a mapping `tasks`"),
        ("tasks: [1\n", "cannot be read"),
        ("- a-1\n", "it is no mapping"),
        ("\0\0\0", "cannot be read"),
    ],
)
def test_a_ledger_that_is_broken_is_an_error_with_its_fault(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ledger.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        excluded_ids(config_in(tmp_path, "a-1 ledger.yaml"))
    assert said in str(caught.value)
    assert "ledger.yaml" in str(caught.value)


@pytest.mark.parametrize("tokens", ["a-1,b-2", "django__*", "[a-1]", "${a-1}"])
def test_a_token_that_can_be_no_task_id_is_an_error_and_not_a_word_that_matches_nothing(
    tmp_path: Path, tokens: str
) -> None:
    with pytest.raises(ConfigError, match="is no task id, so it would exclude nothing"):
        excluded_ids(config_in(tmp_path, tokens))


def test_a_line_that_can_be_no_task_id_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "excluded_tasks.txt").write_text("a-1\nowner/repo\n")
    with pytest.raises(ConfigError, match=r"excluded_tasks\.txt, line 2"):
        excluded_ids(config_in(tmp_path))


def test_a_list_that_is_no_text_no_file_or_a_dangling_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    for token in ("latin.txt", "folder.txt", "pipe.txt", "/dev/zero"):
        with pytest.raises(ConfigError, match=Path(token).name):
            excluded_ids(config_in(tmp_path, token))
    (tmp_path / "excluded_tasks.txt").symlink_to("gone.txt")
    with pytest.raises(ConfigError, match=r"excluded_tasks\.txt"):
        excluded_ids(config_in(tmp_path))


def test_nothing_named_excludes_nothing(tmp_path: Path) -> None:
    assert excluded_ids(config_in(tmp_path)) == frozenset()


def test_ten_thousand_entries_are_read_within_a_tick(tmp_path: Path) -> None:
    entries = "".join(f"- {{task_id: owner__repo-{n}, status: done}}\n" for n in range(10_000))
    (tmp_path / "ledger.yaml").write_text(f"runs:\n{entries}")
    assert len(excluded_ids(config_in(tmp_path, "ledger.yaml"))) == 10_000


def test_a_list_that_stays_as_it_is_is_read_once_and_one_that_changes_is_read_again(tmp_path: Path) -> None:
    config, listed = config_in(tmp_path), tmp_path / "excluded_tasks.txt"
    for said, at_s, read in (("a-1", 1000, "a-1"), ("b-2", 1000, "a-1"), ("b-2", 1001, "b-2")):
        listed.write_text(f"{said}\n")
        os.utime(listed, (at_s, at_s))  # only a file of the same size and time is taken for the same
        assert excluded_ids(config) == {read}
    listed.write_text("c-3\n")
    assert excluded_ids(config) == {"c-3"}
