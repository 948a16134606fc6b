"""The fields of a trajectory record as `docs/data-contracts.md` lists them, and those that a record has."""

import re
from collections.abc import Iterator
from typing import Any

from trajgen_assets.core.paths import PROJECT

_SECTION = re.compile(r"^### `litellm-trajectory\.jsonl`.*?(?=^### )", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)


def documented_fields() -> set[str]:
    """Dotted paths, `[]` for the items of a list. The first name of a row gives the others their path."""
    [section] = _SECTION.findall((PROJECT / "docs" / "data-contracts.md").read_text())
    return {path for row in _ROW.findall(section) for path in _paths(row)}


def _paths(row: str) -> Iterator[str]:
    first, *others = re.findall(r"`([^`]+)`", row)
    above = first.rpartition(".")[0]
    yield first
    yield from (f"{above}.{name}" if above else name for name in others)


def fields_of(value: Any, known: set[str], path: str = "") -> Iterator[str]:
    """The paths of a record's fields, as deep as the document goes."""
    if isinstance(value, list):
        for each in value:
            yield from fields_of(each, known, f"{path}[]")
    elif isinstance(value, dict) and (not path or any(name.startswith(f"{path}.") for name in known)):
        for name, each in value.items():
            inner = f"{path}.{name}" if path else name
            yield inner
            yield from fields_of(each, known, inner)
