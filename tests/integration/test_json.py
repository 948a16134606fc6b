"""What a program reads with `--json`: JSON on stdout and nothing else, also where there is an error to tell."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.roots import list_tasks, register_listed, set_up_root
from trajgen_assets.cli.main import app
from trajgen_assets.core.paths import Root

# How each is called here. Those of LINES print one object a line: a stream that may be long, or ends with an error.
DOCUMENTS = {
    "clean": ("--dry-run",),
    "config show": (),
    "config validate": (),
    "dataset list": (),
    "dataset show": ("nobody",),
    "dataset build": ("new", "--jobs", "nobody", "--dry-run"),
    "dryrun": ("--no-probe",),
    "exclude-list": (),
    "explain": ("fern-1",),
    "gc": ("--compress", "--dry-run"),
    "ingest openhands": ("nowhere", "--dry-run"),
    "ledger check": (),
    "ledger export": (),
    "ledger import": ("--dry-run",),
    "ledger migrate": ("--to", "nowhere", "--yes"),
    "ledger reset": ("fern-1", "--dry-run"),
    "ledger retry": ("fern-1", "--dry-run"),
    "ledger skip": ("fern-1", "--reason", "why", "--dry-run"),
    "runs show": ("run_404",),
    "setup-envs": (),
    "state pack": ("state.tar.zst", "--dry-run"),
    "state unpack": ("nowhere.tar.zst",),
    "status": (),
    "update-repos": ("--dry-run",),
}
LINES = {"convert": ("nobody",), "ledger show": (), "runs": (), "score": ("nobody",)}


def commands_with_json(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[str]:
    command = command or typer.main.get_command(app)
    if any("--json" in param.opts for param in command.params):
        yield " ".join(path)
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands_with_json(sub, (*path, name))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    folder = tmp_path_factory.mktemp("json")
    made = set_up_root(folder, "fern-1", "fern-2")
    list_tasks(folder, "fern-1")
    register_listed(made)
    list_tasks(folder, "fern-1", "fern-2")
    return made


def call(root: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--root", str(root), *command.split(), *arguments, "--json"])


def documents(command: str, stdout: str) -> list[Any]:
    return [json.loads(text) for text in (stdout.splitlines() if command in LINES else [stdout] if stdout else [])]


def test_each_command_with_json_is_tried_here() -> None:
    assert set(commands_with_json()) == DOCUMENTS.keys() | LINES.keys()


@pytest.mark.parametrize(("command", "arguments"), sorted((DOCUMENTS | LINES).items()))
def test_stdout_is_json_and_nothing_else(root: Root, command: str, arguments: tuple[str, ...]) -> None:
    result = call(root.path, command, *arguments)
    found = documents(command, result.stdout)
    assert found or result.exit_code or command in LINES
    assert len(found) <= 1 or command in LINES


def test_a_task_that_is_listed_and_not_registered_yet_is_explained_as_json_too(root: Root) -> None:
    (found,) = documents("explain", call(root.path, "explain", "fern-2").stdout)
    assert found["status"] == "not registered yet"
    assert list(found["listed"]) == ["py-cc/fern-2"]


@pytest.mark.parametrize(("command", "arguments"), sorted((DOCUMENTS | LINES).items()))
def test_where_everything_is_broken_stdout_is_json_or_empty_and_the_exit_code_tells(
    tmp_path: Path, command: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database")
    (tmp_path / "config.yaml").write_text("runtime_info: [\n")
    result = call(tmp_path, command, *arguments)
    documents(command, result.stdout)
    needs_neither = {"dataset list", "runs", "setup-envs"}
    assert (result.exit_code == 0) == (command in needs_neither)
