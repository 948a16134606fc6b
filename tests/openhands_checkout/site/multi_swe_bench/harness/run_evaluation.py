"""A stand-in for Multi-SWE-bench's evaluator: a report for each patch whose row there is, and final_report.json.

A row's `stand_in.graded` may be `incomplete` (no report), `invalid` (no tests were captured) or `dies`. Else a
patch that adds the line `stand_in.fixed_by` (`hello` by default) resolves the task.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

LISTS = ("submitted", "completed", "incomplete", "resolved", "unresolved", "empty_patch", "error")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    config = json.loads(Path(parser.parse_args().config).read_text(encoding="utf-8"))
    known = {_key(row): row for path in config["dataset_files"] for row in _lines(path)}
    ids: dict[str, list[str]] = {name: [] for name in LISTS}
    for patch in (patch for path in config["patch_files"] for patch in _lines(path)):
        if (row := known.get(_key(patch))) is not None:
            _grade(row, patch, Path(config["workdir"]), ids)
    ids["error"] = ids["incomplete"]
    report: dict[str, Any] = {"total_instances": len(known)}
    report |= {f"{name}_instances": len(ids[name]) for name in LISTS} | {f"{name}_ids": ids[name] for name in LISTS}
    folder = Path(config["output_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "final_report.json").write_text(json.dumps(report), encoding="utf-8")


def _grade(row: dict[str, Any], patch: dict[str, Any], workdir: Path, ids: dict[str, list[str]]) -> None:
    asked = row.get("stand_in") or {}
    name = f"{row['org']}/{row['repo']}:pr-{row['number']}"
    ids["submitted"].append(name)
    if asked.get("graded") == "dies":
        os._exit(3)
    if asked.get("graded") == "incomplete":
        ids["incomplete"].append(name)
        return
    is_valid = asked.get("graded") != "invalid"
    is_fixed = is_valid and f"+{asked.get('fixed_by', 'hello')}" in patch["fix_patch"].splitlines()
    ids["completed"].append(name)
    ids["resolved" if is_fixed else "unresolved"].append(name)
    home = workdir / row["org"] / row["repo"] / "evals" / f"pr-{row['number']}"
    home.mkdir(parents=True, exist_ok=True)
    (home / "fix.patch").write_text(patch["fix_patch"], encoding="utf-8")
    (home / "fix-patch-run.log").write_text("test_greeting\n" if is_valid else "", encoding="utf-8")
    (home / "report.json").write_text(json.dumps(_report(row, is_valid=is_valid, is_fixed=is_fixed)), encoding="utf-8")


def _report(row: dict[str, Any], *, is_valid: bool, is_fixed: bool) -> dict[str, Any]:
    after = {"run": "NONE", "test": "FAIL", "fix": "PASS" if is_fixed else "FAIL"}
    passed, failed = (["test_greeting"], []) if is_fixed else ([], ["test_greeting"])
    result = {
        "passed_count": len(passed),
        "failed_count": len(failed) if is_valid else 0,
        "skipped_count": 0,
        "passed_tests": passed,
        "failed_tests": failed if is_valid else [],
        "skipped_tests": [],
    }
    return {
        "org": row["org"],
        "repo": row["repo"],
        "number": row["number"],
        "valid": is_valid and is_fixed,
        "error_msg": "" if is_valid else "After applying the fix patch, no test results were captured",
        "fixed_tests": {"test_greeting": after} if is_fixed else {},
        "p2p_tests": {},
        "f2p_tests": {"test_greeting": after} if is_fixed else {},
        "s2p_tests": {},
        "n2p_tests": {},
        "run_result": result,
        "test_patch_result": result,
        "fix_patch_result": result,
    }


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["org"], row["repo"], int(row["number"])


def _lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]


if __name__ == "__main__":
    main()
