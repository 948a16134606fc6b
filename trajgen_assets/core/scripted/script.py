"""Scripts: what the model does at each turn, as data, in words that no scaffold owns."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trajgen_assets.core.errors import ConfigError

MODEL_NAME = "scripted"
SCRIPTS = Path(str(files("trajgen_assets.core.scripted"))) / "scripts"

Text = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    """Base of what a script file is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Command(Frozen):
    """One shell command without its last newline, and how long to wait for its output."""

    run: Text
    wait_s: float = Field(default=0.1, ge=0, le=2)


class ScriptedTurn(Frozen):
    """One answer of the model: what it thinks, says and runs."""

    reasoning: Text
    analysis: Text
    plan: Text
    commands: tuple[Command, ...] = ()
    complete: bool = False


class Script(Frozen):
    """The turns of one task.

    `match` is a phrase of the task's instruction that no other task has; None marks the script for every task that
    no other script knows. `solves` says which reward to expect. The last two turns are complete ones without
    commands, because Terminus-2 asks for a confirmation.
    """

    task_id: Text
    match: Text | None
    solves: bool
    turns: tuple[ScriptedTurn, ...] = Field(min_length=3)

    @model_validator(mode="after")
    def _ends_with_two_complete_turns(self) -> Self:
        if [turn.complete for turn in self.turns] != [False] * (len(self.turns) - 2) + [True, True]:
            raise ValueError("the last two turns, and only they, must be complete")
        if any(bool(turn.commands) == turn.complete for turn in self.turns):
            raise ValueError("a turn has commands, or is complete, and never both")
        return self

    def turn(self, index: int) -> ScriptedTurn:
        """The turn after `index` answers; the last one again when the script is over."""
        return self.turns[min(index, len(self.turns) - 1)]


def read_script(path: Path) -> Script:
    """Read one script file.

    Raises:
        ConfigError: it is not YAML, or not a script.
    """
    try:
        return Script.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError("not a script", where=path, why=error, mend="compare it with the script beside it") from error


@cache
def load_scripts(folder: Path = SCRIPTS) -> tuple[Script, ...]:
    """Every script of `folder` in order of task id, the one without `match` last."""
    scripts = [read_script(path) for path in folder.glob("*.yaml")]
    return tuple(sorted(scripts, key=lambda script: (script.match is None, script.task_id)))


def find_script(scripts: Sequence[Script], text: str) -> Script:
    """The first script whose phrase is in `text`, line breaks aside, else the last one."""
    words = unwrap(text)
    return next((script for script in scripts if script.match and unwrap(script.match) in words), scripts[-1])


def unwrap(text: str) -> str:
    """`text` with every run of blanks and line breaks as one blank: scaffolds wrap and indent what they quote."""
    return " ".join(text.split())
