"""How many calls of a row ended in an error, by what their results say."""

from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.score.story import TERMINUS, Turn

UNCOUNTED: Json = {"n_tool_calls": None, "n_tool_errors": None}


def error_counts(turns: list[Turn], scaffold: str) -> Json:
    """Return the calls of a row that have a result, and those of them whose result is an error.

    Of Terminus-2, whose commands of one turn have one result together, an error of that is one error.
    """
    n_calls = sum(_n_calls(turn, scaffold) for turn in turns)
    n_errors = sum(each.is_error for turn in turns if _n_calls(turn, scaffold) for each in turn.observations)
    return {"n_tool_calls": n_calls, "n_tool_errors": n_errors}


def _n_calls(turn: Turn, scaffold: str) -> int:
    if scaffold == TERMINUS:
        return len(turn.actions) if turn.observations else 0
    return len(turn.observations)
