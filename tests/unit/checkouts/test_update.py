"""Pinned repositories, with real git and real origins: what is brought to its pin, and what is refused untouched."""

import stat
from pathlib import Path

import pytest

from tests.unit.checkouts.origins import Origin, anatomy, git
from trajgen_assets.core.checkouts.looking import WRITE_BITS
from trajgen_assets.core.checkouts.update import Updated, update
from trajgen_assets.core.errors import CheckoutError, RefusedError


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "repos" / "harbor"


def silent(_line: str) -> None:
    pass


def brought(origin: Origin, folder: Path, **more: object) -> Updated:
    return update(origin.pin(folder, **more), silent)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_checkout_is_made_detached_read_only_and_alone_in_its_folder(origin: Origin, folder: Path) -> None:
    (origin.work / "run.sh").write_text("#!/bin/sh\n")
    (origin.work / "run.sh").chmod(0o755)
    (origin.work / "link").symlink_to("a.txt")
    commit = origin.commit("two")
    done = brought(origin, folder)
    assert (done.before, done.commit, git(folder, "rev-parse", "HEAD")) == (None, commit, commit)
    assert git(folder, "branch", "--show-current") == ""
    assert git(folder, "config", "remote.origin.url") == str(origin.bare)
    assert not mode_of(folder / "a.txt") & WRITE_BITS
    assert mode_of(folder / "run.sh") & 0o111
    assert not mode_of(folder / "run.sh") & WRITE_BITS
    assert git(folder, "status", "--porcelain") == ""
    assert sorted(path.name for path in folder.parent.iterdir()) == [".harbor.lock", "harbor"]


def test_a_second_call_changes_nothing_and_a_pinned_commit_needs_no_origin(origin: Origin, folder: Path) -> None:
    first = brought(origin, folder, commit=origin.commits[0])
    before = anatomy(folder)
    origin.bare.rename(origin.bare.with_name("gone"))
    again = brought(origin, folder, commit=first.commit)
    assert (again.is_changed, again.before) == (False, first.commit)
    assert anatomy(folder) == before


def test_a_branch_moves_on_a_tag_stays_and_a_commit_beats_both(origin: Origin, folder: Path) -> None:
    first = origin.commits[0]
    git(origin.work, "tag", "-a", "v1", "-m", "v1")
    second = origin.commit("two")
    assert brought(origin, folder).commit == second
    third = origin.commit("three")
    assert brought(origin, folder).commit == third
    assert (folder / "a.txt").read_text() == "three"
    assert brought(origin, folder, ref="v1").commit == first
    assert brought(origin, folder, ref="v1", commit=second).commit == second


