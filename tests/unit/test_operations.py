"""docs/operations.md shows each command of `trajgen --help` as it answers."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from tests.command_words import problem_of
from trajgen_assets.cli.main import app
from trajgen_assets.core.paths import PROJECT

TEXT = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHOWN = [
    (line, *following)
    for block in FENCED.findall(TEXT)
    for line, *following in re.findall(r"^\$ (trajgen .*)\n(.*)$", block, re.MULTILINE)
]

# What no transcript can show whole, and where it is shown instead.
ELSEWHERE = {
    "init": "## Your own tasks and model",  # it asks an endpoint and a person
    "demo": "make demo     #",
    "ingest openhands": "$ trajgen ingest openhands /data",  # in the page of that harness
    "ui": "make ui-demo",  # it stays until it is stopped
    "service install": "installs",  # it changes the machine's own services
}


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that `--help` names, with its group's name before it."""
    command = command or typer.main.get_command(app)
    subs = {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}
    if path and (not subs or command.invoke_without_command):
        yield " ".join(path)
    for name, each in subs.items():
        yield from commands(each, (*path, name))


def words_of(line: str) -> list[str]:
    """A shown command without `trajgen`, and without the options that stand before its name."""
    return re.sub(r"^trajgen (--(root|config) \S+ )*", "", line).split()


@pytest.mark.parametrize("command", sorted(commands()))
def test_each_command_is_shown_with_what_it_answers(command: str) -> None:
    wanted = command.split()
    answers = [answer for line, answer in SHOWN if words_of(line)[: len(wanted)] == wanted]
    if command in ELSEWHERE:
        assert not answers, "it is shown, so take it off the list"
        return
    assert answers, f"docs/operations.md has no transcript of `trajgen {command}`"
    assert any(answer.strip() and not answer.startswith("$ ") for answer in answers)


def test_what_is_shown_elsewhere_is() -> None:
    pages = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    texts = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert all(place in texts for place in ELSEWHERE.values())
    assert set(ELSEWHERE) < set(commands())


@pytest.mark.parametrize("line", sorted({line for line, _ in SHOWN}))
def test_each_command_that_is_shown_could_be_typed(line: str) -> None:
    assert problem_of(" ".join(words_of(line))) is None
