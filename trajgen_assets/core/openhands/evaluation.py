"""What an evaluator found out about a patch: a class, and a reward of 1, 0 or none.

No number is taken from a report that does not show that tests ran: an image in which the repository lies elsewhere
gives a report that says `resolved: false` after not one test, and that says nothing about the model. Whether a patch
is empty is read from the patch itself, because the multi-swe-bench harness never says it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trajgen_assets.core.sft.messages import Json

_INSTANCE = re.compile(r"(?P<org>.+?)__(?P<repo>.+)-(?P<number>\d+)")
_NOT_APPLIED = re.compile(r"error: patch failed: (?P<path>[^:\n]+):\d+|error: (?P<other>[^:\n]+): patch does not apply")
_NO_TEST_RAN = ("No such file or directory", "command not found")
_LEAST_OUTPUT = 10

# Statuses of a test by which it ran. One that was never run is called failed.
_RAN = frozenset({"PASSED", "PASS", "XFAIL", "XPASS"})


class EvaluationClass(StrEnum):
    """How an evaluation ended."""

    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"
    EMPTY_PATCH = "empty_patch"
    PATCH_FAILED = "patch_failed"
    TEST_PATCH_FAILED = "test_patch_failed"
    NO_TESTS = "no_tests"
    EVAL_ERROR = "eval_error"
    INCOMPLETE = "incomplete"
    TIMEOUT = "timeout"
    ABSENT = "absent"
    NOT_EVALUATED = "not_evaluated"


REWARDS: dict[EvaluationClass, float] = {
    EvaluationClass.RESOLVED: 1.0,
    EvaluationClass.UNRESOLVED: 0.0,
    EvaluationClass.EMPTY_PATCH: 0.0,
    EvaluationClass.PATCH_FAILED: 0.0,
}


@dataclass(frozen=True)
class Evaluation:
    """The verdict on one patch. Only classes of `REWARDS` have a reward: the others say nothing about the model."""

    found: EvaluationClass
    why: str

    @property
    def reward(self) -> float | None:
        return REWARDS.get(self.found)


NOT_EVALUATED = Evaluation(EvaluationClass.NOT_EVALUATED, "no report says anything about it")
EMPTY_PATCH = Evaluation(EvaluationClass.EMPTY_PATCH, "the agent changed nothing")


def msb_id(instance_id: str) -> str | None:
    """Return `org/repo:pr-N` of `org__repo-N`; None for an id of another shape, which that harness cannot take."""
    found = _INSTANCE.fullmatch(instance_id)
    return f"{found['org']}/{found['repo']}:pr-{found['number']}" if found else None


def msb_evaluation(
    final: Json, instance_id: str, patch: str, *, report: Json | None = None, log: str | None = None
) -> Evaluation:
    """Return what the multi-swe-bench harness says of an instance.

    Args:
        final: `final_report.json`.
        instance_id: `org__repo-N`.
        patch: what was handed in.
        report: `report.json` of the instance, which alone says which tests ran.
        log: `fix-patch-run.log` of the instance.
    """
    if not patch.strip():
        return EMPTY_PATCH
    name = msb_id(instance_id)
    if name is None:
        why = "its id is not org__repo-number, which the harness cannot take"
        return Evaluation(EvaluationClass.ABSENT, why)
    listed = {key: _ids(final, key) for key in ("resolved", "unresolved", "incomplete", "error")}
    if name in listed["resolved"] | listed["unresolved"]:
        return _msb_verdict(patch, report, log, is_resolved=name in listed["resolved"])
    if name in listed["incomplete"] | listed["error"]:
        return Evaluation(EvaluationClass.INCOMPLETE, "the harness could not evaluate it")
    return Evaluation(EvaluationClass.ABSENT, "the final report does not name it: its data set may not have it")


def _msb_verdict(patch: str, report: Json | None, log: str | None, *, is_resolved: bool) -> Evaluation:
    n_run = None if report is None else _n_run_in(report.get("fix_patch_result"))
    if is_resolved and n_run is None:
        return Evaluation(EvaluationClass.RESOLVED, "the final report says so")
    if n_run:
        found = EvaluationClass.RESOLVED if is_resolved else EvaluationClass.UNRESOLVED
        told = str((report or {}).get("error_msg") or "").strip()
        return Evaluation(found, f"{n_run} tests ran" + (f": {told[:200]}" if told else ""))
    if log and (path := _not_applied(log, patch)):
        return Evaluation(EvaluationClass.PATCH_FAILED, f"the patch does not apply to {path}")
    why = "no test ran with the patch" if report is not None else "nothing shows that a test ran: its report is missing"
    return Evaluation(EvaluationClass.NO_TESTS, why)


def velora_evaluation(raw: Json, instance_id: str, patch: str, *, output: str | None = None) -> Evaluation:
    """Return what a report of the Velora evaluators says of an instance, whichever of their forms it has.

    Args:
        raw: `report.json`, flat or nested under the id as SWE-bench's; or a row that was evaluated, with
            `pilot2_eval_details` or with the `report` that OpenHands' own script adds.
        instance_id: the instance that is meant.
        patch: what was handed in.
        output: `test_output.txt` beside it.
    """
    if not patch.strip():
        return EMPTY_PATCH
    told = _told(raw, instance_id)
    if told is None:
        return Evaluation(EvaluationClass.ABSENT, "the report does not name it")
    if refusal := _refusal(told):
        return refusal
    n_run = _n_run(told)
    is_resolved = told.get("resolved") is True
    if n_run is None and is_resolved and not _groups(told):
        return Evaluation(EvaluationClass.RESOLVED, "the report says so")
    printed = told.get("test_output") if isinstance(told.get("test_output"), str) else output
    if n_run or (n_run is None and _shows_tests(printed)):
        found = EvaluationClass.RESOLVED if is_resolved else EvaluationClass.UNRESOLVED
        return Evaluation(found, f"{n_run} tests ran" if n_run else "its output shows that tests ran")
    return Evaluation(EvaluationClass.NO_TESTS, f"nothing shows that a test ran{_ending(printed)}")


def _told(raw: Json, instance_id: str) -> Json | None:
    """The part of a report that is about the instance."""
    for key in ("pilot2_eval_details", instance_id, "report"):
        if isinstance(part := raw.get(key), dict):
            return part
    own = raw.get("instance_id", instance_id)
    return raw if own == instance_id and "resolved" in raw else None


def _refusal(told: Mapping[str, Any]) -> Evaluation | None:
    """What keeps a report from being about the model's work, or about a patch that could be tested."""
    if told.get("error_eval") is True:
        return Evaluation(EvaluationClass.EVAL_ERROR, str(told.get("error_message") or "the evaluator broke"))
    if told.get("failed_apply_patch") is True or told.get("patch_successfully_applied") is False:
        return Evaluation(EvaluationClass.PATCH_FAILED, "the patch does not apply")
    if told.get("failed_apply_test_patch") is True:
        return Evaluation(EvaluationClass.TEST_PATCH_FAILED, "the tests could not be put in place")
    if told.get("test_timeout") is True:
        return Evaluation(EvaluationClass.TIMEOUT, "the tests did not end in time")
    return None


