"""The rows that one `run_infer` process is given: a JSONL file of its own, since the file's name enters its output."""

from collections.abc import Sequence
from pathlib import Path

from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.intake.rows import TEST_COLUMNS, Row, canonical, read_row


def write_subset(path: Path, tasks: Sequence[Path]) -> None:
    """Write the rows of staged tasks, in their order, one a line.

    A row without a list of tests is given an empty one: run_infer asks for both columns, and reads neither.

    Raises:
        TaskError, OSError: a row cannot be read.
    """
    write_text(path, "".join(f"{canonical(_whole(read_row(each)))}\n" for each in tasks))


def _whole(row: Row) -> Row:
    return row | {name: [] for name in TEST_COLUMNS if row.get(name) is None}
