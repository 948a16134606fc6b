"""Reports of evaluators: 1, 0, or nothing."""

import pytest

from tests.unit.openhands import twin
from trajgen_assets.core.openhands.evaluation import Evaluation, EvaluationClass, msb_evaluation, msb_id
from trajgen_assets.core.openhands.evaluation import velora_evaluation as velora
from trajgen_assets.core.sft.messages import Json

ID, MSB = "acme__cli-7", "acme/cli:pr-7"
PATCH = f"{twin.PATCH}\n"
WRONG_FOLDER = "bash: line 1: cd: /app/repo: No such file or directory"


def final(**lists: list[str]) -> Json:
    names = ("submitted", "completed", "incomplete", "resolved", "unresolved", "empty_patch", "error")
    return {f"{name}_ids": lists.get(name, []) for name in names} | {"total_instances": 1}


def stage(passed: int, failed: int) -> Json:
    return {"fix_patch_result": {"passed_count": passed, "failed_count": failed, "skipped_count": 3}, "error_msg": ""}


def outcome(found: Evaluation) -> tuple[EvaluationClass, float | None]:
    return found.found, found.reward


def test_ids_are_those_of_the_multi_swe_bench_harness() -> None:
    assert msb_id("acme__cli-7") == MSB
    assert msb_id("acme__my-cli-7") == "acme/my-cli:pr-7"
    assert msb_id("conan-io__conan_2.0.14_2.0.15") is None
    assert msb_id("77") is None


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (final(resolved=[MSB]), (EvaluationClass.RESOLVED, 1.0)),
        (final(unresolved=[MSB]), (EvaluationClass.UNRESOLVED, 0.0)),
        (final(incomplete=[MSB], error=[MSB]), (EvaluationClass.INCOMPLETE, None)),
        (final(error=[MSB]), (EvaluationClass.INCOMPLETE, None)),
        (final(resolved=["acme/cli:pr-70"]), (EvaluationClass.ABSENT, None)),
    ],
)
def test_a_final_report_gives_1_or_0_or_nothing(report: Json, expected: tuple[EvaluationClass, float | None]) -> None:
    assert outcome(msb_evaluation(report, ID, PATCH, report=stage(3, 1))) == expected


def test_an_empty_patch_is_known_from_the_patch_because_the_report_never_says_it() -> None:
    assert outcome(msb_evaluation(final(incomplete=[MSB]), ID, "\n")) == (EvaluationClass.EMPTY_PATCH, 0.0)
    assert outcome(velora({"resolved": False}, ID, "")) == (EvaluationClass.EMPTY_PATCH, 0.0)


def test_an_id_that_the_harness_cannot_take_is_absent() -> None:
    assert outcome(msb_evaluation(final(), "conan-io__conan_2.0.14_2.0.15", PATCH)) == (EvaluationClass.ABSENT, None)


@pytest.mark.parametrize("report", [stage(0, 0), {"fix_patch_result": None}, {}, None])
def test_unresolved_without_a_test_that_ran_is_no_reward(report: Json | None) -> None:
    found = msb_evaluation(final(unresolved=[MSB]), ID, PATCH, report=report)
    assert outcome(found) == (EvaluationClass.NO_TESTS, None)


def test_resolved_without_a_test_that_ran_is_not_believed() -> None:
    assert msb_evaluation(final(resolved=[MSB]), ID, PATCH, report=stage(0, 0)).reward is None
    assert msb_evaluation(final(resolved=[MSB]), ID, PATCH).reward == 1.0


def test_a_patch_that_does_not_apply_is_a_0_and_one_of_the_tests_is_nothing() -> None:
    mine, theirs = ("error: patch failed: src/cli.py:1\n", "error: patch failed: tests/test_cli.py:1\n")
    report = {"report": stage(0, 0)}
    own = msb_evaluation(final(unresolved=[MSB]), ID, PATCH, log=mine, **report)
    foreign = msb_evaluation(final(unresolved=[MSB]), ID, PATCH, log=theirs, **report)
    assert outcome(own) == (EvaluationClass.PATCH_FAILED, 0.0)
    assert outcome(foreign) == (EvaluationClass.NO_TESTS, None)


def flat(**changes: object) -> Json:
    told = {"instance_id": ID, "resolved": False, "failed_apply_patch": False, "error_eval": False}
    return told | {"empty_generation": False, "f2p_status": {"a": "FAILED"}, "p2p_status": {"b": "PASSED"}} | changes


