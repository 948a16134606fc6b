"""Task sources elsewhere: the hub's own client against a stand-in of its interface, and Harbor's own program."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.configuration import NO_MODEL
from tests.disks import small_disk
from tests.faults import Points
from tests.hub import REPO, REVISION, Hub, serving_hub
from tests.installed import HARBOR_ENV
from tests.trees import found_in
from tests.unit.checkouts.origins import git
from tests.unit.intake.conftest import write_task
from tests.waiting import wait_until
from trajgen_assets.core.config.load import parse_config
from trajgen_assets.core.errors import BusyError, DownloadError, RequirementError
from trajgen_assets.core.intake.manifest import read_manifest
from trajgen_assets.core.intake.remote.fetch import Fetched, fetch, fetch_each
from trajgen_assets.core.intake.remote.remote import HARBOR_REGISTRY, HUGGINGFACE, Limits, Remote
from trajgen_assets.core.locks import is_locked, locked

SECRET = "hf_only_the_hub_may_see_it"
BIG = "a/tests/big.bin"
CHUNK = 10 << 20  # what the client writes at once


def task_files(*names: str) -> dict[str, bytes]:
    parts = {
        "task.toml": b'version = "1.0"\n',
        "instruction.md": b"Mend it.\n",
        "environment/Dockerfile": b"FROM scratch\n",
    }
    parts["tests/test.sh"] = b"exit 0\n"
    return {f"{name}/{part}": content for name in names for part, content in parts.items()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub(Hub(task_files("a", "b") | {"verifiable_tasks.txt": b"a\n"})) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_TOKEN", "hf_of_another_program")
        yield served


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(HUGGINGFACE, "py-cc", REPO, tmp_path / "py-cc", revision=REVISION)


def got(remote: Remote, said: list[str] | None = None) -> Fetched:
    return fetch(remote, HARBOR_ENV, (said if said is not None else []).append)


def test_a_commit_is_downloaded_once_and_lies_there_whole(hub: Hub, remote: Remote) -> None:
    assert got(remote).is_new
    assert {path.decode(): node.content for path, node in found_in(remote.tasks).items()} == hub.files
    record = json.loads(remote.record.read_bytes())
    assert (record["revision"], record["n_files"], record["manifests"]) == (REVISION, 9, ["verifiable_tasks.txt"])
    assert [path.name for path in remote.base.iterdir() if not path.name.endswith(".lock")] == [remote.folder.name]
    hub.asked.clear()
    assert not got(remote).is_new
    assert not hub.asked


def test_what_lies_in_its_place_is_named_and_keeps_no_other_source_back(hub: Hub, remote: Remote) -> None:
    (remote.folder / "tasks").mkdir(parents=True)
    other = replace(remote, base=remote.base.parent / "other")
    refused, fetched = fetch_each([remote, other], HARBOR_ENV, lambda _: None)
    assert isinstance(refused, DownloadError)
    assert remote.folder.name in str(refused.where)
    assert isinstance(fetched, Fetched)
    assert other.is_whole


def test_nothing_is_told_to_anybody_and_no_token_is_shown_that_was_not_named(hub: Hub, remote: Remote) -> None:
    got(remote)
    assert hub.others == []
    assert not hub.tokens
    (agent,) = hub.agents
    assert agent.startswith("trajgen/")


def test_patterns_choose_the_files(hub: Hub, remote: Remote) -> None:
    got(replace(remote, allow_patterns=("b/*", "verifiable_tasks.txt")))
    assert {name.partition("/")[0] for name, _ in hub.asked} == {"b", "verifiable_tasks.txt"}


def test_a_connection_cut_within_a_file_goes_on_at_its_byte(hub: Hub, remote: Remote) -> None:
    hub.files[BIG] = os.urandom(CHUNK + 3_000_000)
    hub.cuts[BIG], hub.cut_at = 1, CHUNK + 1_000_000
    got(remote)
    assert [asked for name, asked in hub.asked if name == BIG] == [None, f"bytes={CHUNK}-"]
    assert (remote.tasks / BIG).read_bytes() == hub.files[BIG]


def test_a_download_that_stays_cut_leaves_what_stood_and_the_next_fetches_only_the_rest(
    hub: Hub, remote: Remote
) -> None:
    got(replace(remote, subfolder="."))  # what stood
    stood = found_in(remote.base)
    hub.files[BIG], hub.cuts[BIG] = os.urandom(50_000), 6
    with pytest.raises(DownloadError, match="peer closed connection"):
        got(remote)
    assert not remote.folder.exists()
    assert {path: node for path, node in found_in(remote.base).items() if not path.startswith(b".")} == {
        path: node for path, node in stood.items() if not path.startswith(b".")
    }
    hub.asked.clear()
    assert got(remote).is_new
    assert {name for name, _ in hub.asked} == {BIG}
    assert (remote.tasks / BIG).read_bytes() == hub.files[BIG]


def test_a_file_that_is_not_what_the_hub_lists_is_refused_and_fetched_anew(hub: Hub, remote: Remote) -> None:
    hub.files[BIG] = b"x" * 100
    for name in (BIG, "a/instruction.md"):  # one that is listed by its SHA-256, and one by git's digest
        remote = replace(remote, base=remote.base / "anew")
        hub.forged = {name: hub.files[name][::-1].replace(b"x", b"y")}
        with pytest.raises(DownloadError, match=f"not what the hub says it is .'{name}'"):
            got(remote)
        assert not remote.folder.exists()
    hub.forged = {}
    got(remote)
    assert (remote.tasks / BIG).read_bytes() == hub.files[BIG]


def test_another_commit_than_the_pinned_one_is_refused(hub: Hub, remote: Remote) -> None:
    hub.revision = "f" * 40
    with pytest.raises(DownloadError, match="the hub answers with commit ffff"):
        got(remote)
    assert not hub.asked


@pytest.mark.parametrize("name", ["a/../../evil", "A/task.toml", ".cache/huggingface/x"])
def test_names_that_lead_elsewhere_or_clash_are_refused_before_anything_is_fetched(
    hub: Hub, remote: Remote, name: str
) -> None:
    hub.files[name] = b"x"
    with pytest.raises(DownloadError, match=r"leads out|only in case|keeps its notes"):
        got(remote)
    assert not hub.asked


def test_more_than_the_limits_is_refused_before_anything_is_fetched(hub: Hub, remote: Remote) -> None:
    with pytest.raises(DownloadError, match=r"5 files of download.max_files"):
        got(replace(remote, limits=Limits(n_files=5)))
    with pytest.raises(DownloadError, match=r"download.max_gb"):
        got(replace(remote, limits=Limits(size_bytes=50)))
    assert not hub.asked


def test_the_token_reaches_the_hub_and_no_file_or_line(hub: Hub, remote: Remote, tmp_path: Path) -> None:
    hub.token = SECRET
    said: list[str] = []
    with pytest.raises(DownloadError, match=r"download.token") as caught:
        got(remote, said)
    known = replace(remote, token=lambda: SECRET)
    assert SECRET not in repr(known)
    hub.forged["a/instruction.md"] = b"Break it"
    with pytest.raises(DownloadError):
        got(known, said)
    hub.forged = {}
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    got(known, said)
    left += b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in left
    assert SECRET not in f"{caught.value}{said}"
    assert hub.tokens == {SECRET}


@pytest.mark.faults
def test_an_address_that_anybody_may_fetch_from_is_shown_without_its_query(hub: Hub, remote: Remote) -> None:
    hub.signed, hub.cuts[BIG], hub.files[BIG] = "X-Signature=of-the-moment", 6, b"x" * 5000
    said: list[str] = []
    with pytest.raises(DownloadError) as caught:
        got(remote, said)
    assert any("/signed/" in line for line in said)
    assert "of-the-moment" not in f"{said}{caught.value}"


def packed(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for each in more:
            tar.addfile(each)
    return buffer.getvalue()


def test_an_archive_is_fetched_alone_and_unpacked(hub: Hub, remote: Remote) -> None:
    files = {f"py-cc-v1/{name}": content for name, content in hub.files.items()}
    hub.files["py-cc.tar.gz"] = packed(files)
    got(replace(remote, archive="py-cc.tar.gz"))
    assert {name for name, _ in hub.asked} == {"py-cc.tar.gz"}
    tasks = replace(remote, archive="py-cc.tar.gz").tasks
    assert read_manifest(tasks / "verifiable_tasks.txt").entries == ("a",)
    assert (tasks / "b" / "task.toml").is_file()


def test_an_archive_with_a_link_is_refused_by_its_name_and_nothing_of_it_stays(hub: Hub, remote: Remote) -> None:
    link = tarfile.TarInfo("a/environment/up")
    link.type, link.linkname = tarfile.SYMTYPE, "../../.."
    hub.files["py-cc.tar.gz"] = packed(task_files("a"), link)
    chosen = replace(remote, archive="py-cc.tar.gz")
    with pytest.raises(DownloadError, match=r"'a/environment/up' is a link to '../../..'"):
        got(chosen)
    assert not chosen.folder.exists()
    assert not (chosen.part / "unpacked").exists()


def test_without_a_manifest_each_task_counts_only_if_that_is_said(hub: Hub, tmp_path: Path) -> None:
    del hub.files["verifiable_tasks.txt"]
    hub.files["half/task.toml"] = b""

    def configured(**more: str) -> tuple[Remote, Path]:
        source = {"provider": "huggingface", "dataset_name": REPO, "download": {"revision": REVISION}, **more}
        text = yaml.safe_dump({"runtime_info": {"input": {"llm_api": NO_MODEL, "task_source": source}}})
        config = parse_config(text, tmp_path / "config.yaml")
        return config.remotes()[0], config.sources()[0].manifest

    silent, manifest = configured()
    got(silent)
    assert not manifest.exists()
    said, manifest = configured(manifest="none")
    assert not got(said).is_new
    assert read_manifest(manifest).entries == ("a", "b")


def test_what_has_a_manifest_is_never_taken_for_verified_as_a_whole(hub: Hub, remote: Remote) -> None:
    with pytest.raises(DownloadError, match="has a manifest of its own"):
        got(replace(remote, is_all_verified=True))
    assert not remote.every_task.exists()


def test_tasks_in_several_folders_are_not_guessed_at(hub: Hub, remote: Remote) -> None:
    hub.files = task_files("easy/a", "hard/b")
    with pytest.raises(DownloadError, match=r"tasks lie in several folders .*: easy, hard. Mend: name one"):
        got(remote)
    got(replace(remote, subfolder="hard"))
    assert [path.name for path in replace(remote, subfolder="hard").tasks.iterdir()] == ["b"]


def test_one_process_downloads_and_another_is_told_so(hub: Hub, remote: Remote) -> None:
    with locked(remote.lock), pytest.raises(BusyError, match="another process downloads"):
        got(remote)
    assert not hub.asked


PROGRAM = """
import sys
from pathlib import Path
from trajgen_assets.core.intake.remote.fetch import fetch
from trajgen_assets.core.intake.remote.remote import Remote
remote = Remote("huggingface", "py-cc", sys.argv[1], Path(sys.argv[2]), revision=sys.argv[3])
fetch(remote, Path("/"), print)
"""


@pytest.mark.faults
@pytest.mark.parametrize("point", ["before_whole", "after_whole"])
def test_killed_around_the_rename_it_is_whole_or_not_there(
    hub: Hub, remote: Remote, tmp_path: Path, point: str
) -> None:
    points = Points(tmp_path / "points")
    points.arm(point)
    argv = [sys.executable, "-c", PROGRAM, REPO, str(remote.base), REVISION]
    with subprocess.Popen(argv, env={**os.environ, **points.environ}) as process:
        assert points.wait(point) == process.pid
        process.kill()
    assert remote.is_whole is (point == "after_whole")
    assert got(remote).is_new is (point == "before_whole")
    assert {path.decode(): node.content for path, node in found_in(remote.tasks).items()} == hub.files


@pytest.mark.faults
def test_killed_in_the_middle_of_a_file_it_is_fetched_again(hub: Hub, remote: Remote) -> None:
    hub.files[BIG] = os.urandom(CHUNK + 5_000_000)
    hub.held = BIG
    argv = [sys.executable, "-c", PROGRAM, REPO, str(remote.base), REVISION]
    with subprocess.Popen(argv, start_new_session=True) as process:
        wait_until(lambda: list(remote.part.rglob("*.incomplete")) != [] and hub.is_held, limit_s=60)
        os.killpg(process.pid, signal.SIGKILL)
    hub.release()
    assert not remote.folder.exists()
    wait_until(lambda: not is_locked(remote.lock))
    got(remote)
    assert (remote.tasks / BIG).read_bytes() == hub.files[BIG]
    assert not remote.part.exists()


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "4m") as folder:
        yield folder


@pytest.mark.faults
def test_a_full_disk_is_said_as_that_and_leaves_what_stood(hub: Hub, remote: Remote, little_disk: Path) -> None:
    remote = replace(remote, base=little_disk / "py-cc")
    got(replace(remote, subfolder="."))
    stood = found_in(replace(remote, subfolder=".").folder)
    hub.files[BIG] = os.urandom(6 << 20)
    hub.asked.clear()
    with pytest.raises(RequirementError, match=r"no room for a download.*6,291,\d{3} bytes are to come, and \d,"):
        got(remote)
    assert hub.asked == []  # it is known before the first byte
    hub.understated = {BIG: 1000}
    with pytest.raises(RequirementError, match="no room for a download"):
        got(remote)
    hub.understated = {}
    assert not remote.folder.exists()
    assert found_in(replace(remote, subfolder=".").folder) == stood
    hub.files[BIG] = os.urandom(1000)
    got(remote)
    assert (remote.tasks / BIG).read_bytes() == hub.files[BIG]


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry in a file, of a data set whose tasks lie in a repository of git on this host."""
    origin = tmp_path / "origin"
    for name in ("a", "b"):
        write_task(origin / "tasks" / name)
    git(origin, "init", "-q")
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(origin, "add", "-A")
    git(origin, "commit", "-q", "-m", "tasks")
    commit = git(origin, "rev-parse", "HEAD")
    tasks = [
        {"name": name, "git_url": f"file://{origin}", "git_commit_id": commit, "path": f"tasks/{name}"}
        for name in ("a", "b")
    ]
    path = tmp_path / "registry.json"
    path.write_text(json.dumps([{"name": "acme", "version": "1.0", "description": "", "tasks": tasks}]))
    return path


