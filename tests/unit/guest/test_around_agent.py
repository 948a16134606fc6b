"""What surrounds an agent's own time begins and ends once for each step, whatever becomes of its trial meanwhile."""

import asyncio

import pytest

from trajgen_assets.guest.harbor import around_agent

TRIAL = "task__abc"


class Part:
    """Writes down what is done with it, under its name."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def begin(self) -> None:
        self.told.append(f"{self.name} begins")

    async def end(self) -> None:
        await self.may_end.wait()
        self.told.append(f"{self.name} ends")


async def steps(told: list[str]) -> None:
    around_agent.leave(TRIAL, lambda: [Part("first", told), Part("second", told)])
    for _ in range(2):
        await around_agent.begin(TRIAL)
        await around_agent.end(TRIAL)
        await around_agent.end(TRIAL)
    around_agent.forget(TRIAL)
    await around_agent.begin(TRIAL)
    await around_agent.end(TRIAL)


def test_each_step_has_its_own_parts_and_a_trial_that_is_over_has_none() -> None:
    told: list[str] = []
    asyncio.run(steps(told))
    assert told == ["first begins", "second begins", "second ends", "first ends"] * 2


async def cancelled_at_its_end(told: list[str]) -> None:
    part = Part("it", told)
    part.may_end.clear()
    around_agent.leave(TRIAL, lambda: [part])
    await around_agent.begin(TRIAL)
    ending = asyncio.create_task(around_agent.end(TRIAL))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.sleep(0)
    part.may_end.set()
    await ending


def test_a_trial_that_is_cancelled_at_its_end_is_carried_through_first() -> None:
    told: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled_at_its_end(told))
    assert told == ["it begins", "it ends"]