def _n_run(told: Mapping[str, Any]) -> int | None:
    """How many tests ran for certain; None where a report does not tell failures from tests that never ran."""
    counts = [told.get(key) for key in ("tests_passed", "tests_failed", "tests_error")]
    if known := [count for count in counts if isinstance(count, int)]:
        return sum(known)
    named = _groups(told)
    if any("success" in group for group in named):
        n_passed = sum(len(group.get("success") or ()) for group in named)
    else:
        n_passed = sum(str(status).upper() in _RAN for group in named for status in group.values())
    return n_passed or None


def _groups(told: Mapping[str, Any]) -> list[Json]:
    """The groups of tests in a report, nested or flat."""
    lists = told.get("tests_status")
    groups = list(lists.values()) if isinstance(lists, dict) else [told.get("f2p_status"), told.get("p2p_status")]
    return [group for group in groups if isinstance(group, dict)]


def _shows_tests(printed: str | None) -> bool:
    text = (printed or "").strip()
    return len(text) >= _LEAST_OUTPUT and not any(each in text for each in _NO_TEST_RAN)


def _ending(printed: str | None) -> str:
    lines = (printed or "").strip().splitlines()
    return f": {lines[-1].strip()[:200]}" if lines else ""


def _n_run_in(result: Any) -> int:
    """How many tests a stage of the multi-swe-bench harness ran; those that were skipped did not run."""
    counts = [result.get(key) for key in ("passed_count", "failed_count")] if isinstance(result, dict) else []
    return sum(count for count in counts if isinstance(count, int))


def _not_applied(log: str, patch: str) -> str | None:
    """The file to which the patch did not apply; one that it does not touch is of the tests' own patch."""
    paths = (found["path"] or found["other"] for found in _NOT_APPLIED.finditer(log))
    return next((path for path in paths if f" b/{path}\n" in patch or f" a/{path}\n" in patch), None)


def _ids(final: Json, key: str) -> set[str]:
    value = final.get(f"{key}_ids")
    return {each for each in value if isinstance(each, str)} if isinstance(value, list) else set()
