"""What every section of config.yaml has in common, and the types of its values."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.secrets import REDACTED, reference_name
from trajgen_assets.core.keys import is_safe_name
from trajgen_assets.core.redact import looks_secret


@dataclass(frozen=True)
class Notice:
    """Marks a key that is accepted for the sake of older files and not honoured: what happens instead."""

    text: str = ""

    def lines(self, path: str, value: Any, default: Any) -> Iterator[str]:
        """What there is to say about the value that a file gives the key."""
        if value != default:
            yield f"{path} {self.text}"


@dataclass(frozen=True)
class NoticeOn(Notice):
    """Marks a key of which only some values, or some names in its mapping, need a word.

    Attributes:
        say: what follows on the key's path, for a value.
    """

    say: Callable[[Any], Iterable[str]] = tuple

    def lines(self, path: str, value: Any, default: Any) -> Iterator[str]:
        """One line for each word."""
        if value != default:
            yield from (path + ending for ending in self.say(value))


class Section(BaseModel):
    """A mapping of config.yaml: frozen, no unknown keys, an empty value (`""` or nothing) counts as absent."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True, ser_json_bytes="base64"
    )

    ALIASES: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _normalise(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        present = {key: value for key, value in raw.items() if value is not None and value != ""}
        for alias, name in cls.ALIASES.items():
            if alias in present and name not in present:  # both at once stays an unknown key
                present[name] = present.pop(alias)
        return present


SectionT = TypeVar("SectionT", bound=Section)


def with_defaults(section: SectionT, **defaults: Any) -> SectionT:
    """The same section with other defaults; what the file sets stays, and nothing else counts as set by it."""
    absent = {name: value for name, value in defaults.items() if name not in section.model_fields_set}
    completed = section.model_copy(update=absent)
    completed.model_fields_set.difference_update(absent)
    return completed


def given_values(section: Section, prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    """Yield each key that the file sets, in depth: dotted path, value, and the field it belongs to."""
    for name, field in type(section).model_fields.items():
        if name in section.model_fields_set:
            yield from _given(getattr(section, name), f"{prefix}{name}", field)


def _given(value: Any, path: str, field: FieldInfo) -> Iterator[tuple[str, Any, FieldInfo]]:
    if isinstance(value, Section):
        yield from given_values(value, f"{path}.")
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    sections = [(key, each) for key, each in inner if isinstance(each, Section)]
    for key, each in sections:
        yield from given_values(each, f"{path}.{key}.")
    if not sections:
        yield path, value, field


def absolute(base: Path, text: str) -> Path:
    """Read a path as config.yaml means it: `~` expanded, relative to the folder `base`, links left alone."""
    return Path(os.path.abspath(base / Path(text).expanduser()))  # noqa: PTH100 - resolve() would follow links


def refuse_unless(holds: Callable[[Any], object], text: str) -> AfterValidator:
    """A validator that refuses a value with `text` unless `holds` is true of it."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise PydanticCustomError("refused", "{text}", {"text": text})
        return value

    return AfterValidator(check)


def refuse_for(problem_of: Callable[[str], str | None]) -> AfterValidator:
    """A validator that refuses a value for the problem that is told of it, if any."""

    def check(value: str) -> str:
        if problem := problem_of(value):
            raise PydanticCustomError("refused", "{problem}", {"problem": problem})
        return value

    return AfterValidator(check)


def _env_map(raw: Any) -> Any:
    """Numbers become text, as an environment has nothing else; a name must be one that a shell accepts."""
    if not isinstance(raw, dict):
        return raw
    for name, value in raw.items():
        if not isinstance(name, str) or not name.isascii() or not name.isidentifier():
            text = f"{str(name)[:80]!r} is no name for an environment variable"
            raise PydanticCustomError("env_name", "{text}", {"text": text})
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise PydanticCustomError("env_value", "{name} should be text: put it in quotes", {"name": name})
    return {name: "" if value is None else str(value) for name, value in raw.items()}


def _public_env(env: dict[str, str]) -> dict[str, str]:
    return {name: REDACTED if is_literal_secret(name, value) else value for name, value in env.items()}


def is_literal_secret(name: str, value: str) -> bool:
    """Whether `name: value` of an environment holds a secret in clear."""
    return bool(value) and looks_secret(name) and reference_name(value) is None


_URL = re.compile(r"https?://[^/\s?#@]+(/[^\s?#]*)?")

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]
CostPerToken = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]
Url = Annotated[str, refuse_unless(_URL.fullmatch, "should be an http(s) address without user, password or query")]
ModelName = Annotated[
    str, refuse_unless(re.compile(r"[^/\s]+/\S+").fullmatch, "should be provider/name, for example openai/<name>")
]
SafeName = Annotated[
    str,
    refuse_unless(is_safe_name, "should be letters, digits, '.', '_', '+', '-', starting with a letter or digit"),
]
# What the earlier system's programs read from the environment, and nothing reads here.
EARLIER_ENVIRON: Mapping[str, str] = MappingProxyType(
    {
        "LITELLM_PORT": "is not read: set litellm_proxy.port",
        "LITELLM_NUM_WORKERS": "is not used: a job's proxy is one process",
        "LITELLM_CONFIG": "is not read: the proxy's configuration is generated",
        "LITELLM_LOG_FOLDER": "is not read: each job's proxy has a folder of its own",
        "LITELLM_STICKY_ROUTING_ALIASES": "is not read: name the endpoints in llm_api.endpoints",
        "HARBOR_LEDGER_EXCLUDE": "is not read: what the ledger holds for consumed is never assigned again",
        "TRAJGEN_PREPARE_TASKS": "is not read: tasks are staged when their job starts",
        "TRAJGEN_UPDATE_REPOS": "is not read here: give `trajgen start` --update-repos, or this variable",
    }
)


def _earlier_names(env: Mapping[str, str]) -> Iterator[str]:
    return (f".{name} {text}" for name, text in EARLIER_ENVIRON.items() if name in env)


EnvMap = Annotated[
    dict[str, str],
    BeforeValidator(_env_map),
    PlainSerializer(_public_env),
    Field(repr=False),
    NoticeOn(say=_earlier_names),
]
