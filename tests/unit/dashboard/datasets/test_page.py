import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.sft.agent_twin import AgentTwin, fixed, tool_call, tool_result
from tests.unit.sft.twin import JobOnDisk
from trajgen_assets.core.dashboard.datasets.listing import COLUMNS
from trajgen_assets.core.dashboard.datasets.page import DataSet, data_of_job, data_of_jobs, data_set_pages
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.sft.convert import ConversionSettings, convert_job
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.receipt import SftPaths
from trajgen_assets.core.sft.score.rules import WEIGHTS


def leaking() -> AgentTwin:
    reads = tool_call("a", '{"command": "cat /solution/solve.sh"}')
    return AgentTwin().answer("Look.", reads).tell(tool_result("a", "a + b")).answer("Done.", reasoning="So.")


@pytest.fixture
def job(tmp_path: Path) -> JobPaths:
    made = JobOnDisk(tmp_path).add("good__1", fixed()).add("leaks__1", leaking()).add("failed__1", None, reward=0.0)
    files = made.write(scaffold="claude_code")
    convert_job(files, ConversionSettings())
    return files


def data_of(job: JobPaths) -> DataSet:
    found = data_of_job("demo-job", job.sft)
    assert found is not None
    return found


def shown(data: DataSet) -> tuple[str, list[dict[str, Any]]]:
    """The page, and its rows."""
    trials = {("demo-job", name) for name in ("good__1", "leaks__1", "failed__1")}
    *lists, page = data_set_pages(data, trials)
    rows: list[dict[str, Any]] = []
    for file in lists:
        _, values = json.loads(f"[{file.data.decode()[len('trajgen.take(') : -3]}]")
        rows += [dict(zip(COLUMNS, value, strict=True)) for value in values]
    return page.data.decode(), rows


def test_rows_and_rejected_ones_are_listed_with_their_page(job: JobPaths) -> None:
    _, rows = shown(data_of(job))
    told = {(row["page"], row["reason"], row["turns"], row["flags"]) for row in rows}
    assert told == {
        ("jobs/demo-job/good__1.html", None, 3, 0),
        ("jobs/demo-job/leaks__1.html", "leak", 2, 1),
        ("jobs/demo-job/leaks__1.html", "no_row_kept", None, None),
        ("jobs/demo-job/failed__1.html", "instance_status", None, None),
    }


def test_the_weights_are_those_of_the_scorer(job: JobPaths) -> None:
    page, _ = shown(data_of(job))
    for name, weight in WEIGHTS.items():
        assert f'<th scope="row">{name.upper()}</th>' in page
        assert f'<td class="n">{weight:.3g}</td>' in page


def test_rows_that_were_not_scored_have_no_panel_and_the_page_says_why(job: JobPaths) -> None:
    im = SftPaths(job.sft.resolve()).im
    rows = [orjson.loads(line) for line in im.read_bytes().splitlines()]
    for row in rows:
        row["meta_info"]["unique_info"] |= {"_score": None, "score_evidence": None}
    im.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    page, _ = shown(data_of(job))
    assert "no row was scored, which is not a score of 0" in page
    assert '<th scope="row">SUB</th>' not in page
    assert "heat-" not in page


def test_rows_that_cannot_be_read_are_a_problem_on_the_page(job: JobPaths) -> None:
    SftPaths(job.sft.resolve()).im.write_bytes(b'{"meta_info": 1}\n')
    page, rows = shown(data_of(job))
    assert "cannot be read: TypeError" in page
    assert rows == []


def test_a_job_that_was_not_converted_has_no_page(tmp_path: Path) -> None:
    assert data_of_job("j", tmp_path) is None


def test_a_row_whose_trial_is_gone_leads_nowhere(job: JobPaths) -> None:
    *_, rows, _ = data_set_pages(data_of(job), trials=())
    assert b"jobs/demo-job" not in rows.data


def test_a_data_set_of_several_jobs_has_its_page(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for name in ("one", "other"):
        files = JobOnDisk(tmp_path, name).add("good__1", fixed()).write(scaffold="claude_code", job=name)
        convert_job(files, ConversionSettings())
    order = Order.of("both", map(root.job, ("one", "other")), Selection(jobs=("one", "other")), ConversionSettings())
    receipt = build_data_set(order, root.sft_data / "both")
    page, rows = shown(data_of_jobs(receipt, stale=None))
    assert [row["reason"] for row in rows] == [None, "duplicate"]
    assert "1 duplicate" in page
    stale, _ = shown(data_of_jobs(receipt, stale="one was converted anew"))
    assert "Out of date: one was converted anew" in stale
