"""Reports of evaluators where they lie, read as verdicts on a patch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajgen_assets.core.openhands.evaluation import (
    NOT_EVALUATED,
    Evaluation,
    EvaluationClass,
    msb_evaluation,
    msb_id,
    velora_evaluation,
)
from trajgen_assets.core.openhands.rows import OutputRow
from trajgen_assets.core.sft.messages import Json

FINAL_REPORT = "final_report.json"
# Where the programs leave their files beside output.jsonl.
_MSB_OUTPUTS = ("eval_files/dataset", "eval_files", "eval_files/logs", "eval_files/output", ".")
_MSB_WORK = "eval_files/workdir"
# Copies of the row that were evaluated: by OpenHands' own script in output.jsonl itself, by Velora's beside it.
_GRADED_ROWS = ("output.swebench_eval.jsonl", "eval_output.jsonl", "output_evaluated.jsonl")


def msb_report(output_dir: Path, workdir: Path, instance_id: str, patch: str) -> Evaluation | None:
    """Return what the multi-swe-bench harness left about an instance; None where there is no final report."""
    final = read_object(output_dir / FINAL_REPORT)
    if final is None:
        return None
    home = instance_home(workdir, instance_id)
    report, log = read_object(home / "report.json"), _text(home / "fix-patch-run.log")
    return msb_evaluation(final, instance_id, patch, report=report, log=log)


def velora_report(folder: Path, instance_id: str, patch: str) -> Evaluation | None:
    """Return what `eval_outputs/<id>` says of an instance; None where there is no report."""
    home = folder / "eval_outputs" / instance_id
    raw = read_object(home / "report.json")
    if raw is None:
        return None
    return velora_evaluation(raw, instance_id, patch, output=_text(home / "test_output.txt"))


def found_evaluation(run: Path, row: OutputRow) -> Evaluation:
    """Return the best verdict on a row that its run's folder holds; `NOT_EVALUATED` where it holds none.

    A verdict with a reward goes before one without: an evaluation that broke may have been made again.
    """
    found = [*_found(run, row)]
    return next((each for each in found if each.reward is not None), found[0] if found else NOT_EVALUATED)


def _found(run: Path, row: OutputRow) -> Iterator[Evaluation]:
    for folder in _MSB_OUTPUTS:
        evaluation = msb_report(run / folder, run / _MSB_WORK, row.instance_id, row.patch)
        if evaluation is not None and evaluation.found is not EvaluationClass.ABSENT:
            yield evaluation
    added = row.model_extra or {}
    graded = [added, *_graded_rows(run, row.instance_id)]
    for each in graded:
        if "pilot2_eval_details" in each or isinstance(each.get("report"), dict):
            yield velora_evaluation(each, row.instance_id, row.patch)
    if (evaluation := velora_report(run, row.instance_id, row.patch)) is not None:
        yield evaluation


def _graded_rows(run: Path, instance_id: str) -> Iterator[Json]:
    for name in _GRADED_ROWS:
        for line in (_text(run / name) or "").splitlines():
            row = _object(line)
            if row is not None and row.get("instance_id") == instance_id:
                result = row.get("test_result")
                report = result.get("report") if isinstance(result, dict) else None
                yield row | ({"report": report} if isinstance(report, dict) else {})


def instance_home(workdir: Path, instance_id: str) -> Path:
    """Where the multi-swe-bench harness works on an instance."""
    place, _, number = (msb_id(instance_id) or "none/none:pr-0").rpartition(":pr-")
    return workdir / place / "evals" / f"pr-{number}"


def read_object(path: Path) -> Json | None:
    """Return the JSON object in a file; None where there is none that can be read."""
    text = _text(path)
    return None if text is None else _object(text)


def _object(text: str) -> Json | None:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
