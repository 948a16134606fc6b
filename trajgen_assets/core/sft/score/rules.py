"""Weights, bounds and word lists of the score: all that may be tuned lies here, and nothing else does.

`SCORE_VERSION` is raised with every change that gives any row another score.
"""

import re
from typing import NamedTuple

SCORE_VERSION = "2"


class Sign(NamedTuple):
    """A pattern, and words of which each text that it matches holds one as it stands: they are quicker to look for."""

    pattern: str
    words: tuple[str, ...]


def sign(pattern: str, *words: str) -> Sign:
    """Return a sign with its words."""
    return Sign(pattern, words)


def plain(text: str) -> Sign:
    """Return the sign that is nothing but `text`."""
    return Sign(re.escape(text), (text,))


# Weights of the composite; a part of weight 0 only describes. The share of a part is raised to its exponent first.
WEIGHTS = {
    "sub": 0.33,
    "stp": 0.27,
    "tvr": 0.23,
    "fec": 0.10,
    "dpi": 0.07,
    "oec": 0.0,
    "iac": 0.0,
    "ped": 0.0,
    "psn": 0.0,
    "tte": 0.0,
    "scp": 0.0,
}
EXPONENTS = {"fec": 5, "dpi": 3}

# How much of a text is looked at, in characters; the middle of a longer observation is left out.
WINDOW_HALF = 3000
WINDOW_ALIGN = 300
COMMAND_LIMIT = 20_000
ENTROPY_LIMIT = 5000
ERROR_HEAD = 80
TARGET_LIMIT = 400

# SUB
STRONG_ENDING = (
    r"\b(?:all (?:the )?tests (?:now )?pass|(?:task|fix|implementation|work|changes) (?:is|are) (?:now )?complete"
    r"|(?:successfully|fully) (?:fixed|implemented|resolved|completed)|(?:issue|bug|problem) (?:is|has been) (?:now )?"
    r"(?:fixed|resolved))\b"
)
WEAK_ENDING = r"\b(?:completed?|fixed|done|resolved|verified)\b"
SUBMIT_MARK = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"  # what mini-swe-agent ends with
STRONG_BASE, WEAK_BASE, OTHER_BASE = 1.0, 0.8, 0.5
CLEAN_FLOOR, CLEAN_SHARE = 0.7, 0.3
ENDING_SHARE = 0.3
LATE_TEST_FROM, LATE_TEST_BONUS = 0.8, 0.15

# STP, in turns of the model
STEPS_LOW, STEPS_HIGH, STEPS_MAX, STEPS_EXPONENT = 5, 80, 200, 1.5

# TVR
TEST_WRITTEN, TEST_RUN, TEST_OUTCOME = 0.3, 0.3, 0.4
OUTCOMES = {"pass": 1.0, "unknown": 0.6, "fail": 0.3}

# FEC: so many edits of one file beyond the first give 0
EDITS_BEYOND = 4

# DPI
NO_WRITE, TRUNCATED = 0.40, 0.40
LOOP_RUN, LOOP_FACTOR, LOOP_MAX = 5, 3.0, 0.30
REPEAT_FACTOR, REPEAT_MAX = 0.6, 0.30

# Diagnostics
OEC_MIN, OEC_SMOOTH, OEC_BASE = 5, 3, 5
IAC_MIN = 3
PSN_MIN, PSN_WINDOW = 10, 5
TTE_MIN = 3
SCP_LOW, SCP_HIGH, SCP_SIGMA = 0.2, 0.5, 0.2
INTENT_WORDS = {
    "search": r"search|find|grep|locat|look for|where",
    "read": r"read|look|view|open|see|check|examin|inspect|understand|explor",
    "edit": r"edit|fix|chang|modif|updat|writ|creat|add|replac|implement|remov|patch",
    "test": r"test|verif|run|check|reproduc|confirm|pass",
    "run": r"run|execut|install|try|check|build|start|list",
    "plan": r"plan|think|step|todo|first|next|task|consider",
    "submit": r"submit|finish|complet|done|final|summar",
}

