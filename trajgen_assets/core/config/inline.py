"""A value of config.yaml on one line."""

import json
from typing import Any

import yaml

_ENDLESS = 1 << 30


def inline(value: Any) -> str:
    """Write a value as YAML that fits behind its key: scalars plainly, all else, and text of several lines, as JSON."""
    if isinstance(value, dict | list | tuple) or (isinstance(value, str) and not value.isprintable()):
        return "".join(map(_escaped, json.dumps(value, ensure_ascii=False, default=str)))
    return yaml.safe_dump(value, width=_ENDLESS, allow_unicode=True).removesuffix("...\n").strip()


def _escaped(char: str) -> str:
    """YAML takes some characters for line breaks that JSON does not, and refuses others."""
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
