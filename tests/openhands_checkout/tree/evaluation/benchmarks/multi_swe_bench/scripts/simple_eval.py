"""Grades every row of a file; flat reports and a summary."""

import argparse
import json
from pathlib import Path

from evaluation.benchmarks.multi_swe_bench.scripts.verdict import verdict_on


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--input-file", "--dataset"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--output-dir")
    parser.add_argument("--timeout", type=int, default=600)
    args = parser.parse_args()
    folder = Path(args.output_dir or Path(args.input_file).parent)
    known = {row["instance_id"]: row for row in _lines(args.dataset)}
    results = []
    for row in _lines(args.input_file):
        patch = row["test_result"].get("git_patch") or ""
        verdict = verdict_on(known[row["instance_id"]], patch)
        report = {
            "instance_id": row["instance_id"],
            "resolved": verdict.is_resolved,
            "failed_apply_patch": verdict.graded == "no_apply",
            "error_eval": verdict.graded == "error",
            "empty_generation": not patch,
            "f2p_status": dict.fromkeys(verdict.f2p[0], "PASSED") | dict.fromkeys(verdict.f2p[1], "FAILED"),
            "p2p_status": dict.fromkeys(verdict.p2p[0], "PASSED") | dict.fromkeys(verdict.p2p[1], "FAILED"),
        }
        home = folder / "eval_outputs" / row["instance_id"]
        home.mkdir(parents=True, exist_ok=True)
        (home / "report.json").write_text(json.dumps(report), encoding="utf-8")
        (home / "patch.diff").write_text(patch, encoding="utf-8")
        (home / "test_output.txt").write_text(verdict.output, encoding="utf-8")
        results.append(report)
    counted = {
        key: sum(bool(each[key]) for each in results) for key in ("resolved", "failed_apply_patch", "error_eval")
    }
    summary = {"total": len(results), **counted, "results": results}
    (folder / "eval_summary.json").write_text(json.dumps(summary), encoding="utf-8")


def _lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


if __name__ == "__main__":
    main()
