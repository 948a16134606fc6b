"""The parts of the score that have no weight: they describe how a model went about its work."""

import re
from collections import Counter
from collections.abc import Collection
from functools import cache
from itertools import pairwise
from math import exp, fsum, log2

from trajgen_assets.core.sft.score import rules
from trajgen_assets.core.sft.score.parts import observations_of
from trajgen_assets.core.sft.score.story import TERMINUS, Action, Turn

_INTENT = {kind: re.compile(rf"\b(?:{words})", re.IGNORECASE) for kind, words in rules.INTENT_WORDS.items()}


def entropy_collapse(turns: list[Turn]) -> float | None:
    """OEC: how far what is observed stays as varied as at the beginning. None below five observations."""
    texts = [each.text[: rules.ENTROPY_LIMIT] for each in observations_of(turns)]
    if len(texts) < rules.OEC_MIN:
        return None
    values = [_entropy(Counter(text).values()) for text in texts]
    smooth = [
        sum(part) / len(part)
        for at in range(len(values))
        if (part := values[max(0, at - rules.OEC_SMOOTH + 1) : at + 1])
    ]
    base = sum(values[: rules.OEC_BASE]) / rules.OEC_BASE
    return min(1.0, min(smooth) / base) if base else 0.0


def intent_match(turns: list[Turn]) -> float | None:
    """IAC: share of acting turns whose text has a word for what they do. None below three of them."""
    acting = [turn for turn in turns if turn.actions]
    if len(acting) < rules.IAC_MIN:
        return None
    return sum(any(_INTENT[each.kind].search(turn.text) for each in turn.actions) for turn in acting) / len(acting)


def post_error_change(turns: list[Turn]) -> float | None:
    """PED: how much the turn after an error differs from it, in tools and files. None without such a pair."""
    pairs = [
        (one, other)
        for one, other in pairwise(turns)
        if other.actions and any(each.is_error for each in one.observations)
    ]
    return sum(_difference(one, other) for one, other in pairs) / len(pairs) if pairs else None


def narrowing(turns: list[Turn]) -> float | None:
    """PSN: whether the files at hand become fewer over the second half; 1 always, 0 never. None below ten turns."""
    if len(turns) < rules.PSN_MIN:
        return None
    half = turns[len(turns) // 2 :]
    windows = [half[max(0, at - rules.PSN_WINDOW + 1) : at + 1] for at in range(len(half))]
    counts = [len(set[str]().union(*(turn.files for turn in window))) for window in windows]
    seen: Counter[int] = Counter()
    balance = 0
    for count in counts:
        balance += sum(n * ((value > count) - (value < count)) for value, n in seen.items())
        seen[count] += 1
    n_pairs = len(counts) * (len(counts) - 1) / 2
    return (1 + balance / n_pairs) / 2


def transition_entropy(turns: list[Turn]) -> float | None:
    """TTE: how varied the steps from one kind of action to the next are. None below three actions."""
    kinds = [action.kind for turn in turns for action in turn.actions]
    if len(kinds) < rules.TTE_MIN:
        return None
    return _entropy(Counter(pairwise(kinds)).values()) / log2(len(rules.INTENT_WORDS) ** 2)


def write_position(turns: list[Turn]) -> float | None:
    """SCP: whether the first successful write comes after a look around, and not late. None without one."""
    at = next((at for at, turn in enumerate(turns, start=1) if any(map(_has_written, turn.actions))), None)
    if at is None:
        return None
    share = at / len(turns)
    distance = max(rules.SCP_LOW - share, share - rules.SCP_HIGH, 0.0)
    return exp(-(distance**2) / (2 * rules.SCP_SIGMA**2))


def reproduces_first(turns: list[Turn], scaffold: str) -> bool | None:
    """Whether something was tested before anything but a test was written. None without such a write.

    Writes are those of an editor; of Terminus-2, which has none, those of the shell.
    """
    has_tested = False
    for action in (action for turn in turns for action in turn.actions):
        has_tested = has_tested or action.test_run is not None
        is_write = bool(action.edits) if scaffold == TERMINUS else action.writes
        if is_write and not action.is_test_edit:
            return has_tested
    return None


def _has_written(action: Action) -> bool:
    return bool(action.edits) and not action.is_error


def _difference(one: Turn, other: Turn) -> float:
    tools = {action.tool for action in one.actions} != {action.tool for action in other.actions}
    union = one.files | other.files
    jaccard = len(one.files & other.files) / len(union) if union else 1.0
    return (tools + 1 - jaccard) / 2


def _entropy(counts: Collection[int]) -> float:
    """Return the entropy in bits of things of which there are so many each."""
    if len(counts) < 2:
        return 0.0
    total = sum(counts)
    return log2(total) - fsum(map(_n_log2, counts)) / total


@cache
def _n_log2(n: int) -> float:
    return n * log2(n)
