"""The three real rows of OpenHands 0.35 that a person names by TRAJGEN_OPENHANDS_ROWS: they are no part of this."""

import os
from pathlib import Path

import pytest

from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.openhands.evaluation import Evaluation, EvaluationClass
from trajgen_assets.core.openhands.ingested_job import write_job
from trajgen_assets.core.openhands.ingesting import FoundRow, trial_name_of
from trajgen_assets.core.openhands.layout import RunFolder
from trajgen_assets.core.openhands.rows import OutputRow, read_output
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.sft.settings import ConversionSettings

ROWS_ENV = "TRAJGEN_OPENHANDS_ROWS"

# Multi-SWE-bench is left out by default, since what was learned cannot be measured; and a history lacks answers.
ALL_ROWS = ConversionSettings(exclude_repos_file=None, take_cut=True)


def real_rows() -> list[OutputRow]:
    """The rows; the test is skipped where nobody names them."""
    path = os.environ.get(ROWS_ENV)
    if not path:
        pytest.skip(f"{ROWS_ENV} names no file of real rows")
    return read_output(Path(path)).rows


def job_of_real_rows(folder: Path) -> JobPaths:
    """A job of the three, each called resolved."""
    root = Root(folder)
    resolved = Evaluation(EvaluationClass.RESOLVED, "as this test has it")
    found = [
        FoundRow(RunFolder(folder / "run"), row, TaskKey("main", "msb", row.instance_id), resolved, name)
        for row in real_rows()
        for name in [trial_name_of(row, resolved.reward)]
    ]
    return root.job(write_job(root, found, lambda _: 1))
