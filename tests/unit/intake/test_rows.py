"""Rows of a JSONL file as tasks: what of a file becomes one, and that none of it is taken silently."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.openhands_checkout.making import row, write_rows
from trajgen_assets.core.errors import ManifestMissingError, TaskChangedError, TaskError
from trajgen_assets.core.intake.dataset import stage_dataset
from trajgen_assets.core.intake.digest import UnusableTreeError
from trajgen_assets.core.intake.growth import Seen, follow_manifest, look_at_waiting
from trajgen_assets.core.intake.manifest import read_appended, read_manifest
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.intake.rows import ROW_NAME, content_digest, row_digest
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.intake.staging import stage_task
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger import Ledger
from trajgen_assets.core.openhands.dataset import write_subset

A, B, C = "acme__greeter-1", "acme__greeter-2", "acme__greeter-3"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows" / "tasks.jsonl", [row(A), row(B)])


def source_of(rows: Path, manifest: Path | None = None) -> TaskSource:
    return TaskSource("tasks", rows, manifest or rows)


def append(rows: Path, *lines: str) -> None:
    with rows.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def never() -> bool:
    return False


def reasons(rows: Path) -> Iterator[str]:
    """What is said of the lines of a file in which each row is verified."""
    return (f"{each.line}: {each.reason}" for each in read_manifest(rows).problems)


def test_each_row_is_a_task_with_an_instruction_and_metadata(rows: Path) -> None:
    found = inspect_task(rows / A)
    assert found.is_usable
    assert (found.task_id, found.instruction.splitlines()[0]) == (A, "The greeting is in German")
    assert found.metadata["repo"] == "acme/greeter"
    assert "FAIL_TO_PASS" not in found.metadata


def test_the_digest_is_that_of_the_content_whatever_the_order_of_its_columns(rows: Path, tmp_path: Path) -> None:
    turned = dict(reversed(row(A).items()))
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(turned, indent=None, separators=(" , ", " : ")) + "\n")
    assert content_digest(rows / A) == content_digest(other / A) == row_digest(row(A))
    assert content_digest(rows / A) != content_digest(rows / B)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "it is not JSON: Expecting property name"),
        ("[1]", "it is no JSON object"),
        ("{}", "its instance_id is missing or empty"),
        ('{"instance_id": ""}', "its instance_id is missing or empty"),
        ('{"instance_id": 7}', "its instance_id is no text"),
        ('{"instance_id": "a,b"}', "not a task id"),
        ('{"instance_id": "a/b"}', "not a task id"),
        ('{"instance_id": "../b"}', "not a task id"),
        (json.dumps(row(A)), "listed twice"),
        (json.dumps(row(A.upper())), f"differs from {A} only in case"),
        ('{"instance_id": "x", "a": ["\\uD800"]}', "one half of a pair of surrogates"),
        ('{"instance_id": "x", "a": NaN}', "NaN, which is no finite number"),
        ('{"instance_id": "x", "a": [1e999]}', "1e999, which is no finite number"),
    ],
)
def test_a_line_that_is_no_task_is_named_with_its_number(rows: Path, line: str, said: str) -> None:
    append(rows, line)
    (found,) = reasons(rows)
    assert found.startswith("3: ")
    assert said in found
    assert read_manifest(rows).entries == (A, B)


def test_two_rows_with_one_id_are_neither_taken(rows: Path) -> None:
    append(rows, json.dumps(row(A, goes="hang")))
    assert inspect_task(rows / A).note == "the rows at lines 1, 3 have one id"
    assert inspect_task(rows / B).is_usable


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"repo": None}, "lacks column repo"),
        ({"repo": "greeter"}, "column repo is 'greeter' and not owner/name"),
        ({"base_commit": ""}, "lacks column base_commit"),
        ({"base_commit": 7}, "column base_commit is no text"),
        ({"problem_statement": None}, "lacks column problem_statement"),
        ({"version": None}, "lacks column version"),
        ({"version": []}, "column version is neither text nor number"),
        ({"FAIL_TO_PASS": 3}, "column FAIL_TO_PASS is no list"),
    ],
)
def test_a_row_that_lacks_what_the_harness_reads_waits_with_the_reason(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    rows = write_rows(tmp_path / "tasks.jsonl", [row(A) | changed])
    assert inspect_task(rows / A).note == said


@pytest.mark.parametrize("version", ["0.1", 0.1, 3])
def test_a_version_may_be_a_number(tmp_path: Path, version: object) -> None:
    assert inspect_task(write_rows(tmp_path / "tasks.jsonl", [row(A) | {"version": version}]) / A).is_usable


def test_without_a_manifest_nothing_is_taken_for_verified(ledger: Ledger, rows: Path) -> None:
    with pytest.raises(ManifestMissingError, match=r"set task_source\.manifest \(`none`: each row of a JSONL file, "):
        register_source(ledger, source_of(rows, rows.with_name("verifiable_tasks.txt")), MAIN_CAMPAIGN)
    assert ledger.counts().registered == 0


def test_a_manifest_beside_the_rows_says_which_are_verified(ledger: Ledger, rows: Path) -> None:
    manifest = rows.with_name("verifiable_tasks.txt")
    manifest.write_text(f"{B}\n{C}\n")
    registered = register_source(ledger, source_of(rows, manifest), MAIN_CAMPAIGN)
    assert ledger.counts().registered == 2
    assert registered.waiting == {C: "lacks the row"}
    assert ledger.task(TaskKey(MAIN_CAMPAIGN, "tasks", B)).digest == row_digest(row(B))


def test_rows_that_are_appended_are_seen_as_lines_of_a_manifest_are(ledger: Ledger, rows: Path) -> None:
    source, seen = source_of(rows), None
    counted = []
    for line in (None, json.dumps(row(C)), json.dumps(row(A)), "{}"):
        if line is not None:
            append(rows, line)
        growth = follow_manifest(ledger, source, MAIN_CAMPAIGN, seen)
        seen = growth.seen
        counted.append((growth.n_new, seen.n_problems))
    assert counted == [(2, 0), (1, 0), (0, 1), (0, 2)]
    assert isinstance(seen, Seen)
    assert seen.problems[0].startswith("line 4: 'acme__greeter-1': listed twice")
    look_at_waiting(ledger, source, MAIN_CAMPAIGN, after=0, is_time_up=never)
    assert ledger.task(TaskKey(MAIN_CAMPAIGN, "tasks", C)).eligible
    assert not ledger.task(TaskKey(MAIN_CAMPAIGN, "tasks", A)).eligible  # two rows have its id now


def test_a_row_that_is_still_being_written_waits(rows: Path) -> None:
    before = read_manifest(rows).end
    with rows.open("a") as file:
        file.write(json.dumps(row(C))[:40])
    appended = read_appended(rows, before)
    assert appended is not None
    assert (appended.entries, appended.pending_line) == ((), True)
    assert inspect_task(rows / C).missing == ("the row",)


def test_a_row_is_staged_as_it_was_registered_and_what_is_staged_is_a_task(rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "staged" / "tasks" / A
    for is_new in (True, False):
        staged = stage_task(rows / A, target, expected_digest=row_digest(row(A)))
        assert (staged.changed, staged.digest) == (is_new, row_digest(row(A)))
    assert json.loads((target / ROW_NAME).read_text()) == row(A)
    found = inspect_task(target)
    assert found.is_usable
    assert (found.task_id, found.metadata["repo"]) == (A, "acme/greeter")
    assert content_digest(target) == staged.digest


def test_a_row_that_has_changed_is_not_staged_under_its_old_digest(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskChangedError):
        stage_task(rows / A, tmp_path / "staged" / A, expected_digest=row_digest(row(B)))
    with pytest.raises(TaskError, match="no such task"):
        stage_task(rows / C, tmp_path / "staged" / C)


def test_a_staged_row_that_was_changed_by_hand_is_told_and_staged_again(rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "staged" / "tasks" / A
    stage_task(rows / A, target)
    (target / "instruction.md").write_text("another")
    with pytest.raises(UnusableTreeError):
        content_digest(target)
    assert stage_task(rows / A, target).changed
    assert content_digest(target) == row_digest(row(A))


def test_a_data_set_of_rows_is_staged_and_a_row_that_is_listed_no_more_goes(rows: Path, tmp_path: Path) -> None:
    assert stage_dataset(source_of(rows), tmp_path / "staged").staged == (A, B)
    write_rows(rows, [row(B)])
    report = stage_dataset(source_of(rows), tmp_path / "staged")
    assert (report.unchanged, report.removed) == ((B,), (A,))


def test_odd_texts_of_a_row_are_staged_whole(tmp_path: Path) -> None:
    odd = row(A) | {
        "problem_statement": "a\u2028b \x7f é\n",
        "note": 'a "b" \\ \U0001f600',
        "more": {"x": [1.5]},
    }
    rows = write_rows(tmp_path / "tasks.jsonl", [odd])
    target = tmp_path / "staged" / A
    found = look_again(rows, target)
    assert found.metadata["note"] == odd["note"]


def look_again(rows: Path, target: Path) -> Any:
    stage_task(rows / A, target)
    assert content_digest(target) == content_digest(rows / A)
    return inspect_task(target)


def test_the_rows_of_a_job_are_a_file_of_their_own_with_both_lists_of_tests(rows: Path, tmp_path: Path) -> None:
    bare = {name: value for name, value in row(C).items() if name != "FAIL_TO_PASS"} | {"PASS_TO_PASS": None, "x": None}
    append(rows, json.dumps(bare))
    for task_id in (C, A):
        stage_task(rows / task_id, tmp_path / "staged" / task_id)
    write_subset(tmp_path / "subset.jsonl", [tmp_path / "staged" / C, tmp_path / "staged" / A])
    first, second = (json.loads(line) for line in (tmp_path / "subset.jsonl").read_text().splitlines())
    assert (first["instance_id"], first["FAIL_TO_PASS"], first["PASS_TO_PASS"], first["x"]) == (C, [], [], None)
    assert second == row(A)
