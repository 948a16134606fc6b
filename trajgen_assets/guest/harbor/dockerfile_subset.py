"""The part of a Dockerfile that makes sense without images, read strictly: what is not understood is an error.

Understood: FROM (its image is ignored), WORKDIR, ENV, ARG, COPY, ADD of local files, RUN. Without meaning in a
sandbox that has one user and is entered by command: USER, CMD, ENTRYPOINT, EXPOSE, LABEL, and their like.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

IGNORED = frozenset(
    {"USER", "CMD", "ENTRYPOINT", "EXPOSE", "LABEL", "MAINTAINER", "STOPSIGNAL", "HEALTHCHECK", "VOLUME"}
)
UNDERSTOOD = frozenset({"FROM", "WORKDIR", "ENV", "ARG", "COPY", "ADD", "RUN"})

_DOLLAR = "\0"  # stands for an escaped dollar sign while words are split, which would take its backslash away
_VARIABLE = re.compile(
    r"(?P<escaped>\\\$|\0)|\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})"
)
_HEREDOC = re.compile(r"(?<![<\d])<<-?[\"']?\w")


class DockerfileError(ValueError):
    """A line that the local sandbox cannot carry out."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"Dockerfile line {line}: {why}; use the docker environment for this task")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined. `line` is where it starts, counted from 1."""

    line: int
    name: str
    text: str

    def error(self, why: str) -> DockerfileError:
        """An error that points at this instruction."""
        return DockerfileError(self.line, f"{self.name} {why}")


@dataclass(frozen=True)
class Copy:
    """A COPY or ADD. `mode` is what --chmod gave; --chown is dropped, as USER is."""

    sources: tuple[str, ...]
    target: str
    mode: int | None


def parse(text: str) -> list[Instruction]:
    """The instructions that mean something here, in order.

    Raises:
        DockerfileError: an unknown instruction, a second FROM, or a here-document.
    """
    instructions = [_instruction(line, statement) for line, statement in _statements(text)]
    stages = [each for each in instructions if each.name == "FROM"]
    if len(stages) > 1:
        raise stages[1].error("starts a second stage, which the local sandbox does not have")
    return [each for each in instructions if each.name not in IGNORED]


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first line. Comments and blanks inside a continuation vanish."""
    start, parts = 0, list[str]()
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip() if not parts else raw.rstrip()
        if not line.strip() or line.lstrip().startswith("#"):
            if re.match(r"#\s*escape\s*=\s*[^\\]", line):
                raise DockerfileError(number, "another escape character is not supported")
            continue
        start = start or number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        yield start, "".join([*parts, line])
        start, parts = 0, []
    if "".join(parts).strip():
        yield start, "".join(parts)


def _instruction(line: int, statement: str) -> Instruction:
    name, *rest = statement.split(maxsplit=1)
    each = Instruction(line, name.upper(), rest[0].strip() if rest else "")
    if each.name not in UNDERSTOOD | IGNORED:
        raise each.error("is not supported by the local sandbox")
    if each.name in {"RUN", "COPY", "ADD"} and not each.text.startswith("[") and _HEREDOC.search(each.text):
        raise each.error("with a here-document is not supported by the local sandbox")
    return each


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`; unknown names become nothing."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        found = variables.get(match["plain"] or match["name"], "")
        if match["sign"] == "-":
            return found or match["word"]
        if match["sign"] == "+":
            return match["word"] if found else ""
        return found

    return _VARIABLE.sub(value, text)


def env_pairs(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """What an ENV sets, in both of its forms."""
    name, *rest = instruction.text.split(maxsplit=1)
    if "=" not in name:
        if not rest:
            raise instruction.error("needs a name and a value")
        return {name: expand(rest[0].strip(), variables)}
    pairs = [word.partition("=") for word in _words(instruction)]
    if not all(sign and key for key, sign, _ in pairs):
        raise instruction.error("needs NAME=value in each word")
    return {key: expand(value, variables) for key, _, value in pairs}


def arg_pair(instruction: Instruction, variables: Mapping[str, str]) -> tuple[str, str]:
    """What an ARG declares: its name and default, which is empty where none is given."""
    words = _words(instruction)
    if len(words) != 1:
        raise instruction.error("needs exactly one NAME or NAME=default")
    name, _, default = words[0].partition("=")
    return name, expand(default, variables)


def run_command(instruction: Instruction) -> str:
    """The shell line of a RUN, from its shell form or its JSON form."""
    if instruction.text.startswith("--"):
        raise instruction.error(f"with {instruction.text.split()[0]} is not supported by the local sandbox")
    words = _json_words(instruction)
    return instruction.text if words is None else shlex.join(words)


def copy_words(instruction: Instruction, variables: Mapping[str, str]) -> Copy:
    """Sources, target and mode of a COPY or ADD.

    Raises:
        DockerfileError: a flag, a remote source or an archive, which cannot be done as Docker does it.
    """
    text, mode = instruction.text, None
    while text.startswith("--"):
        flag, _, text = text.partition(" ")
        text, mode = text.lstrip(), _copy_mode(instruction, flag, mode)
    bare = Instruction(instruction.line, instruction.name, text)
    words = [expand(word, variables) for word in _json_words(bare) or _words(bare)]
    if len(words) < 2:
        raise instruction.error("needs a source and a target")
    for source in words[:-1]:
        _refuse_special_source(instruction, source)
    return Copy(tuple(words[:-1]), words[-1], mode)


def _copy_mode(instruction: Instruction, flag: str, mode: int | None) -> int | None:
    name, _, value = flag.partition("=")
    if name == "--chown":
        return mode
    if name == "--chmod" and re.fullmatch(r"[0-7]{3,4}", value):
        return int(value, 8)
    raise instruction.error(f"with {flag} is not supported by the local sandbox")


def _refuse_special_source(instruction: Instruction, source: str) -> None:
    if "://" in source or source.startswith("git@"):
        raise instruction.error(f"of the remote source {source} is not supported by the local sandbox")
    if instruction.name == "ADD" and re.search(r"\.(tar|tgz|tbz2?|txz|tar\.\w+)$", source):
        raise instruction.error(f"of the archive {source} is not supported by the local sandbox")


def _words(instruction: Instruction) -> list[str]:
    try:
        return shlex.split(instruction.text.replace("\\$", _DOLLAR))
    except ValueError as error:
        raise instruction.error(f"cannot be split into words: {error}") from error


def _json_words(instruction: Instruction) -> list[str] | None:
    """The words of a JSON list. None where the text is no such list, which Docker then reads as shell form."""
    try:
        words = json.loads(instruction.text)
    except ValueError:
        return None
    return words if isinstance(words, list) and words and all(isinstance(word, str) for word in words) else None
