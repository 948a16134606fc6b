"""Replace references in values by what they refer to."""

import re

from stanzaconf.errors import CycleError, MissingKeyError

_REFERENCE = re.compile(r"\$\$|\$\{\s*(?:([A-Za-z][\w-]*)\.)?([A-Za-z][\w-]*)\s*\}")


class Resolver:
    """Resolves the values of one merged configuration."""

    def __init__(self, stanzas):
        self._stanzas = stanzas
        self._resolved = {}

    def resolve(self, stanza, key):
        """Return the value of `stanza.key` with every reference replaced."""
        return self._resolve((stanza, key), ())

    def _resolve(self, name, trail):
        if name in self._resolved:
            return self._resolved[name]
        if name in trail:
            raise CycleError([*trail[trail.index(name):], name])
        inner = (*trail, name)
        value = _REFERENCE.sub(lambda match: self._replacement(match, name, inner), self._raw(name))
        self._resolved[name] = value
        return value

    def _replacement(self, match, name, trail):
        if match.group(0) == "$$":
            return "$"
        return self._resolve((match.group(1) or name[0], match.group(2)), trail)

    def _raw(self, name):
        stanza, key = name
        try:
            return self._stanzas[stanza][key]
        except KeyError:
            raise MissingKeyError(stanza, key) from None
