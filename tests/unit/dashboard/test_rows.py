from pathlib import Path

import orjson
import pytest

from tests.unit.sft.agent_twin import AgentTwin, fixed, tool_call, tool_result
from tests.unit.sft.twin import JobOnDisk
from trajgen_assets.core.dashboard.facts.rows import RowsOfJob
from trajgen_assets.core.dashboard.facts.scoring import score_parts
from trajgen_assets.core.dashboard.reasons import MEANS, meaning
from trajgen_assets.core.sft.convert import ConversionSettings, convert_job
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import SftPaths
from trajgen_assets.core.sft.score.rules import WEIGHTS


def leaking() -> AgentTwin:
    reads = tool_call("a", '{"command": "cat /solution/solve.sh"}')
    return AgentTwin().answer("Look.", reads).tell(tool_result("a", "a + b")).answer("Done.", reasoning="So.")


@pytest.fixture
def rows(tmp_path: Path) -> RowsOfJob:
    job = JobOnDisk(tmp_path).add("good__1", fixed()).add("leaks__1", leaking()).write(scaffold="claude_code")
    convert_job(job, ConversionSettings())
    return RowsOfJob(job.sft)


def test_a_kept_row_has_its_score_and_what_it_rests_on(rows: RowsOfJob) -> None:
    (row,) = rows.of("good__1")
    assert (row.reason, row.n_turns, row.leaks, row.language) == (None, 3, (), "python")
    assert row.score is not None
    assert row.parts["stp"] == pytest.approx(0.6)
    assert row.evidence["stp"] == {"turns": 3}
    assert (row.n_errors, row.n_calls) == (0, 3)


def test_a_rejected_row_has_its_reason_and_no_score(rows: RowsOfJob) -> None:
    (row,) = rows.of("leaks__1")
    assert (row.reason, row.score, dict(row.parts), row.n_errors) == ("leak", None, {}, None)
    assert row.leaks is not None
    assert [(each.kind, each.turn) for each in row.leaks] == [("solution_read", 1)]


def test_data_of_before_there_were_flags_was_not_looked_at(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("good__1", fixed()).write(scaffold="claude_code")
    convert_job(job, ConversionSettings())
    im = SftPaths(job.sft).im
    row = orjson.loads(im.read_bytes())
    del row["meta_info"]["unique_info"]["leaks"]
    im.write_bytes(orjson.dumps(row) + b"\n")
    assert RowsOfJob(job.sft).of("good__1")[0].leaks is None


def test_rows_that_cannot_be_read_are_a_problem_in_words(tmp_path: Path) -> None:
    (tmp_path / "im.jsonl").write_text('{"meta_info": {}}\n')
    rows = RowsOfJob(tmp_path)
    assert rows.of("x") == ()
    assert rows.problem == "the rows of its training data cannot be read: KeyError"


def test_a_job_without_data_has_no_row_and_no_problem(tmp_path: Path) -> None:
    rows = RowsOfJob(tmp_path)
    assert (rows.of("x"), rows.problem, rows.signature) == ((), None, "")


def test_every_part_of_the_score_is_described_by_what_makes_it() -> None:
    assert [part.name for part in score_parts()] == list(WEIGHTS)
    for part in score_parts():
        assert part.means, part.name


def test_every_reason_has_its_words() -> None:
    assert set(MEANS) == set(Reason)
    assert meaning("a_reason_of_tomorrow") == "a reason of tomorrow"
