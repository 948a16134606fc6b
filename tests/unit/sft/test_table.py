"""rows.parquet: one line a row, typed, null where something is not known, the same bytes for the same rows."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.unit.sft.twin import JobOnDisk, lines_of, solved
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.table import BLOCK, COLUMNS, RowTable, write_table_again

DEFAULT = ConversionSettings()
WRITE = """
import sys
from pathlib import Path
from trajgen_assets.core.sft.table import COLUMNS, RowTable
table = RowTable()
for number in range(5000):
    line = dict.fromkeys(COLUMNS) | {"job": f"job {number % 3}", "n_tokens": number, "reasoning_chars": [number, 1]}
    table.add(line | {"leaks": ["leak"] if number % 5 else [], "composite_score": number / 7})
table.write(Path(sys.argv[1]))
"""


def test_a_kept_row_has_everything_that_is_known_of_it(tmp_path: Path) -> None:
    receipt = convert_job(JobOnDisk(tmp_path).add("fix__x", solved()).write(), DEFAULT)
    table = pl.read_parquet(receipt.folder / "rows.parquet")
    (row,), (line,) = table.to_dicts(), receipt.im.read_bytes().splitlines()
    im = json.loads(line)
    score = im["meta_info"]["unique_info"]["_score"]
    assert {name: row[name] for name in score if name in row} == {n: v for n, v in score.items() if n in row}
    assert {name: row[name] for name in row if name not in score} == {
        "job": "demo-job",
        "task_id": "tox-dev__tox-3813",
        "trial": "fix__x",
        "attempt": 1,
        "conversation": 0,
        "agent_type": "main",
        "teacher": "served-v2",
        "model": "openai/served",
        "language": "en",
        "think_mode": "slow",
        "reward": 1.0,
        "capture": "complete",
        "reason": None,
        "detail": None,
        "n_turns": 3,
        "n_messages": 7,
        "n_left_out_messages": 0,
        "n_tool_calls": 2,
        "n_tool_errors": 0,
        "n_tokens": 310,
        "tokens_from": "usage",
        "n_reasoning_chars": 22,
        "reasoning_chars": [11, 0, 11],
        "n_unmatched_reasoning": 0,
        "leaks": [],
        "n_leaks": 0,
        "patch_status": "ok",
        "patch_size_bytes": None,
        "patch_n_files": None,
        "n_bytes": len(line),
        "task_digest": "d1",
        "trajectory_sha256": im["meta_info"]["unique_info"]["trajectory_sha256"],
    }


def test_the_types_do_not_depend_on_what_is_known(tmp_path: Path) -> None:
    empty = convert_job(JobOnDisk(tmp_path / "empty").write(), DEFAULT).folder / "rows.parquet"
    full = convert_job(JobOnDisk(tmp_path / "full").add("fix__x", solved()).write(), DEFAULT).folder / "rows.parquet"
    assert pl.read_parquet_schema(empty) == pl.read_parquet_schema(full)
    assert list(pl.read_parquet_schema(full)) == list(COLUMNS)
    assert pl.read_parquet(empty).height == 0


def test_rows_that_are_left_out_have_their_reason_and_no_score(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("fix__a", solved()).add("fix__b", solved()).add("fix__c", solved().hand_off()).write()
    folder = convert_job(job, DEFAULT).folder
    table = pl.read_parquet(folder / "rows.parquet")
    rejected = [each for each in lines_of(folder / "rejected.jsonl") if each["level"] == "row"]
    by_file = [(each["trial"], each["reason"]) for each in rejected]
    left_out = table.filter(pl.col("reason").is_not_null())
    assert list(left_out.select("trial", "reason").iter_rows()) == by_file
    assert table.height == len(by_file) + 1
    assert left_out.filter(pl.col("reason") == "duplicate")["composite_score"].null_count() == 0
    side_calls = left_out.filter(pl.col("reason") == "side_call")
    assert side_calls.select("composite_score", "n_tool_calls").null_count().row(0) == (3, 3)


def test_equal_lines_give_equal_bytes_on_any_number_of_threads(tmp_path: Path) -> None:
    digests = set()
    for n_threads in ("1", "4"):
        path = tmp_path / f"{n_threads}.parquet"
        environ = os.environ | {"POLARS_MAX_THREADS": n_threads}
        subprocess.run([sys.executable, "-c", WRITE, str(path)], env=environ, check=True)
        digests.add(sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert pl.read_parquet(path)["n_tokens"].to_list() == list(range(5000))


@pytest.mark.parametrize("n_rows", [BLOCK - 1, BLOCK, BLOCK + 1])
def test_no_line_is_lost_at_the_border_of_a_block(tmp_path: Path, n_rows: int) -> None:
    table = RowTable()
    for number in range(n_rows):
        table.add(dict.fromkeys(COLUMNS) | {"n_tokens": number})
    table.write(tmp_path / "rows.parquet")
    assert pl.read_parquet(tmp_path / "rows.parquet")["n_tokens"].to_list() == list(range(n_rows))


def test_new_scores_reach_the_table(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("fix__a", solved()).add("fix__b", solved("Look twice.").hand_off()).write()
    folder = convert_job(job, DEFAULT).folder
    before = pl.read_parquet(folder / "rows.parquet")
    new: list[tuple[Any, int]] = [(None, 1), (dict.fromkeys(before.columns, 0.5) | {"reproduce_first": True}, 2)]
    write_table_again(folder / "rows.parquet", tmp_path / "again.parquet", iter(new))
    after = pl.read_parquet(tmp_path / "again.parquet")
    kept = after.filter(pl.col("reason").is_null())
    assert kept["composite_score"].to_list() == [None, 0.5]
    assert kept["n_bytes"].to_list() == [1, 2]
    untouched = pl.col("reason").is_not_null()
    assert after.filter(untouched).equals(before.filter(untouched))
    assert after.schema == before.schema
