"""Foreign text made fit for a reader: what would hide, reorder or end something is shown by its name instead.

Escaping for HTML is another matter, and Jinja's.
"""

import re
from collections.abc import Mapping
from typing import Any

# Colours and erasures of a terminal say nothing on a page. Any other sequence stays, with its escape made visible.
_COLOURS = re.compile(r"\x1b\[[0-9;:]*[mK]")

# Line feed, tab and carriage return before a line feed are layout. The rest, in order: C0, DEL and C1; the soft hyphen;
# the marks, embeddings, overrides and isolates of bidirectional text; zero width space, word joiner, invisible
# operators and the byte order mark; line and paragraph separator; fillers; surrogates without a partner; interlinear
# marks; tags and variation selectors that can hide a whole text. Joiners stay: some scripts and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ud800-\udfff\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]|\r(?!\n)"
)


def visible(text: str) -> str:
    """Return `text` with nothing in it that a reader cannot see or that changes the order of what they see."""
    if text.isascii() and text.isprintable():
        return text  # nearly every text is short and plain, and a site has millions
    if "\x1b" in text:
        text = _COLOURS.sub("", text)
    return _HIDDEN.sub(_name, text)


def all_visible(value: Any) -> Any:
    """Return JSON-like `value` with every text in it made `visible`, names of fields too."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(name)): all_visible(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [all_visible(each) for each in value]
    return value


def _name(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the picture of a control character
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
