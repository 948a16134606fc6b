"""Reading JSON lines that a process may have been killed while writing: whole lines and torn ones, told apart."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson


@dataclass(frozen=True)
class Line:
    """One line. `value` is None when it is torn: cut off before its newline, or no JSON object."""

    number: int
    data: bytes
    value: dict[str, Any] | None

    @property
    def is_cut_off(self) -> bool:
        """Whether the file ends within this line."""
        return not self.data.endswith(b"\n")


def iter_lines(
    file: IO[bytes], *, longest_bytes: int = -1, parse: Callable[[bytes], Any] = orjson.loads
) -> Iterator[Line]:
    """Every line of `file` but the blank ones, in order, one in memory at a time.

    Args:
        file: where the next line begins.
        longest_bytes: one that is longer has no value, and its first so many bytes and one more for its data.
        parse: gives what `orjson.loads` gives of a line, and fails as that does.
    """
    take = longest_bytes + 1 if longest_bytes >= 0 else -1
    for number, data in enumerate(iter(lambda: file.readline(take), b""), start=1):
        if len(data) == take:
            _pass_over_rest(file, data, take)
            yield Line(number, data, None)
        elif not data.isspace():
            yield Line(number, data, _parsed(data, parse))


def iter_records(path: Path) -> Iterator[Line]:
    """Every line of the trajectory or journal at `path`; none when there is no such file."""
    try:
        with path.open("rb") as file:
            yield from iter_lines(file)
    except FileNotFoundError:
        return


def _pass_over_rest(file: IO[bytes], data: bytes, take: int) -> None:
    while data and not data.endswith(b"\n"):
        data = file.readline(take)


def _parsed(data: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any] | None:
    if not data.endswith(b"\n"):
        return None
    try:
        value = parse(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
