"""The leak flags of a conversation: what was done, in which turn, and the words of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from posixpath import basename

from trajgen_assets.core.rollout.fix import FixRecord
from trajgen_assets.core.sft.leaks import rules
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.score.rules import COMMAND_LIMIT
from trajgen_assets.core.sft.score.shell import head, redirected, segments, words
from trajgen_assets.core.sft.score.story import Action, Turn

# `owner__repo-number`, with a commit for the number, or with two versions as VeloraHarness has them.
_TASK_ID = re.compile(r"(?P<owner>.+?)__(?P<repo>.+?)(?:-(?:\d+|[0-9a-f]{7,40})(?:__\w+)?|_\d+\.[\w.]*_\d+\.[\w.]*)")


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{each})" for each in patterns))


_SOLUTION = _any_of(*rules.SOLUTION_PATHS)
_HISTORY = _any_of(*rules.FOREIGN_HISTORY)
_HISTORY_PATH = re.compile(rules.HISTORY_PATH)
_JUDGE = _any_of(*rules.JUDGE_PATHS)
_COMMIT = re.compile(rules.COMMIT)
_ALL_FETCHES = (*rules.FETCHES, rules.ADDRESS)
_SOLUTION_IN_SCRIPT = re.compile(rules.SOLUTION_IN_SCRIPT)
_OUTPUT_OPTION = re.compile(rules.OUTPUT_OPTION)
_REACHING_OUT = {program: re.compile(pattern) for program, pattern in rules.REACHING_OUT.items()}


class Leak(StrEnum):
    """What a flag is about."""

    SOLUTION_READ = "solution_read"
    FOREIGN_HISTORY = "foreign_history"
    REPOSITORY_FETCHED = "repository_fetched"
    JUDGE_CHANGED = "judge_changed"
    EQUAL_TO_FIX = "equal_to_fix"


@dataclass(frozen=True)
class Flag:
    """One sign of a leak. `turn` counts the model's turns from 1; None where it is about the outcome as a whole."""

    leak: Leak
    turn: int | None
    quote: str

    def as_json(self) -> Json:
        """Return it as rows hold it."""
        return {"leak": self.leak.value, "turn": self.turn, "quote": self.quote[: rules.QUOTE_LENGTH]}


def leaks_in(row: Json, turns: list[Turn]) -> list[Json]:
    """Return the leak flags of an IM row, whose story `turns` is, as it holds them."""
    facts = row["meta_info"]["unique_info"]
    told = takewhile(lambda message: message["role"] != "assistant", row["messages"])
    prompt = "\n".join(message["content"] for message in told)
    return [flag.as_json() for flag in leak_flags(turns, facts["_instance_id"], prompt)]


def fix_flags(fix: FixRecord | None, patch: Path) -> list[Json]:
    """Return the flag of a trial whose final patch changes what its task's fix does, each file in the same way."""
    if fix is None or fix.n_lines < rules.EQUAL_FIX_MIN_LINES:
        return []
    try:
        is_equal = fix.is_in(patch.read_bytes())
    except FileNotFoundError:
        return []
    return [Flag(Leak.EQUAL_TO_FIX, None, ", ".join(fix.files)).as_json()] if is_equal else []


def leak_flags(turns: list[Turn], task_id: str, prompt: str) -> list[Flag]:
    """Return the flags of a conversation in the order of its turns, no more than the first twenty.

    Args:
        turns: what the model did.
        task_id: `owner__repo-number`, or with a commit or versions for the number; of another shape, addresses of its
            repository cannot be told.
        prompt: what the model was told before its first turn.
    """
    return list(islice(_Reader(task_id, [prompt]).flags(turns), rules.MAX_FLAGS))


