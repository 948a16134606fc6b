"""One trouble has one exit code, whichever command meets it."""

import shutil
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from tests.roots import register_listed, set_up_root
from trajgen_assets.cli.main import app, exit_code_of
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = set_up_root(tmp_path_factory.mktemp("codes"), "a")
    register_listed(root)
    return root


@pytest.fixture
def broken(made: Root) -> Iterator[Root]:
    """The same root, to be left with the configuration that it had."""
    config = made.path / "config.yaml"
    kept = shutil.copy(config, config.with_name("kept.yaml"))
    yield made
    (made.path / "excluded_tasks.txt").unlink(missing_ok=True)
    shutil.copy(kept, config)


def code_of(root: Root, *words: str) -> int:
    result = CliRunner().invoke(app, ["--root", str(root.path), *words])
    return exit_code_of(result.exception) if isinstance(result.exception, TrajgenError) else result.exit_code


EVERYWHERE = [
    ("status",),
    ("status", "--json"),
    ("dryrun", "--no-probe"),
    ("config", "validate"),
    ("exclude-list",),
]
RUNNING = [("start",), ("prepare-tasks",), ("convert", "--job", "j"), ("config", "show"), ("exclude-list",)]


@pytest.mark.parametrize("words", [*EVERYWHERE, *RUNNING], ids=" ".join)
def test_a_configuration_that_cannot_be_used_is_wrong_usage(broken: Root, words: tuple[str, ...]) -> None:
    config = broken.path / "config.yaml"
    config.write_text(config.read_text().replace("environment", "enviroment"))
    assert code_of(broken, *words) == EXIT_USAGE


@pytest.mark.parametrize("words", [*EVERYWHERE, ("start",)], ids=" ".join)
def test_so_is_a_list_of_exclusions_that_cannot_be_read(broken: Root, words: tuple[str, ...]) -> None:
    (broken.path / "excluded_tasks.txt").write_text("no task id\n")
    assert code_of(broken, *words) == EXIT_USAGE


@pytest.mark.parametrize(
    "words",
    [
        ("stop", "nobody"),
        ("reap", "nobody"),
        ("convert", "--job", "nobody"),
        ("runs", "show", "run_099"),
        ("explain", "nobody"),
        ("explain", "py-cc/nobody"),
        ("explain", "py-cc/../nobody"),
        ("logs", "nobody"),
        ("path", "nobody@smoke"),
        ("ledger", "skip", "nobody", "--reason", "none", "--yes"),
        ("start", "--tasks", "nobody"),
        ("start", "--campaign", "nobody"),
        ("pause", "--dataset", "nobody"),
    ],
    ids=" ".join,
)
def test_a_name_that_nobody_knows_is_wrong_usage(made: Root, words: tuple[str, ...]) -> None:
    assert code_of(made, *words) == EXIT_USAGE


def test_a_blocker_that_no_configuration_mends_is_a_failure(made: Root) -> None:
    load_config(made.path / "config.yaml").sources()[0].manifest.rename(made.path / "away")
    assert code_of(made, "status") == EXIT_FAILED


def test_on_another_machine_than_the_declared_one_start_is_refused_and_touches_nothing(broken: Root) -> None:
    config = broken.path / "config.yaml"
    config.write_text(config.read_text() + "meta_info: {resources: {ip: 192.0.2.77}}\n")
    assert code_of(broken, "start", "--update-repos") == EXIT_REFUSED
    assert code_of(broken, "config", "validate") == EXIT_OK
    with open_ledger(broken) as ledger:
        assert ledger.jobs() == []
