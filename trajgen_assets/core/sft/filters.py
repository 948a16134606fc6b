"""What is left out, as data: each filter is a reason and a test, and they are tried in the order written here."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import not_
from pathlib import Path
from typing import Generic, TypeVar

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.rollout.patch import PatchRecord
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.im import assistant_turns, think_mode
from trajgen_assets.core.sft.lf import check_lf_row, sharegpt_row
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.settings import Bar, ConversionSettings, ReasoningMode
from trajgen_assets.core.sft.task_today import TaskToday

T = TypeVar("T")

# Roles that may stand before each role; None is the start, or a leading system message.
_MAY_FOLLOW: dict[str, set[str | None]] = {
    "user": {None, "assistant"},
    "assistant": {"user", "tool"},
    "tool": {"assistant", "tool"},
}


def _nothing(_: object) -> None:
    return None


@dataclass(frozen=True)
class Filter(Generic[T]):
    """Lets an item pass when `passes` says so; `reason` is what it is left out for otherwise, `detail` says more.

    `passes` gives None where it cannot be told.
    """

    reason: Reason
    passes: Callable[[T], bool | None]
    detail: Callable[[T], str | None] = _nothing


@dataclass(frozen=True)
class Refusal:
    """Why an item is left out."""

    reason: Reason
    detail: str | None = None


def first_refusal(filters: Iterable[Filter[T]], item: T, *, unknown: Bar = "reject") -> Refusal | None:
    """Return why the first filter that `item` does not pass leaves it out.

    A filter that cannot be told about refuses, too, unless `unknown` keeps; the detail names it.
    """
    for each in filters:
        verdict = each.passes(item)
        if verdict is False:
            return Refusal(each.reason, each.detail(item))
        if verdict is None and unknown == "reject":
            return Refusal(Reason.UNKNOWN, each.reason.value)
    return None


def trial_filters(
    settings: ConversionSettings,
    excluded_repos: tuple[str, ...],
    patches: Mapping[str, PatchRecord],
    tasks: Mapping[str, TaskToday],
) -> tuple[Filter[TrialEntry], ...]:
    """Return the filters that need no more of a trial than its entry in trials.json, its task, and its final patch."""
    excluded = {repo: repo_pattern(repo) for repo in excluded_repos}

    def excluded_repo(trial: TrialEntry) -> str | None:
        return next((repo for repo, pattern in excluded.items() if pattern.fullmatch(trial.task_id)), None)

    return (
        Filter(Reason.NOT_ACCEPTED, lambda trial: trial.accepted, lambda trial: trial.cause),
        Filter(
            Reason.INSTANCE_STATUS, lambda trial: has_status(trial, settings), lambda trial: f"reward {trial.reward}"
        ),
        Filter(Reason.EXCLUDED_REPO, lambda trial: excluded_repo(trial) is None, excluded_repo),
        *task_filters(settings, tasks),
        Filter(Reason.CAPTURE_UNKNOWN, lambda trial: trial.capture is not None),
        Filter(Reason.CAPTURE_GAP, lambda trial: trial.capture != "gap"),
        Filter(Reason.CAPTURE_CUT, lambda trial: settings.take_cut or trial.capture != "cut"),
        Filter(
            Reason.NO_CHANGE,
            lambda trial: not is_resolved(trial, settings) or has_change(patches.get(trial.trial_name or "")),
        ),
    )


def task_filters(settings: ConversionSettings, tasks: Mapping[str, TaskToday]) -> tuple[Filter[TrialEntry], ...]:
    """Return the filters on what became of a trial's task since, without those whose bar is `keep`."""

    def today(trial: TrialEntry) -> TaskToday:
        return tasks.get(trial.task_id, TaskToday())

    bars: tuple[tuple[Bar, Filter[TrialEntry]], ...] = (
        (settings.retired, Filter(Reason.RETIRED, lambda trial: none_or(today(trial).is_retired, not_))),
        (settings.revoked, Filter(Reason.REVOKED, lambda trial: today(trial).is_listed)),
        (
            settings.task_changed,
            Filter(Reason.TASK_CHANGED, lambda trial: none_or(today(trial).has_changed_since(trial.task.digest), not_)),
        ),
    )
    return tuple(each for bar, each in bars if bar == "reject")


