"""On a disk that cannot be written any more nothing begins, and every command says so in a sentence."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.e2e.conftest import Installation
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = pytest.mark.e2e


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "50%") as folder:
        yield folder


@pytest.mark.parametrize("command", [("start",), ("ledger", "show"), ("setup", "--skip-environments")], ids=str)
def test_a_read_only_disk_is_said_in_a_sentence_and_nothing_begins(
    disk: Path, env_dir: Path, model: ScriptedModel, command: tuple[str, ...]
) -> None:
    made = Installation(Root(disk / "root", env_dir))
    made.configure(model.base_url)
    assert made.run("setup", "--skip-environments")[0] == 0
    assert made.run("prepare-tasks")[0] == 0
    before = made.root.ledger.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    code, output = made.run(*command)
    assert code != 0, output
    assert "Traceback" not in output, output
    assert "read-only" in output.lower() or "readonly" in output.lower(), output
    assert made.root.ledger.read_bytes() == before
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    with open_ledger(made.root) as ledger:
        counts = ledger.check_balance()
        assert (counts.pending, counts.running, ledger.jobs()) == (6, 0, [])
