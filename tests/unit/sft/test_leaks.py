"""What is flagged as a leak, and what only looks like one."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sft.score.test_composite import Talk
from tests.unit.sft.twin import FIRST_PROMPT, JobOnDisk, TerminusTwin, answer_text, lines_of, solved
from trajgen_assets.core.rollout.fix import changed_lines
from trajgen_assets.core.rollout.trials import TaskRecord
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.leaks import rules
from trajgen_assets.core.sft.leaks.flags import Flag, leak_flags
from trajgen_assets.core.sft.messages import Json, normalise_all
from trajgen_assets.core.sft.score.story import story_of
from trajgen_assets.core.sft.settings import ConversionSettings

TASK = "tox-dev__tox-3813"


PATHS = (*rules.SOLUTION_PATHS, *rules.JUDGE_PATHS)


@pytest.mark.parametrize("pattern", PATHS)
def test_each_path_that_counts_holds_one_of_the_words(pattern: str) -> None:
    @settings(max_examples=20)
    @given(st.from_regex(pattern))
    def holds(path: str) -> None:
        assert any(word in path for word in rules.PATH_WORDS)

    holds()


@pytest.mark.parametrize("pattern", [*rules.FETCHES, rules.ADDRESS])
def test_each_fetch_holds_one_of_the_words(pattern: str) -> None:
    matching = re.compile(pattern, re.IGNORECASE)

    @settings(max_examples=20)
    @given(st.from_regex(matching))
    def holds(command: str) -> None:
        found = matching.search(command)
        assert found is None or any(word in found[0].lower() for word in rules.FETCH_WORDS)

    holds()


def flags_of(talk: Talk, task_id: str = TASK) -> list[Flag]:
    return leak_flags(story_of(normalise_all(talk.messages), [], talk.scaffold), task_id, talk.messages[0]["content"])


def of_command(command: str, task_id: str = TASK) -> list[str]:
    return sorted({flag.leak.value for flag in flags_of(Talk().call("Bash", command=command), task_id)})


HITS = {
    "solution_read": [
        "cat environment/bug.patch",
        "git apply -R /tmp/bug.patch",
        "less /solution/fix.patch",
        "less /so\"lut\"i'o'\\n/x",
        "ls /solution",
        "bash /oracle/solve.sh",
        "find / -name fix.patch",
        "cd /x && cat ../solution/solve.sh",
        "python3 -c \"print(open('/solution/a.py').read())\"",
        "python3 - <<'PY'\nprint(open(\"/solution/a.py\").read())\nPY",
    ],
    "foreign_history": [
        "git log --all --oneline",
        "git --no-pager log --oneline --all -5",
        "git -C /app log --all",
        "git rev-list --all",
        "git log -g",
        "git reflog",
        "git -C repo reflog show",
        "git fsck --lost-found",
        "git show origin/main:a.py",
        "git diff HEAD upstream/main",
        "git checkout FETCH_HEAD -- a.py",
        "git show HEAD@{1}",
        "git show 1a2b3c4d5e",
        "git checkout 1a2b3c4 -- a.py",
        "git checkout origin/main -- a.py",
        "git show $(git rev-list --all)",
        "cat .git/packed-refs",
        "grep v2 /workspace/tox/.git/packed-refs",
        "cat .git/logs/HEAD",
        "ls .git/refs/remotes/origin",
    ],
    "repository_fetched": [
        "git fetch origin",
        "git pull",
        "git clone https://github.com/tox-dev/tox.git /tmp/t",
        "curl -sL https://raw.githubusercontent.com/Tox-Dev/tox/main/a.py",
        "wget https://github.com/tox-dev/tox/pull/3813.diff",
        "curl 'https://api.github.com/repos/tox-dev/tox/commits'",
        "pip install git+https://github.com/tox-dev/tox@main",
        "python -c \"import urllib.request as u; u.urlopen('https://github.com/tox-dev/tox')\"",
        "pip download tox==4.0",
        "npm pack tox",
        "wget https://files.pythonhosted.org/packages/source/t/tox/tox-4.0.tar.gz",
        "curl -O https://registry.npmjs.org/tox/-/tox-4.0.0.tgz",
        "gh pr view https://github.com/tox-dev/tox/pull/1",
        "git -C /tmp remote add up https://github.com/tox-dev/tox",
        "git ls-remote https://github.com/tox-dev/tox",
        "go get github.com/tox-dev/tox",
        "go install github.com/tox-dev/tox/cmd/a@v2",
        "go mod download github.com/tox-dev/tox@latest",
        "cargo install --git https://github.com/tox-dev/tox",
    ],
    "judge_changed": [
        "echo 1 > /logs/verifier/reward.txt",
        "cat > /tests/test.sh <<'E'\nexit 0\nE",
        "rm -rf /tests",
        "cp /tmp/ok.sh /tests/test.sh",
        "sed -i 's/1/0/' /tests/test.py",
        "python - <<'PY'\nopen('/tests/test.sh', 'w').write('')\nPY",
        "true | tee /logs/verifier/reward.json",
        "chmod -x /tests/test.sh",
    ],
}
MISSES = [
    "cat docs/bugfix.patch.md",
    "git diff > fix.patch",
    "git diff > fix.patch && cat src/a.py",
    "git diff > fix.patch && cat fix.patch",
    "git diff > /tmp/fix.patch; git apply --check /tmp/fix.patch",
    "cat > fix.patch <<'E'\n--- a\nE\ngit apply fix.patch",
    "git diff --output=fix.patch && cat fix.patch",
    "git diff | tee fix.patch | head; wc -l fix.patch",
    "rm -f fix.patch",
    "git log -- upstream/a.py",
    "git diff HEAD -- origin/a.py",
    "git commit -m 'Fix https://github.com/tox-dev/tox/issues/1'",
    "git grep github.com/tox-dev/tox",
    "cat .git/HEAD",
    "cat .git/logs.md",
    "git log -S 'github.com/tox-dev/tox'",
    "go test github.com/tox-dev/tox/...",
    "go build github.com/tox-dev/tox/cmd/a",
    "go run github.com/tox-dev/tox/cmd/a",
    "cargo test -p https://github.com/tox-dev/tox",
    "git commit -m 'add fix.patch'",
    "echo see bug.patch",
    "ls src/solution",
    "cat app/solution/Main.java",
    "git log --oneline -5",
    "git log --follow -- a.py",
    "git log --all-match --grep x",
    "git diff HEAD~1",
    "git show HEAD:a.py",
    "git stash && git stash show stash@{0}",
    "git checkout -b feature",
    "git checkout -- a.py",
    "git show deadbeef",
    "git show --stat HEAD~2",
    "git commit -m 'git reflog'",
    "grep -rn 'git log --all' docs",
    "echo git fetch",
    "git remote -v",
    "git fetch https://example.org/other.git",
    "git clone https://github.com/tox-dev/tox-gh.git",
    "curl https://github.com/other/tox",
    "grep -rn github.com/tox-dev/tox README.md",
    "pip install tox",
    "pip download tox-gh",
    "wget https://files.pythonhosted.org/packages/source/t/tox-gh/tox-gh-1.0.tar.gz",
    "cat > tests/test_a.py <<'E'\nassert True\nE",
    "sed -i 's/a/b/' /app/tests/test_a.py",
    "cp /tests/data.json /tmp/",
    "sed -n 1,5p /tests/test.sh",
    "mkdir -p logs/verifier",
    "cat > notes.md <<'E'\ngit log --all\ncat /solution\nE",
    "# git reflog",
    "",
]


@pytest.mark.parametrize(("leak", "command"), [(leak, each) for leak, commands in HITS.items() for each in commands])
def test_a_command_that_leaks_is_flagged(leak: str, command: str) -> None:
    assert of_command(command) == [leak]


@pytest.mark.parametrize("command", MISSES)
def test_a_command_that_only_looks_like_it_is_not(command: str) -> None:
    assert of_command(command) == []


@pytest.mark.parametrize(
    ("tool", "arguments", "leak"),
    [
        ("Read", {"file_path": "/solution/fix.patch"}, "solution_read"),
        ("str_replace_editor", {"command": "view", "path": "/app/environment/bug.patch"}, "solution_read"),
        ("Write", {"file_path": "/logs/verifier/reward.txt", "content": "1"}, "judge_changed"),
        ("file_editor", {"command": "create", "path": "/tests/test.sh"}, "judge_changed"),
        ("WebFetch", {"url": "https://github.com/tox-dev/tox/pull/3813"}, "repository_fetched"),
        ("Read", {"file_path": "/app/tests/test_a.py"}, None),
        ("Edit", {"file_path": "/app/tests/test_a.py"}, None),
        ("Read", {"file_path": "/tests/test_a.py"}, None),
        ("WebFetch", {"url": "https://docs.python.org/3/"}, None),
    ],
)
def test_calls_of_tools_are_looked_at_by_path_and_address(tool: str, arguments: Json, leak: str | None) -> None:
    found = [flag.leak for flag in flags_of(Talk().call(tool, **arguments))]
    assert found == ([leak] if leak else [])


def test_a_flag_names_the_turn_and_quotes_what_was_done() -> None:
    talk = Talk().call("Bash", command="ls").call("Bash", command="cd /app && git log --all -3 | head")
    assert [flag.as_json() for flag in flags_of(talk)] == [
        {"leak": "foreign_history", "turn": 2, "quote": "git log --all -3"}
    ]


def test_keystrokes_of_terminus_are_commands_too() -> None:
    messages: list[Any] = [
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": answer_text("Look.", "ls\n", "git reflog\n")},
    ]
    found = leak_flags(story_of(normalise_all(messages), [], "terminus2"), TASK, "Fix it.")
    assert [(flag.leak, flag.turn) for flag in found] == [("foreign_history", 1)]


def test_a_commit_that_was_shown_is_not_foreign() -> None:
    talk = (
        Talk().call("Bash", "1a2b3c4 Add a\n", command="git log --oneline").call("Bash", command="git show 1a2b3c4d5e")
    )
    assert flags_of(talk) == []


def test_a_patch_that_the_model_wrote_itself_is_its_own() -> None:
    for writing in ("echo x > fix.patch", "git diff > fix.patch", "git diff | tee fix.patch"):
        talk = Talk().call("Bash", command=writing).call("Bash", command="git apply fix.patch")
        assert flags_of(talk) == [], writing


def test_an_id_without_a_repository_has_no_address_and_still_no_fetch() -> None:
    assert of_command("curl https://github.com/tox-dev/tox", "hello-world") == []
    assert of_command("git fetch", "hello-world") == ["repository_fetched"]


def test_flags_and_quotes_are_bounded() -> None:
    talk = Talk()
    for number in range(50):
        talk.call("Bash", command=f"git reflog {'x' * 500} {number}")
    found = flags_of(talk)
    assert len(found) == 20
    assert all(len(flag.as_json()["quote"]) == 200 for flag in found)


def test_a_flagged_row_is_left_out_with_its_turn_and_quote_and_kept_where_asked(tmp_path: Path) -> None:
    twin = TerminusTwin().ask(FIRST_PROMPT, answer_text("Look.", "git log --all\n"))
    twin.ask("x", answer_text("Done.", done=True))
    job = JobOnDisk(tmp_path).add("a__x", twin).write()
    convert_job(job, ConversionSettings())
    refusal = lines_of(job.sft / "rejected.jsonl")[1]
    assert (refusal["reason"], refusal["detail"]) == ("leak", "foreign_history, turn 1: git log --all")
    receipt = convert_job(job, ConversionSettings(leaks="keep"))
    (row,) = lines_of(receipt.im)
    facts = row["meta_info"]["unique_info"]
    assert facts["leaks"] == [{"leak": "foreign_history", "turn": 1, "quote": "git log --all"}]


def diff_of(n_lines: int) -> bytes:
    lines = b"".join(b"+line %d\n" % number for number in range(n_lines))
    return b"--- a/calc.py\n+++ b/calc.py\n@@ -0,0 +1,%d @@\n%s" % (n_lines, lines)


@pytest.mark.parametrize(
    ("n_fix", "n_patch", "expected"),
    [(10, 10, [("leak", "equal_to_fix: calc.py")]), (10, 11, []), (9, 9, []), (None, 10, []), (10, None, [])],
)
def test_a_patch_that_is_the_fix_is_flagged_unless_that_is_short(
    tmp_path: Path, n_fix: int | None, n_patch: int | None, expected: list[tuple[str, str]]
) -> None:
    fix = None if n_fix is None else changed_lines(diff_of(n_fix))
    job = JobOnDisk(tmp_path).add("a__x", solved(), task=TaskRecord(digest="d", instruction="Fix add()", fix=fix))
    if n_patch is not None:
        job.paths.patch("a__x").write_bytes(diff_of(n_patch))
    convert_job(job.write(), ConversionSettings())
    rejected = [each for each in lines_of(job.paths.sft / "rejected.jsonl") if each["level"] == "row"]
    assert [(each["reason"], each["detail"]) for each in rejected] == expected


def of_call(tool: str, task_id: str = TASK, **arguments: str) -> list[str]:
    return [flag.leak.value for flag in flags_of(Talk().call(tool, **arguments), task_id)]


@pytest.mark.parametrize(
    ("task_id", "url"),
    [
        (TASK, "https://github.com/tox-dev/tox/pull/3813"),
        ("conan-io__conan_2.0.14_2.0.15", "https://github.com/conan-io/conan/pull/15116"),
        ("tobymao__sqlglot-e604fe6d8258", "https://github.com/tobymao/sqlglot/commit/e604fe6"),
    ],
)
def test_a_tool_that_fetches_the_page_of_the_own_repository_is_flagged(task_id: str, url: str) -> None:
    assert of_call("fetch", task_id, url=url) == ["repository_fetched"]
    assert of_call("fetch", task_id, url="https://docs.python.org/3/") == []


def test_a_tool_that_reads_the_files_of_other_branches_is_flagged() -> None:
    assert of_call("str_replace_editor", command="view", path="/workspace/tox/.git/packed-refs") == ["foreign_history"]
    assert of_call("str_replace_editor", command="view", path="/workspace/tox/packed-refs.py") == []
