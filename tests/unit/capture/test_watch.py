"""A logger that LiteLLM stopped calling ends the job; a single lost record does not."""

import json
from pathlib import Path

import pytest

from tests.waiting import wait_until
from trajgen_assets.core.capture.watch import CaptureWatch


class Proxy:
    """A proxy's folder, written as custom auth and the logger write it."""

    def __init__(self, folder: Path, *, grace_s: float) -> None:
        self.folder = folder
        for name in ("served", "journal"):
            (folder / name).mkdir()
        self.watch = CaptureWatch(folder, grace_s=grace_s, every_s=0)

    def write(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)

    def serve(self, trial: str, call_id: str) -> None:
        self.write(f"served/{trial}.jsonl", json.dumps({"call_id": call_id}) + "\n")

    def record(self, trial: str, call_id: str) -> None:
        self.write(f"journal/{trial}.jsonl", json.dumps({"event": "end", "call_id": call_id}) + "\n")

    def lose(self, trial: str, what: str) -> None:
        self.write("broken", json.dumps({"trial": trial, "lost": what}) + "\n")


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(tmp_path, grace_s=0)


def test_calls_that_were_served_and_recorded_are_well_in_either_order(proxy: Proxy) -> None:
    proxy.serve("a", "1")
    proxy.record("a", "1")
    assert proxy.watch.look() is None
    proxy.record("a", "2")
    assert proxy.watch.look() is None
    proxy.serve("a", "2")
    assert [proxy.watch.look(), proxy.watch.look()] == [None, None]


def test_a_call_in_flight_is_no_loss(proxy: Proxy) -> None:
    proxy.write("journal/a.jsonl", json.dumps({"event": "begin", "call_id": "1"}) + "\n")
    assert [proxy.watch.look(), proxy.watch.look()] == [None, None]


def test_a_call_that_left_no_record_ends_the_job_when_nothing_is_recorded_since(proxy: Proxy) -> None:
    proxy.record("a", "0")
    proxy.serve("a", "0")
    proxy.serve("a", "1")  # seen at the same look as the last record
    proxy.watch.look()
    assert proxy.watch.look() == "1 call of a left no record 0 s after the answer"


def test_one_lost_record_of_one_trial_is_no_reason_while_others_are_recorded(proxy: Proxy) -> None:
    proxy.serve("a", "1")
    proxy.watch.look()
    proxy.record("b", "2")
    assert [proxy.watch.look(), proxy.watch.look()] == [None, None]
    proxy.serve("b", "3")
    proxy.watch.look()
    proxy.record("c", "4")
    assert proxy.watch.look() == "2 calls of a, b left no record 0 s after the answer"


def test_a_record_has_its_time_to_come(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, grace_s=0.5)
    proxy.serve("a", "1")
    assert proxy.watch.look() is None
    wait_until(lambda: proxy.watch.look() is not None, limit_s=5)


def test_a_line_that_is_being_written_counts_when_it_is_whole(proxy: Proxy) -> None:
    proxy.write("served/a.jsonl", '{"call_id"')
    assert proxy.watch.look() is None
    proxy.write("served/a.jsonl", ': "1"}\n')
    proxy.record("a", "1")
    assert [proxy.watch.look(), proxy.watch.look()] == [None, None]


def test_torn_and_foreign_lines_are_passed_over(proxy: Proxy) -> None:
    proxy.write("journal/a.jsonl", "\n{torn\n[]\n")
    proxy.serve("a", "1")
    proxy.record("a", "1")
    assert [proxy.watch.look(), proxy.watch.look()] == [None, None]


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ([("a", "record")], None),
        ([("a", "record"), ("a", "begin")], None),
        ([("a", "record"), ("b", "admission")], "lines about the calls of 2 trials could not be written"),
        ([("a", "logger")], "the trajectory logger is no longer registered with LiteLLM"),
    ],
)
def test_what_could_not_be_written_ends_the_job_once_it_is_no_matter_of_one_trial(
    proxy: Proxy, lost: list[tuple[str, str]], why: str | None
) -> None:
    for trial, what in lost:
        proxy.lose(trial, what)
    assert proxy.watch.look() == why


def test_it_looks_no_oftener_than_told(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, grace_s=0)
    proxy.watch.every_s = 3600
    proxy.watch.look()
    proxy.lose("a", "logger")
    assert proxy.watch.look() is None