@dataclass
class _Reader:
    """Goes through a conversation, knowing what was shown and written before each turn."""

    task_id: str
    shown: list[str]
    own_files: set[str] = field(default_factory=set)
    n_lookups: int = 0

    @cached_property
    def fetches(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{self._named(each)})" for each in _ALL_FETCHES), re.IGNORECASE)

    @cached_property
    def address(self) -> re.Pattern[str]:
        return re.compile(self._named(rules.ADDRESS), re.IGNORECASE)

    def _named(self, pattern: str) -> str:
        """Return a pattern with the owner and the repository of the task."""
        found = _TASK_ID.fullmatch(self.task_id)
        owner, repo = (re.escape(found[name]) for name in ("owner", "repo")) if found else ("(?!)", "(?!)")
        return pattern.replace("OWNER", owner).replace("REPO", repo)

    def flags(self, turns: list[Turn]) -> Iterator[Flag]:
        """Yield all flags."""
        for at, turn in enumerate(turns, start=1):
            for action in turn.actions:
                found = self._of_call(action) if action.command is None else self._of_command(action)
                yield from (Flag(leak, at, quote.strip()) for leak, quote in found)
                self.own_files.update(map(basename, action.edits))
            self.shown += [observation.text for observation in turn.observations]

    def _of_call(self, action: Action) -> Iterator[tuple[Leak, str]]:
        if action.path and action.writes and _JUDGE.search(action.path):
            yield Leak.JUDGE_CHANGED, f"{action.tool} {action.path}"
        elif action.path and not action.writes and self._is_solution(action.path):
            yield Leak.SOLUTION_READ, f"{action.tool} {action.path}"
        elif action.path and not action.writes and _HISTORY_PATH.search(action.path):
            yield Leak.FOREIGN_HISTORY, f"{action.tool} {action.path}"
        if action.url and self.address.search(action.url):
            yield Leak.REPOSITORY_FETCHED, f"{action.tool} {action.url}"

    def _of_command(self, action: Action) -> Iterator[tuple[Leak, str]]:
        command = action.command or ""
        for segment in segments(command):
            text = segment[: rules.SEGMENT_LIMIT]
            yield from ((leak, text) for leak in self._of_segment(text))
        if found := _SOLUTION_IN_SCRIPT.search(command[:COMMAND_LIMIT]):
            yield Leak.SOLUTION_READ, found[1]
        edited = next((path for path in action.edits if _JUDGE.search(path)), None)
        if edited and not any(_JUDGE.search(path) for each in segments(command) for path in redirected(each)):
            yield Leak.JUDGE_CHANGED, f"writes {edited}"

    def _of_segment(self, segment: str) -> Iterator[Leak]:
        program, arguments = head(segment), words(segment)[1:] if _may_name_path(segment) else []
        written = _written_by(program, arguments, segment)
        if program not in rules.NAMING_HEADS and any(map(self._is_solution, {*arguments} - {*written})):
            yield Leak.SOLUTION_READ
        self.own_files.update(map(basename, written))  # what stands behind `&&` may read them
        if _HISTORY.search(segment) or self._is_foreign_commit(segment):
            yield Leak.FOREIGN_HISTORY
        if _may_fetch(program, segment) and self.fetches.search(segment):
            yield Leak.REPOSITORY_FETCHED
        if any(map(_JUDGE.search, _changed_by(program, arguments, segment))):
            yield Leak.JUDGE_CHANGED

    def _is_solution(self, path: str) -> bool:
        return _SOLUTION.search(path) is not None and basename(path) not in self.own_files

    def _is_foreign_commit(self, segment: str) -> bool:
        found = _COMMIT.search(segment)
        if found is None or self.n_lookups == rules.MAX_COMMIT_LOOKUPS:  # each one reads all that was shown
            return False
        self.n_lookups += 1
        return not any(found["commit"][:7] in text for text in self.shown)


def _may_name_path(segment: str) -> bool:
    """Whether a word of a command may be a path that counts; it may be spelled with quotes within."""
    text = segment.replace("'", "").replace('"', "").replace("\\", "")
    return any(word in text for word in rules.PATH_WORDS)


def _written_by(program: str, arguments: list[str], segment: str) -> list[str]:
    """Return the files that a command writes its output to, whatever program it is."""
    teed = arguments if program == "tee" else []
    return [*redirected(segment), *teed, *_OUTPUT_OPTION.findall(segment)]


def _may_fetch(program: str, segment: str) -> bool:
    text = segment.lower()
    if program not in rules.FETCHING_HEADS or not any(word in text for word in rules.FETCH_WORDS):
        return False
    reaching_out = _REACHING_OUT.get(program)
    return reaching_out is None or reaching_out.search(segment) is not None


def _changed_by(program: str, arguments: list[str], segment: str) -> list[str]:
    """Return the paths that a command changes; edits of files are known to its action."""
    if program in rules.CHANGING_HEADS:
        return arguments
    return arguments[-1:] if program in rules.PLACING_HEADS else redirected(segment)
