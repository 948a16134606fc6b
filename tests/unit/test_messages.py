"""What a message or a document points to is there: commands to run, and tests that hold a claim."""

import re

import pytest

from tests.command_words import calls_in, problem_of
from trajgen_assets.core.paths import PROJECT

TEST_PATH = re.compile(r"`((?:unit|integration|e2e)/[\w/.]+)`")


def advised() -> dict[str, str]:
    files = [*PROJECT.glob("trajgen_assets/**/*.py"), *PROJECT.glob("sensors/*.py"), *PROJECT.glob("resources/*.py")]
    files += [PROJECT / "README.md", *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("plugin/**/*.md")]
    return {call: str(path.relative_to(PROJECT)) for path in files for call in calls_in(path.read_text())}


@pytest.mark.parametrize(("call", "where"), sorted(advised().items()))
def test_an_advised_command_exists_with_its_options(call: str, where: str) -> None:
    assert problem_of(call) is None, f"{where} advises `trajgen {call}`"


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("stat", "`trajgen` has no command stat"),
        ("ledger lose TASK", "`trajgen ledger` has no command lose"),
        ("start --limits 8", "`trajgen start` has no option --limits"),
        ("ledger retry TASK [--forse]", "`trajgen ledger retry` has no option --forse"),
        ("start --limit 8", None),
        ("runs [show RUN]", None),
    ],
)
def test_and_one_that_does_not_is_told(call: str, problem: str | None) -> None:
    assert problem_of(call) == problem


@pytest.mark.parametrize("named", sorted(set(TEST_PATH.findall((PROJECT / "docs" / "operations.md").read_text()))))
def test_a_test_that_holds_a_claim_is_there(named: str) -> None:
    assert (PROJECT / "tests" / named).exists()
