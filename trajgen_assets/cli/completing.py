"""Words that a shell may complete: names of this root. It reads only, and a root that is broken or missing offers none.

Typer calls each function with the context of a line that is not finished, in which no callback has run.
"""

from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from functools import wraps
from io import StringIO
from itertools import islice
from typing import Protocol

import typer

from trajgen_assets.cli.state import State
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.ledger.models import TaskFilter
from trajgen_assets.core.sft.data_sets.standing import data_sets_of

# A shell shows no more than this with sense, and 10,000 tasks are a long list.
MOST = 200


class _Find(Protocol):
    def __call__(self, state: State, /) -> Iterable[str]: ...


class _Complete(Protocol):
    def __call__(self, ctx: typer.Context, incomplete: str) -> list[str]: ...


def _completing(find: _Find) -> _Complete:
    """Offer what `find` finds, as far as it begins as the word does. Nothing is printed, and no error is one."""

    @wraps(find)
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        with StringIO() as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            try:
                given = ctx.find_root().params
                found = find(State.of(given.get("root"), given.get("config"), verbose=False))
                return list(islice((word for word in found if word.startswith(incomplete)), MOST))
            except Exception:  # noqa: BLE001  whatever is wrong, it is none of the line that a person is typing
                return []

    del complete.__wrapped__  # typer looks at the parameters, and they are these
    return complete


@_completing
def jobs(state: State) -> Iterable[str]:
    """Jobs, newest first."""
    with looking_at_ledger(state.root) as ledger:
        return [row.name for row in reversed(ledger.jobs())]


@_completing
def open_jobs(state: State) -> Iterable[str]:
    """Jobs that are not over."""
    with looking_at_ledger(state.root) as ledger:
        return [row.name for row in ledger.jobs() if not row.state.is_over]


@_completing
def tasks(state: State) -> Iterable[str]:
    """Ids of registered tasks, without their data sets."""
    with looking_at_ledger(state.root) as ledger:
        return dict.fromkeys(row.task_id for row in ledger.rows(TaskFilter()))


@_completing
def datasets(state: State) -> Iterable[str]:
    """Data sets of tasks, as the configuration names them."""
    return [source.dataset for source in load_config(state.config).sources()]


@_completing
def campaigns(state: State) -> Iterable[str]:
    """Campaigns of the configuration."""
    return load_config(state.config).campaigns()


@_completing
def data_sets(state: State) -> Iterable[str]:
    """Data sets of several jobs."""
    return [receipt.data_set for receipt in data_sets_of(state.root)]


@_completing
def runs(state: State) -> Iterable[str]:
    """Runs of the archive, newest first."""
    return sorted((path.name for path in state.root.archives.glob("run_*")), reverse=True)
