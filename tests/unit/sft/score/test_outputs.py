import re
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen_assets.core.sft.score import rules
from trajgen_assets.core.sft.score.outputs import is_error, outcome_of_test, scan_window

SIGNS = (*rules.TOOL_ERRORS, *rules.HARD_ERRORS, *rules.SOFT_ERRORS, *rules.TEST_FAILED, *rules.TEST_PASSED)


@pytest.mark.parametrize(
    ("text", "is_run", "is_formal", "expected"),
    [
        ("<tool_use_error>no such file", False, False, True),
        ("The arguments provided to the tool are invalid: path", False, False, True),
        ("ERROR: no replacement", False, False, True),
        ("No replacement was performed, old_str not found", False, False, True),
        ("the manual says ERROR: somewhere", False, False, False),
        ("bash: foo: command not found", True, False, True),
        ("bash: foo: command not found", True, True, True),
        ("bash: foo: command not found", False, False, False),
        ("exit code: 2", True, True, True),
        ("exit code: -9", True, True, True),
        ("exit code: 0", True, False, False),
        ("Traceback (most recent call last):\n", True, False, True),
        ("Traceback (most recent call last):\nFAILED test_a", True, True, False),
        ("class MyTypeErrors: pass", True, False, False),
        ("cat: a: No such file or directory", True, False, True),
        ("Permission denied", True, True, True),
    ],
)
def test_an_error_is_told_by_whose_output_it_is(text: str, is_run: bool, is_formal: bool, expected: bool) -> None:
    assert is_error(scan_window(text), is_run=is_run, is_formal_test=is_formal) is expected


@pytest.mark.parametrize(
    "text",
    [
        "1 failed, 3 passed in 0.1s",
        "FAILED tests/test_a.py::test_b",
        "FAIL: test_x (tests.A)",
        "--- FAIL: TestX (0.00s)\nFAIL\nFAIL\tpkg\t0.1s",
        "test result: FAILED. 1 passed; 1 failed",
        "error[E0308]: mismatched types",
        "Tests run: 3, Failures: 1, Errors: 0",
        "Tests run: 3, Failures: 0, Errors: 2",
        "BUILD FAILURE",
        "BUILD FAILED in 3s",
        "90% tests passed, 1 tests failed out of 10",
        "[  FAILED  ] Foo.Bar",
        "Tests:       1 failed, 2 passed",
        "  2 failing",
        "FAILURES!\nTests: 3",
        "could not compile `a`",
        "Failed!  - Failed:     1, Passed:     3",
        "Result: FAIL",
        "thread 'main' panicked at src/a.rs",
        "[\x1b[31mFAILED\x1b[0m] x",
        "3 passed\nbash: line 2: foo: command not found",
        "PASSED\nexit code: 143",
        "Traceback (most recent call last):\nTypeError: x",
        "Test Run Failed.\nTotal tests: 3",
        "  Failed Suite.TestX [12 ms]",
        "[ FAIL 2 | WARN 0 | SKIP 0 | PASS 5 ]",
        "5 tests, 1 failure",
        " 2 pass\n 1 fail\nRan 3 tests across 1 files.",
        "[error] Failed: Total 3, Failed 1, Errors 0, Passed 2",
        "panic: runtime error: index out of range\n\ngoroutine 1 [running]:",
        'Exception in thread "main" java.lang.NullPointerException',
        "Segmentation fault (core dumped)",
        "not ok 1 - adds",
        "# tests 3\n# pass 2\n# fail 1",
        "# TOTAL: 3\n# PASS:  2\n# FAIL:  1",
        "No test files found, exiting with code 1",
        "Compilation failed",
        "EXIT CODE: 2",
        "ok\n" * 2000 + "1 failed",
    ],
)
def test_a_failed_test_is_told(text: str) -> None:
    assert outcome_of_test(scan_window(text)) == "fail"


