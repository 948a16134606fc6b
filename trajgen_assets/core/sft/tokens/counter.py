"""How many tokens a text is, by a tokenizer file of the `tokenizers` library.

A text is encoded in pieces, so that memory does not grow with it: an encoding takes some hundred bytes a token. Pieces
end with a line whose successor is not blank, where the usual pre-tokenizers never join what stands on both sides; a
tokenizer that does is found out by trying, and its texts are not cut.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer

from trajgen_assets.core.errors import ConversionError

PIECE = 1024  # characters; the library takes the same text in pieces of 8192 in 1.15 of the time, as a whole in 1.5
BATCH = 256  # pieces that are encoded together, on all threads: some 30 MB
REMEMBERED = 100_000  # counts of pieces, some 15 MB: texts that begin alike are encoded once

_BORDER = re.compile(r"\n(?=\S)")
_PROBE = "if a:\n    b = 1\n\n\n\tc\n'll\n1234\n\u00e9\u0301x \n#!%\n\nDer Satz.  \n\u4f60\u597d\n</s>\n_x\r\ny\n<a>\n"


class TokenCounter:
    """Counts tokens of texts as they stand: special tokens in a text are such, and none are added."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._is_cuttable = _keeps_lines_apart(tokenizer)
        self._known: dict[bytes, int] = {}

    @classmethod
    def of(cls, file: Path) -> Self:
        """Read a `tokenizer.json`.

        Raises:
            ConversionError: it is not one.
        """
        try:
            return cls(Tokenizer.from_file(str(file)))
        except Exception as error:  # the library raises nothing more special
            mend = "name another tokenizer, or fetch this one again"
            raise ConversionError("the tokenizer cannot be read", where=file, why=error, mend=mend) from error

    def count(self, text: str) -> int:
        """Return the number of tokens of `text`."""
        if not self._is_cuttable:
            return len(self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0])
        pieces = pieces_of(text)
        total = 0
        while batch := list(islice(pieces, BATCH)):
            total += self._count_batch(batch)
        return total

    def _count_batch(self, pieces: list[str]) -> int:
        keys = [blake2b(piece.encode(), digest_size=16).digest() for piece in pieces]
        new = {key: piece for key, piece in zip(keys, pieces, strict=True) if key not in self._known}
        if len(self._known) > REMEMBERED:
            self._known.clear()
            new = dict(zip(keys, pieces, strict=True))
        encoded = self._tokenizer.encode_batch_fast(list(new.values()), add_special_tokens=False)
        self._known.update((key, len(each)) for key, each in zip(new, encoded, strict=True))
        return sum(self._known[key] for key in keys)


def pieces_of(text: str, length: int = PIECE) -> Iterator[str]:
    """Cut `text` behind lines, each piece at least `length` characters, and up to the next such border."""
    start = 0
    while len(text) - start > length and (border := _BORDER.search(text, start + length)):
        yield text[start : border.end()]
        start = border.end()
    yield text[start:]


def _keeps_lines_apart(tokenizer: Tokenizer) -> bool:
    """Whether texts that are cut behind lines give the same tokens as whole ones."""
    added = tokenizer.get_added_tokens_decoder().values()
    if any(token.lstrip or "\n" in token.content[:-1] for token in added):
        return False
    whole = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    cut = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in pieces_of(_PROBE, 0)]
    return whole == [token for ids in cut for token in ids]
