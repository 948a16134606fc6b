"""JSON as training files hold it: UTF-8, compact, keys in the order they were built."""

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
