"""Where a pool of endpoints sends the calls of a task, without any endpoint."""

from collections import Counter

import pytest
from upstream_pool import LONGEST_COOLDOWN_S, PAUSE_S, WINDOW_S, Endpoint, NoRoomError, Pool, by_preference, cools

A, B, C = Endpoint("a", 1.0), Endpoint("b", 1.0), Endpoint("c", 2.0)
TASKS = [f"task-{number}" for number in range(4000)]


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Pool:
    return Pool(clock)


def test_tasks_are_spread_by_weight() -> None:
    homes = Counter(by_preference(task, [A, B, C])[0].name for task in TASKS)
    assert homes["a"] == pytest.approx(1000, rel=0.1)
    assert homes["b"] == pytest.approx(1000, rel=0.1)
    assert homes["c"] == pytest.approx(2000, rel=0.1)


def test_a_task_keeps_its_order_whatever_the_file_s() -> None:
    for task in TASKS[:50]:
        assert by_preference(task, [A, B, C]) == by_preference(task, [C, B, A])


def test_only_the_tasks_of_an_endpoint_that_goes_move() -> None:
    for task in TASKS[:500]:
        before = by_preference(task, [A, B, C])
        assert by_preference(task, [each for each in before if each != before[0]]) == before[1:]


@pytest.mark.parametrize(
    ("status", "is_so"),
    [(None, True), (500, True), (503, True), (429, True), (408, True), (401, True), (404, True), (400, False),
     (413, False), (422, False), (499, False)],
)  # fmt: skip
def test_only_what_is_the_endpoint_s_own_fault_cools_it_down(status: int | None, is_so: bool) -> None:
    assert cools(status) is is_so


def test_a_task_leaves_an_endpoint_that_cools_down_and_comes_back(pool: Pool, clock: Clock) -> None:
    first, second, _ = by_preference("task", [A, B, C])
    pool.failed(first)
    assert pool.choose("task", [A, B, C]).name == second.name
    clock.now_s += first.cooldown_s
    assert pool.choose("task", [A, B, C]).name == first.name


def test_an_endpoint_cools_down_as_long_as_it_asks_for_up_to_five_minutes(pool: Pool, clock: Clock) -> None:
    first, second, _ = by_preference("task", [A, B, C])
    pool.failed(first, retry_after_s=90)
    clock.now_s += 89
    assert pool.choose("task", [A, B, C]).name == second.name
    pool.failed(first, retry_after_s=86400)
    clock.now_s += LONGEST_COOLDOWN_S
    assert pool.choose("task", [A, B, C]).name == first.name


def test_while_all_cool_down_a_call_goes_to_the_first_that_will_be_back_after_a_pause(pool: Pool, clock: Clock) -> None:
    pool.failed(C)
    clock.now_s += 1
    pool.failed(A)
    pool.failed(B)
    choice = pool.choose("task", [A, B, C])
    assert (choice.name, choice.wait_s) == ("c", PAUSE_S)


def test_a_single_endpoint_is_never_left(pool: Pool) -> None:
    pool.failed(A)
    assert pool.choose("task", [A]) == pool.choose("other", [A])
    assert pool.choose("task", [A]).wait_s == 0


def test_calls_beyond_a_limit_go_elsewhere_and_then_wait_in_turn(pool: Pool, clock: Clock) -> None:
    one, two = Endpoint("one", requests_per_minute=2), Endpoint("two", requests_per_minute=1)
    first = by_preference("task", [one, two])[0].name
    names = [pool.choose("task", [one, two]).name for _ in range(3)]
    assert Counter(names) == {"one": 2, "two": 1}
    assert names[0] == first
    clock.now_s += 10
    assert [pool.choose("task", [one, two]).wait_s for _ in range(4)] == [WINDOW_S - 10] * 3 + [2 * WINDOW_S - 10]


def test_one_that_will_be_back_before_another_has_room_gets_the_call(pool: Pool, clock: Clock) -> None:
    one, two = Endpoint("one", requests_per_minute=1), Endpoint("two", cooldown_s=20)
    pool.failed(two)
    names = [pool.choose("task", [one, two]) for _ in range(2)]
    assert [(each.name, each.wait_s) for each in names] == [("one", 0), ("two", 20)]
    clock.now_s += 5
    pool.failed(Endpoint("two", cooldown_s=100))
    assert (pool.choose("task", [one, two]).name, pool.choose("task", [one, two]).name) == ("one", "two")


def test_no_60_seconds_hold_more_calls_than_the_limit(pool: Pool, clock: Clock) -> None:
    one, begun = Endpoint("one", requests_per_minute=5), []
    for _ in range(60):
        clock.now_s += 5.5
        try:
            begun.append(clock.now_s + pool.choose("task", [one]).wait_s)
        except NoRoomError:
            continue
    assert len(begun) > 20
    for moment in begun:
        assert sum(moment <= other < moment + WINDOW_S for other in begun) <= 5


def test_a_call_that_would_wait_too_long_is_refused_and_told_how_long(pool: Pool) -> None:
    one = Endpoint("one", requests_per_minute=1)
    waits = [pool.choose("task", [one]).wait_s for _ in range(3)]
    assert waits == [0, WINDOW_S, 2 * WINDOW_S]
    with pytest.raises(NoRoomError) as caught:
        pool.choose("task", [one])
    assert caught.value.wait_s == 3 * WINDOW_S
