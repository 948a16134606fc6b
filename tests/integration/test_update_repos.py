"""`trajgen update-repos`: its words and exit codes, a connection that is cut, a full disk, and kills at any moment."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from resources.instance import prepare_instance
from tests.configuration import config_text
from tests.disks import small_disk
from tests.faults import Points
from tests.unit.checkouts.origins import Origin, anatomy, git
from tests.unit.intake.conftest import write_task
from trajgen_assets.cli.main import app, exit_code_of
from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_REFUSED, EXIT_USAGE
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root

UPDATE = """
import sys
from pathlib import Path
from trajgen_assets.core.checkouts.pin import Pin
from trajgen_assets.core.checkouts.update import update
update(Pin("h", sys.argv[1], Path(sys.argv[2]), ref="main"), print)
"""


def in_faults(*points: str) -> list[Any]:
    return [pytest.param(point, marks=pytest.mark.faults) for point in points]


WHILE_MADE = in_faults("checkout_before_fetch", "checkout_staged")
WHILE_RENEWED = in_faults("checkout_fetched", "checkout_staged", "checkout_in_place")


class Block:
    """A folder with a configuration that pins repositories."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"

    def pin(self, **repositories: dict[str, object]) -> None:
        text = config_text(self.folder / "py-cc", harbor_job={"environment": "local"})
        self.config.write_text(text + f"\nmeta_info: {json.dumps({'repositories': repositories})}\n")

    def run(self, *words: str, command: str = "update-repos") -> tuple[int, str, str]:
        argv = ["--root", str(self.folder / "root"), "--config", str(self.config), command, *words]
        result = CliRunner().invoke(app, argv)
        error = result.exception
        if isinstance(error, TrajgenError):
            return exit_code_of(error), result.stdout, str(error)
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def block(tmp_path: Path) -> Block:
    return Block(tmp_path)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


def test_each_is_brought_to_its_pin_and_one_that_fails_does_not_stop_the_next(
    tmp_path: Path, block: Block, origin: Origin
) -> None:
    other = Origin(tmp_path, "other")
    wanted: dict[str, object] = {"url": str(origin.bare), "branch": "main", "path": "repos/a"}
    block.pin(a=wanted, gone={"url": str(tmp_path / "no"), "branch": "main"}, b={"url": str(other.bare), "ref": "main"})
    code, out, err = block.run("--json")
    assert code == EXIT_FAILED
    told = json.loads(out)
    assert (told["schema_version"], told["ok"], told["dry_run"]) == (1, False, False)
    assert [(each["name"], each.get("commit")) for each in told["repositories"]] == [
        ("a", origin.commits[0]),
        ("gone", None),
        ("b", other.commits[0]),
    ]
    assert "gone: `git ls-remote` failed" in err
    assert (tmp_path / "repos" / "b" / "a.txt").read_text() == "one"
    newer = origin.commit("two")
    code, out, _ = block.run("--repo", "a", "--dry-run")
    assert (code, f"a: would go from {origin.commits[0][:12]} to {newer[:12]}" in out) == (0, True)
    code, out, _ = block.run("--repo", "a", "--ref", origin.commits[0])
    assert (code, out) == (0, f"a: unchanged at {origin.commits[0][:12]}, read-only ({tmp_path}/repos/a)\n")
    block.pin(a=wanted | {"commit": newer}, b={"url": str(other.bare), "ref": "main"})
    code, out, err = block.run("--repo", "a", "--ref", "main")
    assert (code, f"note: a is pinned to {newer[:12]}, which counts before --ref main" in err) == (0, True)
    edited = tmp_path / "repos" / "b" / "mine.txt"
    edited.write_text("mine")
    code, _, err = block.run("--repo", "b")
    assert (code, "b: the checkout was changed by hand" in err) == (EXIT_REFUSED, True)


def test_a_name_that_is_unknown_and_a_ref_for_all_are_wrong_usage(block: Block, origin: Origin) -> None:
    block.pin(harbor_fork={"url": str(origin.bare), "branch": "main"}, converter={"url": "/x", "branch": "main"})
    code, _, err = block.run("--repo", "harbour")
    assert code == EXIT_USAGE
    assert "no repository is called harbour (meta_info.repositories): known: harbor_fork, converter" in err
    for words in (
        ("--ref", "v1"),
        ("--repo", "all", "--ref", "v1"),
        ("--repo", "converter", "--ref", "--upload-pack=x"),
    ):
        code, _, _ = block.run(*words)
        assert code == EXIT_USAGE, words
    assert not (block.folder / "repos").exists()


def test_a_start_that_was_asked_to_update_begins_no_job_unless_all_are_at_their_pins(
    block: Block, origin: Origin
) -> None:
    root = Root(block.folder / "root")
    write_task(block.folder / "py-cc" / "a")
    (block.folder / "py-cc" / "verifiable_tasks.txt").write_text("a\n")
    create_ledger(root)
    prepare_instance(root, max_jobs=1)
    block.pin(gone={"url": str(block.folder / "no"), "branch": "main"}, h={"url": str(origin.bare), "branch": "main"})
    code, out, err = block.run("--update-repos", command="start")
    assert (code, "h: checked out at" in out, "`git ls-remote` failed" in err) == (EXIT_FAILED, True, True)
    with open_ledger(root) as ledger:
        assert list(ledger.jobs()) == []
        assert ledger.counts(MAIN_CAMPAIGN).registered == 0


