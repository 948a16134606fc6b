"""Work that is done to its end, though whoever waits for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class UnfinishedWorkError(RuntimeError):
    """What follows the agent's work was not done in time. To Harbor a TimeoutError would be the agent's."""


async def carried_through(work: Coroutine[Any, Any, None], *, limit_s: float) -> None:
    """Wait for `work` to its end, though the caller be cancelled meanwhile; only then is it the caller's turn.

    Raises:
        UnfinishedWorkError: `work` took longer than `limit_s` seconds, and was cancelled.
        CancelledError: the caller was cancelled while it waited, any number of times; `work` is at its end.
    """
    task = asyncio.ensure_future(work)
    cancelled = await _ended(task, limit_s)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        raise UnfinishedWorkError(f"what follows the agent's work was not done after {limit_s:g} s") from cancelled
    if cancelled is not None:
        raise cancelled from task.exception()
    task.result()


async def _ended(task: asyncio.Task[None], limit_s: float) -> asyncio.CancelledError | None:
    """Wait until the task is done or the time is up; what is returned is the caller's last cancellation meanwhile."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + limit_s
    cancelled = None
    while not task.done() and (left_s := ends_at - loop.time()) > 0:
        try:
            await asyncio.wait({task}, timeout=left_s)  # it leaves the task alone when it is cancelled itself
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
