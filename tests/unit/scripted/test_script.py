from pathlib import Path
from typing import Any

import pytest
import yaml

from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.scripted.script import find_script, load_scripts, read_script

WORK = {"reasoning": "r", "analysis": "a", "plan": "p", "commands": [{"run": "ls"}]}
END = {"reasoning": "r", "analysis": "a", "plan": "p", "complete": True}


def write(path: Path, **changes: Any) -> Path:
    script = {"task_id": "a__b-1", "match": "some phrase", "solves": True, "turns": [WORK, END, END]} | changes
    path.write_text(yaml.safe_dump(script))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"turns": [WORK, END]},
        {"turns": [WORK, WORK, END]},
        {"turns": [END, END, END]},
        {"turns": [WORK, END, {**END, "commands": [{"run": "ls"}]}]},
        {"turns": [{**WORK, "commands": []}, END, END]},
        {"turns": [{**WORK, "commands": [{"run": "sleep 9", "wait_s": 9}]}, END, END]},
        {"match": ""},
        {"reward": 1},
    ],
)
def test_a_malformed_script_is_refused_by_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = write(tmp_path / "bad.yaml", **changes)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        read_script(path)


def test_what_is_not_yaml_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "torn.yaml").write_text("turns: [")
    with pytest.raises(ConfigError, match=r"torn\.yaml"):
        read_script(tmp_path / "torn.yaml")


def test_the_last_turn_is_repeated_for_ever(tmp_path: Path) -> None:
    script = read_script(write(tmp_path / "a.yaml"))
    assert script.turn(0).commands[0].run == "ls"
    assert script.turn(99) == script.turns[-1]


def test_a_phrase_is_found_however_it_is_wrapped() -> None:
    scripts = load_scripts()
    for script in scripts[:-1]:
        assert script.match
        assert find_script(scripts, "Task:\n  " + script.match.replace(" ", "\n   ")) == script


def test_an_unknown_task_gets_the_script_without_a_phrase() -> None:
    script = find_script(load_scripts(), "Write a kernel.")
    assert script.match is None
    assert not script.solves


def test_no_phrase_is_part_of_another() -> None:
    phrases = [script.match for script in load_scripts() if script.match]
    assert not [(one, two) for one in phrases for two in phrases if one != two and one in two]
