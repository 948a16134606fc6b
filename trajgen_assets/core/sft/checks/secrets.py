"""Texts that look like secrets.

Values that this installation knows, and keys that it makes itself, must not be in training data. Other keys are known
by their shape alone: a repository's own tests are full of such, so they are for a person to look at. Nothing is told by
its entropy, which digests and lock files have, too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.redact import Redactor, environ_secrets


@dataclass(frozen=True)
class Shape:
    """One kind of key: a text without `needle` holds none. The pattern begins with it, which finds it fast."""

    name: str
    needle: str
    pattern: re.Pattern[str]


def _shape(name: str, needle: str, rest: str) -> Shape:
    """A key that begins with `needle`, and with no letter or digit before it."""
    own = re.escape(needle)
    return Shape(name, needle, re.compile(f"{own}(?<![A-Za-z0-9_]{own}){rest}", re.ASCII))


SHAPES = (
    _shape("API key", "sk-", r"(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{32,}"),
    _shape("Stripe key", "sk_live_", r"[A-Za-z0-9]{24,}"),
    _shape("AWS access key", "AKIA", r"(?![A-Z0-9]*EXAMPLE)[A-Z0-9]{16}\b"),
    _shape("AWS access key", "ASIA", r"(?![A-Z0-9]*EXAMPLE)[A-Z0-9]{16}\b"),
    *(_shape("GitHub token", f"gh{kind}_", r"[A-Za-z0-9]{36,}") for kind in "pousr"),
    _shape("GitHub token", "github_pat_", r"[A-Za-z0-9_]{40,}"),
    _shape("GitLab token", "glpat-", r"[A-Za-z0-9_-]{20,}"),
    _shape("Slack token", "xox", r"[abeoprs]-[0-9]+-[A-Za-z0-9-]{10,}"),
    _shape("Google API key", "AIza", r"[A-Za-z0-9_-]{35}\b"),
    _shape("Hugging Face token", "hf_", r"[A-Za-z0-9]{34,}\b"),
    _shape("npm token", "npm_", r"[A-Za-z0-9]{36}\b"),
    _shape("PyPI token", "pypi-AgEI", r"[A-Za-z0-9_-]{50,}"),
    Shape("private key", "PRIVATE KEY-----", re.compile(r"PRIVATE KEY-----\s+[A-Za-z0-9+/]{40,}")),
)


@dataclass(frozen=True)
class SecretFinder:
    """Knows what must not stand in a row.

    Attributes:
        known: the secrets of the configuration, and the keys that we make ourselves.
        of_environ: what the environment holds under the name of a secret, which may be any word.
    """

    known: Redactor
    of_environ: Redactor

    @classmethod
    def of(cls, config: Config) -> Self:
        """Know what an installation knows."""
        known = config.secret_values()
        others = {name: value for name, value in environ_secrets().items() if value not in known.values()}
        return cls(Redactor(known), Redactor(others))

    def may_hold(self, line: bytes) -> bool:
        """Whether a line has to be looked at closely. Most need not be, and this is fast."""
        is_named = self.known.is_in(line) or self.of_environ.is_in(line)
        return is_named or any(shape.needle.encode() in line for shape in SHAPES)

    def found_in(self, row: Any) -> Iterator[tuple[str, str, bool]]:
        """Yield field, kind and whether it is grave, for each text of a row that holds a secret."""
        for field, text in texts_of(row):
            if self.known.finds(text):
                yield field, f"a known secret: {_names(self.known, text)}", True
            elif self.of_environ.finds(text):
                yield field, f"a secret of the environment: {_names(self.of_environ, text)}", False
            else:
                yield from ((field, kind, False) for kind in _kinds(text))


def texts_of(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text of a JSON value with its place, as `messages[3].content`; JSON within a text is part of it."""
    pending = [(field, value)]
    while pending:
        place, each = pending.pop()
        if isinstance(each, str):
            yield place, each
        elif isinstance(each, dict):
            pending += [(f"{place}.{name}" if place else str(name), part) for name, part in reversed(each.items())]
        elif isinstance(each, list):
            pending += [(f"{place}[{index}]", part) for index, part in reversed(list(enumerate(each)))]


def _kinds(text: str) -> Iterator[str]:
    for shape in SHAPES:
        if shape.needle in text and (found := shape.pattern.search(text)) is not None:
            yield f"it looks like a {shape.name}: {found[0][:8]}…, {len(found[0])} characters"


def _names(redactor: Redactor, text: str) -> str:
    """The names of the secrets in a text, read from what is put in their place."""
    return ", ".join(sorted(set(re.findall(r"<redacted:([^>]*)>", redactor.text(text)))))
