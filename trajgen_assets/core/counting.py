"""Numbers of things, in words, and the first few of many."""

from collections.abc import Sequence


def count_of(number: int, one: str, many: str | None = None) -> str:
    """`1 task`, `2 tasks`; with a verb, `count_of(n, "task is free", "tasks are free")`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def some_of(names: Sequence[str], n_shown: int = 3) -> str:
    """`a, b, c and 4 more`."""
    more = f" and {len(names) - n_shown} more" if len(names) > n_shown else ""
    return ", ".join(names[:n_shown]) + more
