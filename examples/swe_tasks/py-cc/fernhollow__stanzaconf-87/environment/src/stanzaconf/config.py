"""The configuration object that programs use."""

from stanzaconf.errors import ConfigError, MissingKeyError
from stanzaconf.parser import merge, parse
from stanzaconf.resolver import Resolver

_TRUE = {"1", "yes", "true", "on"}
_FALSE = {"0", "no", "false", "off"}
_REQUIRED = object()


class Config:
    """Values of several merged layers."""

    def __init__(self, stanzas):
        self._stanzas = stanzas
        self._resolver = Resolver(stanzas)

    @classmethod
    def from_texts(cls, *texts):
        """Build a configuration from the texts of its layers, weakest first."""
        return cls(merge(parse(text) for text in texts))

    def stanzas(self):
        """Names of the stanzas, in order of first appearance."""
        return list(self._stanzas)

    def get(self, stanza, key, default=_REQUIRED):
        """Return a resolved value. A missing key is an error unless a default is given."""
        if key not in self._stanzas.get(stanza, {}):
            if default is _REQUIRED:
                raise MissingKeyError(stanza, key)
            return default
        return self._resolver.resolve(stanza, key)

    def get_int(self, stanza, key, default=_REQUIRED):
        """Return a value as an integer; underscores are allowed."""
        value = self.get(stanza, key, default)
        if not isinstance(value, str):
            return value
        try:
            return int(value)
        except ValueError:
            raise ConfigError(f"{stanza}.{key} is not a whole number: {value!r}") from None

    def get_bool(self, stanza, key, default=_REQUIRED):
        """Return a value as a truth value (yes/no, true/false, on/off, 1/0)."""
        value = self.get(stanza, key, default)
        if not isinstance(value, str):
            return value
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise ConfigError(f"{stanza}.{key} is not a truth value: {value!r}")

    def section(self, stanza):
        """Return every resolved value of a stanza."""
        return {key: self.get(stanza, key) for key in self._stanzas.get(stanza, {})}
