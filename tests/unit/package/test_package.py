"""A state package is whole and without secrets, and makes a root that stands, or nothing at all."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.configuration import config_text
from tests.faults import Points
from tests.integration.finished_job import JOB
from tests.trees import found_in
from tests.unit.clean.conftest import Place, place_at
from tests.unit.ledger.twins import key
from trajgen_assets.core.errors import BusyError, LedgerError, PackageError, RequirementError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.ledger import Ledger, open_ledger
from trajgen_assets.core.ledger.models import TaskStatus
from trajgen_assets.core.package.packing import pack
from trajgen_assets.core.package.unpacking import AWAY, read_manifest, unpack
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.differences import differences_on_disk
from trajgen_assets.core.rollout.slots import job_slot

SECRET = "sk-a-secret-of-somebody"
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path / "old")


@pytest.fixture
def package(place: Place, tmp_path: Path) -> Path:
    done = place.run("state", "pack", str(tmp_path / "state.tar.zst"), "--jobs", JOB, "--logs")
    assert done.exit_code == EXIT_OK, done.output
    return tmp_path / "state.tar.zst"


def said(ledger: Ledger) -> list[tuple[str, TaskStatus, float | None]]:
    return [(row.key.partition, row.status, row.reward) for row in ledger.rows()]


def stands(root: Root) -> bool:
    with open_ledger(root) as ledger:
        return not list(differences_on_disk(root, ledger, lambda task, _: key(task)))


def members(package: Path) -> list[Member]:
    with (
        package.open("rb") as raw,
        tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(raw), mode="r|") as tar,
    ):
        return [(each, (tar.extractfile(each) or io.BytesIO()).read()) for each in tar]


def write(package: Path, content: list[Member]) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for member, data in content:
            tar.addfile(member, io.BytesIO(data))
    package.write_bytes(zstandard.compress(raw.getvalue()))


def test_a_root_is_what_it_was_on_the_other_side(place: Place, package: Path, tmp_path: Path) -> None:
    new = Root(tmp_path / "new" / "artifacts")
    done = place.run("state", "unpack", str(package), "--to", str(new.path))
    assert done.exit_code == EXIT_OK, done.output
    with open_ledger(place.root) as before, open_ledger(new) as after:
        assert said(after) == said(before)
    assert found_in(new.job(JOB).dir) == found_in(place.job.dir)
    assert found_in(new.archives) == found_in(place.root.archives)
    assert (new.path / "moved" / "sources" / "py-cc" / "verifiable_tasks.txt").read_text() == "a\nb\n"
    assert (new.path / "moved" / "staged" / "py-cc" / "a.json").is_file()
    assert (new.path / "moved" / "config.yaml").is_file()
    assert (new.logs / "dagster-daemon.log").is_file()
    assert stands(new)
    assert not (new.path / ".unpacking").exists()
    assert package.stat().st_mode & 0o077 == 0


def test_the_new_root_has_a_status(place: Place, package: Path, tmp_path: Path) -> None:
    new = Place(Root(tmp_path / "new"), place.config, place.source)
    unpack(package, new.root)
    assert new.run("status").exit_code == EXIT_OK
    checked = json.loads(new.run("ledger", "check", "--json").stdout)
    assert {each["kind"] for each in checked["differences"]} <= {"no instance"}


def test_tasks_of_a_job_that_stays_behind_are_done_and_the_ledger_says_where(place: Place, tmp_path: Path) -> None:
    package, new = tmp_path / "state.tar.zst", Root(tmp_path / "new")
    pack(place.root, None, package, Redactor({}))
    unpack(package, new)
    assert stands(new)
    with open_ledger(new) as ledger:
        assert ledger.counts().done == 2
        assert {row.note for row in ledger.rows()} == {AWAY}
        assert ledger.jobs_needing_downstream() == []


def test_what_swegen_has_left_beside_a_source_goes_along(place: Place, tmp_path: Path) -> None:
    (place.source / ".swegen-create-batch").mkdir()
    (place.source / ".swegen-create-batch" / "x.json").write_text('{"cases": {}}')
    (place.source.parent / "collected_prs").mkdir()
    (place.source.parent / "collected_prs" / "prs.jsonl").write_text("{}\n")
    (place.source.parent / "logs" / "swegen-create").mkdir(parents=True)
    (place.source.parent / "logs" / "swegen-create" / "1.log").write_text("began\n")
    package = tmp_path / "state.tar.zst"
    assert place.run("state", "pack", str(package)).exit_code == EXIT_OK
    names = {each.path for each in read_manifest(package).files}
    assert "moved/sources/py-cc/.swegen-create-batch/x.json" in names
    assert "moved/sources/py-cc/collected_prs/prs.jsonl" in names
    assert not [name for name in names if "swegen-create/" in name]
    with_logs = tmp_path / "with_logs.tar.zst"
    assert place.run("state", "pack", str(with_logs), "--logs").exit_code == EXIT_OK
    names = {each.path for each in read_manifest(with_logs).files}
    assert "moved/sources/py-cc/logs/swegen-create/1.log" in names


def test_a_dry_run_lists_what_would_go_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    before = found_in(place.root.path / "jobs")
    told = place.run("state", "pack", str(tmp_path / "x" / "state.tar.zst"), "--dry-run")
    assert "would be packed" in told.output
    assert found_in(place.root.path / "jobs") == before
    assert not list((tmp_path / "x").iterdir())


def test_no_secret_is_inside(place: Place, tmp_path: Path) -> None:
    llm = {"model": "openai/x", "api_base_url": "http://127.0.0.1:9/v1", "api_key": SECRET}
    place.config.write_text(config_text(place.source, llm_api=llm))
    (place.root.logs / "dagster-daemon.log").write_text(f"called with {SECRET}\n")
    package = tmp_path / "state.tar.zst"
    done = place.run("state", "pack", str(package), "--logs")
    assert done.exit_code == EXIT_OK, done.output
    assert not [member.name for member, data in members(package) if SECRET.encode() in data]


def test_a_secret_in_a_file_of_a_job_packs_nothing(place: Place, tmp_path: Path) -> None:
    (place.job.dir / "notes.txt").write_text("x" * ((1 << 20) - 5) + SECRET)
    with pytest.raises(PackageError, match="holds a secret"):
        pack(place.root, None, tmp_path / "out" / "state.tar.zst", Redactor({"KEY": SECRET}), jobs=[JOB])
    assert not list((tmp_path / "out").iterdir())


def test_a_damaged_file_of_a_job_packs_nothing_and_is_named(place: Place, tmp_path: Path) -> None:
    packed = bytearray(zstandard.compress(b"said once\n" * 100_000))
    packed[10:14] = b"\xff" * 4
    (place.job.dir / "notes.zst").write_bytes(packed)
    with pytest.raises(PackageError, match=rf"a file is damaged.*jobs/{JOB}/notes.zst"):
        pack(place.root, None, tmp_path / "out" / "state.tar.zst", Redactor({}), jobs=[JOB])
    assert not list((tmp_path / "out").iterdir())


def test_it_is_refused_while_a_job_runs(place: Place, tmp_path: Path) -> None:
    with job_slot(place.root.locks, 1, holder="job-x"):
        assert isinstance(place.run("state", "pack", str(tmp_path / "s.tar.zst")).exception, BusyError)


def test_a_ledger_is_never_unpacked_over(place: Place, package: Path) -> None:
    before = place.root.ledger.read_bytes()
    with pytest.raises(LedgerError, match="nothing replaces"):
        unpack(package, place.root)
    assert place.root.ledger.read_bytes() == before


def test_work_that_lies_there_is_never_unpacked_over(package: Path, tmp_path: Path) -> None:
    new = Root(tmp_path / "new")
    (new.jobs / "other").mkdir(parents=True)
    with pytest.raises(LedgerError, match="another ledger"):
        unpack(package, new)
    assert [each.name for each in new.jobs.iterdir()] == ["other"]
    assert not new.ledger.exists()


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def _file(name: str, data: bytes = b"x") -> Member:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    return member, data


def _listed(content: list[Member], path: str) -> list[Member]:
    manifest = json.loads(content[0][1])
    manifest["files"].append(
        {"path": path, "size_bytes": 1, "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    )
    return [_file("manifest.json", json.dumps(manifest).encode()), *content[1:], _file(path)]


def _with_other_bytes(content: list[Member]) -> list[Member]:
    member, data = content[-1]
    return [*content[:-1], (member, bytes(byte ^ 1 for byte in data))]


def _as_link(content: list[Member]) -> list[Member]:
    return [*content[:-1], _link(content[-1][0].name, "/etc/passwd")]


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: [*content, _file("../outside")],
        lambda content: [*content, _file("/tmp/outside")],
        lambda content: [*content, _link("jobs/link", "/etc")],
        lambda content: [*content, _link("jobs/link", "../../outside", tarfile.LNKTYPE)],
        lambda content: [*content, _link("jobs/device", "", tarfile.CHRTYPE)],
        lambda content: [*content, _file("jobs/not-listed")],
        lambda content: _listed(content, "../outside"),
        lambda content: _listed(content, "/tmp/outside"),
        lambda content: _listed(content, "jobs/../../outside"),
        lambda content: [*content, content[-1]],
        lambda content: content[:-1],
        lambda content: content[1:],
        _with_other_bytes,
        _as_link,
    ],
)
def test_what_cannot_be_trusted_leaves_nothing(
    package: Path, tmp_path: Path, harm: Callable[[list[Member]], list[Member]]
) -> None:
    write(package, harm(members(package)))
    beside = found_in(tmp_path / "old")
    with pytest.raises(PackageError):
        unpack(package, Root(tmp_path / "new"))
    assert found_in(tmp_path / "old") == beside
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["locks"]
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("n_bytes", [0, 10, 5000])
def test_a_package_that_was_cut_is_refused(package: Path, tmp_path: Path, n_bytes: int) -> None:
    package.write_bytes(package.read_bytes()[:n_bytes])
    with pytest.raises(PackageError):
        unpack(package, Root(tmp_path / "new"))


def trajgen(place: Place, *words: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    argv = [str(Path(sys.executable).parent / "trajgen"), "--root", str(place.root.path), "--config", str(place.config)]
    environment = {**os.environ, **(environ or {})}
    return subprocess.Popen([*argv, *words], env=environment, cwd=PROJECT, stderr=subprocess.PIPE, text=True)


def test_a_disk_that_is_full_leaves_no_package(place: Place, tmp_path: Path) -> None:
    (place.job.dir / "big.bin").write_bytes(os.urandom(1 << 20))
    out = tmp_path / "out"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000));"
        "from pathlib import Path; from trajgen_assets.core.package.packing import pack;"
        "from trajgen_assets.core.paths import Root; from trajgen_assets.core.redact import Redactor;"
        f"root = Root(Path({str(place.root.path)!r})); file = Path({str(out / 's.tar.zst')!r});"
        f"pack(root, None, file, Redactor({{}}), jobs=[{JOB!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert RequirementError.__name__ in done.stderr
    assert "the package cannot be written" in done.stderr
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("point", ["package_read", "package_ready", "entry_moved"])
def test_killed_while_it_unpacks_there_is_no_root_and_the_next_makes_it(
    place: Place, package: Path, tmp_path: Path, point: str
) -> None:
    points, new = Points(tmp_path / "points"), Root(tmp_path / "new")
    points.arm(point)
    with trajgen(place, "state", "unpack", str(package), "--to", str(new.path), environ=points.environ) as process:
        os.kill(points.wait(point), signal.SIGKILL)
        process.wait()
    assert not new.ledger.exists()
    unpack(package, new)
    assert stands(new)
    assert found_in(new.job(JOB).dir) == found_in(place.job.dir)
    assert not (new.path / ".unpacking").exists()


def test_what_comes_in_between_half_way_ends_it_and_leaves_nothing_of_the_package(
    place: Place, package: Path, tmp_path: Path
) -> None:
    points, new = Points(tmp_path / "points"), Root(tmp_path / "new")
    points.arm("entry_moved")
    with trajgen(place, "state", "unpack", str(package), "--to", str(new.path), environ=points.environ) as process:
        points.wait("entry_moved")
        assert new.archives.exists()
        (new.path / "jobs" / "of-somebody").mkdir(parents=True)
        points.release("entry_moved")
        told = process.communicate(timeout=60)[1]
    assert "the package cannot be unpacked" in told
    assert sorted(each.name for each in new.path.iterdir()) == ["jobs", "locks"]
    assert [each.name for each in (new.path / "jobs").iterdir()] == ["of-somebody"]