def row_filters(settings: ConversionSettings) -> tuple[Filter[Json], ...]:
    """Return the filters that an IM row has to pass."""
    mode, threshold = settings.reasoning_check_mode, settings.reasoning_content_ratio_threshold
    return (
        Filter(Reason.TOO_SHORT, lambda row: len(_dialogue(row)) > 2),
        Filter(Reason.ROLE_ORDER, lambda row: _order(row) is None, _order),
        Filter(Reason.TOOL_CALLS, lambda row: _pairing(row) is None, _pairing),
        Filter(Reason.EMPTY_TURN, lambda row: empty_turn(row["messages"]) is None, _empty_turn),
        Filter(Reason.FIRST_TURN, lambda row: settings.first_turn == "keep" or _facts(row)["has_instruction"]),
        Filter(Reason.REASONING, lambda row: has_reasoning(row["messages"], mode, threshold), _reasoning),
        Filter(Reason.GENERATION_CUT, lambda row: none_or(_facts(row)["n_cut_turns"], lambda n: n == 0), _cut_turns),
        Filter(
            Reason.MIXED_TEACHER, lambda row: none_or(_facts(row)["teachers"], lambda names: len(names) < 2), _teachers
        ),
        Filter(Reason.LEAK, lambda row: settings.leaks == "keep" or not _facts(row)["leaks"], _first_leak),
        Filter(Reason.NOT_LOADABLE, lambda row: _load_fault(row) is None, _load_fault),
    )


def is_resolved(trial: TrialEntry, settings: ConversionSettings) -> bool:
    """Whether a trial has the reward of a solved task: 1, or from the threshold on where one is set."""
    if settings.resolved_from is None:
        return trial.reward == 1.0
    return trial.reward is not None and trial.reward >= settings.resolved_from


def has_status(trial: TrialEntry, settings: ConversionSettings) -> bool:
    """Whether a trial is resolved, unresolved (reward 0, or below the threshold), or anything where all are wanted."""
    if settings.instance_status == "all":
        return True
    if settings.instance_status == "resolved":
        return is_resolved(trial, settings)
    return trial.reward == 0.0 if settings.resolved_from is None else not is_resolved(trial, settings)


def has_change(patch: PatchRecord | None) -> bool | None:
    """Whether an agent changed anything; None where there is no patch to tell it."""
    if patch is None or patch.status == "failed":
        return None
    return patch.status != "empty"


def none_or(value: T | None, claim: Callable[[T], bool]) -> bool | None:
    """Return None for None, else what `claim` says of a value."""
    return None if value is None else claim(value)


def role_fault(messages: list[Json]) -> str | None:
    """Return which message first stands where its role cannot, or None where all are in order.

    User, assistant and tool messages follow each other as they can, and the assistant's is the last.
    """
    before: str | None = None
    for index, message in enumerate(messages):
        role = message["role"]
        if index == 0 and role == "system":
            continue
        if before not in _MAY_FOLLOW.get(role, set()):
            return f"message {index} is {role!r} after {before!r}" if before else f"message {index} is {role!r}, first"
        before = role
    return None if before == "assistant" else f"message {len(messages) - 1} is {before!r}, last"


def pairing_fault(messages: list[Json]) -> str | None:
    """Return what is wrong with calls and results; None if each call but the last turn's has one result, and no more.

    Results stand right behind the turn that called, in any order.
    """
    open_ids: Counter[str] = Counter()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if not open_ids[result := message.get("tool_call_id", "")]:
                return f"message {index} is a result of no call of the turn before it"
            open_ids[result] -= 1
        elif open_ids.total():
            return f"a call before message {index} has no result"
        else:
            open_ids = Counter(call["id"] for call in message.get("tool_calls", ()))
    return None


