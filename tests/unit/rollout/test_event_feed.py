"""The event feed is read as it grows, line by whole line."""

from pathlib import Path

from trajgen_assets.core.rollout.events import EventFeed, TrialEvent


def test_a_feed_that_does_not_exist_yet_has_no_events(tmp_path: Path) -> None:
    assert EventFeed(tmp_path / "events.jsonl").read() == []


def test_a_line_without_its_newline_waits_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    feed = EventFeed(path)
    path.write_text('{"event": "trial_started", "trial": "a__1", "task_path": "/t/a"}\n{"event": "trial_en')
    assert feed.read() == [TrialEvent("trial_started", "a__1", Path("/t/a"))]
    with path.open("a") as file:
        file.write('ded", "trial": "a__1"}\n')
    assert feed.read() == [TrialEvent("trial_ended", "a__1", None)]
    assert feed.read() == []


def test_an_unreadable_line_does_not_hide_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'\xff{not json\n[1]\n{"trial": "x"}\n{"event": "job_ended"}\n')
    assert [event.event for event in EventFeed(path).read()] == ["job_ended"]
