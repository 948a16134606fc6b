"""`rows.parquet`: a line for each row of a job, kept or left out, with what is known of it but its words.

A line is made where the row is, by whichever process converts its trial. Lines wait as Python objects for no more than
a block, and then in columns of some hundred bytes a row, until all are written at once.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.rollout.patch import PatchRecord
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.filters import Refusal
from trajgen_assets.core.sft.im import assistant_turns
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.score.rules import WEIGHTS

if TYPE_CHECKING:
    import polars as pl

BLOCK = 1000  # rows
ROW_GROUP = 32768  # rows; equal rows give equal bytes only where it is fixed

SCORES = {f"{part}_score": "Float64" for part in ("composite", *WEIGHTS)} | {"reproduce_first": "Boolean"}

# Column to the name of its Polars type; docs/data-contracts.md says what each is.
COLUMNS: dict[str, str] = {
    "job": "String",
    "task_id": "String",
    "trial": "String",
    "attempt": "Int64",
    "conversation": "Int64",
    "agent_type": "String",
    "scaffold": "String",
    "teacher": "String",
    "model": "String",
    "language": "String",
    "think_mode": "String",
    "reward": "Float64",
    "capture": "String",
    "reason": "String",
    "detail": "String",
    **SCORES,
    "n_turns": "Int64",
    "n_messages": "Int64",
    "n_left_out_messages": "Int64",
    "n_tool_calls": "Int64",
    "n_tool_errors": "Int64",
    "n_tokens": "Int64",
    "tokens_from": "String",
    "n_reasoning_chars": "Int64",
    "reasoning_chars": "List(Int64)",
    "n_unmatched_reasoning": "Int64",
    "leaks": "List(String)",
    "n_leaks": "Int64",
    "patch_status": "String",
    "patch_size_bytes": "Int64",
    "patch_n_files": "Int64",
    "n_bytes": "Int64",
    "task_digest": "String",
    "trajectory_sha256": "String",
}

_FROM_FACTS = (
    "job",
    "trial",
    "conversation",
    "scaffold",
    "model",
    "think_mode",
    "reward",
    "capture",
    "n_left_out_messages",
    "n_tool_calls",
    "n_tool_errors",
    "n_tokens",
    "tokens_from",
    "n_unmatched_reasoning",
    "task_digest",
    "trajectory_sha256",
)


def row_columns(row: Json, n_bytes: int) -> Json:
    """Return the columns that an IM row itself gives; `n_bytes` is its length in im.jsonl."""
    facts, turns = row["meta_info"]["unique_info"], assistant_turns(row["messages"])
    thoughts = [len(turn["reasoning_content"]) for turn in turns]
    return {
        **{name: facts[name] for name in _FROM_FACTS},
        **score_columns(facts["_score"]),
        "task_id": facts["_instance_id"],
        "agent_type": facts["_agent_type"],
        "teacher": row["meta_info"]["teacher"],
        "language": row["meta_info"]["language"],
        "n_turns": len(turns),
        "n_messages": len(row["messages"]),
        "n_reasoning_chars": sum(thoughts),
        "reasoning_chars": thoughts,
        "leaks": list(dict.fromkeys(each["leak"] for each in facts["leaks"])),
        "n_leaks": len(facts["leaks"]),
        "n_bytes": n_bytes,
    }


def score_columns(score: Json | None) -> Json:
    """Return the columns of a `_score`, null where a row has none."""
    return {name: score.get(name) if score else None for name in SCORES}


def trial_columns(trial: TrialEntry, patch: PatchRecord | None) -> Json:
    """Return the columns that a row has of its trial and its final patch."""
    return {
        "attempt": trial.attempt,
        "patch_status": patch.status if patch else None,
        "patch_size_bytes": patch.size_bytes if patch else None,
        "patch_n_files": patch.n_files if patch else None,
    }


class RowTable:
    """Collects lines, and writes them as one file."""

    def __init__(self) -> None:
        self._waiting: list[Json] = []
        self._blocks: list[pl.DataFrame] = []

    def add(self, line: Json) -> None:
        """Take in one line, all columns of it."""
        self._waiting.append(line)
        if len(self._waiting) == BLOCK:
            self._blocks.append(_frame(self._waiting))
            self._waiting = []

    def add_kept(self, earlier: Path, verdicts: Sequence[Refusal | None]) -> None:
        """Take in the kept lines of another table, each with the verdict of today.

        Raises:
            ConversionError: it has another number of them.
        """
        import polars as pl

        lines = pl.read_parquet(earlier).filter(pl.col("reason").is_null())
        if len(lines) != len(verdicts):
            why = f"it has {len(lines)} kept rows, and im.jsonl {len(verdicts)}"
            raise ConversionError("a table is not about the rows beside it", where=earlier, why=why)
        told = [{"reason": each and each.reason.value, "detail": each and each.detail} for each in verdicts]
        why_now = pl.DataFrame(told, schema=_schema(("reason", "detail")))
        self._blocks.append(lines.with_columns(why_now.get_columns()))

    def write(self, path: Path) -> None:
        """Write all lines, in their order. Equal lines give equal bytes."""
        import polars as pl

        _write(pl.concat([*self._blocks, _frame(self._waiting)]), path)


def write_table_again(earlier: Path, path: Path, rows: Iterator[tuple[Json | None, int]]) -> None:
    """Write the table of an earlier result with new scores of its kept rows.

    Args:
        earlier: the table that stands.
        path: where to write.
        rows: score and length in bytes of each kept row, in their order.
    """
    import polars as pl

    table = pl.read_parquet(earlier)
    lines = table.select(*SCORES, "n_bytes").to_dicts()
    for at in table["reason"].is_null().arg_true():
        score, n_bytes = next(rows)
        lines[at] = score_columns(score) | {"n_bytes": n_bytes}
    changed = pl.DataFrame(lines, schema=_schema((*SCORES, "n_bytes")))
    _write(table.with_columns(changed.get_columns()), path)


def _frame(lines: list[Json]) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(lines, schema=_schema(COLUMNS), orient="row")


def _schema(columns: Any) -> dict[str, Any]:
    import polars as pl

    lists = {"List(Int64)": pl.List(pl.Int64), "List(String)": pl.List(pl.String)}
    return {name: lists.get(COLUMNS[name]) or getattr(pl, COLUMNS[name]) for name in columns}


def _write(table: "pl.DataFrame", path: Path) -> None:
    with open_atomic(path) as file:
        table.rechunk().write_parquet(file, compression="zstd", compression_level=3, row_group_size=ROW_GROUP)
