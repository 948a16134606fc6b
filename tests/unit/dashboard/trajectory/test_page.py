import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path

from tests.unit.sft.agent_twin import AgentTwin, fixed, tool_call, tool_result
from tests.unit.sft.twin import JobOnDisk
from trajgen_assets.core.dashboard.facts.jobs import read_unknown_job
from trajgen_assets.core.dashboard.facts.rows import RowsOfJob
from trajgen_assets.core.dashboard.render import SiteFile
from trajgen_assets.core.dashboard.trajectory.page import TrialPage
from trajgen_assets.core.dashboard.trajectory.shards import Limits
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft.convert import ConversionSettings, convert_job


def page_of(files: JobPaths, name: str) -> TrialPage:
    job = read_unknown_job(files)
    assert job is not None
    (trial,) = [each for each in job.trials if each.name == name]
    return TrialPage(files, job, trial, RowsOfJob(files.sft), (), Limits())


def text_of(files: Sequence[SiteFile]) -> str:
    """The page as text, its blanks as one."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", files[-1].data.decode())).split())


def leaking() -> AgentTwin:
    reads = tool_call("a", '{"command": "cat /solution/solve.sh"}')
    return AgentTwin().answer("Look.", reads).tell(tool_result("a", "a + b")).answer("Done.", reasoning="So.")


def test_a_kept_trial_says_so_with_its_score(tmp_path: Path) -> None:
    files = JobOnDisk(tmp_path).add("good__1", fixed()).write(scaffold="claude_code")
    convert_job(files, ConversionSettings())
    text = text_of(list(page_of(files, "good__1").make()))
    assert "In the training data: 1 row." in text
    assert "Score of conversation 1: " in text


def test_a_row_that_leaked_says_in_which_turn(tmp_path: Path) -> None:
    files = JobOnDisk(tmp_path).add("leaks__1", leaking()).write(scaffold="claude_code")
    convert_job(files, ConversionSettings())
    made = list(page_of(files, "leaks__1").make())
    assert "Left out of the training data: each of its conversations was left out." in text_of(made)
    assert "⚑ turn 1 solution read cat /solution/solve.sh" in text_of(made)
    assert 'href="#t1"' in made[-1].data.decode()


def test_a_job_that_was_not_converted_says_so(tmp_path: Path) -> None:
    files = JobOnDisk(tmp_path).add("good__1", fixed()).write(scaffold="claude_code")
    text = text_of(list(page_of(files, "good__1").make()))
    assert "Not in the training data: no training data was made of its job." in text
    assert "no row of it not scored not looked for" in text


def test_a_trial_without_a_trajectory_has_a_page(tmp_path: Path) -> None:
    files = JobOnDisk(tmp_path).add("gone__1", None).write(scaffold="claude_code")
    assert "There is no trajectory of this trial" in text_of(list(page_of(files, "gone__1").make()))


def test_lines_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    lines = fixed().lines() + b"no JSON\n"
    files = JobOnDisk(tmp_path).add("broken__1", lines).write(scaffold="claude_code")
    text = text_of(list(page_of(files, "broken__1").make()))
    assert "1 of its lines cannot be read: line 4: it is no JSON object, or too deep" in text


def test_what_is_copied_for_a_shell_is_one_word_in_it(tmp_path: Path) -> None:
    files = JobOnDisk(tmp_path).add("good__1", fixed(), task_key="a/b; rm -r $HOME").write(scaffold="claude_code")
    text = text_of(list(page_of(files, "good__1").make()))
    assert "trajgen explain 'a/b; rm -r $HOME'" in text


def test_a_page_is_made_anew_when_what_it_shows_is_another(tmp_path: Path) -> None:
    files = JobOnDisk(tmp_path).add("good__1", fixed()).write(scaffold="claude_code")
    before = page_of(files, "good__1").inputs
    assert page_of(files, "good__1").inputs == before
    convert_job(files, ConversionSettings())
    converted = page_of(files, "good__1").inputs
    assert converted != before
    files.trajectory("good__1").unlink()
    assert page_of(files, "good__1").inputs != converted
