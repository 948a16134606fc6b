"""Small charts made of characters, for places that render Markdown and nothing else. Names in them are ours alone."""

from collections.abc import Iterable, Mapping

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
BAR_WIDTH = 20


def bar(value: float, largest: float, *, width: int = BAR_WIDTH) -> str:
    """A bar as long as `value` is against `largest`, which fills `width` characters; something is never no bar."""
    if value <= 0 or largest <= 0:
        return ""
    n_eighths = max(1, round(min(value / largest, 1.0) * width * 8))
    whole, rest = divmod(n_eighths, 8)
    return _EIGHTHS[8] * whole + (_EIGHTHS[rest] if rest else "")


def bar_table(title: str, numbers: Mapping[str, int]) -> str:
    """A Markdown table with a row and a bar for each number, in the order given."""
    largest = max(numbers.values(), default=0)
    rows = [f"| {name} | {number:,} | {bar(number, largest)} |" for name, number in numbers.items()]
    return "\n".join([f"| {title} | | |", "|:--|--:|:--|", *rows])


def usable_bars(n_listed: int, n_waiting: int) -> str:
    """How many of the tasks that a manifest lists can be rolled out."""
    return bar_table("listed tasks", {"usable": n_listed - n_waiting, "waiting": n_waiting})


def sparkline(numbers: Iterable[float]) -> str:
    """One character for each number, its height between zero and the largest; empty where there are none."""
    listed = list(numbers)
    largest = max(listed, default=0)
    if largest <= 0:
        return _LEVELS[0] * len(listed)
    return "".join(_LEVELS[round(max(0.0, number) / largest * (len(_LEVELS) - 1))] for number in listed)
