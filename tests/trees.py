"""Folders as values: what lies in them byte by byte, for tests that compare them."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

State = dict[bytes, "Node"]


@dataclass(frozen=True)
class Node:
    """A file, or with `is_link` a symbolic link whose target is its content."""

    content: bytes
    is_executable: bool = False
    is_link: bool = False


def lay_out(state: State, folder: Path) -> Path:
    for path, node in state.items():
        place = os.path.join(os.fsencode(folder), path)  # noqa: PTH118
        os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
        if node.is_link:
            os.symlink(node.content, place)  # noqa: PTH211
        else:
            fd = os.open(place, os.O_WRONLY | os.O_CREAT, 0o755 if node.is_executable else 0o644)
            with os.fdopen(fd, "wb") as file:
                file.write(node.content)
    return folder


def found_in(folder: Path) -> State:
    state: State = {}
    for parent, folders, names in os.walk(os.fsencode(folder)):
        for name in [*names, *(each for each in folders if os.path.islink(os.path.join(parent, each)))]:  # noqa: PTH114, PTH118
            place = os.path.join(parent, name)  # noqa: PTH118
            path = os.path.relpath(place, os.fsencode(folder))
            mode = os.lstat(place).st_mode
            if stat.S_ISLNK(mode):
                state[path] = Node(os.readlink(place), is_link=True)
            elif stat.S_ISREG(mode):
                with open(place, "rb") as file:  # noqa: PTH123
                    state[path] = Node(file.read(), bool(mode & 0o100))
    return state
