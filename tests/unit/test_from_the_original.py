"""The page about the earlier system names every script with its flags, and leads only where there is something."""

import re

import pytest

from tests.integration.test_scripts import OLD_FLAGS
from trajgen_assets.core.paths import PROJECT

DOCS = PROJECT / "docs"
PAGE = (DOCS / "from-the-original.md").read_text()
LINK = re.compile(r"\]\(([\w./-]*)(?:#([\w-]+))?\)")


@pytest.mark.parametrize("name", sorted(OLD_FLAGS))
def test_a_script_has_a_row_with_its_old_flags(name: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `scripts/{name}.sh` |"))
    assert not [flag for flag in OLD_FLAGS[name] if f"`{flag}" not in row]


def anchors_of(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("path", "anchor"), sorted(set(LINK.findall(PAGE))))
def test_a_link_leads_to_a_page_and_a_heading(path: str, anchor: str) -> None:
    target = (DOCS / path).resolve()
    assert target.exists()
    assert not anchor or anchor in anchors_of(target.read_text())


@pytest.mark.parametrize("command", ["check trajgen", "run trajgen"])
def test_the_commands_of_the_plugin_are_named(command: str) -> None:
    assert f"`/block:{command}`" in PAGE
