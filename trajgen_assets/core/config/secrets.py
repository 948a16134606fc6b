"""A secret that a configuration names or holds, and that no print, log or dump ever shows."""

import os
import re
from collections.abc import Callable
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import PydanticCustomError, core_schema

from trajgen_assets.core.errors import ConfigError

REDACTED = "<redacted>"

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NEAR_REFERENCE = re.compile(r"\$\{|\$([A-Za-z_]\w*)$|os\.environ/")


class Secret:
    """`${NAME}` of an environment variable, or a literal value. Neither `repr` nor `str` shows a literal.

    Args:
        text: what the file says.
        look_up: returns the value of a name; None reads the environment alone.
    """

    __slots__ = ("_look_up", "_text")

    def __init__(self, text: str, look_up: Callable[[str], str] | None = None) -> None:
        self._text = text
        self._look_up = look_up or read_environ

    @property
    def env_name(self) -> str | None:
        """The environment variable that holds the value, or None for a literal."""
        return reference_name(self._text)

    @property
    def is_literal(self) -> bool:
        """Whether the value itself stands in the file."""
        return self.env_name is None

    def reveal(self) -> str:
        """Return the value, read from the environment at this moment, or from the `secrets.env` of its configuration.

        Raises:
            ConfigError: neither sets the variable, or it holds more than one line.
        """
        name = self.env_name
        return self._text if name is None else self._look_up(name)

    def __str__(self) -> str:
        return REDACTED if self.is_literal else self._text

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Read it from text, write it as `str` does: a reference as it is, a literal redacted."""
        return core_schema.with_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("secret_type", "should be text: put it in quotes, or write ${NAME}")
        text = value.strip()
        if text == REDACTED:
            raise PydanticCustomError("secret_redacted", "was redacted in this copy: write ${NAME}")
        if reference_name(text) is None and _NEAR_REFERENCE.search(text):
            raise PydanticCustomError("secret_form", "should be exactly ${NAME} to name an environment variable")
        if not text.isprintable():
            raise PydanticCustomError("secret_form", "holds a line break or control character")
        return cls(text, (info.context or {}).get("look_up"))


def reference_name(text: str) -> str | None:
    """The NAME of a text that is exactly `${NAME}`, else None."""
    found = _REFERENCE.fullmatch(text)
    return found[1] if found else None


def read_environ(name: str) -> str:
    """Return the environment variable `name` without surrounding white space.

    Raises:
        ConfigError: it is not set, is empty, or holds more than one line.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"the environment variable {name} is not set",
            mend=f"export {name}=… before starting, or write it into secrets.env beside config.yaml, with mode 600",
        )
    if not value.isprintable():
        raise ConfigError(f"the environment variable {name} holds a line break or control character")
    return value
