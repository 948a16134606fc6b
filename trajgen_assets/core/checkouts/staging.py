"""A checkout made complete beside the one that stands, and put in its place in one step.

The one that stands is never worked on: a network that ends, a full disk or a kill leaves its content, its commits and
its modes as they were, and there is nothing to give back. Three names lie beside each other, in the same folder:
NAME, `.NAME.new` while it is made, `.NAME.old` between two renames.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from trajgen_assets.core.atomic import fsync_dir
from trajgen_assets.core.checkouts.addresses import allowed_protocols, normal_url
from trajgen_assets.core.checkouts.looking import WRITE_BITS, Checkout, changed_paths, named, tracked_files
from trajgen_assets.core.checkouts.pin import Pin
from trajgen_assets.core.errors import CheckoutError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.git import Git

BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
_PIN_MEND = "correct the pin, or push what it names; a commit is named by all of its 40 digits"


def beside(folder: Path, what: str) -> Path:
    """The hidden name beside `folder` for `what`."""
    return folder.with_name(f".{folder.name}.{what}")


def clear_leftovers(folder: Path) -> None:
    """Undo or finish what a killed call left. Only whoever holds the lock of `folder` may call it."""
    old = beside(folder, "old")
    if os.path.lexists(old) and not os.path.lexists(folder):  # killed between the two renames
        old.rename(folder)
    for leftover in (old, beside(folder, "new")):
        if os.path.lexists(leftover):
            shutil.rmtree(leftover)


def stage(pin: Pin, commit: str, standing: Checkout | None, lock_fd: int) -> Path:
    """Make a checkout of `commit` beside the one that stands. Returns its folder.

    What the standing one has of its own goes along: its commits, branches and stashes, and files that git ignores.

    Raises:
        CheckoutError: git failed, or the commit is not to be had.
    """
    new = beside(pin.folder, "new")
    new.mkdir(parents=True)
    git = Git(new, allowed_protocols(pin.url), (lock_fd,))
    if standing is None:
        git.told("init", "--quiet", "--template=")
        git.told("remote", "add", "--", "origin", pin.url)
    else:
        _copy_git_folder(standing, new)
    reached("checkout_before_fetch")
    _fetch(git, pin, commit)
    reached("checkout_fetched")
    git.do("checkout", "--quiet", "--force", "--detach", commit, "--")
    _check_out_submodules(git, standing)
    if changed := tuple(changed_paths(git)):
        why, mend = f"{named(changed)} differ from the commit", "see its .gitattributes, and filters that git has here"
        raise CheckoutError("what git checked out is not clean", where=pin.url, why=why, mend=mend)
    set_write_bits(new, readonly=pin.readonly)
    if standing is not None:
        _take_along_ignored(standing.folder, new)
    reached("checkout_staged")
    return new


def commit_of_origin(pin: Pin) -> str:
    """The commit that `pin` asks for. Its origin is asked where it names a branch or a tag.

    Raises:
        CheckoutError: the origin does not answer, or has no such branch or tag.
    """
    if pin.commit:
        return pin.commit
    ref = f"{pin.ref}".removeprefix("origin/")
    wanted = (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}")  # a tag's commit before the tag itself
    said = Git(Path("/"), allowed_protocols(pin.url)).told("ls-remote", "--", pin.url, *wanted)
    found = {name: commit for commit, _, name in (line.partition("\t") for line in said.splitlines())}
    commit = next((found[name] for name in wanted if name in found), None)
    if commit is None:
        raise CheckoutError(f"the origin has no branch or tag {ref}", where=normal_url(pin.url), mend=_PIN_MEND)
    return commit


def _fetch(git: Git, pin: Pin, commit: str) -> None:
    """Fetch what the origin has, unless a pinned commit is there already."""
    if pin.commit and _has(git, commit):
        return
    git.do("fetch", "--quiet", "--prune", "--tags", "--force", "--no-recurse-submodules", "--", "origin", BRANCHES)
    if _has(git, commit):
        return
    try:  # on no branch: some servers give it to who names it
        git.do("fetch", "--quiet", "--no-recurse-submodules", "--", "origin", commit)
    except CheckoutError as error:
        what = f"the origin does not give commit {commit}"
        raise CheckoutError(what, where=normal_url(pin.url), why=error.why, mend=_PIN_MEND) from error


def _has(git: Git, commit: str) -> bool:
    return git.ask("cat-file", "-e", f"{commit}^{{commit}}") is not None


def put_in_place(new: Path, folder: Path) -> None:
    """Make `new` the checkout `folder`, and remove the one that was there."""
    old = beside(folder, "old")
    os.sync()  # its files first: after a power cut the name must not stand for torn ones
    if os.path.lexists(folder):
        folder.rename(old)
        reached("checkout_between_renames")
    new.rename(folder)
    reached("checkout_in_place")
    fsync_dir(folder.parent)
    if os.path.lexists(old):
        shutil.rmtree(old)


def give_to_enclosing(new: Path, standing: Checkout, commit: str) -> None:
    """Hand the commits of `new` to the git folder that the enclosing repository keeps for the submodule."""
    Git(standing.folder, "file").do("fetch", "--quiet", "--no-tags", "--", str(new / ".git"), commit)
    shutil.rmtree(new / ".git")
    shutil.copy2(standing.folder / ".git", new / ".git")  # it names a folder relatively, and lies as deep


def set_head(folder: Path, commit: str) -> None:
    """Tell a submodule's git folder that its work tree is at `commit`."""
    git = Git(folder)
    git.told("update-ref", "--no-deref", "HEAD", commit)
    git.told("reset", "--quiet")


