"""Grades the first row of a file; nested report, and a copy of the row with `pilot2_eval_details`."""

import argparse
import json
from pathlib import Path
from typing import Any

from evaluation.benchmarks.multi_swe_bench.scripts.verdict import Verdict, verdict_on


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--trajectory-file", "--dataset-file", "--docker-image", "--output-file"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--output-dir")
    parser.add_argument("--timeout", type=int, default=900)
    args = parser.parse_args()
    row = json.loads(Path(args.trajectory_file).read_text(encoding="utf-8").split("\n")[0])
    known = [json.loads(line) for line in Path(args.dataset_file).read_text(encoding="utf-8").split("\n") if line]
    instance = next(each for each in known if each["instance_id"] == row["instance_id"])
    patch = row["test_result"].get("git_patch") or ""
    verdict = verdict_on(instance, patch)
    graded = {**row, "pilot2_eval_details": _details(row["instance_id"], verdict), "resolved": verdict.is_resolved}
    Path(args.output_file).write_text(json.dumps(graded) + "\n", encoding="utf-8")
    if args.output_dir:
        _write_folder(Path(args.output_dir, "eval_outputs", row["instance_id"]), row["instance_id"], patch, verdict)


def _write_folder(folder: Path, instance_id: str, patch: str, verdict: Verdict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "patch.diff").write_text(patch, encoding="utf-8")
    (folder / "test_output.txt").write_text(verdict.output, encoding="utf-8")
    (folder / "run_instance.log").write_text("", encoding="utf-8")
    (folder / "eval.sh").write_text("#!/bin/bash\n", encoding="utf-8")
    report = {
        "patch_is_None": not patch,
        "patch_exists": bool(patch),
        "patch_successfully_applied": bool(patch) and verdict.graded != "no_apply",
        "resolved": verdict.is_resolved,
        "tests_status": {
            "FAIL_TO_PASS": {"success": verdict.f2p[0], "failure": verdict.f2p[1]},
            "PASS_TO_PASS": {"success": verdict.p2p[0], "failure": verdict.p2p[1]},
            "FAIL_TO_FAIL": {"success": [], "failure": []},
            "PASS_TO_FAIL": {"success": [], "failure": []},
        },
    }
    (folder / "report.json").write_text(json.dumps({instance_id: report}), encoding="utf-8")


def _details(instance_id: str, verdict: Verdict) -> dict[str, Any]:
    has_run = verdict.has_run
    return {
        "instance_id": instance_id,
        "resolved": verdict.is_resolved,
        "failed_apply_patch": verdict.graded == "no_apply",
        "failed_apply_test_patch": False,
        "error_eval": verdict.graded == "error",
        "test_timeout": verdict.graded == "timeout",
        "tests_passed": len(verdict.f2p[0] + verdict.p2p[0]) if has_run else 0,
        "tests_failed": len(verdict.f2p[1]) if has_run else 0,
        "tests_error": 0,
        "fail_to_pass_success": verdict.f2p[0],
        "fail_to_pass_failed": verdict.f2p[1],
        "pass_to_pass_success": verdict.p2p[0],
        "pass_to_pass_failed": verdict.p2p[1],
        "test_output": verdict.output,
        "error_message": "the container did not start" if verdict.graded == "error" else None,
    }


if __name__ == "__main__":
    main()
