from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.configuration import config_text
from tests.unit.sft.twin import entry
from trajgen_assets.core.config import parse_config
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.filters import (
    empty_turn,
    first_refusal,
    has_reasoning,
    has_status,
    pairing_fault,
    read_excluded_repos,
    role_fault,
    trial_filters,
)
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.settings import ConversionSettings

ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "tool", "d": "developer"}


def roles(letters: str) -> list[Json]:
    return [{"role": ROLES[letter], "content": ""} for letter in letters]


@pytest.mark.parametrize(
    ("letters", "is_in_order"),
    [
        ("ua", True),
        ("sua", True),
        ("uatata", True),
        ("uattaua", True),
        ("", False),
        ("s", False),
        ("a", False),
        ("u", False),
        ("uau", False),
        ("uuaa", False),
        ("uatua", False),
        ("usa", False),
        ("dua", False),
        ("uat", False),
    ],
)
def test_roles_follow_each_other_as_they_can(letters: str, is_in_order: bool) -> None:
    assert (role_fault(roles(letters)) is None) is is_in_order


def turns(*reasoning: str) -> list[Json]:
    return [{"role": "assistant", "content": "", "reasoning_content": each} for each in reasoning]


@pytest.mark.parametrize(
    ("n_with", "n_without", "mode", "threshold", "is_enough"),
    [
        (0, 5, "strict", 1.0, True),
        (1, 4, "adaptive", 0.2, True),
        (1, 5, "adaptive", 0.2, False),
        (3, 1, "adaptive", 0.75, True),
        (3, 1, "strict", 0.2, False),
        (3, 0, "strict", 0.2, True),
        (3, 1, "adaptive", 0.76, False),
        (1, 99, "adaptive", 0.0, True),
        (0, 5, "adaptive", 1.0, True),
        (0, 0, "adaptive", 1.0, True),
    ],
)
def test_slow_rows_need_reasoning_and_fast_ones_none(
    n_with: int, n_without: int, mode: str, threshold: float, is_enough: bool
) -> None:
    messages = turns(*["t"] * n_with, *[""] * n_without)
    assert has_reasoning(messages, mode, threshold) is is_enough  # type: ignore[arg-type]


