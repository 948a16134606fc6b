"""The five parts of the score that have a weight. Each is a share of 0 to 1 with the evidence that it rests on."""

import re
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import ceil

from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.score import rules
from trajgen_assets.core.sft.score.outputs import outcome_of_test
from trajgen_assets.core.sft.score.story import TERMINUS, Action, Observation, Turn, is_test_path

_STRONG = re.compile(rules.STRONG_ENDING, re.IGNORECASE)
_WEAK = re.compile(rules.WEAK_ENDING, re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One part: `value` is None where the row gives no ground to judge it; turns in the evidence count from 1."""

    value: float | None
    evidence: Json = field(default_factory=dict)


def submission(turns: list[Turn], scaffold: str) -> Part:
    """SUB: the work is concluded, without errors towards its end, and tested late. What is not concluded has none."""
    base = ending_base(turns, scaffold)
    last = _last_share(observations_of(turns))
    clean = sum(not each.is_error for each in last) / len(last) if last else 1.0
    from_turn = max(1, int(rules.LATE_TEST_FROM * len(turns)))
    tested = next((at for at, action in _numbered(turns) if at >= from_turn and action.test_run == "formal"), None)
    value = base * (rules.CLEAN_FLOOR + rules.CLEAN_SHARE * clean) + rules.LATE_TEST_BONUS * (
        base > 0 and tested is not None
    )
    return Part(min(1.0, value), {"base": base, "clean_share": round(clean, 4), "late_test_turn": tested})


def ending_base(turns: list[Turn], scaffold: str) -> float:
    """Return how far the last turn concludes the work: 0 where it leaves calls open."""
    if not turns:
        return 0.0
    last = turns[-1]
    if scaffold == TERMINUS:
        return 1.0 if last.says_done else 0.0
    if last.says_done or any(rules.SUBMIT_MARK in (action.command or "") for action in last.actions):
        return 1.0
    if last.actions:
        return 0.0
    if scaffold != "openhands_sdk" or _STRONG.search(last.text):
        return rules.STRONG_BASE
    return rules.WEAK_BASE if _WEAK.search(last.text) else rules.OTHER_BASE


def steps(turns: list[Turn]) -> Part:
    """STP: neither a few turns nor very many."""
    n = len(turns)
    if n < rules.STEPS_LOW:
        value = n / rules.STEPS_LOW
    elif n <= rules.STEPS_HIGH:
        value = 1.0
    else:
        beyond = (n - rules.STEPS_HIGH) / (rules.STEPS_MAX - rules.STEPS_HIGH)
        value = max(0.0, 1 - beyond) ** rules.STEPS_EXPONENT
    return Part(value, {"turns": n})


def tests(turns: list[Turn]) -> Part:
    """TVR: a test was written, tests were run, and the last run passed."""
    written = next(((at, path) for at, action in _numbered(turns) for path in action.edits if is_test_path(path)), None)
    runs = [(at, action) for at, action in _numbered(turns) if action.test_run]
    outcome = _outcome(runs[-1][1]) if runs else None
    value = rules.TEST_WRITTEN * (written is not None) + rules.TEST_RUN * bool(runs)
    value += rules.TEST_OUTCOME * rules.OUTCOMES.get(outcome or "", 0.0)
    return Part(
        value,
        {
            "test_file": written[1] if written else None,
            "test_file_turn": written[0] if written else None,
            "test_runs": len(runs),
            "last_run_turn": runs[-1][0] if runs else None,
            "last_run": runs[-1][1].target if runs else None,
            "outcome": outcome,
        },
    )


def edits(turns: list[Turn]) -> Part:
    """FEC: few edits of each file. None without any edit."""
    paths = [path for _, action in _numbered(turns) for path in action.edits]
    if not paths:
        return Part(None, {"edits": 0, "files": 0})
    n_files = len(set(paths))
    beyond = (len(paths) / n_files - 1) / rules.EDITS_BEYOND
    return Part(1 - min(1.0, max(0.0, beyond)), {"edits": len(paths), "files": n_files})


def patterns(turns: list[Turn], scaffold: str) -> Part:
    """DPI: no lack of a successful write, no open end, no loops, no repeated errors."""
    actions = [action for _, action in _numbered(turns)]
    has_written = any(action.edits and not action.is_error for action in actions)
    is_truncated = ending_base(turns, scaffold) == 0
    loops, repeats = _loop_share(actions), _repeat_share(observations_of(turns))
    value = 1 - rules.NO_WRITE * (not has_written) - rules.TRUNCATED * is_truncated
    value -= min(rules.LOOP_MAX, rules.LOOP_FACTOR * loops) + min(rules.REPEAT_MAX, rules.REPEAT_FACTOR * repeats)
    return Part(
        max(0.0, value),
        {
            "successful_write": has_written,
            "truncated": is_truncated,
            "loop_share": round(loops, 4),
            "repeated_error_share": round(repeats, 4),
            "errors": sum(each.is_error for each in observations_of(turns)),
            "observations": len(observations_of(turns)),
        },
    )


def observations_of(turns: list[Turn]) -> list[Observation]:
    """Return everything that was observed, in order."""
    return [observation for turn in turns for observation in turn.observations]


def _numbered(turns: list[Turn]) -> list[tuple[int, Action]]:
    return [(at, action) for at, turn in enumerate(turns, start=1) for action in turn.actions]


def _last_share(observed: list[Observation]) -> list[Observation]:
    return observed[-ceil(rules.ENDING_SHARE * len(observed)) :] if observed else []


def _outcome(run: Action) -> str:
    return outcome_of_test(run.observation.window if run.observation else None)


def _loop_share(actions: list[Action]) -> float:
    """Share of actions in runs of equal ones, among those that act upon something."""
    keys = [(action.tool, action.verb, action.target) for action in actions if action.target]
    runs = [len(list(run)) for _, run in groupby(keys)]
    return sum(n for n in runs if n >= rules.LOOP_RUN) / len(keys) if keys else 0.0


def _repeat_share(observed: list[Observation]) -> float:
    """Share of errors that begin as the error before them."""
    heads = [each.window[: rules.ERROR_HEAD] for each in observed if each.is_error]
    return sum(one == next_one for one, next_one in pairwise(heads)) / len(heads) if heads else 0.0
