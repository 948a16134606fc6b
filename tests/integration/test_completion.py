"""What a shell completes: names of the root that the line is about, and nothing where that root is broken."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.configuration import config_text
from tests.unit.intake.conftest import write_task
from trajgen_assets.cli.main import app
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import AskedBy, Batch
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root

PROGRAM = Path(sys.executable).with_name("trajgen")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    folder = tmp_path_factory.mktemp("completion")
    made, source = Root(folder / "root"), folder / "py-cc"
    for task_id in ("fern-1", "fern-2", "moss-1"):
        write_task(source / task_id, instruction=f"Mend {task_id}.\n")
    (source / "verifiable_tasks.txt").write_text("fern-1\nfern-2\nmoss-1\n")
    create_ledger(made)
    (made.path / "config.yaml").write_text(config_text(source, campaigns={"other": {"model": "openai/o"}}))
    (made.archives / "run_007").mkdir(parents=True)
    with open_ledger(made) as ledger:
        for each in load_config(made.path / "config.yaml").sources():
            register_source(ledger, each, MAIN_CAMPAIGN)
        for job in ("job-1", "job-2"):
            batch = Batch(MAIN_CAMPAIGN, "py-cc", limit=1, task_ids=None, exclude=[])
            assert ledger.assign(job, batch, asked_by=AskedBy.START)
        ledger.withdraw("job-1", note="by hand")
    return made


def completed(root: Path, *words: str) -> list[str]:
    line = ["trajgen", "--root", str(root), *words]
    environ = {"_TRAJGEN_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)}
    result = CliRunner().invoke(app, [], prog_name="trajgen", env=environ)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("explain", "fern"), ["fern-1", "fern-2"]),
        (("start", "--tasks", "m"), ["moss-1"]),
        (("ledger", "retry", "moss"), ["moss-1"]),
        (("convert", "job"), ["job-2", "job-1"]),
        (("ledger", "show", "--job", "job"), ["job-2", "job-1"]),
        (("stop", "job"), ["job-2"]),
        (("pause", "--dataset", "p"), ["py-cc"]),
        (("start", "--campaign", "o"), ["other"]),
        (("runs", "show", "run_"), ["run_007"]),
        (("dataset", "show", "x"), []),
        (("explain", "none"), []),
    ],
)
def test_names_of_the_root_are_offered(root: Root, words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(root.path, *words) == offered


@pytest.mark.parametrize("words", [("explain", "f"), ("stop", "j"), ("start", "--dataset", "p"), ("runs", "show", "r")])
def test_a_root_that_is_missing_or_broken_offers_nothing_and_says_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert completed(tmp_path / "nowhere", *words) == []
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "ledger.sqlite").write_bytes(b"no database")
    (tmp_path / "config.yaml").write_text("runtime_info: [\n")
    before = sorted(tmp_path.iterdir())
    assert completed(tmp_path, *words) == []
    assert sorted(tmp_path.iterdir()) == before


def test_a_flag_of_the_earlier_system_on_an_unfinished_line_says_nothing(root: Root) -> None:
    assert completed(root.path, "start", "--dry-run-command", "--campaign", "o") == ["other"]
    assert completed(root.path, "prepare-tasks", "--overwrite", "--campaign", "o") == ["other"]


def test_bash_completes_by_the_script_that_the_command_prints(root: Root) -> None:
    text = (
        'eval "$(trajgen --show-completion)"; COMP_WORDS=(trajgen stop jo); COMP_CWORD=2; _trajgen_completion trajgen; '
        'printf "%s" "${COMPREPLY[*]}"'
    )
    environ = {"PATH": f"{PROGRAM.parent}:/usr/bin:/bin", "HOME": str(root.path), "TRAJGEN_ROOT": str(root.path)}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=environ, check=True)
    assert (done.stdout, done.stderr) == ("job-2", "")