def answered(**parts: Any) -> list[Json]:
    turn = {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": [], "weight": 1}
    return [{"role": "user", "content": "q"}, turn | parts]


@pytest.mark.parametrize(
    "parts",
    [{"content": "a"}, {"reasoning_content": "t"}, {"tool_calls": [{"id": "c"}]}, {"weight": 0}],
)
def test_a_turn_that_says_thinks_or_calls_something_or_is_masked_is_not_empty(parts: Json) -> None:
    assert empty_turn(answered(**parts)) is None


def test_an_empty_turn_is_told_by_its_place() -> None:
    assert empty_turn(answered()) == 1


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_list_of_repositories_that_is_no_text_file_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    listed = tmp_path / "repos.txt"
    listed.mkdir() if content is None else listed.write_bytes(content)
    with pytest.raises(ConversionError, match=r"cannot be read \(.*repos.txt\): .*Mend: name a text file"):
        read_excluded_repos(listed)


def test_a_missing_list_of_repositories_is_an_error_not_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no list of excluded"):
        read_excluded_repos(tmp_path / "none.txt")


def test_a_line_that_names_no_repository_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "repos.txt"
    path.write_text("tox-dev/tox\njust-a-name\n")
    with pytest.raises(ConversionError, match="just-a-name"):
        read_excluded_repos(path)


def test_blank_lines_and_comments_name_no_repository(tmp_path: Path) -> None:
    path = tmp_path / "repos.txt"
    path.write_text("# a list\n\n tox-dev/tox \r\n#django/django\nsympy/sympy")
    assert read_excluded_repos(path) == ("tox-dev/tox", "sympy/sympy")
    path.write_text("")
    assert read_excluded_repos(path) == read_excluded_repos(None) == ()


@pytest.mark.parametrize(
    ("repo", "task_id", "is_excluded"),
    [
        ("django/django", "django__django-123", True),
        ("django/django", "Django__DJANGO-123", True),
        ("django/django", "django__django-123__v2", True),
        ("django/django", "django__django", False),
        ("django/django", "django__django-abc", False),
        ("django/django", "django__django-123-fix", False),
        ("django/django", "my-django__django-123", False),
        ("django/django", "django__django-filter-123", False),
        ("django/django", "django__django-123__", False),
        ("a.b/c+d", "a.b__c+d-1", True),
        ("a.b/c+d", "axb__c+d-1", False),
        ("tox-dev/tox", "tox-dev__tox-3813", True),
    ],
)
def test_a_task_is_known_by_its_repository_and_number(repo: str, task_id: str, is_excluded: bool) -> None:
    filters = trial_filters(ConversionSettings(), (repo,), {}, {})
    refusal = first_refusal(filters, entry("x", task_id=task_id), unknown="keep")
    assert (refusal is not None and refusal.reason is Reason.EXCLUDED_REPO) is is_excluded


@pytest.mark.parametrize(
    ("status", "resolved_from", "rewards"),
    [
        ("resolved", None, [1.0]),
        ("unresolved", None, [0.0]),
        ("all", None, [-1.0, 0.0, 0.5, 0.99, 1.0, 2.0]),
        ("resolved", 0.5, [0.5, 0.99, 1.0, 2.0]),
        ("unresolved", 0.5, [-1.0, 0.0]),
    ],
)
def test_rewards_have_a_status(status: Any, resolved_from: float | None, rewards: list[float]) -> None:
    settings = ConversionSettings(instance_status=status, resolved_from=resolved_from)
    given = [-1.0, 0.0, 0.5, 0.99, 1.0, 2.0]
    assert [reward for reward in given if has_status(entry("x", reward=reward), settings)] == rewards


def calling(*ids: str) -> Json:
    return {"role": "assistant", "content": "", "tool_calls": [{"id": each} for each in ids]}


def result(id_: str | None) -> Json:
    return {"role": "tool", "content": ""} | ({"tool_call_id": id_} if id_ is not None else {})


@pytest.mark.parametrize(
    ("messages", "is_paired"),
    [
        ([], True),
        ([calling()], True),
        ([calling("a"), result("a"), calling()], True),
        ([calling("a", "b"), result("b"), result("a"), calling()], True),
        ([calling("a", "a"), result("a"), result("a"), calling()], True),
        ([calling("a")], True),
        ([calling("a"), result("a"), calling("b", "c"), result("b")], True),
        ([calling(), {"role": "user"}, calling()], True),
        ([calling("a"), calling()], False),
        ([calling("a", "b"), result("a"), calling()], False),
        ([calling("a"), result("a"), result("a"), calling()], False),
        ([calling("a"), result("b"), calling()], False),
        ([calling("a"), result(None), calling()], False),
        ([calling("a"), {"role": "user"}, result("a"), calling()], False),
        ([result("a"), calling()], False),
    ],
)
def test_each_call_but_the_last_turns_has_one_result(messages: list[Json], is_paired: bool) -> None:
    assert (pairing_fault(messages) is None) is is_paired


@pytest.mark.parametrize("number", [0, -1])
def test_no_number_of_trials_but_a_positive_one_is_a_limit(number: int) -> None:
    assert ConversionSettings().max_instances is None
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ConversionSettings(max_instances=number)


OTHER_CHOICES = {
    "scaffold": "terminus2",
    "instance_status": "all",
    "resolved_from": 0.5,
    "unknown": "keep",
    "max_instances": 3,
    "retired": "keep",
    "revoked": "keep",
    "task_changed": "keep",
    "reasoning_check_mode": "strict",
    "reasoning_content_ratio_threshold": 0.5,
    "mask_error_turns": True,
    "first_turn": "keep",
    "leaks": "keep",
    "tokenizer_name": "owner/name@0",
    "cutoff_len": 5,
    "over_length": "cut",
    "take_cut": True,
}


def test_every_choice_about_a_conversion_can_be_made_in_the_configuration() -> None:
    elsewhere = {"lf_format", "exclude_repos_file"}  # output.sft_data_dir.format, and exclude_repos, which names lists
    assert ConversionSettings.model_fields.keys() - elsewhere == OTHER_CHOICES.keys()
    config = parse_config(config_text(Path("tasks"), sft_conversion=OTHER_CHOICES), Path("/there/config.yaml"))
    assert ConversionSettings.of(config).model_dump(include=OTHER_CHOICES.keys()) == OTHER_CHOICES