# Tools
EDITOR_VERBS = frozenset({"view", "create", "str_replace", "insert", "undo_edit"})
WRITING_VERBS = frozenset({"str_replace", "create", "insert"})
EDITOR_FIELDS = frozenset({"old_str", "new_str", "file_text", "view_range"})
WRITE_TOOLS = frozenset({"edit", "write", "multiedit", "notebookedit", "patch"})
EDITOR_TOOLS = frozenset({"file_editor", "str_replace_editor"})
# fmt: off
SHELL_TOOLS = frozenset({
    "bash", "terminal", "execute_bash", "shell", "cmd", "execute_ipython_cell", "run_ipython", "ipython", "python",
    "run_python",
})
SEARCH_TOOLS = frozenset({"grep", "glob", "websearch", "toolsearch", "codesearch", "list", "ls"})
PLAN_TOOLS = frozenset({"think", "task_tracker", "todowrite", "todoread", "task", "agent", "enterplanmode"})
SUBMIT_TOOLS = frozenset({"finish", "exitplanmode", "mark_task_complete"})
KNOWN_TOOLS = (
    WRITE_TOOLS | EDITOR_TOOLS | SHELL_TOOLS | SEARCH_TOOLS | PLAN_TOOLS | SUBMIT_TOOLS
    | {"read", "webfetch", "taskoutput", "taskstop", "askuserquestion", "skill", "exitworktree", "enterworktree"}
)
# fmt: on
NOT_RUN_FIELDS = EDITOR_FIELDS | {"insert_line", "task_list", "thought", "task_completed"}
COMMAND_KEYS = ("command", "code", "cmd", "keystrokes")
RUN_KEYS = ("command", "cmd", "keystrokes")
PATH_KEYS = ("file_path", "filePath", "path", "notebook_path", "notebookPath")
CHECKOUT_PREFIXES = ("/workspace/", "/testbed/", "/repo/", "/home/swe-bench/")

# Errors of an observation: of any tool; of a command; of a command that is no formal test, where they are its subject.
TOOL_ERRORS = (
    plain("<tool_use_error>"),
    plain("The arguments provided to the tool are invalid"),
    plain("[An error occurred during execution.]"),
    sign(r"Error validating args [^\n]{0,500}for tool", "Error validating args "),
    plain("Error executing tool"),
    sign(r"\A\s*ERROR:", "ERROR:"),
    plain("No replacement was performed"),
    sign(r"parameter is required for \S+ command", "parameter is required for "),
    sign(r"Parameter `\w+` is required for command", "Parameter `"),
    sign(r"Invalid `\w+` parameter", "Invalid `"),
)
HARD_ERRORS = (
    plain("command not found"),
    plain("Permission denied"),
    sign(r"exit code[: ]\s?-?[1-9]", "exit code"),
    plain("returned non-zero exit status"),
)
SOFT_ERRORS = (
    plain("Traceback (most recent call last):"),
    sign(
        r"\b(?:Syntax|Indentation|Type|Value|Name|Key|Index|Attribute|Import|ModuleNotFound|FileNotFound|Assertion"
        r"|Runtime|ZeroDivision|OS|IO|Unicode\w*|Recursion|NotImplemented|Timeout|Permission|Connection|Memory|TabError"
        r"|Lookup)Error\b",
        "Error",
    ),
    plain("No such file or directory"),
    sign(r"\bFAILED\b", "FAILED"),
)