class CutOff(SimpleHTTPRequestHandler):
    """Serves a bare repository as plain files, and ends the connection in the middle of its objects."""

    cut: ClassVar[bool] = True

    def do_GET(self) -> None:
        if not (self.cut and "/objects/" in self.path):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"PACK")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, origin: Origin) -> Iterator[str]:
    handler = type("Handler", (CutOff,), {"cut": True})
    directory = str(origin.bare.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *each: handler(*each, directory=directory))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.handler = handler  # type: ignore[attr-defined]
    SERVERS[origin.bare] = handler
    yield f"http://127.0.0.1:{server.server_address[1]}/harbor.git"
    server.shutdown()
    server.server_close()
    thread.join()


SERVERS: dict[Path, type[CutOff]] = {}


def test_a_commit_that_the_origin_does_not_have_is_named_with_what_to_correct(block: Block, origin: Origin) -> None:
    block.pin(h={"url": str(origin.bare), "commit": "0" * 39 + "1"})
    code, _, err = block.run()
    assert code == EXIT_FAILED
    assert f"the origin does not give commit {'0' * 39}1" in err
    assert "correct the pin, or push what it names" in err


def test_a_connection_that_is_cut_leaves_nothing_or_what_stood_and_the_next_call_completes(
    block: Block, origin: Origin, address: str
) -> None:
    git(origin.bare, "update-server-info")
    block.pin(h={"url": address, "branch": "main"})
    handler, folder = SERVERS[origin.bare], block.folder / "repos" / "h"
    code, _, err = block.run()
    assert (code, "`git fetch" in err, folder.exists()) == (EXIT_FAILED, True, False)
    handler.cut = False
    assert block.run()[0] == 0
    before, newer = anatomy(folder), origin.commit("two")
    git(origin.bare, "update-server-info")
    handler.cut = True
    assert block.run()[0] == EXIT_FAILED
    assert anatomy(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [".h.lock", "h"]
    handler.cut = False
    assert block.run()[0] == 0
    assert git(folder, "rev-parse", "HEAD") == newer


@pytest.mark.parametrize("point", ["checkout_fetched", *WHILE_MADE])
def test_after_a_kill_while_a_checkout_is_made_the_next_call_makes_it_whole(
    tmp_path: Path, block: Block, origin: Origin, point: str
) -> None:
    block.pin(h={"url": str(origin.bare), "branch": "main"})
    folder = tmp_path / "repos" / "h"
    killed_at(tmp_path, origin, folder, point)
    assert not folder.exists()
    assert block.run()[0] == 0
    assert git(folder, "status", "--porcelain") == ""
    assert sorted(path.name for path in folder.parent.iterdir()) == [".h.lock", "h"]


@pytest.mark.parametrize("point", ["checkout_between_renames", *WHILE_RENEWED])
def test_after_a_kill_while_a_checkout_is_renewed_it_is_the_old_or_the_new_one_whole(
    tmp_path: Path, block: Block, origin: Origin, point: str
) -> None:
    block.pin(h={"url": str(origin.bare), "branch": "main"})
    assert block.run()[0] == 0
    folder, newer = tmp_path / "repos" / "h", origin.commit("two")
    before = anatomy(folder)
    killed_at(tmp_path, origin, folder, point)
    if point in {"checkout_fetched", "checkout_staged"}:
        assert anatomy(folder) == before
    code, out, err = block.run()
    assert code == 0, err
    assert newer[:12] in out
    assert git(folder, "rev-parse", "HEAD") == newer
    assert git(folder, "status", "--porcelain") == ""
    assert sorted(path.name for path in folder.parent.iterdir()) == [".h.lock", "h"]


def killed_at(tmp_path: Path, origin: Origin, folder: Path, point: str) -> None:
    points = Points(tmp_path / "faults")
    points.arm(point)
    argv = [sys.executable, "-c", UPDATE, str(origin.bare), str(folder)]
    process = subprocess.Popen(argv, env=os.environ | points.environ)
    try:
        assert points.wait(point) == process.pid
    finally:
        process.kill()
        process.wait()


def test_a_full_disk_leaves_what_stood(tmp_path: Path, block: Block, origin: Origin) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        block.pin(h={"url": str(origin.bare), "branch": "main", "path": str(disk / "h")})
        assert block.run()[0] == 0
        before = anatomy(disk / "h")
        (origin.work / "large").write_bytes(os.urandom(4 << 20))
        origin.commit("with a large file")
        code, _, err = block.run()
        assert (code, "No space left on device" in err) == (EXIT_FAILED, True)
        assert anatomy(disk / "h") == before
        assert [path.name for path in disk.iterdir() if ".new" in path.name] == []
