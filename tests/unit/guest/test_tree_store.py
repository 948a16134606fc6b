"""A patch leads from one state of a folder to the other, whatever lies in them: git applies it to a real copy."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tar_entries import TarError
from tree_store import StoreError, TooLargeError, Tree, TreeStore

from tests.trees import Node, State, found_in, lay_out

MB = 1 << 20


def tar_of(folder: Path) -> io.BytesIO:
    argv = ["tar", "--create", "--file=-", f"--directory={folder}", "."]
    return io.BytesIO(subprocess.run(argv, capture_output=True, check=True).stdout)


def kept(store: TreeStore, name: str, folder: Path) -> Tree:
    return store.keep(name, tar_of(folder), max_bytes=64 * MB)


def patch_between(before: Path, after: Path, work: Path, *, max_bytes: int = 64 * MB) -> Path:
    store, target = TreeStore(work / "store.git"), work / "patch.diff"
    store.write_patch(kept(store, "before", before), kept(store, "after", after), target, max_bytes=max_bytes)
    return target


def apply(patch: Path, folder: Path) -> None:
    env = {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    if patch.stat().st_size:
        argv = ["git", "apply", "--whitespace=nowarn", patch]
        subprocess.run(argv, cwd=folder, env={**env, "HOME": str(folder.parent)}, check=True)


def check_reproduces(before: State, after: State, work: Path) -> bytes:
    """Apply the patch to a fresh copy of `before` and compare. Returns the patch."""
    lay_out(before, work / "task").mkdir(exist_ok=True)
    lay_out(after, work / "done").mkdir(exist_ok=True)
    patch = patch_between(work / "task", work / "done", work)
    apply(patch, work / "task")
    assert found_in(work / "task") == found_in(work / "done")
    return patch.read_bytes()


TEXT, OTHER = Node(b"one\ntwo\nthree\n"), Node(b"one\n2\nthree\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({b"a": TEXT}, {b"a": OTHER}, id="text"),
        pytest.param({b"a": TEXT}, {b"a": Node(b"one\ntwo\nthree")}, id="no newline at the end"),
        pytest.param({b"a": TEXT}, {b"a": Node(b"one\r\ntwo\r\nthree\r\n")}, id="line ends"),
        pytest.param({b"a": TEXT}, {b"a": Node(b"\xff\xfe latin \xe9\n")}, id="no UTF-8"),
        pytest.param(
            {b"a": Node(b"\0old" * 99)}, {b"a": Node(b"\0new" * 99), b"b": Node(bytes(range(256)))}, id="binary"
        ),
        pytest.param({b"a": TEXT, b"b": TEXT}, {b"b": TEXT}, id="deletion"),
        pytest.param({b"d/e/a": TEXT}, {b"d/f/a": TEXT}, id="move"),
        pytest.param({b"a": TEXT}, {b"a": Node(TEXT.content, is_executable=True)}, id="mode"),
        pytest.param({b"a": Node(b"")}, {b"b": Node(b""), b"c": Node(b"", is_executable=True)}, id="empty files"),
        pytest.param({b"l": Node(b"a", is_link=True)}, {b"l": Node(b"/etc/../b c", is_link=True)}, id="link"),
        pytest.param({b"l": Node(b"d", is_link=True), b"d/a": TEXT}, {b"l/a": TEXT, b"d/a": TEXT}, id="link to folder"),
        pytest.param({b"x": TEXT}, {b"x": Node(b"y", is_link=True)}, id="file to link"),
        pytest.param({b"x": TEXT}, {b"x/y": TEXT}, id="file to folder"),
        pytest.param({b"x/y": TEXT}, {b"x": TEXT}, id="folder to file"),
        pytest.param(
            {}, {b"sp ace/t\tab\n\"q\\'": TEXT, b"\xff\xfe": TEXT, "é".encode(): TEXT, b"-x": TEXT}, id="names"
        ),
        pytest.param({b"a": TEXT}, {}, id="nothing left"),
        pytest.param({}, {b"long" * 50 + b"/" + b"name" * 50: Node(b"x" * 3 * MB)}, id="long"),
    ],
)
def test_the_patch_of_a_change_leads_there(before: State, after: State, tmp_path: Path) -> None:
    assert check_reproduces(before, after, tmp_path)


def test_equal_states_have_an_empty_patch(tmp_path: Path) -> None:
    assert check_reproduces({b"a": TEXT}, {b"a": TEXT}, tmp_path) == b""


PARTS = (
    st.binary(min_size=1, max_size=6)
    .map(lambda part: part.replace(b"/", b"-").replace(b"\0", b"+"))
    .filter(lambda part: part not in {b".", b".."})
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(b"/".join)
LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\0", b"\xff\n", b"end"]), max_size=8).map(b"".join)
NODES = st.builds(Node, LINES, is_executable=st.booleans()) | st.builds(
    Node, st.sampled_from([b"a", b"../x", b"/tmp", b"\xff"]), is_link=st.just(True)
)


def without_conflicts(state: State) -> State:
    """Less every path that lies below another one."""
    return {path: node for path, node in state.items() if not any(path.startswith(each + b"/") for each in state)}


STATES = st.dictionaries(PATHS, NODES, max_size=6).map(without_conflicts)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=STATES, after=STATES, same=STATES)
def test_the_patch_of_any_change_leads_there(before: State, after: State, same: State, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    check_reproduces(without_conflicts({**before, **same}), without_conflicts({**after, **same}), tmp_path)


def test_attributes_and_configuration_in_the_folder_do_not_act(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hostile = {
        b".gitattributes": Node(
            b"*.txt filter=evil diff=evil merge=evil ident working-tree-encoding=UTF-16\n* -diff\n"
        ),
        b".git/config": Node(
            b'[diff "evil"]\ncommand = touch %b\n[core]\nfsmonitor = touch %b\n' % ((bytes(ran),) * 2)
        ),
        b".git/hooks/post-index-change": Node(b"#!/bin/sh\ntouch %b\n" % bytes(ran), is_executable=True),
        b"a.txt": Node(b"$Id$\n1\n2\n"),
    }
    lay_out({b"a.txt": Node(b"$Id$\n1\n")}, tmp_path / "task")
    lay_out(hostile, tmp_path / "done")
    patch = patch_between(tmp_path / "task", tmp_path / "done", tmp_path).read_bytes()
    assert b" $Id$\n 1\n+2\n" in patch
    assert b"config" not in patch
    assert not ran.exists()


def test_what_git_cannot_hold_is_counted(tmp_path: Path) -> None:
    folder = lay_out({b"a": TEXT, b".git/HEAD": TEXT, b"sub/.GIT": TEXT, b"sub/git~1/x": TEXT}, tmp_path / "task")
    os.mkfifo(folder / "pipe")
    tree = kept(TreeStore(tmp_path / "store.git"), "before", folder)
    assert (tree.n_files, tree.left_out) == (1, {"git": 5, "special": 1})


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    for name in ("task", "done"):
        (lay_out({b"a": TEXT}, tmp_path / name) / "b").hardlink_to(tmp_path / name / "a")
    (tmp_path / "done" / "c").hardlink_to(tmp_path / "done" / "a")
    patch = patch_between(tmp_path / "task", tmp_path / "done", tmp_path)
    apply(patch, tmp_path / "task")
    assert found_in(tmp_path / "task") == {b"a": TEXT, b"b": TEXT, b"c": TEXT}


def test_a_patch_over_the_limit_is_not_there(tmp_path: Path) -> None:
    lay_out({b"a": TEXT}, tmp_path / "task")
    lay_out({b"a": Node(os.urandom(2 * MB)), b"b": TEXT}, tmp_path / "done")
    with pytest.raises(TooLargeError, match="more than 1 MB"):
        patch_between(tmp_path / "task", tmp_path / "done", tmp_path, max_bytes=MB)
    assert not (tmp_path / "patch.diff").exists()


def test_a_folder_over_the_limit_is_not_taken(tmp_path: Path) -> None:
    folder = lay_out({b"a": Node(b"x" * 2 * MB)}, tmp_path / "task")
    store = TreeStore(tmp_path / "store.git")
    with pytest.raises(TooLargeError, match="more than 1 MB"):
        store.keep("before", tar_of(folder), max_bytes=MB)
    with pytest.raises(StoreError):
        store.digest_of("before")


@pytest.mark.parametrize("size", [0, 512, 700, 1024, 5000])
def test_a_tar_that_ends_too_early_is_no_state(size: int, tmp_path: Path) -> None:
    folder = lay_out({b"a": Node(b"x" * 5000)}, tmp_path / "task")
    store = TreeStore(tmp_path / "store.git")
    with pytest.raises(TarError):
        store.keep("before", io.BytesIO(tar_of(folder).getvalue()[:size]), max_bytes=MB)
    with pytest.raises(StoreError):
        store.digest_of("before")


@pytest.mark.parametrize("name", ["../a", "/etc/a", "b/../../a"])
def test_a_name_that_leads_outside_is_refused(name: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    stream.seek(0)
    with pytest.raises(TarError, match="outside"):
        TreeStore(tmp_path / "store.git").keep("before", stream, max_bytes=MB)


def test_changes_are_named_with_the_larger_size(tmp_path: Path) -> None:
    store = TreeStore(tmp_path / "store.git")
    before = kept(store, "before", lay_out({b"gone": Node(b"x" * 9), b"a": Node(b"1")}, tmp_path / "task"))
    after = kept(store, "after", lay_out({b"new\n": Node(b"x" * 5), b"a": Node(b"12")}, tmp_path / "done"))
    changes = [(change.path, change.size_bytes) for change in store.changes(before, after)]
    assert changes == [(b"gone", 9), (b"new\n", 5), (b"a", 2)]
