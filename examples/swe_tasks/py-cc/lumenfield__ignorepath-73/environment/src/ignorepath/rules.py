"""Rules, and the verdict of many of them."""

from dataclasses import dataclass
from typing import Pattern

from ignorepath.glob import to_regex


@dataclass(frozen=True)
class Rule:
    """One line of a pattern file."""

    regex: Pattern
    keeps: bool
    folders_only: bool

    @classmethod
    def parse(cls, line):
        """Read a line; None if it is blank or a comment."""
        text = line.strip()
        if not text or text.startswith("#"):
            return None
        keeps = text.startswith("!")
        text = text[1:] if keeps else text
        folders_only = text.endswith("/")
        text = text.rstrip("/")
        anchored = "/" in text
        text = text.lstrip("/")
        return cls(to_regex(text if anchored else f"**/{text}"), keeps, folders_only)

    def matches(self, path, is_folder):
        """Whether the rule speaks about this very path."""
        if self.folders_only and not is_folder:
            return False
        return self.regex.fullmatch(path) is not None


class RuleSet:
    """Rules in order; the last one that matches decides."""

    def __init__(self, rules):
        self.rules = list(rules)

    @classmethod
    def from_text(cls, text):
        return cls(rule for rule in map(Rule.parse, text.splitlines()) if rule is not None)

    def is_ignored(self, path, is_folder=False):
        """Whether a path is ignored. Nothing below an ignored folder can be brought back."""
        components = path.strip("/").split("/")
        for depth in range(1, len(components)):
            if self._verdict("/".join(components[:depth]), True):
                return True
        return self._verdict("/".join(components), is_folder)

    def _verdict(self, path, is_folder):
        for rule in reversed(self.rules):
            if rule.matches(path, is_folder):
                return not rule.keeps
        return False