# What a test's output says, in the order in which it is asked. Numbers have to be above zero.
_N = r"(?:[1-9]\d*)"
TEST_FAILED = (
    sign(r"\b(?:exit|Exit|EXIT)(?:[ _](?:code|CODE))?\s*[:=]\s*[1-9]\d{0,2}\b", "exit", "Exit", "EXIT"),
    sign(r"^[ \t]*(?:FAILED|ERROR)\s+\w", "FAILED", "ERROR"),
    sign(rf"\b{_N} (?:failed|failures?|errors?)\b", " failed", " failure", " error"),
    sign(r"^[ \t]*(?:FAIL|ERROR):", "FAIL:", "ERROR:"),
    sign(r"^[ \t]*--- FAIL\b|^FAIL(?:\s|$)", "FAIL"),
    sign(r"test result: FAILED|error\[E\d+\]|doctest failed", "test result: FAILED", "error[E", "doctest failed"),
    sign(rf"Tests run: \d+, Failures: (?:{_N}|\d+, Errors: {_N})", "Tests run: "),
    sign(r"BUILD FAILURE|^\[ERROR\]", "BUILD FAILURE", "[ERROR]"),
    sign(r"BUILD FAILED|There were failing tests", "BUILD FAILED", "There were failing tests"),
    sign(rf"{_N} tests failed out of|\[\s*FAILED\s*\]", " tests failed out of", "FAILED"),
    sign(rf"^[ \t]*Test(?:s| Suites):[^\n]{{0,100}}\b{_N} failed", " failed"),
    sign(rf"^[ \t]*{_N} failing\b", " failing"),
    sign(rf"^[ \t]*{_N} fail$|^# fail {_N}\b|^# FAIL:\s+{_N}\b", " fail", "FAIL:"),
    sign(r"^[ \t]*not ok \d+\b(?![^\n]{0,200}# (?:TODO|SKIP))", "not ok "),
    sign(r"[Nn]o test files found", "o test files found"),
    sign(r"^error Command failed with exit code", "error Command failed with exit code"),
    sign(rf"^FAILURES!|\bFailed:\s*{_N}\b|\b[Ff]ail:\s*{_N}\b", "FAILURES!", "Failed:", "ail:"),
    sign(r"(?:[Cc]ompilation|[Bb]uild) failed|could not compile", " failed", "could not compile"),
    sign(r"^Result: FAIL|panicked at|^panic: ", "Result: FAIL", "panicked at", "panic: "),
    sign(r"[Ss]egmentation fault|Exception in thread", "egmentation fault", "Exception in thread"),
    sign(r"^Test Run Failed\b|^[ \t]*Failed \S+ \[[<\d]", "Test Run Failed", "Failed "),
    sign(rf"\[ FAIL {_N} \|", "[ FAIL "),
    sign(r"^\[error\] (?:Failed|Error): Total \d", "[error] "),
)
NO_TESTS = (
    r"Ran 0 tests",
    r"\bno tests? (?:ran|found|to run|were found)\b",
    r"collected 0 items(?!\s*/)",
    r"\A(?![\s\S]*\b[1-9]\d* passed)[\s\S]*running 0 tests",
    r"\A(?![\s\S]*Tests run: [1-9])[\s\S]*Tests run: 0",
)
TEST_PASSED = (
    sign(rf"test result: ok\. {_N} passed", "test result: ok. "),
    sign(r"^ok\s+\S+\s+(?:[\d.]+s|\(cached\))|^PASS$", "ok", "PASS"),
    sign(rf"\b{_N} passed\b", " passed"),
    plain("100% tests passed"),
    sign(rf"Tests run: {_N}, Failures: 0, Errors: 0", "Tests run: "),
    plain("BUILD SUCCESS"),
    sign(rf"\bOK \({_N} tests?", "OK ("),
    sign(rf"\[\s*PASSED\s*\] {_N}", "PASSED"),
    sign(rf"^[ \t]*{_N} passing\b", " passing"),
    sign(rf"\b{_N} (?:examples|tests), 0 failures", ", 0 failures"),
    sign(rf"\b[Pp]ass(?:ed)?:\s*{_N}\b[^\n]{{0,40}}\b[Ff]ail(?:ed)?:\s*0\b", "ass:", "assed:"),
    sign(rf"\b[Ff]ailed:\s*0, [Pp]assed:\s*{_N}", "assed:"),
    sign(r"\ball (?:tests|checks) pass(?:ed)?\b", "all tests pass", "all checks pass"),
    sign(rf"Ran {_N} tests?[^\n]*\s+OK\b", "Ran "),
    sign(r"^OK$", "OK"),
    sign(r"\berror count: 0\b", "error count: 0"),
    sign(r"^Result: PASS|^All tests successful", "Result: PASS", "All tests successful"),
    sign(rf"^[ \t]*{_N} pass$|^# pass {_N}\b|^PASS: \S", " pass", "PASS: "),
    sign(r"^[ \t]*ok \d+\b", "ok "),
    sign(r"^Test Run Successful\b", "Test Run Successful"),
    sign(rf"\[ FAIL 0 \| WARN \d+ \| SKIP \d+ \| PASS {_N} \]", "[ FAIL 0 "),
    sign(rf"\bPassed: Total {_N}, Failed 0, Errors 0", "Passed: Total "),
)
ECHOED_ZERO = r"\bexit(?:[ _]code)?\s*[:=]\s*0\b"
SCAFFOLD_LINES = r"^\[[^\n]*\]\s*$"

