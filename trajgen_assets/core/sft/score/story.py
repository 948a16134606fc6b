"""A row as the score sees it: the model's turns, what each did, and what it observed."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from posixpath import normpath

import orjson

from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.score import rules
from trajgen_assets.core.sft.score.outputs import is_error, scan_window
from trajgen_assets.core.sft.score.shell import files_written, head, kind_of_test

TERMINUS = "terminus2"
_TEST_PATH = re.compile("|".join(f"(?:{each})" for each in rules.TEST_PATHS))


@dataclass(frozen=True)
class Observation:
    """What came back of a call that ran a command, or a whole test suite, or neither. Looked at only when asked."""

    text: str
    is_run: bool
    is_formal_test: bool

    @cached_property
    def window(self) -> str:
        """What patterns look at."""
        return scan_window(self.text)

    @cached_property
    def is_error(self) -> bool:
        return is_error(self.window, is_run=self.is_run, is_formal_test=self.is_formal_test)


@dataclass(frozen=True)
class Action:
    """One call, or one command of Terminus-2, with the observation at its position."""

    tool: str
    verb: str = ""
    command: str | None = None
    path: str | None = None
    url: str | None = None
    writes: bool = False
    observation: Observation | None = None

    @cached_property
    def test_run(self) -> str | None:
        return kind_of_test(self.command) if self.command else None

    @cached_property
    def edits(self) -> tuple[str, ...]:
        """Files that it writes, relative to the checkout."""
        if self.command:
            return tuple(map(relative, files_written(self.command)))
        return (self.path,) if self.writes and self.path else ()

    @property
    def is_test_edit(self) -> bool:
        return all(map(is_test_path, self.edits))

    @property
    def is_error(self) -> bool:
        return self.observation is not None and self.observation.is_error

    @property
    def target(self) -> str:
        """What it acts upon: a file, or its command."""
        return self.path or (self.command or "").strip()[: rules.TARGET_LIMIT]

    @cached_property
    def kind(self) -> str:
        """One of the seven kinds: search, read, edit, test, run, plan, submit."""
        if self.tool in rules.SUBMIT_TOOLS:
            return "submit"
        if self.edits or self.writes:
            return "edit"
        if self.test_run:
            return "test"
        if self.tool in rules.PLAN_TOOLS:
            return "plan"
        return self._looking_kind()

    def _looking_kind(self) -> str:
        if self.command is None:
            return "search" if self.tool in rules.SEARCH_TOOLS else "read"
        program = head(self.command) if self.command.strip() else ""
        if program in {"grep", "rg", "find", "fd", "ag", "ls"}:
            return "search"
        return "read" if program in {"cat", "head", "tail", "sed", "less", "nl"} else "run"


@dataclass
class Turn:
    """One answer of the model with all that followed until the next."""

    text: str
    actions: list[Action]
    says_done: bool = False
    observations: list[Observation] = field(default_factory=list)

    @property
    def files(self) -> set[str]:
        """Files that it named to a tool or wrote."""
        return {path for action in self.actions for path in (*action.edits, action.path) if path}


def story_of_row(row: Json) -> list[Turn]:
    """Return the turns of an IM row that says which scaffold it is of."""
    return story_of(row["messages"], row["tools"], row["meta_info"]["unique_info"]["scaffold"])


def story_of(messages: list[Json], tools: list[Json], scaffold: str) -> list[Turn]:
    """Return the turns of an IM row.

    The n-th observation after a turn belongs to its n-th call. Terminus-2 has one observation for all commands of a
    turn, which is the next user message.
    """
    names = canonical_names(tools)
    observing = "user" if scaffold == TERMINUS else "tool"
    turns: list[Turn] = []
    texts: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            _observe(turns, texts, scaffold)
            turns.append(_terminus_turn(message) if scaffold == TERMINUS else _turn(message, names))
        elif message["role"] == observing and turns:
            texts.append(message["content"])
    _observe(turns, texts, scaffold)
    return turns


def is_test_path(path: str) -> bool:
    """Whether a file holds tests, or reproduces what is to be mended."""
    return _TEST_PATH.search(path) is not None


def relative(path: str) -> str:
    """Return a path without the folder that tasks are checked out to."""
    for prefix in rules.CHECKOUT_PREFIXES:
        if path.startswith(prefix):
            path = path.removeprefix(prefix)
            break
    return normpath(path)


def canonical_names(tools: list[Json]) -> dict[str, str]:
    """Return the usual name of each tool that goes by another one, told from its declared properties."""
    return {tool["name"]: _canonical(tool) for tool in tools if isinstance(tool.get("name"), str)}


def _canonical(tool: Json) -> str:
    name, parameters = tool["name"], tool.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    has = set(properties) if isinstance(properties, dict) else set[str]()
    if name.lower() in rules.KNOWN_TOOLS:
        return str(name)
    if "task_completed" in has:
        return "finish"
    if "thought" in has and not has & {"command", "path"}:
        return "think"
    if "task_list" in has:
        return "task_tracker"
    if has & rules.EDITOR_FIELDS or {"command", "path"} <= has:
        return "str_replace_editor"
    return "execute_bash" if "command" in has and has & {"is_input", "timeout"} else str(name)


def _turn(message: Json, names: dict[str, str]) -> Turn:
    calls = message.get("tool_calls") or ()
    actions = [_action(call["function"], names) for call in calls]
    text = f"{message['reasoning_content']}\n{message['content']}"
    return Turn(text, actions, says_done=any(action.tool == "finish" for action in actions))


def _action(function: Json, names: dict[str, str]) -> Action:
    arguments = _object(function["arguments"])
    tool = str(names.get(function["name"], function["name"])).lower()
    command = arguments.get("command")
    verb = command if isinstance(command, str) and command in rules.EDITOR_VERBS else ""
    path = next((path for key in rules.PATH_KEYS if (path := arguments.get(key)) and isinstance(path, str)), None)
    return Action(
        tool=tool,
        verb=verb,
        command=_command(tool, verb, arguments),
        path=relative(path) if path else None,
        url=arguments["url"] if isinstance(arguments.get("url"), str) else None,
        writes=tool in rules.WRITE_TOOLS or (tool in rules.EDITOR_TOOLS and verb in rules.WRITING_VERBS),
    )


def _command(tool: str, verb: str, arguments: Json) -> str | None:
    """Return what a call executes; None when it executes nothing."""
    if verb or rules.NOT_RUN_FIELDS & arguments.keys():
        return None
    texts = {key: arguments[key] for key in rules.COMMAND_KEYS if isinstance(arguments.get(key), str)}
    is_run = any(texts.get(key, "").strip() for key in rules.RUN_KEYS) or tool in rules.SHELL_TOOLS
    return next((text for text in texts.values() if text.strip()), "") if is_run else None


def _terminus_turn(message: Json) -> Turn:
    answer = _object(message["content"])
    commands = answer.get("commands")
    actions = [
        Action("keystrokes", command=command["keystrokes"])
        for command in (commands if isinstance(commands, list) else ())
        if isinstance(command, dict) and isinstance(command.get("keystrokes"), str)
    ]
    said = [str(answer[key]) for key in ("analysis", "plan") if answer.get(key)]
    text = "\n".join([message["reasoning_content"], *(said or [message["content"]])])
    return Turn(text, actions, says_done=answer.get("task_complete") is True)


def _object(text: str) -> Json:
    """Return the JSON object in `text`, whatever stands around it; an empty one when there is none."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return {}
    try:
        value = orjson.loads(text[start : end + 1])
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _observe(turns: list[Turn], texts: list[str], scaffold: str) -> None:
    """Give the last turn what was observed after it, and forget that."""
    if turns and texts:
        turn = turns[-1]
        if scaffold == TERMINUS:
            is_formal = any(action.test_run == "formal" for action in turn.actions)
            whole = Observation("\n".join(texts), is_run=True, is_formal_test=is_formal)
            turn.observations = [whole]
            turn.actions = [replace(action, observation=whole) for action in turn.actions]
        else:
            turn.observations = [_observed_at(turn.actions, at, text) for at, text in enumerate(texts)]
            pairs = zip(turn.actions, turn.observations, strict=False)
            turn.actions = [
                *(replace(action, observation=observation) for action, observation in pairs),
                *turn.actions[len(turn.observations) :],
            ]
    texts.clear()


def _observed_at(actions: list[Action], at: int, text: str) -> Observation:
    action = actions[at] if at < len(actions) else Action("")
    return Observation(text, is_run=action.command is not None, is_formal_test=action.test_run == "formal")
