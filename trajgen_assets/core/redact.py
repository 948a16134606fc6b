"""Known secret values are replaced in texts that leave us: exception texts, logs, pages."""

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol, Self
from urllib.parse import quote, quote_plus, unquote

from markupsafe import escape

from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.guest import trial_keys

# A shorter value protects nothing, and replacing it would garble every text ("none", "local", "dummy").
MIN_LENGTH = 6

# A limit is a number, and a socket a path, whatever they are of: texts are full of both.
_SECRET_NAME = re.compile(
    r"(?!\w*_(LIMIT|SOCK)$)(\w*(KEY|TOKEN|SECRET|PASSWORD|PASSWD)|(\w+_)?(PASS|PAT|AUTH|CREDENTIALS?)|\w+_PWD)(_\w*)?",
    re.IGNORECASE,
)

# `scheme://user:password@host`, unless a variable stands in its place.
_IN_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://[^/@:\s]*:(?!\$\{)([^@/\s]+)@", re.IGNORECASE)

# The keys that we make ourselves are known by their shape: whoever prints one need not have been told it.
_OUR_KEYS = {
    trial_keys.PREFIX: "trial key",
    trial_keys.MASTER_PREFIX: "master key",
    trial_keys.SUBKEY_PREFIX: "trial subkey",
}
_OUR_KEY = re.compile(rf"({'|'.join(map(re.escape, _OUR_KEYS))})[A-Za-z0-9_-]{{8,}}(\.[A-Za-z0-9_-]+)?")

_ESCAPED_BYTE = re.compile("%[0-9A-F]{2}")
_IN_SCRIPT = str.maketrans({each: f"\\u{ord(each):04x}" for each in "<>&"})


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether an environment variable of this name is likely to hold a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


class HoldsSecrets(Protocol):
    """Something that can name every secret it knows, as a configuration can."""

    def secret_values(self) -> dict[str, str]:
        """Name to value."""


class Redactor:
    """Replaces known values by `<redacted:NAME>`, also where they stand URL-, JSON-, HTML- or base64-encoded.

    The keys that we make ourselves (of a proxy, of a trial) are replaced wherever they stand in clear.

    Args:
        values: name to secret value. A value under six characters is left alone; of two names with the
            same value the first is shown.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        for name, value in values.items():
            if len(value) >= MIN_LENGTH:
                for form in _forms(value):
                    self._names.setdefault(form, name)
        self._needles = [form.encode("utf-8", "surrogateescape") for form in (*self._names, *_OUR_KEYS)]
        longest_first = sorted(self._names, key=len, reverse=True)  # a key that begins with another key
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @classmethod
    def of(cls, holder: HoldsSecrets) -> Self:
        """Know what a configuration knows, and whatever our environment holds under the name of a secret."""
        return cls({**environ_secrets(), **holder.secret_values()})

    @classmethod
    def of_environ(cls) -> Self:
        """Know whatever our environment holds under the name of a secret."""
        return cls(environ_secrets())

    def error(self, error: Exception) -> str:
        """Say what went wrong in words that may be stored: upstreams like to quote the key that they refuse."""
        return self.text(str(error) if isinstance(error, TrajgenError) else f"{type(error).__name__}: {error}")

    def text(self, text: str) -> str:
        """Return `text` without any known value."""
        if self._pattern is not None:
            text = self._pattern.sub(lambda found: f"<redacted:{self._names[found[0]]}>", text)
        return _OUR_KEY.sub(lambda found: f"<redacted:{_OUR_KEYS[found[1]]}>", text)

    def is_in(self, data: bytes) -> bool:
        """Whether a file's content may hold a known value. Faster than `finds`, and now and then wrongly true."""
        return any(needle in data for needle in self._needles)

    def finds(self, text: str) -> bool:
        """Whether `text` holds a known value."""
        patterns = [_OUR_KEY] if self._pattern is None else [_OUR_KEY, self._pattern]
        return any(pattern.search(text) for pattern in patterns)

    def in_place(self, error: BaseException) -> None:
        """Take known values out of `error` and of every error that it follows, which keep their class and place.

        Whoever catches it next may show its text, with all causes. The title of a group stays: Python keeps it fixed.
        """
        pending, seen = [error], set[int]()
        while pending:
            each = pending.pop()
            if id(each) not in seen:
                seen.add(id(each))
                each.args = tuple(map(self._plain, each.args))
                for name, value in vars(each).items():
                    setattr(each, name, self._plain(value))
                pending += [link for link in (each.__cause__, each.__context__) if link is not None]
                pending += each.exceptions if isinstance(each, BaseExceptionGroup) else []

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value) if self.finds(value) else value  # a member of an enumeration stays one
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if type(value) is dict:
            return {self._plain(name): self._plain(each) for name, each in value.items()}
        return type(value)(map(self._plain, value)) if type(value) in (list, tuple) else value


def environ_secrets() -> dict[str, str]:
    """Whatever our environment holds under the name of a secret, or as the password of an address: name to value."""
    named = {name: value.strip() for name, value in os.environ.items() if looks_secret(name)}
    addresses = ((name, _IN_ADDRESS.match(value)) for name, value in os.environ.items())
    return named | {f"{name}'s password": unquote(found[1]) for name, found in addresses if found}


def as_written(value: str) -> Iterator[str]:
    """Yield `value` as texts hold it: plain, in JSON, in JSON within JSON; and each of these in a page or a script."""
    within = [value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]]
    for each in [*within, *(json.dumps(form)[1:-1] for form in within)]:
        yield each
        yield str(escape(each))
        yield each.translate(_IN_SCRIPT)


def _forms(value: str) -> Iterator[str]:
    for form in as_written(value):
        yield form
        yield form.replace("/", "\\/")
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted
        yield _ESCAPED_BYTE.sub(lambda found: found[0].lower(), quoted)
    for encoded in _base64_forms(value.encode()):
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")


def _base64_forms(value: bytes) -> Iterator[str]:
    """The value's base64 at each of the three alignments, less the characters that its neighbours decide."""
    for n_before in range(3):
        encoded = base64.b64encode(b"\0" * n_before + value).decode().rstrip("=")
        first = -(-n_before * 8 // 6)
        last = (n_before + len(value)) * 8 // 6
        if last - first >= MIN_LENGTH:
            yield encoded[first:last]