@pytest.fixture
def of_registry(tmp_path: Path, registry: Path) -> Remote:
    return Remote(HARBOR_REGISTRY, "acme", "acme@1.0", tmp_path / "acme", registry=str(registry))


def test_harbor_downloads_a_data_set_of_a_registry(tmp_path: Path, of_registry: Remote) -> None:
    assert got(of_registry).is_new
    for name in ("a", "b"):
        assert found_in(of_registry.tasks / name) == found_in(tmp_path / "origin" / "tasks" / name)
    assert read_manifest(of_registry.every_task).entries == ("a", "b")
    assert not got(of_registry).is_new


@pytest.mark.faults
def test_a_version_that_the_registry_has_not_is_harbors_word(of_registry: Remote) -> None:
    missing = replace(of_registry, name="acme@2.0")
    with pytest.raises(DownloadError, match=r"Error: Dataset 'acme' \(version: '2.0'\) not found"):
        got(missing)
    assert not missing.folder.exists()


@pytest.mark.faults
def test_a_download_by_harbor_that_is_cut_begins_anew(tmp_path: Path, of_registry: Remote) -> None:
    (tmp_path / "origin").rename(tmp_path / "away")
    with pytest.raises(DownloadError, match="Harbor did not download the data set"):
        got(of_registry)
    assert not of_registry.folder.exists()
    (tmp_path / "away").rename(tmp_path / "origin")
    assert got(of_registry).is_new


@pytest.mark.parametrize(
    ("change", "words"),
    [({"git_commit_id": None}, "is not pinned"), ({"git_url": None}, "lies on this host")],
)
def test_what_a_registry_does_not_pin_is_refused(
    registry: Path, of_registry: Remote, change: dict[str, None], words: str
) -> None:
    (spec,) = json.loads(registry.read_text())
    spec["tasks"][1] |= change
    registry.write_text(json.dumps([spec]))
    with pytest.raises(DownloadError, match=words):
        got(of_registry)
