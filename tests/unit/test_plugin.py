"""The agent plugin has the form that its host reads, and its pages name only what there is, and ask before they act."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_words import calls_in
from trajgen_assets.core.paths import PROJECT

PLUGIN = PROJECT / "plugin"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # kebab case, as the plugin form asks for
COMMANDS = {"block:check", "block:run", "trajgen:setup", "trajgen:dashboard"}
KNOWN_KEYS = {"description", "argument-hint", "allowed-tools", "disable-model-invocation", "model"}
ALLOWED = re.compile(r"Bash\(([^():]+)(:\*)?\)")
PAGES = sorted(PLUGIN.glob("*/commands/*.md"))


def read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def front_of(page: Path) -> dict[str, Any]:
    _, front, _ = page.read_text().split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def allowed_by(page: Path) -> set[str]:
    return {match[1] for match in ALLOWED.finditer(front_of(page)["allowed-tools"])}


def test_the_marketplace_names_each_plugin_once_and_each_is_there_under_its_name() -> None:
    market = read(PLUGIN / ".claude-plugin" / "marketplace.json")
    assert NAME.fullmatch(market["name"])
    assert isinstance(market["owner"]["name"], str)
    listed = {each["name"]: PLUGIN / each["source"] for each in market["plugins"]}
    assert len(listed) == len(market["plugins"])
    assert all(each["source"].startswith("./") for each in market["plugins"])
    assert {name: read(folder / ".claude-plugin" / "plugin.json")["name"] for name, folder in listed.items()} == {
        name: name for name in listed
    }
    assert {path.parent.parent for path in PLUGIN.glob("*/.claude-plugin/plugin.json")} == set(listed.values())


@pytest.mark.parametrize(
    "manifest", sorted(PLUGIN.glob("*/.claude-plugin/plugin.json")), ids=lambda path: path.parts[-3]
)
def test_a_manifest_has_a_name_a_version_and_a_description(manifest: Path) -> None:
    found = read(manifest)
    assert set(found) == {"name", "version", "description", "author"}
    assert NAME.fullmatch(found["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert f'version = "{found["version"]}"' in (PROJECT / "pyproject.toml").read_text()


def test_there_is_a_page_for_each_command() -> None:
    assert {f"{page.parts[-3]}:{page.stem}" for page in PAGES} == COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parts[-3]}:{page.stem}")
def test_a_page_says_what_it_does_and_may_run_only_what_it_names(page: Path) -> None:
    front = front_of(page)
    assert front.keys() <= KNOWN_KEYS
    assert front["description"]
    text = page.read_text()
    assert list(calls_in(text))
    body = text.split("---\n", 2)[2]
    assert not [program for program in allowed_by(page) if f"`{program}" not in body]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parts[-3]}:{page.stem}")
@pytest.mark.parametrize("call", ["start", "start --limit 8", "stop JOB", "dashboard --publish TARGET", "clean --yes"])
def test_what_costs_money_or_cannot_be_taken_back_is_allowed_each_time_anew(page: Path, call: str) -> None:
    covered = [
        match[0]
        for match in ALLOWED.finditer(front_of(page)["allowed-tools"])
        if (f".venv/bin/trajgen {call}".startswith(match[1]) if match[2] else f".venv/bin/trajgen {call}" == match[1])
    ]
    assert not covered


def test_a_run_goes_from_check_over_confirm_to_run_and_is_begun_by_a_person_only() -> None:
    page = PLUGIN / "block" / "commands" / "run.md"
    headings = [line for line in page.read_text().splitlines() if line.startswith("## ")]
    assert headings == ["## Check", "## Confirm", "## Run"]
    assert front_of(page)["disable-model-invocation"] is True
