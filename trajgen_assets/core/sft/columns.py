"""Which facts of many rows have no one shape. `datasets` makes a table of the rows before LLaMA-Factory sees any of
them, and a column that mixes shapes stops it: no row at all is loaded then."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

from trajgen_assets.core.sft.messages import Json

# Whole numbers up to here keep their value in a column of floating-point numbers; beyond, Arrow refuses to mix them.
LARGEST_EXACT = 2**53


def unfit_keys(rows: Iterable[Json], keys: Iterable[str]) -> frozenset[str]:
    """Return those of `keys` whose values do not fit one column. Null fits, and so does a key that is missing."""
    shapes: dict[str, Any] = dict.fromkeys(keys)
    unfit: set[str] = set()
    for row in rows:
        for key in shapes.keys() - unfit:
            try:
                shapes[key] = _joined(shapes[key], _shape(row.get(key)))
            except _UnfitError:
                unfit.add(key)
    return frozenset(unfit)


class _UnfitError(ValueError):
    """Two values cannot stand in one column."""


def _shape(value: Any) -> Any:
    """Return the type of a JSON value, in lists and objects with those of their parts; None for null."""
    if isinstance(value, dict):
        return {key: _shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [reduce(_joined, map(_shape, value), None)]
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > LARGEST_EXACT:
            raise _UnfitError
        return float
    return None if value is None else type(value)


def _joined(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _joined(one.get(key), other.get(key)) for key in one | other}
    if isinstance(one, list) and isinstance(other, list):
        return [_joined(one[0], other[0])]
    if one != other:
        raise _UnfitError
    return one
