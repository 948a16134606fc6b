"""Following manifests: appended parts, lost and foreign cursors, and looks that do not end within one tick."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.intake.conftest import write_task
from trajgen_assets.core.errors import ManifestError, ManifestMissingError
from trajgen_assets.core.intake.growth import Cursor, Growth, Seen, follow_manifest, look_at_waiting, look_in_turn
from trajgen_assets.core.intake.manifest import AT_REST_AFTER_S
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger import Batch, Ledger, SkipKind, TaskRow, TaskStatus, create_ledger, open_ledger
from trajgen_assets.core.paths import Root


@dataclass
class Clock:
    """Each question takes a second."""

    at_s: float = 0.0

    def __call__(self) -> float:
        self.at_s += 1
        return self.at_s


@dataclass
class Follower:
    """One data set, its ledger, and what the last tick remembered of it."""

    ledger: Ledger
    source: TaskSource
    seen: Seen | None = None
    new: list[int] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.source.manifest.write_bytes(data)

    def append(self, data: bytes) -> None:
        with self.source.manifest.open("ab") as file:
            file.write(data)

    def rest(self) -> None:
        """As if nobody had written to the manifest for long enough."""
        written_s = time.time() - AT_REST_AFTER_S
        os.utime(self.source.manifest, (written_s, written_s))

    def follow(self) -> Growth:
        growth = follow_manifest(self.ledger, self.source, MAIN_CAMPAIGN, self.seen)
        self.seen = growth.seen
        self.new.append(growth.n_new)
        return growth

    def look(self, n_looks: int, after: int = 0) -> int:
        left = iter([False] * (n_looks - 1))
        return look_at_waiting(
            self.ledger, self.source, MAIN_CAMPAIGN, after=after, is_time_up=lambda: next(left, True)
        )

    def row(self, task_id: str) -> TaskRow:
        return self.ledger.task(TaskKey(MAIN_CAMPAIGN, self.source.dataset, task_id))

    def listed(self) -> list[str]:
        return [row.task_id for row in self.ledger.rows() if row.listed and row.dataset == self.source.dataset]


def source_in(folder: Path, name: str = "py-cc") -> TaskSource:
    (folder / name).mkdir()
    return TaskSource(name, folder / name, folder / name / "verifiable_tasks.txt")


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    root = Root(tmp_path / "root")
    create_ledger(root)
    with open_ledger(root) as ledger:
        yield Follower(ledger, source_in(tmp_path))


def test_what_is_appended_is_registered_and_revokes_nothing(follower: Follower) -> None:
    follower.write(b"a-1\na-2\n")
    follower.follow()
    follower.append(b"a-3\na-2\n")
    growth = follower.follow()
    assert follower.listed() == ["a-1", "a-2", "a-3"]
    assert (growth.n_new, growth.has_changed, growth.seen.end.n_entries) == (1, True, 3)
    assert growth.seen.problems == ("line 4: 'a-2': listed twice",)
    assert follower.ledger.check_balance().pending == 3


def test_an_unchanged_manifest_writes_nothing(follower: Follower) -> None:
    follower.write(b"a-1\n")
    follower.follow()
    before = follower.ledger.manifest(MAIN_CAMPAIGN, "py-cc")
    growth = follower.follow()
    assert (growth.n_new, growth.has_changed) == (0, False)
    assert follower.ledger.manifest(MAIN_CAMPAIGN, "py-cc") == before


@pytest.mark.parametrize("now", [b"a-1\n", b"a-1\nb-2\na-3\n", b"", b"a-1\na-3\na-4\na-5\n"], ids=repr)
def test_a_manifest_that_was_rewritten_is_read_in_full(follower: Follower, now: bytes) -> None:
    follower.write(b"a-1\na-2\n")
    follower.follow()
    follower.write(now)
    follower.follow()
    assert follower.listed() == now.decode().split()
    assert follower.row("a-2").skip_kind is SkipKind.REVOKED
    follower.append(b"a-2\n")
    follower.follow()
    assert follower.row("a-2").status is TaskStatus.PENDING
    follower.ledger.check_balance()


def test_a_torn_last_line_waits_and_is_said_at_each_tick(follower: Follower) -> None:
    follower.write(b"a-1\na-")
    for _ in range(2):
        assert "line 2 has no newline yet" in (follower.follow().pending or "")
    assert follower.listed() == ["a-1"]
    follower.append(b"2\n")
    follower.follow()
    assert follower.listed() == ["a-1", "a-2"]


def test_a_last_line_without_newline_is_registered_once_the_file_is_at_rest(follower: Follower) -> None:
    follower.write(b"a-1\na-2")
    follower.follow()
    follower.rest()
    growth = follower.follow()
    assert (growth.n_new, growth.has_changed, growth.pending, growth.seen.end.n_entries) == (1, True, None, 2)
    assert follower.listed() == ["a-1", "a-2"]
    growth = follower.follow()
    assert (growth.n_new, growth.has_changed) == (0, False)
    follower.append(b"\na-3\n")
    assert follower.follow().n_new == 1
    assert follower.listed() == ["a-1", "a-2", "a-3"]
    assert follower.ledger.check_balance().pending == 3


def test_a_line_that_goes_on_after_it_was_taken_is_the_longer_id_and_not_both(follower: Follower) -> None:
    follower.write(b"a-1\na-2")
    follower.rest()
    follower.follow()
    follower.append(b"3")
    assert follower.follow().pending is not None
    assert follower.row("a-2").skip_kind is SkipKind.REVOKED
    follower.append(b"\n")
    follower.follow()
    assert follower.listed() == ["a-1", "a-23"]
    assert follower.ledger.check_balance().pending == 2


def test_a_cursor_from_before_open_lines_is_still_read(follower: Follower) -> None:
    follower.write(b"a-1\n")
    text = Cursor(manifests={"py-cc": follower.follow().seen}).model_dump_json()
    assert Cursor.parse(text.replace(',"is_open":false', "")) == Cursor.parse(text) != Cursor()


def test_a_lost_cursor_loses_and_doubles_nothing(follower: Follower) -> None:
    follower.write(b"a-1\na-2\n")
    follower.follow()
    before = follower.ledger.rows()
    follower.seen = None
    assert follower.follow().n_new == 0
    assert follower.ledger.rows() == before


def test_a_crash_between_ledger_and_cursor_loses_and_doubles_nothing(follower: Follower) -> None:
    follower.write(b"a-1\n")
    earlier = follower.follow().seen
    follower.append(b"a-2\n")
    follower.follow()
    follower.seen = earlier
    follower.append(b"a-3\n")
    assert follower.follow().n_new == 1
    assert follower.listed() == ["a-1", "a-2", "a-3"]


def test_a_ledger_put_back_from_an_older_copy_is_brought_in_line(follower: Follower, tmp_path: Path) -> None:
    follower.write(b"a-1\n")
    follower.follow()
    older = Root(tmp_path / "older")
    create_ledger(older)
    with open_ledger(older) as ledger:
        follower.ledger = ledger
        follower.follow()
        assert follower.listed() == ["a-1"]


def test_a_registration_by_another_process_is_noticed(follower: Follower) -> None:
    follower.write(b"a-1\na-2\n")
    follower.follow()
    follower.append(b"a-3\n")
    register_source(follower.ledger, follower.source, MAIN_CAMPAIGN)
    assert follower.follow().n_new == 0
    assert follower.listed() == ["a-1", "a-2", "a-3"]


def test_a_bad_manifest_concludes_nothing(follower: Follower) -> None:
    follower.write(b"a-1\n")
    follower.follow()
    follower.append(b"\xff\n")
    with pytest.raises(ManifestError, match="line 2"):
        follower.follow()
    follower.source.manifest.unlink()
    with pytest.raises(ManifestMissingError):
        follower.follow()
    assert follower.listed() == ["a-1"]


IDS = st.sampled_from(["a-1", "A-1", "b-2", "c-3", "C-3", "d-4", "bad id", "# no", ""])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "rewrite", "forget", "crash"]),
        st.lists(IDS, max_size=5),
        st.sampled_from(["\n", "\n", "", "\r"]),
        st.booleans(),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=20)
@given(STEPS)
def test_whatever_happens_to_manifest_and_cursor_the_ledger_is_as_if_read_in_full(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str], str, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("follow")
    for name in ("pieces", "full"):
        create_ledger(Root(folder / name))
    source = source_in(folder)
    source.manifest.touch()
    with open_ledger(Root(folder / "pieces")) as pieces, open_ledger(Root(folder / "full")) as full:
        follower, reader = Follower(pieces, source), Follower(full, source)
        for what, ids, end, is_at_rest in steps:
            data = ("\n".join(ids) + end).encode()
            follower.write(data) if what == "rewrite" else follower.append(data)
            if is_at_rest:
                follower.rest()
            earlier = None if what == "forget" else follower.seen
            reader.seen = None
            growth, whole = follower.follow(), reader.follow()
            if what in ("forget", "crash"):
                follower.seen = earlier
            assert growth.seen.model_dump() == whole.seen.model_dump()
            assert states(pieces) == states(full)
            pieces.check_balance()


def states(ledger: Ledger) -> list[tuple[object, ...]]:
    return [(row.task_id, row.status, row.skip_kind, row.listed, row.eligible) for row in ledger.rows()]


@pytest.mark.parametrize(
    "text",
    [None, "", "x", "[]", "null", '{"py-cc": "0a1b"}', '{"manifests": {"py-cc": {"path": "m"}}}', '{"manifests": 1}'],
)
def test_a_cursor_of_another_shape_is_an_empty_one(text: str | None) -> None:
    assert Cursor.parse(text) == Cursor()


def test_a_cursor_is_read_back_as_it_was(follower: Follower) -> None:
    follower.write(b"a-1\nbad id\n")
    cursor = Cursor(manifests={"py-cc": follower.follow().seen}, view="as it was")
    assert Cursor.parse(cursor.model_dump_json()) == cursor


def test_a_position_that_no_file_has_is_read_in_full(follower: Follower) -> None:
    follower.write(b"a-1\n")
    text = Cursor(manifests={"py-cc": follower.follow().seen}).model_dump_json()
    follower.seen = Cursor.parse(text.replace('"position":4', '"position":-4')).manifests["py-cc"]
    assert follower.follow().seen.end.position == 4


def test_a_new_task_waits_until_somebody_has_looked_at_its_folder(follower: Follower) -> None:
    write_task(follower.source.folder / "a-1")
    follower.write(b"a-1\na-2\n")
    growth = follower.follow()
    assert growth.waiting(follower.ledger, MAIN_CAMPAIGN) == (2, ["a-1: not looked at yet", "a-2: not looked at yet"])
    assert follower.ledger.assign("job", Batch(MAIN_CAMPAIGN, "py-cc", 10)) is None
    follower.look(10)
    assert growth.waiting(follower.ledger, MAIN_CAMPAIGN) == (1, ["a-2: lacks the folder"])
    assert follower.row("a-1").eligible


def test_looks_go_round_and_what_is_new_comes_first(follower: Follower) -> None:
    follower.write(b"a-1\na-2\na-3\n")
    follower.follow()
    reached = follower.look(4)
    for task_id in ("a-1", "a-2", "a-3", "a-4"):
        write_task(follower.source.folder / task_id)
    reached = follower.look(1, after=reached)
    assert usable(follower) == ["a-2"]
    follower.append(b"a-4\n")
    follower.follow()
    assert follower.look(1, after=reached) == reached
    assert usable(follower) == ["a-2", "a-4"]
    assert follower.look(2, after=reached) == follower.row("a-1").position
    assert usable(follower) == ["a-1", "a-2", "a-3", "a-4"]


def usable(follower: Follower) -> list[str]:
    return [each for each in follower.listed() if follower.row(each).eligible]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_however_short_each_tick_is_every_folder_has_its_turn(
    tmp_path_factory: pytest.TempPathFactory, looks: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("turns")
    create_ledger(Root(folder / "root"))
    n_tasks = 2 + sum(looks) // 2
    with open_ledger(Root(folder / "root")) as ledger:
        follower = Follower(ledger, source_in(folder))
        follower.write("".join(f"a-{n}\n" for n in range(n_tasks)).encode())
        follower.follow()
        follower.look(n_tasks)
        for n in range(n_tasks):
            write_task(follower.source.folder / f"a-{n}")
        after = 0
        for n_looks in looks:
            after = follower.look(n_looks, after=after)
        assert sum(row.eligible for row in ledger.rows()) == min(n_tasks, sum(looks))


def test_data_sets_share_the_time_and_each_has_a_look(follower: Follower, tmp_path: Path) -> None:
    sources = [follower.source, source_in(tmp_path, "py-dd"), source_in(tmp_path, "py-ee")]
    for source in sources:
        source.manifest.write_text("".join(f"a-{n}\n" for n in range(30)))
        follow_manifest(follower.ledger, source, MAIN_CAMPAIGN, None)
    look_in_turn(follower.ledger, MAIN_CAMPAIGN, sources, {}, budget_s=0, monotonic=Clock())
    unseen = [row for row in follower.ledger.rows() if row.ineligible_reason == "not looked at yet"]
    assert [sum(row.dataset == source.dataset for row in unseen) for source in sources] == [29, 29, 29]
    look_in_turn(follower.ledger, MAIN_CAMPAIGN, sources, {}, budget_s=30, monotonic=Clock())
    unseen = [row for row in follower.ledger.rows() if row.ineligible_reason == "not looked at yet"]
    assert all(15 < sum(row.dataset == source.dataset for row in unseen) < 25 for source in sources)


def test_the_same_task_in_a_second_data_set_is_a_duplicate_once_both_were_looked_at(
    follower: Follower, tmp_path: Path
) -> None:
    other = Follower(follower.ledger, source_in(tmp_path, "py-dd"))
    for each in (follower, other):
        write_task(each.source.folder / "a-1")
        each.write(b"a-1\n")
        each.follow()
        each.look(1)
    assert follower.row("a-1").status is TaskStatus.PENDING
    assert other.row("a-1").skip_kind is SkipKind.DUPLICATE


def test_a_task_that_was_revoked_before_its_look_is_looked_at_when_it_is_back(follower: Follower) -> None:
    write_task(follower.source.folder / "a-1")
    follower.write(b"a-1\n")
    follower.follow()
    follower.write(b"")
    follower.follow()
    follower.look(5)
    assert follower.row("a-1").digest is None
    follower.write(b"a-1\n")
    register_source(follower.ledger, follower.source, MAIN_CAMPAIGN)
    row = follower.row("a-1")
    assert (row.status, row.eligible) == (TaskStatus.PENDING, True)
    assert row.digest is not None


def test_a_reason_that_is_no_text_is_written_down_all_the_same(follower: Follower) -> None:
    folder = write_task(follower.source.folder / "a-1")
    (folder / "task.toml").unlink()
    (folder / "tests" / "b\udcff").symlink_to("/etc")
    follower.write(b"a-1\n")
    follower.follow()
    follower.look(1)
    assert "leads out of the task" in (follower.row("a-1").ineligible_reason or "")


def follow_for_ever(root: Path, source: TaskSource, is_ready: "multiprocessing.Queue[int]") -> None:
    with open_ledger(Root(root)) as ledger:
        follower = Follower(ledger, source)
        after = 0
        while True:
            with suppress(ManifestError):  # it is written to all the time
                follower.follow()
            after = follower.look(3, after=after)
            is_ready.put(1)


def test_followers_that_are_killed_while_a_manifest_grows_lose_and_double_nothing(
    follower: Follower, tmp_path: Path
) -> None:
    spawn = multiprocessing.get_context("spawn")
    ticks: multiprocessing.Queue[int] = spawn.Queue()
    ids = [f"a-{n}" for n in range(60)]
    for task_id in ids[::2]:
        write_task(follower.source.folder / task_id)
    follower.write(b"")
    children = [
        spawn.Process(target=follow_for_ever, args=(tmp_path / "root", follower.source, ticks)) for _ in range(3)
    ]
    for each in children:
        each.start()
    for task_id in ids:
        follower.append(f"{task_id}\n".encode())
        ticks.get(timeout=60)
    for each in children:
        each.kill()
        each.join(60)
    follower.follow()
    follower.look(1000)
    assert follower.listed() == ids
    assert usable(follower) == ids[::2]
    assert follower.ledger.check_balance().pending == len(ids)
