import sqlite3
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ledger.twins import graded, key, listed, lost, register, settle, start
from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.ledger import Ledger, PublishedView, ViewState
from trajgen_assets.core.ledger.view import is_edited, quoted
from trajgen_assets.core.paths import Root

ORIGINAL_FIELDS = ["task_id", "status", "submitted_at", "completed_at", "trajectory_path", "reward", "note"]


def load(root: Root) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = yaml.safe_load(root.ledger_view.read_text(encoding="utf-8"))
    return found


def test_the_view_says_what_the_ledger_says(ledger: Ledger, root: Root) -> None:
    register(ledger, "a", "b", listed("c", reason='no folder: "c"'), "d")
    lease = start(ledger, "job-1", "run-1", "a", "b")
    settle(ledger, lease, "a", graded("a__1", 0.0))
    settle(ledger, lease, "b", lost("b__1"))
    ledger.skip([key("d")], "slow:\nvery # slow")
    assert PublishedView(ledger, root).refresh() is ViewState.WRITTEN
    view = load(root)
    assert list(view) == ["description", "runs", "digest"]
    a, b, c, d = view["runs"]
    assert list(a)[:7] == ORIGINAL_FIELDS
    assert (a["task_id"], a["status"], a["reward"], a["trajectory_path"]) == ("a", "done", 0.0, "a__1/t.jsonl")
    assert (a["dataset"], a["campaign"], a["digest"], a["attempts"], a["job"]) == (
        "py-cc",
        "main",
        "digest of a",
        1,
        "job-1",
    )
    assert a["submitted_at"] == "2026-01-01T00:00:00.000000+00:00"
    assert (b["status"], b["reward"], b["attempts"]) == ("pending", None, 1)
    assert c["note"] == 'no folder: "c"'
    assert (d["status"], d["note"]) == ("skipped", "slow:\nvery # slow")


def test_an_empty_ledger_has_a_view(ledger: Ledger, root: Root) -> None:
    PublishedView(ledger, root).refresh()
    assert load(root)["runs"] == []


@pytest.mark.parametrize("task_id", ["1e3", "0x1F", "1_000", "2026-01-01", "no", "null", "1.0"])
def test_ids_that_look_like_something_else_stay_words(ledger: Ledger, root: Root, task_id: str) -> None:
    register(ledger, task_id)
    PublishedView(ledger, root).refresh()
    assert [run["task_id"] for run in load(root)["runs"]] == [task_id]


@given(st.text() | st.characters(categories=["Cc", "Zl", "Zp", "Cn", "Co", "Cf"]))
def test_any_text_survives_quoting(text: str) -> None:
    assert yaml.safe_load(f"note: {quoted(text)}\n") == {"note": text}


def test_it_is_written_again_only_when_it_is_due(ledger: Ledger, root: Root) -> None:
    at_s = [100.0]
    view = PublishedView(ledger, root, monotonic=lambda: at_s[0])
    assert view.refresh() is ViewState.WRITTEN
    register(ledger, "a")
    at_s[0] += 4.9
    assert view.refresh() is ViewState.HELD
    assert view.refresh(force=True) is ViewState.WRITTEN
    at_s[0] += 5.1
    assert view.refresh() is ViewState.UNCHANGED


def test_a_slow_write_waits_twenty_times_as_long(ledger: Ledger, root: Root) -> None:
    at_s = iter([0.0, 2.0, 41.9, 42.1, 42.2])
    view = PublishedView(ledger, root, monotonic=lambda: next(at_s))
    assert [view.refresh(), view.refresh(), view.refresh()] == [ViewState.WRITTEN, ViewState.HELD, ViewState.UNCHANGED]


@pytest.mark.parametrize("edit", ["status", "append", "no digest", "original", "empty"])
def test_a_view_changed_by_hand_is_kept_and_reported(
    ledger: Ledger, root: Root, edit: str, caplog: pytest.LogCaptureFixture
) -> None:
    register(ledger, "a")
    view = PublishedView(ledger, root)
    view.refresh()
    text = root.ledger_view.read_text()
    changed = {
        "status": text.replace("pending", "skipped"),
        "append": text + "# seen\n",
        "no digest": "".join(text.splitlines(keepends=True)[:-1]),
        "original": "description: mine\nruns:\n- {task_id: a, status: done}\n",
        "empty": "",
    }[edit]
    root.ledger_view.write_text(changed)
    assert view.refresh(force=True) is ViewState.EDITED
    assert root.ledger_view.read_text() == changed
    assert "was changed by hand and is left as it is" in caplog.text


def test_a_view_that_cannot_be_read_is_said_so_and_left_as_it_is(ledger: Ledger, root: Root) -> None:
    register(ledger, "a")
    root.ledger_view.mkdir()
    with pytest.raises(LedgerError, match=r"can be neither read nor written anew .*directory.*Mend: move aside"):
        PublishedView(ledger, root).refresh()
    assert root.ledger_view.is_dir()
    assert ledger.check_balance().pending == 1


def test_a_view_that_is_missing_is_not_called_edited(ledger: Ledger, root: Root) -> None:
    assert not is_edited(root.ledger_view)
    PublishedView(ledger, root).refresh()
    assert not is_edited(root.ledger_view)


def fill(path: Path, n_tasks: int) -> None:
    with sqlite3.connect(path) as conn:
        conn.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO tasks (campaign, dataset, task_id, digest, status, listed, eligible, registered_at, "
            "updated_at) "
            "SELECT 'main', 'py-cc', 'owner__repository-' || i, 'abcdef', 'pending', 1, 1, '2026', '2026' FROM n",
            (n_tasks,),
        )
    conn.close()


def test_a_hundred_thousand_tasks_are_published_in_seconds(ledger: Ledger, root: Root) -> None:
    fill(root.ledger, 100_000)
    started_s = time.monotonic()
    assert PublishedView(ledger, root).refresh() is ViewState.WRITTEN
    assert time.monotonic() - started_s < 3
    assert root.ledger_view.read_bytes().count(b"- task_id: ") == 100_000


def test_a_view_is_written_again_only_after_ledger_or_file_changed(ledger: Ledger, root: Root) -> None:
    register(ledger, "a")
    seen = PublishedView(ledger, root).refresh_if_changed(None)
    first = root.ledger_view.read_bytes()
    assert PublishedView(ledger, root).refresh_if_changed(seen) == seen
    register(ledger, "a", "b")
    changed = PublishedView(ledger, root).refresh_if_changed(seen)
    assert changed != seen
    assert root.ledger_view.read_bytes() != first
    root.ledger_view.unlink()
    assert PublishedView(ledger, root).refresh_if_changed(changed) != changed
    assert root.ledger_view.exists()


def test_a_view_changed_by_hand_is_still_left_alone(ledger: Ledger, root: Root) -> None:
    register(ledger, "a")
    seen = PublishedView(ledger, root).refresh_if_changed(None)
    root.ledger_view.write_text("runs: []\n")
    assert PublishedView(ledger, root).refresh_if_changed(seen) != seen
    assert root.ledger_view.read_text() == "runs: []\n"
