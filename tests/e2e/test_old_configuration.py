"""A job of a configuration of the earlier system: its port, its places, and what it excludes."""

import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import SECRET, SOLVED, Installation
from tests.tiny_tokenizer import trained
from trajgen_assets.core.ledger.models import TaskStatus
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = pytest.mark.e2e

EXIT_REFUSED = 3
EXAMPLES = PROJECT / "examples"


@dataclass(frozen=True)
class OldInstallation(Installation):
    """One whose configuration lies in a block of the earlier system, outside the root."""

    @property
    def config(self) -> Path:
        return self.root.path.parent / "block" / "config.tracer.yaml"


@pytest.fixture
def old(installation: Installation, model: ScriptedModel, tmp_path: Path) -> OldInstallation:
    shutil.copytree(EXAMPLES / "old_configs", tmp_path / "block")
    (tmp_path / "swe_tasks").symlink_to(EXAMPLES / "swe_tasks")
    made = OldInstallation(installation.root, {"LLM_API_KEY": SECRET})
    text = made.config.read_text().replace("http://127.0.0.1:8000/v1", model.base_url)
    text = text.replace("Qwen/Qwen3.5-35B-A3B-Base", "tiny/tokenizer.json")  # the hub is not asked in tests
    (made.config.parent / "tiny").mkdir()
    trained().save(str(made.config.parent / "tiny" / "tokenizer.json"))
    made.config.write_text(text.replace("harbor_job:\n", "harbor_job:\n      environment: local\n"))
    return made


def test_its_port_its_places_and_its_exclusions_are_honoured(old: OldInstallation) -> None:
    config = ("--config", str(old.config))
    old.run(*config, "setup", "--skip-environments")
    with socket.create_server(("127.0.0.1", 4003)):
        code, output = old.run(*config, "start", "--limit", "1")
    assert code == EXIT_REFUSED, output
    assert "port 4003 cannot be used" in output
    old.config.with_name("excluded_tasks.txt").write_text(f"{SOLVED[0]}  # retired after the first era\n")
    code, output = old.run(*config, "start", "--limit", "1")
    assert code == 0, output
    with open_ledger(old.root) as ledger:
        (done,) = [row for row in ledger.rows() if row.status is TaskStatus.DONE]
        (job,) = [each.name for each in ledger.jobs() if each.accepted_digest]
    assert done.task_id == SOLVED[1]
    places = old.config.parent / "artifacts"
    assert json.loads((places / "jobs" / job / "trials.json").read_text())["trials"][0]["accepted"]
    assert len(json.loads((places / "sft_data" / job / "lf.json").read_text())) == 1
    assert (old.root.path / str(done.trajectory_path)).is_file()
    assert ":4003" in (places / "jobs" / job / "host.json").read_text()
