"""`trajgen ledger migrate --to`: a root's commands go on with a ledger that lies on a server."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.postgres import Cluster
from tests.roots import register_listed, set_up_root
from trajgen_assets.cli.main import app
from trajgen_assets.core.errors import BusyError, ConfigError, LedgerError
from trajgen_assets.core.ledger import Batch, open_ledger
from trajgen_assets.core.ledger.moving import is_sealed
from trajgen_assets.core.paths import LEDGER_URL_ENV, Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = set_up_root(tmp_path, "fern-1", "fern-2")
    register_listed(root)
    return root


@pytest.fixture
def url(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LEDGER_PASSWORD", postgres.password)
    return postgres.new_database().replace(postgres.password, "${LEDGER_PASSWORD}")


def trajgen(root: Root, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--root", str(root.path), *arguments])


def test_the_ledger_moves_and_every_command_finds_it(
    root: Root, url: str, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEDGER_URL_ENV, url)  # as somebody exports it who is about to move
    moved = trajgen(root, "ledger", "migrate", "--to", url, "--yes")
    assert moved.exit_code == 0, moved.exception
    assert "tasks: 2 rows" in moved.stdout
    monkeypatch.delenv(LEDGER_URL_ENV)
    for command in (
        "status",
        "runs",
        "exclude-list",
        "ledger export",
        "setup --skip-environments",
        "ledger check --fix --yes",
    ):
        result = trajgen(root, *command.split())
        assert result.exit_code == 0, (command, result.exception)
    assert "fern-1" in trajgen(root, "ledger", "show").stdout
    skipped = trajgen(root, "ledger", "skip", "fern-1", "--reason", "why", "--yes", "--json")
    assert json.loads(skipped.stdout)
    packed = tmp_path / "state.tar.zst"
    assert trajgen(root, "state", "pack", str(packed)).exit_code == 0
    back = Root(tmp_path / "back")
    assert trajgen(back, "state", "unpack", str(packed), "--to", str(back.path)).exit_code == 0
    with open_ledger(back) as here, open_ledger(root) as there:
        assert here.rows() == there.rows()
    texts = [path.read_bytes() for path in root.path.rglob("*") if path.is_file()]
    assert not any(postgres.password.encode() in text for text in texts)


def test_json_tells_what_was_moved(root: Root, url: str) -> None:
    result = trajgen(root, "ledger", "migrate", "--to", url, "--yes", "--json")
    assert json.loads(result.stdout)["tables"]["tasks"]["n_rows"] == 2


def test_it_does_not_move_under_a_job_or_with_a_password_for_all_to_see(
    root: Root, url: str, postgres: Cluster
) -> None:
    with open_ledger(root) as ledger:
        ledger.assign("job-1", Batch("main", "py-cc", 1, None))
        ledger.claim("job-1", "run-1", ttl_s=60)
    refused = trajgen(root, "ledger", "migrate", "--to", url, "--yes")
    assert isinstance(refused.exception, BusyError)
    in_clear = trajgen(root, "ledger", "migrate", "--to", postgres.url("x"), "--yes")
    assert isinstance(in_clear.exception, ConfigError)
    assert postgres.password not in str(in_clear.exception)
    assert not is_sealed(root)
    assert not root.ledger_place.exists()


def test_what_moved_is_not_moved_again(root: Root, url: str) -> None:
    assert trajgen(root, "ledger", "migrate", "--to", url, "--yes").exit_code == 0
    again = trajgen(root, "ledger", "migrate", "--to", url, "--yes")
    assert isinstance(again.exception, LedgerError)
    assert "on a server already" in str(again.exception)
