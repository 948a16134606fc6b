"""A value of config.yaml on one line."""

import json
from typing import Any

import yaml

_ENDLESS = 1 << 30


def inline(value: Any) -> str:
    """Write a value as YAML that fits behind its key: scalars plainly, all else, and text of several lines, as JSON."""
    if isinstance(value, dict | list | tuple) or (isinstance(value, str) and not value.isprintable()):
        return json.dumps(value, ensure_ascii=False, default=str)
    return yaml.safe_dump(value, width=_ENDLESS, allow_unicode=True).removesuffix("...\n").strip()