# Commands. No pattern may need more than linear time: what it reads was written by a model.
WRAPPERS = r"sudo|env|time|nohup|exec|stdbuf|command|xvfb-run"
RUNNERS_OF_OTHERS = r"(?:uv|poetry|pdm|hatch|pipenv) run|npx|bundle exec|coverage run(?: -m)?"
# fmt: off
LOOKING_HEADS = frozenset({
    "rm", "ls", "cat", "grep", "egrep", "fgrep", "rg", "ag", "find", "fd", "git", "echo", "printf", "cd", "pushd",
    "popd", "sed", "gsed", "awk", "head", "tail", "less", "more", "wc", "sort", "uniq", "cut", "tr", "tee", "cp", "mv",
    "mkdir", "rmdir", "touch", "chmod", "chown", "ln", "pwd", "which", "whereis", "type", "file", "stat", "du", "df",
    "ps", "kill", "export", "unset", "source", "set", "alias", "diff", "patch", "tar", "unzip", "curl", "wget",
    "sleep", "clear", "tree", "date", "true", "false", "nl", "xxd", "od", "strings", "man", "apt", "apt-get", "pip",
    "pip3",
})
# fmt: on
NOT_A_RUN = r"(?:^|\s)(?:--version|--help|-h|--collect-only|--co)(?:\s|$)"
FORMAL_TESTS = (
    r"(?<![^\s'\"(])(?:[^\s'\"(]*/)?(?:pytest|py\.test|nosetests|nose2)(?=[\s'\")]|$)",
    r"-m\s+(?:pytest|unittest|nose2?|doctest)\b|\bunittest\s+discover\b",
    r"\b(?:go|mix|swift|lein|dotnet|deno|bun)\s+test\b",
    r"\bcargo\s+(?:\+\S+\s+)?(?:test|nextest\s+run)\b",
    r"(?:^|\s)ctest\b",
    r"\b(?:mvnw?|gradlew?)\b(?![^\n]{0,200}-x\s+test)[^\n]{0,200}?\b(?:test|check|verify|surefire:test)\b",
    r"(?:^|[\s/])(?:jest|mocha|vitest|busted|ava)(?=[\s)]|$)",
    r"\b(?:npm|yarn|pnpm|bun)\s+(?:run\s+)?t(?:est)?(?:[:\w-]*)(?=[\s)]|$)",
    r"\bmake\s+(?:-\S+\s+(?:[^-\s]\S*\s+)??){0,8}(?:\w+[-_])?(?:test|check)s?\b",
    r"\bruntests\.py\b|\bmanage\.py\s+test\b",
    r"\bcmake\s+--build\s[^\n]{0,200}--target\s+test\b",
    r"\bsbt\b[^\n]{0,100}\btest",
    r"devtools::test|testthat|Plenary",
    r"^\./\S*test_\S*|^(?:ba)?sh\s+\S*(?:run_?)?tests?\.sh\b",
)
INFORMAL_TESTS = (
    r"(?<!\S)\S*?(?:reproduce|repro|verify|smoke)\w*\.\w+",
    r"\bpython[\d.]*\s+(?:-[a-bd-zA-Z]\S*\s+)*-c\b",
    r"\b(?:python[\d.]*|node|deno run|bun)\s+(?:-\S+\s+)*\S+\.(?:py|m?js|ts)\b",
    r"\bnode\s+(?:-e|--eval|-p)\b",
    r"\b(?:ruby|perl|php)\s+-[er]\b",
    r"\b(?:go|cargo|swift|dotnet|mix|lein)\s+run\b",
    r"^java\s+(?:-\S+\s+(?:[^-\sA-Z]\S*\s+)?)*(?:-jar\s+\S+|[A-Z]\w*)",
    r"\bbazel\s+test\b|(?:^|\s)(?:tox|nox|rspec|phpunit|prove)(?=\s|$)|\bphpunit\b",
    r"^(?:(?:ba)?sh\s+)?\./\S+\.sh\b",
)
NOT_TESTS = (
    r"\b(?:pip3?|npm|yarn|pnpm|apt|apt-get|gem|cargo|go|poetry|uv)\s+(?:install|add|ci|get|sync)\b",
    r"\bsetup\.py\s+(?:build|install|develop|sdist)",
    r"\bmanage\.py\s+(?:runserver|migrate|makemigrations|shell|collectstatic)",
    r"\b(?:npm|yarn|pnpm)\s+(?:run\s+)?(?:build|dev|start|serve|lint)\b",
    r"-m\s+(?:http\.server|pip|venv|build|black|ruff|flake8|mypy|pylint|isort)\b",
    r"^(?:black|ruff|flake8|mypy|pylint|isort|eslint|prettier)(?=\s|$)",
    r"-c\s[\s\S]{0,500}?open\([^)]{0,100}?['\"][wax]b?\+?['\"]",
)
TEST_PATHS = (
    r"(?:^|/)conftest\.py$",
    r"(?:^|/)test_[^/]+$",
    r"(?:^|/)[^/]+_(?:tests?|spec)\.\w+$",
    r"(?:^|/)[^/]+\.(?:test|spec)\.[cm]?[jt]sx?$",
    r"(?:^|/)(?:[A-Z]\w*(?:Tests?|Spec)|\w+IT)\.(?:java|kt|scala|cs|swift|groovy|php|cpp)$",
    r"(?:^|/)(?:tests?|__tests__|specs?|testing)/",
    r"(?:^|/)t/[^/]+\.t$",
    r"(?:^|/)(?:repro|reproduce|verify|smoke)[^/]*$|[_-](?:repro|verify|smoke)\.\w+$",
)
# What a script given to an interpreter, in a heredoc or on its command line, opens for writing.
SCRIPT_RUN = r"\b(?:python[\d.]*|node|ruby)\b[^\n]{0,300}?(?:<<|\s-[ce]\b)"
SCRIPT_WRITES = r"\bopen\(\s*['\"]([^'\"\n]+)['\"]\s*,\s*(?:mode=)?['\"][wax]|\bPath\(\s*['\"]([^'\"\n]+)['\"]\s*\)"
SCRIPT_HAS_WRITE = r"\.write(?:_text|_bytes|lines)?\("
PRINTING_HEADS = frozenset({"cat", "echo", "printf"})
UNEDITED_PATHS = r"^(?:/dev|/proc|/sys)(?:/|$)|^\d+$|[<>|&]"