def test_a_commit_that_no_branch_has_is_asked_for_by_itself(origin: Origin, folder: Path) -> None:
    git(origin.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
    lost = origin.commit("lost")
    git(origin.bare, "update-ref", "refs/heads/main", origin.commits[0])
    assert brought(origin, folder, commit=lost).commit == lost


@pytest.mark.parametrize("pin", [{"ref": "no-such"}, {"commit": "1" * 40}])
def test_what_the_origin_has_not_is_said_and_leaves_nothing(origin: Origin, folder: Path, pin: dict[str, str]) -> None:
    with pytest.raises(CheckoutError):
        brought(origin, folder, **pin)
    assert [path.name for path in folder.parent.iterdir()] == [".harbor.lock"]


def edit(folder: Path) -> None:
    (folder / "a.txt").chmod(0o664)
    (folder / "a.txt").write_text("mine")


def add(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def remove(folder: Path) -> None:
    (folder / "a.txt").unlink()


def stage_it(folder: Path) -> None:
    edit(folder)
    git(folder, "add", "a.txt")


def hide(folder: Path) -> None:
    edit(folder)
    git(folder, "update-index", "--assume-unchanged", "a.txt")


@pytest.mark.parametrize("by_hand", [edit, add, remove, stage_it, hide])
def test_what_was_changed_by_hand_is_refused_and_left_with_its_content_and_modes(
    origin: Origin, folder: Path, by_hand: "object"
) -> None:
    brought(origin, folder)
    by_hand(folder)  # type: ignore[operator]
    origin.commit("two")
    before = anatomy(folder)
    with pytest.raises(RefusedError, match=r"the checkout was changed by hand \(.*\): (a|notes)\.txt\. Mend: commit"):
        brought(origin, folder)
    assert anatomy(folder) == before


def test_an_edit_is_refused_though_the_pin_is_where_it_stands(origin: Origin, folder: Path) -> None:
    brought(origin, folder)
    edit(folder)
    with pytest.raises(RefusedError, match="changed by hand"):
        brought(origin, folder)


def test_another_origin_is_refused_and_shown_without_its_login(origin: Origin, folder: Path) -> None:
    brought(origin, folder)
    git(folder, "remote", "set-url", "origin", "https://me:hunter2@git.example/other")
    before = anatomy(folder)
    with pytest.raises(
        RefusedError, match=r"of another repository .*its origin is git\.example/other and not"
    ) as caught:
        brought(origin, folder)
    assert "hunter2" not in str(caught.value)
    assert anatomy(folder) == before


def test_a_folder_that_is_no_checkout_is_refused_and_an_empty_one_is_used(origin: Origin, folder: Path) -> None:
    folder.mkdir(parents=True)
    brought(origin, folder)
    other = folder.with_name("other")
    other.mkdir()
    (other / "file").write_text("mine")
    with pytest.raises(RefusedError, match="in the place of the checkout is none"):
        brought(origin, other)
    assert (other / "file").read_text() == "mine"


def test_an_origin_that_is_gone_leaves_the_checkout_with_its_content_and_modes(origin: Origin, folder: Path) -> None:
    brought(origin, folder)
    before = anatomy(folder)
    origin.bare.rename(origin.bare.with_name("gone"))
    with pytest.raises(CheckoutError, match=r"`git ls-remote` failed .*does not appear to be a git repository"):
        brought(origin, folder)
    with pytest.raises(CheckoutError, match=r"`git fetch .*` failed"):
        brought(origin, folder, commit="1" * 40)
    assert anatomy(folder) == before


def test_what_a_person_has_in_git_and_what_git_ignores_goes_along(origin: Origin, folder: Path) -> None:
    (origin.work / ".gitignore").write_text("*.env\n__pycache__/\n")
    origin.commit("two")
    brought(origin, folder)
    git(folder, "branch", "mine")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "never pushed")
    unpushed = git(folder, "rev-parse", "HEAD")
    (folder / "deep").mkdir()
    (folder / "deep" / "local.env").write_text("A=1")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    origin.commit("three")
    brought(origin, folder)
    assert (folder / "deep" / "local.env").read_text() == "A=1"
    assert mode_of(folder / "deep" / "local.env") & 0o200
    assert not (folder / "__pycache__").exists()
    assert git(folder, "cat-file", "-t", unpushed) == "commit"
    assert git(folder, "rev-parse", "--verify", "mine")


def test_read_only_follows_the_configuration_both_ways(origin: Origin, folder: Path) -> None:
    brought(origin, folder, readonly=False)
    assert mode_of(folder / "a.txt") & 0o200
    brought(origin, folder)
    assert not mode_of(folder / "a.txt") & WRITE_BITS
    brought(origin, folder, readonly=False)
    assert mode_of(folder / "a.txt") & 0o200


def test_submodules_come_along_read_only_and_move_with_the_pin(tmp_path: Path, origin: Origin, folder: Path) -> None:
    part = Origin(tmp_path, "part")
    git(origin.work, "submodule", "--quiet", "add", str(part.bare), "part")
    origin.commit("with a part")
    brought(origin, folder)
    assert (folder / "part" / "a.txt").read_text() == "one"
    assert not mode_of(folder / "part" / "a.txt") & WRITE_BITS
    part.commit("newer")
    git(origin.work / "part", "pull", "--quiet", "origin", "main")
    origin.commit("with a newer part")
    brought(origin, folder)
    assert (folder / "part" / "a.txt").read_text() == "newer"
    assert not mode_of(folder / "part" / "a.txt") & WRITE_BITS
    assert git(folder, "status", "--porcelain") == ""
    (folder / "part" / "a.txt").chmod(0o644)
    (folder / "part" / "a.txt").write_text("mine")
    with pytest.raises(RefusedError, match=r"changed by hand .*part"):
        brought(origin, folder)


def test_a_submodule_by_a_transport_that_is_not_allowed_is_refused(
    tmp_path: Path, origin: Origin, folder: Path
) -> None:
    git(origin.work, "submodule", "--quiet", "add", str(Origin(tmp_path, "part").bare), "part")
    text = (origin.work / ".gitmodules").read_text()
    marker = tmp_path / "ran"
    (origin.work / ".gitmodules").write_text(text.replace(str(tmp_path / "origins"), f"ext::touch {marker} "))
    origin.commit("with a part")
    with pytest.raises(CheckoutError, match="submodule"):
        brought(origin, folder)
    assert not marker.exists()
    assert not folder.exists()


def test_no_hook_runs_whether_of_the_checkout_or_of_a_template(
    tmp_path: Path, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    home = tmp_path / "home"
    hook = f"#!/bin/sh\ntouch {marker}\n"
    template = home / "template" / "hooks" / "post-checkout"
    template.parent.mkdir(parents=True)
    template.write_text(hook)
    template.chmod(0o755)
    (home / ".gitconfig").write_text(f"[init]\n templateDir = {home / 'template'}\n")
    monkeypatch.setenv("HOME", str(home))
    brought(origin, folder)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (folder / ".git" / "hooks").mkdir(exist_ok=True)
        (folder / ".git" / "hooks" / name).write_text(hook)
        (folder / ".git" / "hooks" / name).chmod(0o755)
    origin.commit("two")
    brought(origin, folder)
    assert not marker.exists()


def test_a_dry_run_tells_the_commit_and_changes_nothing(origin: Origin, folder: Path) -> None:
    told = update(origin.pin(folder), silent, dry_run=True)
    assert (told.before, told.commit, folder.parent.exists()) == (None, origin.commits[0], False)
    brought(origin, folder)
    newer, before = origin.commit("two"), anatomy(folder)
    told = update(origin.pin(folder), silent, dry_run=True)
    assert (told.before, told.commit) == (origin.commits[0], newer)
    assert anatomy(folder) == before


class Enclosing:
    """A repository that has the checkout as its submodule."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder = folder / "block"
        self.folder.mkdir()
        git(self.folder, "init", "--quiet")
        git(self.folder, "submodule", "--quiet", "add", str(origin.bare), "repos/harbor")
        git(self.folder, "commit", "--quiet", "-m", "pinned")
        self.checkout = self.folder / "repos" / "harbor"

    def pin_to(self, commit: str) -> None:
        git(self.folder, "update-index", "--cacheinfo", f"160000,{commit},repos/harbor")


def test_a_submodule_goes_where_the_repository_around_it_and_the_pin_agree(tmp_path: Path, origin: Origin) -> None:
    around = Enclosing(tmp_path, origin)
    newer = origin.commit("two")
    with pytest.raises(RefusedError, match=r"pinned twice .*has [0-9a-f]{12} here, and the pin is"):
        brought(origin, around.checkout, commit=newer)
    around.pin_to(newer)
    assert brought(origin, around.checkout, commit=newer).is_changed
    assert (around.checkout / ".git").is_file()
    assert git(around.checkout, "rev-parse", "HEAD") == newer
    assert git(around.checkout, "status", "--porcelain") == ""
    assert git(around.folder, "submodule", "status").startswith(newer[:1])
    assert not mode_of(around.checkout / "a.txt") & WRITE_BITS
    assert not brought(origin, around.checkout, commit=newer).is_changed


def test_a_submodule_whose_head_was_not_told_any_more_is_finished_and_an_edited_one_is_not(
    tmp_path: Path, origin: Origin
) -> None:
    around = Enclosing(tmp_path, origin)
    newer = origin.commit("two")
    around.pin_to(newer)
    git(around.checkout, "fetch", "--quiet", "origin")
    (around.checkout / "a.txt").write_text("two")  # as a kill between the rename and HEAD leaves it
    assert brought(origin, around.checkout, commit=newer).is_changed
    assert git(around.checkout, "status", "--porcelain") == ""
    older = origin.commits[0]
    around.pin_to(older)
    (around.checkout / "a.txt").chmod(0o644)
    (around.checkout / "a.txt").write_text("mine")
    before = anatomy(around.checkout)
    with pytest.raises(RefusedError, match="changed by hand"):
        brought(origin, around.checkout, commit=older)
    assert anatomy(around.checkout) == before


def test_a_submodule_that_was_never_made_is_refused_with_the_line_that_makes_it(tmp_path: Path, origin: Origin) -> None:
    Enclosing(tmp_path, origin)
    git(tmp_path, "clone", "--quiet", str(tmp_path / "block"), str(tmp_path / "copy"))
    with pytest.raises(RefusedError, match=r"not made yet .*run `git -C .*/copy submodule update --init --recursive`"):
        brought(origin, tmp_path / "copy" / "repos" / "harbor")


def test_a_linked_work_tree_of_another_checkout_is_refused(tmp_path: Path, origin: Origin, folder: Path) -> None:
    brought(origin, folder)
    linked = tmp_path / "linked"
    git(folder, "worktree", "add", "--quiet", "--detach", str(linked))
    with pytest.raises(CheckoutError, match=r"shares its .git with another checkout"):
        brought(origin, linked)