def nested(success: list[str], failure: list[str], **changes: object) -> Json:
    groups = {"FAIL_TO_PASS": {"success": success, "failure": failure}, "PASS_TO_PASS": {"success": [], "failure": []}}
    told = {"patch_is_None": False, "patch_exists": True, "patch_successfully_applied": True, "resolved": False}
    return {ID: told | {"tests_status": groups} | changes}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (flat(resolved=True, f2p_status={"a": "PASSED"}), (EvaluationClass.RESOLVED, 1.0)),
        (flat(), (EvaluationClass.UNRESOLVED, 0.0)),
        (flat(failed_apply_patch=True), (EvaluationClass.PATCH_FAILED, 0.0)),
        (flat(error_eval=True), (EvaluationClass.EVAL_ERROR, None)),
        (flat(test_timeout=True), (EvaluationClass.TIMEOUT, None)),
        (flat(failed_apply_test_patch=True), (EvaluationClass.TEST_PATCH_FAILED, None)),
        (flat(f2p_status={"a": "MISSING"}, p2p_status={"b": "NOT_FOUND"}), (EvaluationClass.NO_TESTS, None)),
        (flat(instance_id="acme__cli-8"), (EvaluationClass.ABSENT, None)),
        (nested(["a"], [], resolved=True), (EvaluationClass.RESOLVED, 1.0)),
        (nested(["b"], ["a"]), (EvaluationClass.UNRESOLVED, 0.0)),
        (nested([], ["a"], patch_successfully_applied=False), (EvaluationClass.PATCH_FAILED, 0.0)),
        (nested([], ["a", "b"]), (EvaluationClass.NO_TESTS, None)),
        (nested([], ["a"], resolved=True), (EvaluationClass.NO_TESTS, None)),
        ({"acme__cli-8": {"resolved": True}}, (EvaluationClass.ABSENT, None)),
        ({"report": {"resolved": True, "error_eval": False}}, (EvaluationClass.RESOLVED, 1.0)),
        ({"report": {"resolved": False, "error_eval": True}}, (EvaluationClass.EVAL_ERROR, None)),
        ({"report": {"resolved": False, "error_eval": False}}, (EvaluationClass.NO_TESTS, None)),
    ],
)
def test_each_form_of_report_gives_1_or_0_or_nothing(raw: Json, expected: tuple[EvaluationClass, float | None]) -> None:
    assert outcome(velora(raw, ID, PATCH)) == expected


def details(**changes: object) -> Json:
    told = {"instance_id": ID, "resolved": False, "error_eval": False, "tests_passed": 0, "tests_failed": 0}
    return {"resolved": False, "pilot2_eval_details": told | {"tests_error": 0, "test_output": ""} | changes}


def test_zero_tests_run_is_no_reward_although_the_report_says_unresolved_and_no_error() -> None:
    found = velora(details(test_output=WRONG_FOLDER, pass_to_pass_failed=649), ID, PATCH)
    assert outcome(found) == (EvaluationClass.NO_TESTS, None)
    assert "No such file or directory" in found.why


def test_details_that_count_tests_are_a_verdict() -> None:
    assert outcome(velora(details(tests_failed=2), ID, PATCH)) == (EvaluationClass.UNRESOLVED, 0.0)
    assert outcome(velora(details(tests_passed=2, resolved=True), ID, PATCH)) == (EvaluationClass.RESOLVED, 1.0)


def test_a_report_of_failures_alone_counts_where_the_output_shows_that_tests_ran() -> None:
    ran = velora(nested([], ["a"]), ID, PATCH, output="collected 1 item\n1 failed in 0.1s")
    broken = velora(nested([], ["a"]), ID, PATCH, output=WRONG_FOLDER)
    assert outcome(ran) == (EvaluationClass.UNRESOLVED, 0.0)
    assert outcome(broken) == (EvaluationClass.NO_TESTS, None)


def test_a_flat_report_calls_a_test_failed_that_never_ran() -> None:
    failed = flat(p2p_status={"b": "FAILED"})
    assert outcome(velora(failed, ID, PATCH, output=WRONG_FOLDER)) == (EvaluationClass.NO_TESTS, None)
    assert outcome(velora(failed, ID, PATCH)) == (EvaluationClass.NO_TESTS, None)
    assert outcome(velora(failed, ID, PATCH, output="2 failed in 0.1s")) == (EvaluationClass.UNRESOLVED, 0.0)


def test_only_verdicts_on_the_model_have_a_reward() -> None:
    rewarded = {each for each in EvaluationClass if Evaluation(each, "").reward is not None}
    assert {str(each) for each in rewarded} == {"resolved", "unresolved", "empty_patch", "patch_failed"}
