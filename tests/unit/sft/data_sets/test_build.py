"""Rows of several jobs as one data set: which are in it, why the others are not, and that all are accounted for."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sft.twin import JobOnDisk, TerminusTwin, answer_text, lines_of, solved
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set, foresee_data_set
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt
from trajgen_assets.core.sft.data_sets.selection import OnePerTask, Selection
from trajgen_assets.core.sft.receipt import FileDigest, load_receipt
from trajgen_assets.core.sft.settings import ConversionSettings

ALL = ConversionSettings(instance_status="all")


def converted(folder: Path, job: str, tasks: dict[str, Any], chosen: ConversionSettings = ALL) -> JobPaths:
    """A job of one solved trial of each task; what a task has for a value tells its conversation from others."""
    on_disk = JobOnDisk(folder, job)
    for task, (said, *changes) in tasks.items():
        on_disk.add(f"{task}__{job}", solved(said), task_id=task, **(changes[0] if changes else {}))
    files = on_disk.write()
    convert_job(files, chosen)
    return files


def build(
    folder: Path, *jobs: JobPaths, one_per_task: OnePerTask | None = None, name: str = "mixed", **more: Any
) -> DataSetReceipt:
    selection = Selection(jobs=tuple(job.dir.name for job in jobs), one_per_task=one_per_task)
    order = Order.of(name, jobs, selection, ConversionSettings(**more))
    return build_data_set(order, Root(folder).job(name).sft)


def trials_of(receipt: DataSetReceipt) -> list[str]:
    return [row["meta_info"]["unique_info"]["trial"] for row in lines_of(receipt.folder / "im.jsonl")]


def test_all_rows_of_all_jobs_are_in_it_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    one = converted(tmp_path, "one", {"a": ("A",), "b": ("B",)})
    two = converted(tmp_path, "two", {"c": ("C",)})
    receipt = build(tmp_path, two, one)
    assert trials_of(receipt) == ["c__two", "a__one", "b__one"]
    lf = json.loads((receipt.folder / "lf.json").read_bytes())
    assert [row["_instance_id"] for row in lf] == ["c", "a", "b"]
    assert (receipt.folder / "im.jsonl").read_bytes() == b"".join(
        (job.sft / "im.jsonl").read_bytes() for job in (two, one)
    )
    assert receipt.rows.model_dump() == {"n_in": 3, "n_kept": 3, "rejected": {}}
    assert json.loads((receipt.folder / "dataset_info.json").read_bytes()).keys() == {"mixed"}
    assert json.loads((receipt.folder / "lf.stats.json").read_bytes())["count"] == 3


def test_a_conversation_of_an_earlier_job_is_left_out_with_the_place_of_the_first(tmp_path: Path) -> None:
    one = converted(tmp_path, "one", {"a": ("same",)})
    two = converted(tmp_path, "two", {"a": ("same",), "b": ("other",)})
    receipt = build(tmp_path, one, two)
    assert trials_of(receipt) == ["a__one", "b__two"]
    (rejected,) = lines_of(receipt.folder / "rejected.jsonl")
    assert (rejected["job"], rejected["reason"], rejected["detail"]) == (
        "two",
        "duplicate",
        "of one/a__one, conversation 0",
    )
    assert rejected["row"] == lines_of(two.sft / "im.jsonl")[0]
    assert [part.rows.rejected for part in receipt.jobs] == [{}, {"duplicate": 1}]
    assert receipt.rows.rejected == {"duplicate": 1}


def test_a_task_of_two_jobs_is_kept_twice_and_counted(tmp_path: Path) -> None:
    one = converted(tmp_path, "one", {"a": ("first",), "b": ("b",)})
    two = converted(tmp_path, "two", {"a": ("again",)})
    counts = build(tmp_path, one, two).tasks
    assert counts.model_dump() == {"n_tasks": 2, "n_in_several_jobs": 1, "rows_per_task": {"1": 1, "2": 1}}


@pytest.mark.parametrize(("choice", "kept"), [("best", "a__two"), ("first", "a__one")])
def test_one_trial_of_a_task_is_taken_where_that_is_asked_for(tmp_path: Path, choice: OnePerTask, kept: str) -> None:
    one = converted(tmp_path, "one", {"a": ("first", {"reward": 0.5})})
    two = converted(tmp_path, "two", {"a": ("again", {"reward": 1.0})})
    receipt = build(tmp_path, one, two, one_per_task=choice)
    assert trials_of(receipt) == [kept]
    assert receipt.rows.rejected == {"one_per_task": 1}
    (rejected,) = lines_of(receipt.folder / "rejected.jsonl")
    job = kept.partition("__")[2]
    assert rejected["detail"] == f"of {job}/{kept}"
    assert receipt.tasks.n_in_several_jobs == 1


def test_of_two_rewards_that_are_equal_the_better_score_is_taken_and_then_the_first(tmp_path: Path) -> None:
    one = converted(tmp_path, "one", {"a": ("A, first",), "b": ("B, first",)})
    two = converted(tmp_path, "two", {"a": ("A, again",), "b": ("B, again",)})
    rows = lines_of(two.sft / "im.jsonl")
    rows[1]["meta_info"]["unique_info"]["_score"]["composite_score"] += 0.01
    rewrite(two, rows)
    assert trials_of(build(tmp_path, one, two, one_per_task="best")) == ["a__one", "b__two"]


def rewrite(job: JobPaths, rows: list[Any]) -> None:
    """Give a job other rows, of which its receipt knows."""
    path = job.sft / "im.jsonl"
    path.write_bytes(b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows))
    receipt = json.loads((job.sft / "receipt.json").read_bytes())
    receipt["sft_im"]["files"]["im.jsonl"] = FileDigest.of(path).model_dump()
    (job.sft / "receipt.json").write_text(json.dumps(receipt))


@settings(max_examples=30, deadline=None)
@given(
    jobs=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from("xyz"), st.sampled_from([0.0, 1.0]))),
        min_size=1,
        max_size=3,
    ),
    one_per_task=st.sampled_from([None, "best", "first"]),
)
def test_every_row_is_accounted_for_and_no_conversation_and_no_task_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    jobs: list[dict[str, tuple[str, float]]],
    one_per_task: OnePerTask | None,
) -> None:
    folder = tmp_path_factory.mktemp("jobs")
    files = [
        converted(folder, f"job-{n}", {task: (said, {"reward": reward}) for task, (said, reward) in tasks.items()})
        for n, tasks in enumerate(jobs)
    ]
    receipt = build(folder, *files, one_per_task=one_per_task)
    kept, rejected = lines_of(receipt.folder / "im.jsonl"), lines_of(receipt.folder / "rejected.jsonl")
    rows = [row for job in files for row in lines_of(job.sft / "im.jsonl")]
    assert receipt.rows.n_in == len(rows) == len(kept) + len(rejected)
    assert receipt.rows.n_kept == len(kept) == len(json.loads((receipt.folder / "lf.json").read_bytes()))
    said = [json.dumps(row["messages"]) for row in kept]
    assert len(said) == len(set(said))
    if one_per_task is None:
        assert set(said) == {json.dumps(row["messages"]) for row in rows}
    else:
        tasks = [row["meta_info"]["unique_info"]["_instance_id"] for row in kept]
        assert len(tasks) == len(set(tasks))
    assert sum(receipt.tasks.rows_per_task.values()) == receipt.tasks.n_tasks


def test_the_same_again_writes_nothing_and_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for place in ("here", "there"):
        one = converted(tmp_path / place, "one", {"a": ("A",)})
        two = converted(tmp_path / place, "two", {"a": ("A",), "b": ("B",)})
        made.append(build(tmp_path / place, one, two))
    assert contents(made[0].folder) == contents(made[1].folder)
    before = stamps(made[0].folder)
    again = build(tmp_path / "here", *(Root(tmp_path / "here").job(name) for name in ("one", "two")))
    assert not again.changed
    assert stamps(made[0].folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.iterdir()}


@pytest.mark.parametrize(
    "file", ["im.jsonl", "rejected.jsonl", "rows.parquet", "lf.json", "lf.stats.json", "dataset_info.json"]
)
def test_a_file_that_something_changed_is_made_anew(tmp_path: Path, file: str) -> None:
    job = converted(tmp_path, "one", {"a": ("A",)})
    receipt = build(tmp_path, job)
    before = contents(receipt.folder)
    (receipt.folder / file).write_text("x")
    assert build(tmp_path, job).changed
    assert contents(receipt.folder) == before


def not_converted(job: JobPaths) -> None:
    (job.sft / "receipt.json").unlink()


def by_another_version(job: JobPaths) -> None:
    path = job.sft / "receipt.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"code_version": "0"}))


def changed(job: JobPaths) -> None:
    path = job.sft / "im.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Wrong sign", b"Right sign"))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (not_converted, "was not converted"),
        (by_another_version, "by version 0 of the code"),
        (changed, "not those of its receipt"),
    ],
)
def test_a_job_that_gives_no_rows_to_rely_on_is_named_with_what_to_do(
    tmp_path: Path, damage: Callable[[JobPaths], None], why: str
) -> None:
    jobs = [converted(tmp_path, name, {name: (name,)}) for name in ("one", "two", "three")]
    damage(jobs[0])
    damage(jobs[2])
    with pytest.raises(ConversionError, match=why) as found:
        build(tmp_path, *jobs)
    assert "`trajgen convert --job one --job three`" in str(found.value)
    assert not (Root(tmp_path).sft_data / "mixed").exists()


def test_what_jobs_were_converted_differently_with_is_told_and_they_are_joined(tmp_path: Path) -> None:
    one = converted(tmp_path, "one", {"a": ("A",)})
    two = converted(tmp_path, "two", {"b": ("B",)}, ALL.model_copy(update={"reasoning_check_mode": "strict"}))
    three = converted(tmp_path, "three", {"c": ("C",)}, ALL.model_copy(update={"lf_format": "llamafactory_lf_v0.1"}))
    receipt = build(tmp_path, one, two, three)
    told = {name: {str(each.value): each.jobs for each in found} for name, found in receipt.differences.items()}
    assert told == {
        "lf_format": {"sharegpt": ("one", "two"), "llamafactory_lf_v0.1": ("three",)},
        "reasoning_check_mode": {"adaptive": ("one", "three"), "strict": ("two",)},
    }
    assert receipt.rows.n_kept == 2  # three turns of two's row have reasoning, and one has none


def test_the_style_of_its_rows_is_that_of_the_configuration(tmp_path: Path) -> None:
    job = converted(tmp_path, "one", {"a": ("A",)})
    receipt = build(tmp_path, job, lf_format="llamafactory_lf_v0.1")
    assert "messages" in json.loads((receipt.folder / "lf.json").read_bytes())[0]
    assert receipt.lf_format == "llamafactory_lf_v0.1"


def test_what_is_foreseen_is_what_is_built_and_nothing_is_written(tmp_path: Path) -> None:
    one, two = (converted(tmp_path, name, {"a": ("same",)}) for name in ("one", "two"))
    order = Order.of("mixed", [one, two], Selection(jobs=("one", "two")), ConversionSettings())
    folder = Root(tmp_path).job("mixed").sft
    foreseen = foresee_data_set(order, folder)
    assert foreseen.changed
    assert not folder.exists()
    built = build_data_set(order, folder)
    assert foreseen.model_dump(exclude={"files"}) == built.model_dump(exclude={"files"})
    assert not foresee_data_set(order, folder).changed


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    large = "x" * 200_000
    jobs = []
    for name in ("one", "two"):
        on_disk = JobOnDisk(tmp_path, name)
        for n in range(40):
            twin = TerminusTwin().ask(f"{name} {n} {large}", answer_text("Fresh."), "t").ask("More.", "Done.", "t")
            on_disk.add(f"{name}__{n}", twin, task_id=f"task-{n}")
        jobs.append(on_disk.write())
        convert_job(jobs[-1], ALL)
    n_bytes = sum((job.sft / "im.jsonl").stat().st_size for job in jobs)
    assert n_bytes > 80 * len(large)
    tracemalloc.start()
    receipt = build(tmp_path, *jobs, one_per_task="best")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert receipt.rows.n_kept == 40
    assert peak < n_bytes / 4


def test_the_table_has_each_row_that_went_in_with_its_reason(tmp_path: Path) -> None:
    one = converted(tmp_path, "one", {"a": ("same",), "b": ("B",)})
    two = converted(tmp_path, "two", {"a": ("same",), "c": ("C",)})
    table = pl.read_parquet(build(tmp_path, one, two).folder / "rows.parquet")
    assert table.select("job", "task_id", "reason", "detail").rows() == [
        ("one", "a", None, None),
        ("one", "b", None, None),
        ("two", "a", "duplicate", "of one/a__one, conversation 0"),
        ("two", "c", None, None),
    ]
    assert table["composite_score"].null_count() == 0


def test_the_receipt_of_a_data_set_is_not_taken_for_that_of_a_job(tmp_path: Path) -> None:
    receipt = build(tmp_path, converted(tmp_path, "one", {"a": ("A",)}))
    assert load_receipt(receipt.folder) is None
