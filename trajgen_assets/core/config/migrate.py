"""From a configuration of the earlier system to one of this: each key kept, renamed, moved or left out, with a word.

No secret gets into the new file: a literal one becomes `${NAME}`, and its name is handed back with its place.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from trajgen_assets.core.config.changed import (
    ALL_TASKS,
    CHANGED,
    EARLIER_FORMAT,
    FORMAT_KEPT,
    LEFT_OUT,
    MOVED_ENVIRON,
)
from trajgen_assets.core.config.config import EXCLUDE_NAME, Config, without_logins
from trajgen_assets.core.config.inline import inline
from trajgen_assets.core.config.inputs import NAMED_REPO_LISTS
from trajgen_assets.core.config.load import load_config, parse_config, raw_keys
from trajgen_assets.core.config.problems import Loc, dotted, section_in
from trajgen_assets.core.config.scaffolds import EARLIER_NAMES
from trajgen_assets.core.config.secrets import Secret, reference_name
from trajgen_assets.core.config.section import EARLIER_ENVIRON, Notice, NoticeOn, Section, is_literal_secret
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.redact import Redactor

WIDTH = 112

# Keys whose value is a path from the folder of the file.
PATHS = frozenset({"dataset_name", "manifest", "exclude_repos", "out_dir", "dir", "registry"})
# Places that have to lie below the folder of the file.
BOUND = frozenset({"runtime_info.input.harbor_job.jobs_dir", "runtime_info.output.raw_trajectories_dir.path"})
EARLIER_SECTIONS = frozenset({"environment", "status", "evolving"})
DATA_PATH = "runtime_info.output.sft_data_dir.path"
EXCLUDED_LIST = "excluded_tasks.txt"


class Note(str):
    """A word about a key that stands in the new file as it stood in the old one."""

    __slots__ = ()


@dataclass(frozen=True)
class Migration:
    """A new configuration.

    Attributes:
        text: the file, valid at its target.
        secrets: name of the environment variable that now holds a secret, to the place that held it.
        words: each key that changed, and how, or that means something else here, as the comments of the file have it.
    """

    text: str
    secrets: Mapping[str, str]
    words: tuple[tuple[str, str], ...]

    @property
    def n_changes(self) -> int:
        """How many words are about a key that was renamed, moved, rewritten, left out or added."""
        return len(self.words) - self.n_notes

    @property
    def n_notes(self) -> int:
        """How many are about a key that is kept."""
        return sum(isinstance(word, Note) for _, word in self.words)


def migrate(old: Path, target: Path) -> Migration:
    """Read the configuration `old` and return what is to be written to `target`. Writes nothing.

    In a file that is of this system already, where nothing is to change, nothing is noted either.

    Raises:
        ConfigError: `old` is not valid; all its problems are named. Or a secret of it stands where nobody expects one.
    """
    config = load_config(old)
    draft = _Draft(config, moves=target.absolute().parent != config.path.parent)
    raw = raw_keys(config.path)
    keys = draft.keys_of(Config, _with_one_environ(raw, draft), ())
    if _is_earlier(raw):
        keys = _with_format(keys)
    keys = [*(key for key in keys if key.name != "runtime_info"), *(key for key in keys if key.name == "runtime_info")]
    words = tuple(_words(keys, ()))
    is_current = not _is_earlier(raw) and all(isinstance(word, Note) for _, word in words)
    text = "\n".join([*_heading(config, draft.secrets), *_lines(keys, 0, noted=not is_current)]) + "\n"
    _refuse_secrets(config, text)
    parse_config(text, target.absolute())
    return Migration(text, draft.secrets, () if is_current else words)


@dataclass(frozen=True)
class _Key:
    """A key with what it holds and the comments above it; without a name it is comments alone."""

    name: str
    value: Any = None
    comments: tuple[str, ...] = ()


@dataclass
class _Draft:
    """The work on one file."""

    config: Config
    moves: bool
    secrets: dict[str, str] = field(default_factory=dict)
    moved_environ: set[str] = field(default_factory=set)

    def keys_of(self, model: type[Section], raw: Mapping[Any, Any], loc: Loc) -> list[_Key]:
        """The new keys of one section, in the order of the old ones."""
        return [key for name, value in raw.items() for key in self._of(model, str(name), value, loc)]

    def _of(self, model: type[Section], old_name: str, value: Any, loc: Loc) -> Iterator[_Key]:
        name = model.ALIASES.get(old_name, old_name)
        place, spec = (*loc, name), model.model_fields[name]
        if value in (None, "", {}, []):
            if dotted(place) == "runtime_info.input.harbor_job.n_tasks":
                yield _Key("", comments=(ALL_TASKS,))
            return
        renamed = (f"renamed from {old_name}",) if old_name != name else ()
        for key in self._rewritten(spec, place, value):
            yield replace(key, comments=(*renamed, *key.comments))

    def _rewritten(self, spec: FieldInfo, place: Loc, value: Any) -> Iterator[_Key]:
        name, path = str(place[-1]), dotted(place)
        if path in LEFT_OUT:
            yield _Key("", comments=(f"{name}: {LEFT_OUT[path]}",))
        elif unread := [each for each in spec.metadata if isinstance(each, Notice) and not isinstance(each, NoticeOn)]:
            yield from (
                _Key("", comments=(f"{name} left out: it {each.text}",)) for each in unread if value != spec.default
            )
        elif path in BOUND and self.moves:
            place_before = self.config.resolve(str(value))
            yield _Key("", comments=(f"{name} left out: jobs lie under the artifacts root, and not in {place_before}",))
        elif name in ("env_extra", "extra"):
            yield _Key(name, [key for each, text in value.items() for key in self._environ(each, text, place)])
        elif section := section_in(spec.annotation):
            yield from self._sections(section, place, value, is_named=get_origin(spec.annotation) is dict)
        else:
            yield self._leaf(spec, place, value)

    def _sections(self, section: type[Section], place: Loc, value: Any, *, is_named: bool) -> Iterator[_Key]:
        name, comments = str(place[-1]), _changed(place)
        if isinstance(value, list):
            listed = [self.keys_of(section, each, (*place, n)) for n, each in enumerate(value)]
            words = [word for keys in listed for key in keys for word in key.comments]
            yield _Key(name, [_plain(keys) for keys in listed], (*comments, *words))
        elif is_named:
            named = [(key, self.keys_of(section, each or {}, (*place, key))) for key, each in value.items()]
            yield _Key(name, [_Key(str(key), keys or {}) for key, keys in named], comments)
        elif inner := self.keys_of(section, value, place):
            yield _Key(name, inner, comments)

    def _leaf(self, spec: FieldInfo, place: Loc, value: Any) -> _Key:
        name, comments = str(place[-1]), _changed(place)
        if Secret in (spec.annotation, *get_args(spec.annotation)) and reference_name(str(value)) is None:
            return self._secret(name, _key_name(place), place)
        if name == "name" and value in EARLIER_NAMES and str(place[-2]) == "agent":
            return _Key(name, EARLIER_NAMES[value], (*comments, f"was {value}"))
        is_path = name in PATHS and value not in NAMED_REPO_LISTS and not self._is_elsewhere(str(value))
        if self.moves and (is_path or dotted(place) == DATA_PATH):
            whole = str(self.config.resolve(str(value)))
            return _Key(name, whole, (*comments, *(["absolute, since the file moved"] if whole != value else [])))
        said = [
            Note(each) for note in spec.metadata if isinstance(note, NoticeOn) for each in note.lines(name, value, None)
        ]
        clean = without_logins(value)
        login = ("a login within it is left out",) if clean != value else ()
        return _Key(name, clean, (*comments, *said, *login))

    def _is_elsewhere(self, value: str) -> bool:
        """Whether the value that stands where a path may stand names what is not on this host."""
        remotes = self.config.remotes()
        return "://" in value or any(value == remote.name for remote in remotes)

    def _environ(self, name: str, value: Any, loc: Loc) -> Iterator[_Key]:
        place, text = (*loc, name), "" if value is None else str(value)
        moved = (MOVED_ENVIRON,) if name in self.moved_environ else ()
        if name in EARLIER_ENVIRON:
            yield _Key("", comments=(f"{name} left out: it {EARLIER_ENVIRON[name]}",))
        elif name == EXCLUDE_NAME and reference_name(text) is None:
            yield _Key(name, self._tokens(text), (*moved, *_changed(place)))
        elif is_literal_secret(name, text) or without_logins(text) != text:
            key = self._secret(name, name, place)
            yield replace(key, comments=(*moved, *key.comments))
        else:
            yield _Key(name, text, moved)

    def _tokens(self, text: str) -> str:
        """The tokens; from another folder whole paths, and also of the list that counted without being named."""
        if not self.moves:
            return " ".join(text.split())
        own = [EXCLUDED_LIST] if self.config.resolve(EXCLUDED_LIST).exists() else []
        whole = [self._token(token) for token in dict.fromkeys([*own, *text.split()])]
        if spaced := next((token for token in whole if len(token.split()) > 1), None):
            mend = "write the new file beside the old one"
            raise ConfigError(f"a path with a space cannot stand in {EXCLUDE_NAME}", where=spaced, mend=mend)
        return " ".join(whole)

    def _token(self, token: str) -> str:
        path = self.config.resolve(token)
        return str(path) if path.is_file() or "/" in token or path.suffix in (".txt", ".yaml", ".yml") else token

    def _secret(self, key: str, wanted: str, place: Loc) -> _Key:
        wanted = re.sub(r"\W", "_", wanted, flags=re.ASCII)
        wanted = wanted if key == wanted else wanted.upper()
        name, n = wanted, 2
        while name in self.secrets or (name in self.config.named_references() and key != name):
            name, n = f"{wanted}_{n}", n + 1
        self.secrets[name] = dotted(place)
        return _Key(key, f"${{{name}}}", ("the key that stood here is not copied: see above",))


def _with_one_environ(raw: dict[str, Any], draft: _Draft) -> dict[str, Any]:
    """The older `environment.extra` under `env_extra`; of exclusions both count, of all else the newer."""
    older = (raw.get("environment") or {}).get("extra") or {}
    inputs = raw["runtime_info"]["input"]
    newer = inputs.get("env_extra") or {}
    draft.moved_environ |= older.keys() - newer.keys()
    joined = {**older, **newer}
    if EXCLUDE_NAME in older and EXCLUDE_NAME in newer:
        joined[EXCLUDE_NAME] = f"{older[EXCLUDE_NAME] or ''} {newer[EXCLUDE_NAME] or ''}"
    if draft.moves and draft.config.resolve(EXCLUDED_LIST).exists():
        joined.setdefault(EXCLUDE_NAME, EXCLUDED_LIST)
    inputs = {**inputs, "env_extra": joined}
    rest = {key: value for key, value in raw.items() if key != "environment"}
    return {**rest, "runtime_info": {**raw["runtime_info"], "input": inputs}}


def _is_earlier(raw: Mapping[str, Any]) -> bool:
    return "litellm_proxy" in raw["runtime_info"]["input"] or not EARLIER_SECTIONS.isdisjoint(raw)


def _with_format(keys: list[_Key]) -> list[_Key]:
    """A file of the earlier system, which had one shape of rows, says so now that there are two."""
    runtime = next(key for key in keys if key.name == "runtime_info")
    output = next((key for key in runtime.value if key.name == "output"), _Key("output", []))
    data = next((key for key in output.value if key.name == "sft_data_dir"), _Key("sft_data_dir", []))
    if any(key.name == "format" for key in data.value):
        return keys
    data = replace(data, value=[*data.value, _Key("format", EARLIER_FORMAT, (FORMAT_KEPT,))])
    output = replace(output, value=[*(key for key in output.value if key.name != data.name), data])
    runtime = replace(runtime, value=[*(key for key in runtime.value if key.name != output.name), output])
    return [*(key for key in keys if key.name != runtime.name), runtime]


def _is_section(key: _Key) -> bool:
    return isinstance(key.value, list) and all(isinstance(each, _Key) for each in key.value)


def _changed(place: Loc) -> tuple[str, ...]:
    return (Note(CHANGED[path]),) if (path := dotted(place)) in CHANGED else ()


def _plain(keys: list[_Key]) -> dict[str, Any]:
    return {key.name: _plain(key.value) if _is_section(key) else key.value for key in keys if key.name}


def _words(keys: list[_Key], loc: Loc) -> Iterator[tuple[str, str]]:
    for key in keys:
        place = (*loc, key.name) if key.name else loc
        yield from ((dotted(place), word) for word in key.comments)
        if _is_section(key):
            yield from _words(key.value, place)


def _heading(config: Config, secrets: Mapping[str, str]) -> Iterator[str]:
    yield from _comment(f"Migrated from {config.path.name}, which is unchanged. Check with: trajgen config validate", 0)
    if secrets:
        yield from _comment("Set these in the environment, or in secrets.env beside this file with mode 600:", 0)
    for name, place in secrets.items():
        yield from _comment(f"  {name}: what stood at {place}", 0)


def _lines(keys: list[_Key], depth: int, *, noted: bool) -> Iterator[str]:
    indent = "  " * depth
    for key in keys:
        for comment in key.comments:
            if noted or not isinstance(comment, Note):
                yield from _comment(comment, depth)
        if not key.name:
            continue
        if _is_section(key) and any(each.name for each in key.value):
            yield f"{indent}{inline(key.name)}:"
            yield from _lines(key.value, depth + 1, noted=noted)
        elif _is_section(key):  # nothing but words is left of it
            yield from _lines(key.value, depth, noted=noted)
        else:
            yield f"{indent}{inline(key.name)}: {inline(key.value)}"


def _comment(text: str, depth: int) -> list[str]:
    start = "  " * depth + "# "
    return textwrap.wrap(
        text.strip(),
        WIDTH,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _key_name(place: Loc) -> str:
    """A name for the key at `…llm_api.api_key`, or at `…llm_api.endpoints.<n>.api_key`."""
    position = place[-2]
    owner, number = (place[2:-4], [position + 1]) if isinstance(position, int) else (place[2:-2], [])
    return "_".join(map(str, [*owner, "LLM_API_KEY", *number]))


def _refuse_secrets(config: Config, text: str) -> None:
    """Refuse to write a text that holds a secret of the old file anywhere, in whatever form."""
    shown = Redactor(config.literal_secrets()).text(text)
    if shown != text:
        line = next(n for n, (a, b) in enumerate(zip(text.splitlines(), shown.splitlines(), strict=True)) if a != b)
        place = shown.splitlines()[line].strip()
        mend = "in the old file, write ${NAME} where the secret belongs, and take it out of all other keys"
        raise ConfigError("a secret stands where it does not belong", where=config.path, why=place, mend=mend)
