"""Exceptions raised by stanzaconf."""


class ConfigError(Exception):
    """Base class of every error of this package."""


class SyntaxProblem(ConfigError):
    """A line that is neither a stanza header, a key nor a comment."""

    def __init__(self, line_number, line):
        super().__init__(f"line {line_number}: cannot read {line!r}")
        self.line_number = line_number
        self.line = line


class MissingKeyError(ConfigError, KeyError):
    """A key that no layer defines."""

    def __init__(self, stanza, key):
        super().__init__(f"{stanza}.{key}")
        self.stanza = stanza
        self.key = key


class CycleError(ConfigError):
    """A value that refers to itself, directly or through others.

    `path` lists the references in the order in which they were followed; the
    first and the last one are the same.
    """

    def __init__(self, path):
        self.path = [f"{stanza}.{key}" for stanza, key in path]
        super().__init__("values refer to each other: " + " -> ".join(self.path))