@pytest.mark.parametrize(
    "text",
    [
        "3 passed in 0.1s",
        "0 failed, 3 passed",
        "test result: ok. 5 passed; 0 failed",
        "ok  \tpkg/a\t0.012s",
        "PASS",
        "100% tests passed, 0 tests failed out of 4",
        "Tests run: 3, Failures: 0, Errors: 0, Skipped: 0",
        "BUILD SUCCESSFUL in 3s",
        "[  PASSED  ] 4 tests.",
        "  4 passing (3ms)",
        "7 examples, 0 failures",
        "Ran 3 tests in 0.001s\n\nOK",
        "Passed!  - Failed:     0, Passed:     3",
        "All tests successful.",
        "all tests passed",
        "exit: 0",
        "3 passed, TypeError is raised as it should be",
        "Test Run Successful.\nTotal tests: 3",
        "[ FAIL 0 | WARN 0 | SKIP 0 | PASS 5 ]",
        "Finished in 0.04 seconds\n5 tests, 0 failures",
        "bun test v1.1\n\n 3 pass\n 0 fail\nRan 3 tests across 1 files.",
        "[info] Passed: Total 3, Failed 0, Errors 0, Passed 3",
        "1..2\nok 1 - adds\nok 2 - takes away",
        "not ok 1 - later # TODO\nok 2 - adds",
        "# tests 3\n# pass 3\n# fail 0",
        "PASS: test_add\n# TOTAL: 1\n# FAIL:  0",
        "Files=2, Tests=9\nResult: PASS",
        "Test Suites: 1 passed, 1 total\nTests:       3 passed, 3 total",
        "OK (3 tests, 5 assertions)",
    ],
)
def test_a_passed_test_is_told(text: str) -> None:
    assert outcome_of_test(scan_window(text)) == "pass"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HTTP status: 200",
        "Ran 0 tests in 0.000s\n\nOK",
        "collected 0 items",
        "no tests ran in 0.01s",
        "running 0 tests\ntest result: ok. 0 passed; 0 failed",
        "0 passed",
        "Tests run: 0, Failures: 0, Errors: 0\nBUILD SUCCESS",
        "[  PASSED  ] 0 tests.",
        "0 tests, 0 failures",
        " 0 pass\n 0 fail",
        "[ FAIL 0 | WARN 0 | SKIP 0 | PASS 0 ]",
        "Passed: Total 0, Failed 0, Errors 0, Passed 0",
        "Tests:       0 total",
        "No tests found, exiting with code 1",
        "[Python Interpreter: python]\n[Command finished with exit code 0]",
        "hello",
    ],
)
def test_an_output_that_says_neither_is_unknown(text: str) -> None:
    assert outcome_of_test(scan_window(text)) == "unknown"


def test_a_missing_output_is_unknown() -> None:
    assert outcome_of_test(None) == "unknown"


def test_a_long_text_is_looked_at_from_both_ends_and_from_a_line_on() -> None:
    text = "a" * 4000 + "1 passed" + "\n" + "b" * 2900 + "\nlast"
    window = scan_window(text)
    assert len(window) < 6001
    assert "passed" not in window
    assert window.endswith("b\nlast")
    assert scan_window("x" * 50_000_000 + "\n1 passed").endswith("1 passed")


@pytest.mark.parametrize(
    "part", ["\n", "1 ", "exit ", "\x1b]", "Tests: ", "Ran 1 test", "Error validating args ", "[ "]
)
def test_an_output_made_to_be_slow_is_not(part: str) -> None:
    window = scan_window(part * (2_000_000 // len(part)))
    began = process_time()
    outcome_of_test(window)
    is_error(window, is_run=True, is_formal_test=False)
    assert process_time() - began < 5  # an exponential pattern would take minutes


def test_colours_within_words_do_not_hide_them() -> None:
    assert outcome_of_test(scan_window("Tests run: 2, \x1b[1;31mFailures: 1\x1b[m, Errors: 0")) == "fail"


@pytest.mark.parametrize("sign", SIGNS, ids=[each.pattern for each in SIGNS])
def test_whatever_a_sign_matches_holds_one_of_its_words(sign: rules.Sign) -> None:
    pattern = re.compile(sign.pattern, re.MULTILINE)

    @settings(max_examples=20)
    @given(st.from_regex(pattern))
    def holds(text: str) -> None:
        found = pattern.search(text)
        assert found is None or any(word in found[0] for word in sign.words)

    holds()
