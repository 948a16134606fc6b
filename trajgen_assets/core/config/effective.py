"""The configuration as it counts: each key with its value, and where that value comes from."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from trajgen_assets.core.config.config import EXCLUDE_NAME, Config, redacted
from trajgen_assets.core.config.inline import inline
from trajgen_assets.core.config.problems import Loc, dotted
from trajgen_assets.core.config.secrets import Secret, reference_name
from trajgen_assets.core.config.section import Notice, NoticeOn, Section
from trajgen_assets.core.errors import ConfigError

# Kept for older files, and read by nothing.
UNREAD_SECTIONS = ("status", "evolving")


@dataclass(frozen=True)
class Setting:
    """One key.

    Attributes:
        loc: its place in the file.
        value: without any literal secret, as JSON can hold it.
        origin: `file` or `default`.
        line: of the file, where it has one.
        note: what else there is to know: the environment variable behind a reference, or that nothing reads the key.
    """

    loc: Loc
    value: Any
    origin: str
    line: int | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """The place as text."""
        return dotted(self.loc)

    @property
    def said(self) -> str:
        """Origin, line and note in words."""
        place = self.origin if self.line is None else f"{self.origin}, line {self.line}"
        return f"{place}; {self.note}" if self.note else place


def effective(config: Config, lines: Mapping[Loc, int]) -> list[Setting]:
    """Every key that counts, in the order of the documentation; of those that nothing reads only what the file sets."""
    plain = redacted(config)
    found = [
        _setting(config, plain, loc, value, field, lines, is_given=is_given)
        for loc, value, field, is_given in _leaves(config, ())
        if is_given or (loc[0] not in UNREAD_SECTIONS and not _is_unread(field))
    ]
    return [*found, *_of_environ()]


def as_yaml(settings: list[Setting]) -> Iterator[str]:
    """The settings as YAML in the form of the file, a line each, with the origin behind it."""
    open_sections: Loc = ()
    for each in settings:
        section = each.loc[:-1]
        shared = next((n for n, (a, b) in enumerate(zip(section, open_sections, strict=False)) if a != b), None)
        n_open = min(len(section), len(open_sections)) if shared is None else shared
        for depth in range(n_open, len(section)):
            yield f"{'  ' * depth}{_name(section[depth])}"
        open_sections = section
        text = f"{'  ' * len(section)}{_name(each.loc[-1])} {inline(each.value)}"
        yield f"{text:<56}  # {each.said}"


def _name(part: str | int) -> str:
    return "-" if isinstance(part, int) else f"{inline(part)}:"


def _leaves(section: Section, loc: Loc) -> Iterator[tuple[Loc, Any, FieldInfo, bool]]:
    for name, field in type(section).model_fields.items():
        yield from _leaf(getattr(section, name), (*loc, name), field, is_given=name in section.model_fields_set)


def _leaf(value: Any, loc: Loc, field: FieldInfo, *, is_given: bool) -> Iterator[tuple[Loc, Any, FieldInfo, bool]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    parts = [(key, each) for key, each in inner]
    if isinstance(value, Section):
        yield from _leaves(value, loc)
    elif parts and (isinstance(value, dict) or isinstance(parts[0][1], Section)) and loc[-1] not in _FREE_FORM:
        for key, each in parts:
            yield from _leaf(each, (*loc, key), field, is_given=is_given)
    else:
        yield loc, value, field, is_given


_FREE_FORM = ("subblocks", "dependencies")


def _setting(
    config: Config, plain: Any, loc: Loc, value: Any, field: FieldInfo, lines: Mapping[Loc, int], *, is_given: bool
) -> Setting:
    for part in loc:
        plain = plain[part]
    note = _unread_note(value, field) if is_given else ""
    if name := value.env_name if isinstance(value, Secret) else reference_name(value) if isinstance(value, str) else "":
        note = _environ_note(config, name)
    return Setting(loc, plain, "file" if is_given else "default", lines.get(loc) if is_given else None, note)


def _is_unread(field: FieldInfo) -> bool:
    return any(isinstance(each, Notice) and not isinstance(each, NoticeOn) for each in field.metadata)


def _unread_note(value: Any, field: FieldInfo) -> str:
    notes = [each for each in field.metadata if isinstance(each, Notice) and not isinstance(each, NoticeOn)]
    return "".join(line.strip() for each in notes for line in each.lines("", value, field.default))


def _environ_note(config: Config, name: str) -> str:
    if os.environ.get(name, "").strip():
        return f"environment variable {name}, which is set"
    try:
        config.look_up(name)
    except ConfigError:
        return f"environment variable {name}, which is NOT set"
    return f"{name} of secrets.env"


def _of_environ() -> Iterator[Setting]:
    if text := os.environ.get(EXCLUDE_NAME, "").strip():
        yield Setting((EXCLUDE_NAME,), text, "environment", note="counts beside env_extra")
