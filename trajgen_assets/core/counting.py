"""Numbers of things, in words."""


def count_of(number: int, one: str, many: str | None = None) -> str:
    """`1 task`, `2 tasks`; with a verb, `count_of(n, "task is free", "tasks are free")`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