def holds(folder: Path, commit: str) -> bool:
    """Whether the work tree is exactly `commit`, whatever HEAD says: a kill came before HEAD was told."""
    index = beside(folder, "index")
    git = Git(folder, environ={"GIT_INDEX_FILE": str(index)})
    try:
        if git.ask("read-tree", commit) is None or git.ask("update-index", "--refresh") is None:
            return False
        return not git.names("ls-files", "-z", "--others", "--exclude-standard")
    finally:
        index.unlink(missing_ok=True)


def set_write_bits(folder: Path, *, readonly: bool) -> None:
    """Take the write bits from all files of a checkout, or give their owner's back. Links are let be."""
    for path in tracked_files(folder):
        mode = path.stat().st_mode
        wanted = mode & ~WRITE_BITS if readonly else mode | 0o200
        if mode != wanted:
            path.chmod(wanted)


def _copy_git_folder(standing: Checkout, new: Path) -> None:
    source = Path(Git(standing.folder).told("rev-parse", "--absolute-git-dir"))
    shutil.copytree(source, new / ".git", symlinks=True, ignore=_not_copied, copy_function=_copied_or_linked)
    if standing.is_submodule:
        config = str(new / ".git" / "config")  # asked from outside: the place that it names is not there, from here
        Git(new.parent).told("config", "--file", config, "--unset-all", "core.worktree")


def _not_copied(folder: str, names: list[str]) -> list[str]:
    """What a killed git left, and the index, which is made anew. Refs may have any of these names but the first."""
    is_top = Path(folder).name == ".git" or "config" in names
    has_objects = f"{os.sep}objects" in folder
    return [
        name
        for name in names
        if name.endswith(".lock") or (is_top and name == "index") or (has_objects and name.startswith("tmp_"))
    ]


def _copied_or_linked(source: str, target: str) -> str:
    """Objects never change, so that two names for one file do; all else is copied."""
    if f"{os.sep}objects{os.sep}" in source:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:  # a file system without such links
            return str(shutil.copy2(source, target, follow_symlinks=False))
        return target
    return str(shutil.copy2(source, target, follow_symlinks=False))


def _check_out_submodules(git: Git, standing: Checkout | None) -> None:
    if not (git.folder / ".gitmodules").is_file():
        return
    if standing is not None and standing.is_submodule:
        mend = f"run `git -C {standing.enclosing} submodule update --init --recursive`"
        raise CheckoutError("a submodule with submodules is left to the repository around it", mend=mend)
    git.do("submodule", "--quiet", "sync", "--recursive")
    git.do("submodule", "--quiet", "update", "--init", "--recursive", "--checkout", "--force")


def _take_along_ignored(folder: Path, new: Path) -> None:
    for name in _ignored(folder):
        source, target = folder / name, new / name
        if os.path.lexists(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):  # a repository of its own
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target, follow_symlinks=False)


def _ignored(folder: Path) -> Iterator[str]:
    """Files that git ignores there, but for the bytecode that Python makes anew."""
    for name in Git(folder).names("ls-files", "-z", "--others", "--ignored", "--exclude-standard"):
        if "__pycache__" not in Path(name).parts:
            yield name
