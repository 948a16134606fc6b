"""Reading config.yaml: every problem of the file in one error, none of them guessed away."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.problems import Loc, canonical, dotted, explain, line_of
from trajgen_assets.core.config.secrets_file import SecretsFile
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError

UNFILLED = "human"
ABSENT = "write one with: trajgen init; or name another by --config or TRAJGEN_CONFIG"
MEND = "correct the file at that line; `trajgen config validate` shows all problems"


def load_config(path: Path | str) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: it is missing or cannot be read, is not YAML, or holds unknown, repeated, unfilled or
            wrong keys; all of them are named, one line each.
    """
    file = Path(path).expanduser().absolute()
    return parse_config(_text_of(file), file)


def _text_of(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("there is no configuration", where=file, mend=ABSENT) from None
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration is not UTF-8", where=file, why=f"byte {error.start}", mend=MEND) from None
    except OSError as error:
        raise ConfigError("the configuration cannot be read", where=file, why=error.strerror) from error


def parse_config(text: str, path: Path) -> Config:
    """Check the text of a configuration that lies, or will lie, at the absolute `path`.

    Raises:
        ConfigError: as for `load_config`.
    """
    raw, survey = _read_yaml(text, path)
    secrets = SecretsFile.beside(path)
    problems = dict.fromkeys(survey.problems)
    config = None
    try:
        config = Config.model_validate(raw, context={"path": path, "secrets": secrets, "look_up": secrets.read})
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            if each["loc"] not in survey.unfilled:
                problems[_line(each["loc"], explain(each, Config), survey)] = None
    if problems or config is None:
        raise _refusal(path, list(problems))
    return config


def key_lines(path: Path) -> dict[Loc, int]:
    """The line of each key that a configuration sets, under the name that the key has here.

    Raises:
        ConfigError: it cannot be read, or is not YAML.
    """
    _, survey = _read_yaml(_text_of(path), path)
    return {canonical(loc, Config): line for loc, line in survey.lines.items()}


def raw_keys(path: Path) -> dict[str, Any]:
    """What a configuration says, before any of it is checked. Raises as `key_lines` does."""
    return _read_yaml(_text_of(path), path)[0]


def is_unfilled(path: Path) -> bool:
    """Whether `path` is a configuration in which a person still has something to fill in."""
    try:
        return bool(_read_yaml(path.read_text("utf-8"), path)[1].unfilled)
    except (ConfigError, OSError, UnicodeDecodeError):
        return False


@dataclass
class _Survey:
    """What the YAML tree says about itself before anyone reads its values."""

    lines: dict[Loc, int] = field(default_factory=dict)
    unfilled: set[Loc] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def _read_yaml(text: str, path: Path) -> tuple[dict[str, Any], _Survey]:
    loader = yaml.SafeLoader(text)
    survey = _Survey()
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError("the configuration is empty or not a mapping", where=path, mend=MEND)
        _survey_node(root, (), survey, {})
        return loader.construct_document(root), survey
    except yaml.MarkedYAMLError as error:  # its own text quotes the file, which may hold a key
        place = _place(path, error)
        raise ConfigError("the configuration is not YAML", where=place, why=error.problem, mend=MEND) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("the configuration is not YAML", where=path, why=type(error).__name__, mend=MEND) from None
    finally:
        loader.dispose()


def _place(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{path}, line {mark.line + 1}" if mark else str(path)


def _survey_node(node: yaml.Node, loc: Loc, survey: _Survey, seen: dict[int, Loc]) -> None:
    survey.lines.setdefault(loc, node.start_mark.line + 1)
    if (anchor := seen.setdefault(id(node), loc)) != loc:  # an alias: surveyed where it is anchored
        if loc[: len(anchor)] == anchor:
            survey.problems.append(_line(loc, "holds itself", survey))
        return
    if isinstance(node, yaml.MappingNode):
        _survey_mapping(node, loc, survey, seen)
    elif isinstance(node, yaml.SequenceNode):
        for position, each in enumerate(node.value):
            _survey_node(each, (*loc, position), survey, seen)
    elif isinstance(node, yaml.ScalarNode) and node.value.strip() == UNFILLED:
        survey.unfilled.add(loc)
        survey.problems.append(_line(loc, f"is still `{UNFILLED}`: fill it in, or use `trajgen init`", survey))


def _survey_mapping(node: yaml.MappingNode, loc: Loc, survey: _Survey, seen: dict[int, Loc]) -> None:
    for key, value in node.value:
        place = (*loc, str(key.value))
        survey.lines.setdefault(place, key.start_mark.line + 1)
        _survey_node(value, place, survey, seen)
    for name, count in Counter(str(key.value) for key, _ in node.value).items():
        if count > 1:
            lines = ", ".join(str(key.start_mark.line + 1) for key, _ in node.value if str(key.value) == name)
            survey.problems.append(f"{dotted((*loc, name))} is set {count} times (lines {lines})")


def _line(loc: Loc, text: str, survey: _Survey) -> str:
    line = line_of(loc, survey.lines)
    return f"{dotted(loc)}: {text}" + (f" (line {line})" if line else "")


def _refusal(path: Path, problems: list[str]) -> ConfigError:
    count = count_of(len(problems), "problem")
    return ConfigError(f"the configuration has {count}", where=path, why="\n  " + "\n  ".join(problems))
