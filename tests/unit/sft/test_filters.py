from pathlib import Path

import pytest

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.filters import has_reasoning, read_excluded_repos, roles_in_order
from trajgen_assets.core.sft.messages import Json

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
    assert roles_in_order(roles(letters)) is is_in_order


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
    ],
)
def test_slow_rows_need_reasoning_and_fast_ones_none(
    n_with: int, n_without: int, mode: str, threshold: float, is_enough: bool
) -> None:
    messages = turns(*["t"] * n_with, *[""] * n_without)
    assert has_reasoning(messages, mode, threshold) is is_enough  # type: ignore[arg-type]


def test_a_missing_list_of_repositories_is_an_error_not_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no list of excluded"):
        read_excluded_repos(tmp_path / "none.txt")


def test_a_line_that_names_no_repository_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "repos.txt"
    path.write_text("tox-dev/tox\njust-a-name\n")
    with pytest.raises(ConversionError, match="just-a-name"):
        read_excluded_repos(path)
