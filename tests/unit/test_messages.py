"""What a message or a document points to is there: commands to run, and tests that hold a claim."""

import re

import pytest
import typer

from trajgen_assets.cli.main import app
from trajgen_assets.core.paths import PROJECT

ADVICE = re.compile(r"`(?:\.venv/bin/)?trajgen ([a-z][a-z -]*)")
TEST_PATH = re.compile(r"`((?:unit|integration|e2e)/[\w/.]+)`")


def known_commands() -> set[str]:
    group = typer.main.get_command(app)
    names = set()
    for name, command in getattr(group, "commands", {}).items():
        names |= {name, *(f"{name} {sub}" for sub in getattr(command, "commands", {}))}
    return names


def advised() -> dict[str, str]:
    files = [*PROJECT.glob("trajgen_assets/**/*.py"), *PROJECT.glob("sensors/*.py"), *PROJECT.glob("resources/*.py")]
    files += [PROJECT / "README.md", *PROJECT.glob("docs/*.md")]
    return {
        match[1].strip(): str(path.relative_to(PROJECT))
        for path in files
        for match in ADVICE.finditer(path.read_text())
    }


@pytest.mark.parametrize(("words", "where"), sorted(advised().items()))
def test_an_advised_command_exists(words: str, where: str) -> None:
    known = known_commands()
    first, _, rest = words.partition(" ")
    second = rest.split(" ")[0]
    nested = {name.split(" ")[0] for name in known if " " in name}
    wanted = f"{first} {second}" if first in nested and second and not second.startswith("-") else first
    assert wanted in known, f"{where} advises `trajgen {words}`"


@pytest.mark.parametrize("named", sorted(set(TEST_PATH.findall((PROJECT / "docs" / "operations.md").read_text()))))
def test_a_test_that_holds_a_claim_is_there(named: str) -> None:
    assert (PROJECT / "tests" / named).exists()
