"""JSON as training files hold it: UTF-8, compact, keys in the order they were built."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson


class UnencodableError(ValueError):
    """A value has no JSON form: nested too deeply, a number beyond 64 bits, or text that is not Unicode."""


def encode(value: Any) -> bytes:
    """Return `value` as one line of JSON without its line end.

    Raises:
        UnencodableError: it has no JSON form.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise UnencodableError(str(error)) from error


class ArrayWriter:
    """Writes a JSON array one element a line, so that no more than one element is ever held.

    Call `close` after the last one; before, the file is not valid JSON.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.n_written = 0

    def add(self, element: bytes) -> None:
        """Append one element that is encoded already."""
        self._file.write(b",\n" if self.n_written else b"[\n")
        self._file.write(element)
        self.n_written += 1

    def close(self) -> None:
        """End the array. The file itself stays open."""
        self._file.write(b"\n]\n" if self.n_written else b"[]\n")


def read_array(path: Path) -> Iterator[bytes]:
    """Yield the elements of an array that `ArrayWriter` wrote, still encoded, one at a time.

    Raises:
        ValueError: it is not written so: cut off, joined to another or laid out anew. Elements before come first.
    """
    with path.open("rb") as file:
        opening = file.readline()
        if opening == b"[]\n" and not file.read(1):
            return
        element, following = file.readline(), file.readline()
        if opening != b"[\n" or not element.endswith(b"\n"):
            raise ValueError("it does not begin as an array of one element a line")
        while following != b"]\n":
            if not element.endswith(b",\n") or not following.endswith(b"\n"):
                raise ValueError("it is cut off, or two elements are not set apart")
            yield element[:-2]
            element, following = following, file.readline()
        yield element[:-1]
        if file.read(1):
            raise ValueError("something stands behind the array")
