"""docs/openhands.md: its configuration is one, and each trap of the harness has a test that is there."""

import re
from pathlib import Path

from trajgen_assets.core.config import parse_config
from trajgen_assets.core.paths import PROJECT

DOCUMENT = PROJECT / "docs" / "openhands.md"
ROW = re.compile(r"^\| (.+?) \| `(test_\w+)` \|$", re.MULTILINE)


def named() -> list[tuple[str, str]]:
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text.partition("\n## Traps\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| trap ")]
    found = ROW.findall(section)
    assert len(found) == len(rows), "a row of the table names no test"
    return found


def test_each_trap_has_a_test_by_name() -> None:
    files = (PROJECT / "tests").rglob("test_*.py")
    there = {name for path in files for name in re.findall(r"^ *def (test_\w+)", Path(path).read_text(), re.MULTILINE)}
    assert [trap for trap, test in named() if test not in there] == []


def test_no_trap_is_listed_twice() -> None:
    traps = [trap for trap, _ in named()]
    assert len(traps) == len(set(traps)) > 40


def test_its_configuration_is_accepted_as_it_stands() -> None:
    block = DOCUMENT.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    config = parse_config(block, PROJECT / "config.yaml")
    assert (config.notices(), config.campaign().agent.max_turns) == ([], 50)
