"""What is wrong with a config.yaml, one line for each problem, in words of the file and not of a library."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic_core import ErrorDetails

from trajgen_assets.core.config.section import Section

Loc = tuple[str | int, ...]

_TEXTS = {
    "missing": "is missing",
    "string_type": "should be text: put it in quotes",
    "model_type": "should be a mapping of keys",
    "dict_type": "should be a mapping of keys",
    "tuple_type": "should be a list",
    "float_type": "should be a number",
    "int_type": "should be a whole number",
    "bool_type": "should be true or false",
}


def dotted(loc: Loc) -> str:
    """Write a place in the file as `a.b.0.c`."""
    return ".".join(str(part) for part in loc if part != "[key]") or "the file"


def canonical(loc: Loc, model: type[Section]) -> Loc:
    """The same place with each key under the name that it has here, where the file uses another."""
    return tuple(_section_at(model, loc[:n]).ALIASES.get(str(part), part) for n, part in enumerate(loc))


def explain(error: ErrorDetails, model: type[Section]) -> str:
    """Say in one line what is wrong, and for an unknown key which known one is nearest."""
    if error["type"] == "extra_forbidden":
        return f"unknown key; {_nearest(error['loc'], model)}"
    message = _TEXTS.get(error["type"]) or error["msg"]
    return message.removeprefix("Value error, ").removeprefix("Input ").strip()


def _nearest(loc: Loc, model: type[Section]) -> str:
    key, section = str(loc[-1]), _section_at(model, loc[:-1])
    here = {*section.model_fields, *section.ALIASES}
    if key in section.ALIASES:
        return f"it is another name of {section.ALIASES[key]}, which is set too"
    if near := difflib.get_close_matches(key, here, n=1):
        return f"the nearest known key is {near[0]}"
    everywhere = dict(reversed(list(_all_keys(model, ()))))  # of two equal names the first one counts
    if near := difflib.get_close_matches(key, everywhere, n=1, cutoff=0.8):
        return f"the nearest known key is {everywhere[near[0]]}"
    return f"known here: {', '.join(section.model_fields)}"


def _section_at(model: type[Section], loc: Loc) -> type[Section]:
    """The section that `loc` leads to. Names within a map of sections and positions in a list lead nowhere new."""
    for part in loc:
        name = model.ALIASES.get(str(part), str(part))
        field = model.model_fields.get(name)
        model = section_in(field.annotation) or model if field else model
    return model


def section_in(annotation: Any) -> type[Section] | None:
    """The section that a type is, or holds."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for each in get_args(annotation) if (found := section_in(each))), None)


def _all_keys(model: type[Section], loc: Loc) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        yield name, dotted((*loc, name))
        if section := section_in(field.annotation):
            yield from _all_keys(section, (*loc, name))


def line_of(loc: Loc, lines: Mapping[Loc, int]) -> int | None:
    """The line of `loc`, or of the nearest place around it that the file has."""
    while loc and loc not in lines:
        loc = loc[:-1]
    return lines.get(loc)
