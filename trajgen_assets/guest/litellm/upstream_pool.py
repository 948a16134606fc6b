"""Which endpoint a call goes to: always the same for a task, past those that cool down or have no room left.

LiteLLM's own router is not asked for any of this. Its cool-downs keep an endpoint that answers 500 in use, or refuse
every call while all endpoints cool down; its affinity knows no weights; its limits answer 429 where a call had only
to wait (docs/adr/0011). Standard library only.
"""

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WINDOW_S = 60.0

# A call that would have to wait longer for room is refused: its client may give up before.
LONGEST_WAIT_S = 120.0

# While all endpoints cool down, calls go to the first that will be back, and so much later at most.
PAUSE_S = 2.0

LONGEST_COOLDOWN_S = 300.0

# What says something about the endpoint. Any other 4xx is about the call: it would fail elsewhere, too.
COOLING_STATUSES = frozenset({401, 402, 403, 404, 408, 429})


@dataclass(frozen=True)
class Endpoint:
    """What the pool has to know of one endpoint.

    Attributes:
        requests_per_minute: calls that begin in any 60 s; None for no limit.
        cooldown_s: how long it gets no call after a failure.
    """

    name: str
    weight: float = 1.0
    requests_per_minute: int | None = None
    cooldown_s: float = 30.0


@dataclass(frozen=True)
class Choice:
    """Where a call goes, and how many seconds from now."""

    name: str
    wait_s: float


class NoRoomError(Exception):
    """Every endpoint has taken as many calls as it may; `wait_s` is when the first has room again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"no endpoint has room for another call within {LONGEST_WAIT_S:.0f} s")
        self.wait_s = wait_s


def cools(status: int | None) -> bool:
    """Whether a failure with this HTTP status, or with none at all, says something about the endpoint."""
    return status is None or status >= 500 or status in COOLING_STATUSES


def by_preference(task: str, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """The endpoints as `task` prefers them: weighted rendezvous hashing.

    Over many tasks each is the first choice as often as its weight says; when one is gone only its tasks move.
    """
    return sorted(endpoints, key=lambda each: _score(task, each), reverse=True)


def _score(task: str, endpoint: Endpoint) -> float:
    digest = hashlib.sha256(f"{task}\n{endpoint.name}".encode()).digest()
    share = (int.from_bytes(digest[:7]) + 0.5) / (1 << 56)  # within (0, 1), as a float can tell it from both
    return -endpoint.weight / math.log(share)


class Pool:
    """Which endpoints cool down, and when each was called: known while the proxy runs, and to it alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._back_at: dict[str, float] = {}
        self._calls: dict[str, deque[float]] = {}

    def failed(self, endpoint: Endpoint, *, retry_after_s: float = 0.0) -> None:
        """Let an endpoint cool down, as long as it asks for itself but at most five minutes."""
        asked = min(retry_after_s, LONGEST_COOLDOWN_S)
        self._back_at[endpoint.name] = self._clock() + max(endpoint.cooldown_s, asked)

    def choose(self, task: str, endpoints: Sequence[Endpoint]) -> Choice:
        """Take the room for one call of `task` at the endpoint that it goes to; there must be one at least.

        A pool of one has no cool-down.

        Raises:
            NoRoomError: none has room soon enough.
        """
        moment = self._clock()
        cooling = {each.name: max(0.0, self._back_at.get(each.name, moment) - moment) for each in endpoints}
        if not all(cooling.values()):
            return self._taken(by_preference(task, endpoints), cooling, moment)
        first = min(endpoints, key=lambda each: cooling[each.name])
        pause_s = min(PAUSE_S, cooling[first.name]) if len(endpoints) > 1 else 0.0
        return self._taken([first], {first.name: pause_s}, moment)

    def _taken(self, preferred: Sequence[Endpoint], cooling: Mapping[str, float], moment: float) -> Choice:
        """The room at the endpoint that can have the call first; of several at once, the most preferred."""
        waits = {each.name: max(cooling[each.name], self._wait_s(each, moment)) for each in preferred}
        name = min(waits, key=lambda each: waits[each])
        if waits[name] > LONGEST_WAIT_S:
            raise NoRoomError(waits[name])
        self._calls.setdefault(name, deque()).append(moment + waits[name])
        return Choice(name, waits[name])

    def _wait_s(self, endpoint: Endpoint, moment: float) -> float:
        """How long until one more call makes no 60 s hold too many; calls that wait already count in their time."""
        calls, limit = self._calls.get(endpoint.name, deque()), endpoint.requests_per_minute
        while calls and calls[0] <= moment - WINDOW_S:
            calls.popleft()
        if limit is None or len(calls) < limit:
            return 0.0
        return max(0.0, calls[-limit] + WINDOW_S - moment)
