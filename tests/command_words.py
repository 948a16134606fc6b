"""Calls of `trajgen` that texts show, and what the command line says to each: command and options exist, or not."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from trajgen_assets.cli.main import app

# In backticks, with or without the folder of the program, up to the end of the code or of the line.
_CALL = re.compile(r"`(?:[\w./~-]*/)?trajgen ([^`\n]+)`")
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_COMMAND = re.compile(r"[a-z][a-z-]*")


def calls_in(text: str) -> Iterator[str]:
    """Each `trajgen …` that stands as code in a text, without the program's name."""
    yield from (match[1].strip() for match in _CALL.finditer(text))


def problem_of(call: str) -> str | None:
    """What the command line would not know about `call`: its command, or an option; None if it knows all."""
    words, path, command = call.split(), ["trajgen"], _top()
    options = _options(command)
    while words and _COMMAND.fullmatch(words[0]) and (commands := getattr(command, "commands", None)):
        if words[0] not in commands:
            return f"`{' '.join(path)}` has no command {words[0]}"
        path.append(words.pop(0))
        command = commands[path[-1]]
        options |= _options(command)
    unknown = [option for word in words for option in _OPTION.findall(word) if option not in options]
    return f"`{' '.join(path)}` has no option {unknown[0]}" if unknown else None


@cache
def _top() -> Any:
    return typer.main.get_command(app)


def _options(command: Any) -> set[str]:
    return {"--help", "-h", *(each for param in command.params for each in (*param.opts, *param.secondary_opts))}
