"""A job's tasks as Markdown: each once, with its last reward or cause, and nothing in a key is read as markup."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest

from tests.unit.ledger.twins import register
from trajgen_assets.assets.links import partition_page, task_table
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import TaskRow
from trajgen_assets.core.rollout.trials import TaskRecord, TrialEntry
from trajgen_assets.names import TRAINING_RUN


def rows_of(ledger: Ledger, *task_ids: str, campaign: str = "main") -> list[TaskRow]:
    register(ledger, *task_ids, campaign=campaign)
    return ledger.rows()


def entry(task_key: str, **changes: Any) -> TrialEntry:
    fields: dict[str, Any] = {
        "task_id": task_key.partition("/")[2],
        "task_key": task_key,
        "trial_name": f"x__{changes.get('attempt', 1)}",
        "attempt": 1,
        "accepted": True,
        "status": "done",
        "reward": 1.0,
        "trajectory": "x/agent/t.jsonl",
        "task": TaskRecord(digest="d", instruction="i"),
    }
    return TrialEntry(**fields | changes)


def cells(table: dg.MarkdownMetadataValue) -> list[tuple[str, str, str]]:
    found = (
        re.fullmatch(r"\| \[`(.*)`\]\(.*\) \| (.*?) ?\| (.*?) ?\|", line)
        for line in (table.value or "").split("\n")[2:]
    )
    return [(match[1], match[2], match[3]) for match in found if match]


@pytest.mark.parametrize("key", ["py-cc/a__b.__init__-1", "d/a+b.c_d_", "d/x@c.1"])
def test_a_link_leads_to_the_very_partition(key: str) -> None:
    page = urlsplit(partition_page(TRAINING_RUN, key))
    assert page.path == "/assets/sft/training_run"
    assert parse_qs(page.query) == {"view": ["partitions"], "partition": [key]}


def test_every_task_of_the_job_has_a_row_whether_it_had_a_trial_or_not(ledger: Ledger) -> None:
    rows = rows_of(ledger, "a", "b", "c", "d__init__")
    entries = [
        entry("py-cc/a", attempt=1, accepted=False, cause="sandbox", reward=None, status="pending"),
        entry("py-cc/a", attempt=2, reward=0.5),
        entry("py-cc/b", accepted=False, cause="capture", reward=None, status="failed"),
        entry("py-cc/c", accepted=False, note="superseded: …"),
    ]
    assert cells(task_table(rows, entries)) == [
        ("py-cc/a", "0.5", ""),
        ("py-cc/b", "", "capture"),
        ("py-cc/c", "", "superseded"),
        ("py-cc/d__init__", "", "no trial"),
    ]
