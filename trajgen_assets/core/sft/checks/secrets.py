"""Texts that look like secrets.

Values that this installation knows, and keys that it makes itself, must not be in training data. Other keys are known
by their shape alone: a repository's own tests are full of such, so they are for a person to look at. Nothing is told by
its entropy, which digests and lock files have, too.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.redact import Redactor, environ_secrets


@dataclass(frozen=True)
class Shape:
    """One kind of key. `pattern` finds it in a text; `in_line` finds it, and now and then more, in a line of JSON.

    Both begin with a literal, which is found in 100 MB within 0.03 s; `in` takes longer.
    """

    name: str
    pattern: re.Pattern[str]
    in_line: re.Pattern[bytes]


def _shape(name: str, begin: str, rest: str) -> Shape:
    """A key that begins so, and with no letter or digit before it: in a line that may be the `n` of a line's end."""
    pattern = re.compile(f"{begin}(?<![A-Za-z0-9_]{begin}){rest}", re.ASCII)
    return Shape(name, pattern, re.compile(f"{begin}{rest}".encode()))


# AWS has a key for examples, and documents show private keys with dots in them: neither is one.
SHAPES = (
    _shape("API key", "sk-", r"(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{32,}"),
    _shape("Stripe key", "sk_live_", r"[A-Za-z0-9]{24,}"),
    _shape("AWS access key", "A[KS]IA", r"(?![A-Z0-9]*EXAMPLE)[A-Z0-9]{16}\b"),
    _shape("GitHub token", "gh[pousr]_", r"[A-Za-z0-9]{36,}"),
    _shape("GitHub access token", "github_pat_", r"[A-Za-z0-9_]{40,}"),
    _shape("GitLab token", "glpat-", r"[A-Za-z0-9_-]{20,}"),
    _shape("Slack token", "xox", r"[abeoprs]-[0-9]+-[A-Za-z0-9-]{10,}"),
    _shape("Google API key", "AIza", r"[A-Za-z0-9_-]{35}\b"),
    _shape("Hugging Face token", "hf_", r"[A-Za-z0-9]{34,}\b"),
    _shape("npm token", "npm_", r"[A-Za-z0-9]{36}\b"),
    _shape("PyPI token", "pypi-AgEI", r"[A-Za-z0-9_-]{50,}"),
    Shape(
        "private key",
        re.compile(r"PRIVATE KEY-----\s+[A-Za-z0-9+/]{40,}", re.ASCII),
        re.compile(rb"PRIVATE KEY-----"),
    ),
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

    def found_in(self, line: bytes, row: Any) -> Iterator[tuple[str, str, bool]]:
        """Yield field, kind and whether it is grave, for each text of a row that holds a secret.

        Most rows hold none, which the line tells: it is then not looked at text by text.
        """
        known, of_environ = self.known.is_in(line), self.of_environ.is_in(line)
        shapes = [shape for shape in SHAPES if shape.in_line.search(line)]
        if not (known or of_environ or shapes):
            return
        for field, text in texts_of(row):
            if known and self.known.finds(text):
                yield field, f"a known secret: {_names(self.known, text)}", True
            elif of_environ and self.of_environ.finds(text):
                yield field, f"a secret of the environment: {_names(self.of_environ, text)}", False
            else:
                yield from ((field, kind, False) for kind in _kinds(shapes, text))


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


def _kinds(shapes: Iterable[Shape], text: str) -> Iterator[str]:
    for shape in shapes:
        if (found := shape.pattern.search(text)) is not None:
            yield f"it looks like a {shape.name}: {found[0][:8]}…, {len(found[0])} characters"


def _names(redactor: Redactor, text: str) -> str:
    """The names of the secrets in a text, read from what is put in their place."""
    return ", ".join(sorted(set(re.findall(r"<redacted:([^>]*)>", redactor.text(text)))))