def empty_turn(messages: list[Json]) -> int | None:
    """Return which message first is a model's turn that counts in the loss and says, thinks and calls nothing.

    A model that trains on one learns to end without a word.
    """
    for index, message in enumerate(messages):
        is_trained = message["role"] == "assistant" and message.get("weight") != 0
        if is_trained and not any(message.get(part) for part in ("content", "reasoning_content", "tool_calls")):
            return index
    return None


def has_reasoning(messages: list[Json], mode: ReasoningMode, threshold: float) -> bool:
    """Whether enough of the model's turns show reasoning. Fast rows, which show none at all, need none.

    `strict` wants it in every turn, `adaptive` in a share of at least `threshold`.
    """
    if think_mode(messages) == "fast":
        return True
    turns = assistant_turns(messages)
    n_with = sum(bool(turn["reasoning_content"]) for turn in turns)
    return n_with == len(turns) if mode == "strict" else n_with / len(turns) >= threshold


def read_excluded_repos(path: Path | None) -> tuple[str, ...]:
    """Return the repositories that a file lists as owner/repo, one a line; blank lines and `#` lines are passed over.

    Raises:
        ConversionError: there is no such file, it cannot be read, or a line is not owner/repo. It never means that
            nothing is excluded.
    """
    if path is None:
        return ()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as error:
        raise ConversionError(
            "there is no list of excluded repositories", where=path, mend="write one, or choose swe_bench or none"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        mend = "name a text file with one owner/repo a line, or choose swe_bench or none"
        raise ConversionError(
            "the list of excluded repositories cannot be read", where=path, why=error, mend=mend
        ) from error
    repos = [line for line in lines if line and not line.startswith("#")]
    for repo in repos:
        if not re.fullmatch(r"[^/\s]+/[^/\s]+", repo):
            raise ConversionError(
                f"{repo[:80]!r} is not a repository", where=path, mend="write owner/repo on each line"
            )
    return tuple(repos)


def repo_pattern(repo: str) -> re.Pattern[str]:
    """Match the ids of tasks from `repo`: owner, two underscores, repo, a number, perhaps a suffix.

    SWE-bench Pro has `instance_` in front, and in place of the number a commit and a version.
    """
    owner, _, name = repo.partition("/")
    which = r"(?:\d+(?:__\w+)?|[0-9a-f]{40}(?:-\w+)?)"
    return re.compile(rf"(?:instance_)?{re.escape(owner)}__{re.escape(name)}-{which}", re.IGNORECASE | re.ASCII)


def _order(row: Json) -> str | None:
    return role_fault(row["messages"])


def _pairing(row: Json) -> str | None:
    return pairing_fault(row["messages"])


def _empty_turn(row: Json) -> str:
    return f"message {empty_turn(row['messages'])}"


def _reasoning(row: Json) -> str:
    turns = assistant_turns(row["messages"])
    return f"in {sum(bool(turn['reasoning_content']) for turn in turns)} of {count_of(len(turns), 'turn')}"


def _cut_turns(row: Json) -> str:
    return count_of(_facts(row)["n_cut_turns"], "turn")


def _teachers(row: Json) -> str:
    return ", ".join(_facts(row)["teachers"])


def _load_fault(row: Json) -> str | None:
    return check_lf_row(sharegpt_row(row))


def _first_leak(row: Json) -> str:
    first = _facts(row)["leaks"][0]
    turn = "" if first["turn"] is None else f", turn {first['turn']}"
    return f"{first['leak']}{turn}: {first['quote']}"


def _facts(row: Json) -> Json:
    facts: Json = row["meta_info"]["unique_info"]
    return facts


def _dialogue(row: Json) -> list[Json]:
    return [message for message in row["messages"] if message["role"] != "system"]
