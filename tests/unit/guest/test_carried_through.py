"""Harbor cancels an agent whose time is up, and again when the job is interrupted."""

import asyncio

import pytest

from trajgen_assets.guest.harbor.carried_through import UnfinishedWorkError, carried_through


class Work:
    """Ends when it is let, and says how it ended."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.may_end = asyncio.Event()
        self.failure = failure
        self.end = ""

    async def run(self) -> None:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise
        self.end = "done"
        if self.failure is not None:
            raise self.failure


async def cancelled_twice(work: Work) -> None:
    caller = asyncio.create_task(carried_through(work.run(), limit_s=60))
    for _ in range(2):
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.sleep(0)
    assert work.end == ""
    work.may_end.set()
    await caller


@pytest.mark.parametrize("failure", [None, OSError("disk")])
def test_work_is_done_before_its_cancelled_caller_goes_on(failure: Exception | None) -> None:
    async def scene() -> None:
        work = Work(failure)
        with pytest.raises(asyncio.CancelledError) as caught:
            await cancelled_twice(work)
        assert work.end == "done"
        assert caught.value.__cause__ is failure

    asyncio.run(scene())


def test_a_failure_of_the_work_is_the_callers() -> None:
    async def scene() -> None:
        work = Work(OSError("disk"))
        work.may_end.set()
        with pytest.raises(OSError, match="disk"):
            await carried_through(work.run(), limit_s=60)

    asyncio.run(scene())


def test_work_without_end_is_cancelled_at_the_limit() -> None:
    async def scene() -> None:
        work = Work()
        with pytest.raises(UnfinishedWorkError, match=r"0\.01 s"):
            await carried_through(work.run(), limit_s=0.01)
        assert work.end == "cancelled"

    asyncio.run(scene())


def test_work_goes_on_when_the_caller_ran_out_of_its_own_time() -> None:
    async def agent(work: Work) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            work.may_end.set()
            await carried_through(work.run(), limit_s=60)

    async def scene() -> None:
        work = Work()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(agent(work), timeout=0.01)
        assert work.end == "done"

    asyncio.run(scene())
