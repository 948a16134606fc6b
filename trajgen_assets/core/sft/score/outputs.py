"""What an observation says: whether it is an error, and how a test ended."""

import re
from collections.abc import Iterable

from trajgen_assets.core.sft.score import rules

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\r")
_LINES = re.MULTILINE


class _Signs:
    """Signs that are looked for together. Of most texts the words alone tell that none is there."""

    def __init__(self, signs: Iterable[rules.Sign], flags: re.RegexFlag = re.NOFLAG) -> None:
        self._signs = [(each.words, re.compile(each.pattern, flags)) for each in signs]

    def are_in(self, text: str) -> bool:
        """Whether any of them is."""
        return any(pattern.search(text) for words, pattern in self._signs for word in words if word in text)


_MARKERS, _HARD, _SOFT = _Signs(rules.TOOL_ERRORS), _Signs(rules.HARD_ERRORS), _Signs(rules.SOFT_ERRORS)
_FAILED, _PASSED = _Signs(rules.TEST_FAILED, _LINES), _Signs(rules.TEST_PASSED, _LINES)
_NONE = re.compile("|".join(f"(?:{each})" for each in rules.NO_TESTS), re.IGNORECASE)
_ECHOED_ZERO = re.compile(rules.ECHOED_ZERO, re.IGNORECASE)
_SCAFFOLD_LINES = re.compile(rules.SCAFFOLD_LINES, _LINES)


def scan_window(text: str) -> str:
    """Return what is looked at of an observation: no colours, and of a long text its beginning and its end."""
    limit = 2 * rules.WINDOW_HALF
    if len(text) > 4 * limit:  # colours of the middle need no removal: it is left out anyway
        text = text[: 2 * limit] + text[-2 * limit :]
    if "\x1b" in text or "\r" in text:
        text = _ANSI.sub("", text)
    if len(text) <= limit:
        return text
    first, last = text[: rules.WINDOW_HALF], text[-rules.WINDOW_HALF :]
    border = last.find("\n", 0, rules.WINDOW_ALIGN)
    return f"{first}\n{last[border + 1 :]}"


def is_error(window: str, *, is_run: bool, is_formal_test: bool) -> bool:
    """Whether an observation reports an error of its call.

    Args:
        window: what is looked at of it.
        is_run: it is the output of a command.
        is_formal_test: the command ran a test suite, whose failures are its subject and no error of the call.
    """
    if _MARKERS.are_in(window):
        return True
    if not is_run:
        return False
    return _HARD.are_in(window) or (not is_formal_test and _SOFT.are_in(window))


def outcome_of_test(window: str | None) -> str:
    """Return `pass`, `fail` or `unknown` for the output of a test; the first rule that matches decides."""
    if window is None:
        return "unknown"
    if _MARKERS.are_in(window) or _HARD.are_in(window) or _FAILED.are_in(window):
        return "fail"
    if _NONE.search(window):
        return "unknown"
    if _PASSED.are_in(window) or _ECHOED_ZERO.search(_SCAFFOLD_LINES.sub("", window)):
        return "pass"
    return "fail" if _SOFT.are_in(window) else "unknown"
