"""How a step fails for what this project knows to go wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.redact import Redactor


@contextmanager
def failing_by(redactor: Redactor, *also: type[Exception]) -> Iterator[None]:
    """Let the step fail by an error of ours, or by one of `also`, in its own words and without a secret.

    Dagster's retry would meet the same, so there is none; its chain of causes, which is stored in clear, is cut.
    """
    known: tuple[type[Exception], ...] = (TrajgenError, *also)
    try:
        yield
    except known as error:
        raise dg.Failure(redactor.error(error), allow_retries=False) from None
