import shlex
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen_assets.core.sft.score.shell import files_written, kind_of_test, segments, words


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("cd /app && FOO=1 pytest -q | tee out", ["cd /app", "pytest -q", "tee out"]),
        ("echo 'a; b && c' ; ls", ["echo 'a; b && c'", "ls"]),
        ("pytest 2>&1 | tail", ["pytest 2>&1", "tail"]),
        ("sudo -E env A=1 timeout -k 5 30s nohup pytest", ["pytest"]),
        ("uv run --frozen pytest tests", ["pytest tests"]),
        ("cat > f <<'EOF'\npytest; rm x\nEOF\nls", ["cat > f <<'EOF'", "ls"]),
        ("# pytest\nls # pytest", ["ls"]),
        ('echo "open \' quote" ; ls', ['echo "open \' quote"', "ls"]),
        ("", []),
        ("'never closed ; ls", ["'never closed", "ls"]),
    ],
)
def test_a_command_is_parted_where_the_shell_parts_it(command: str, parts: list[str]) -> None:
    assert list(segments(command)) == parts


@pytest.mark.parametrize(
    "command",
    [
        "pytest",
        "python -m pytest -x tests/test_a.py",
        "python3 -W error -m unittest discover -s tests",
        ".venv/bin/pytest",
        "cd /app && go test ./...",
        "cargo test --all",
        "cargo nextest run",
        "ctest --output-on-failure",
        "mvn -q -pl core test",
        "./gradlew :core:test --tests Foo",
        "npx jest src",
        "mocha",
        "yarn test",
        "npm run test:unit",
        "make test",
        "make -C build check",
        "./runtests.py admin",
        "python manage.py test app",
        "cmake --build build --target test",
        "dotnet test",
        "deno test",
        "bun test",
        "sbt core/test",
        "Rscript -e 'devtools::test()'",
        "sh run_tests.sh",
        "ls\npytest",
        "timeout 60 pytest",
        "poetry run pytest",
        "tail -5 log; pytest",
        "(cd app && pytest)",
        "bash -c 'cd app && pytest -q'",
        "pytest || true",
        "if pytest; then echo ok; fi",
        "stdbuf -oL exec pytest",
        "mix test",
        "swift test",
        "lein test",
        "busted",
        "nvim --headless -c 'PlenaryBustedDirectory tests/'",
        "npx vitest run",
        "mvn -B -Dtest=Foo test",
        "./build/test_add",
    ],
)
def test_a_run_of_a_test_suite_is_told(command: str) -> None:
    assert kind_of_test(command) == "formal"


@pytest.mark.parametrize(
    "command",
    [
        "python reproduce.py",
        "python3 /tmp/check.py",
        "python -c 'import a; print(a.f())'",
        "node -e 'console.log(1)'",
        "ruby -e 'p 1'",
        "go run main.go",
        "java -jar app.jar",
        "java Main",
        "bazel test //...",
        "tox -e py311",
        "rspec",
        "./check.sh",
    ],
)
def test_a_script_that_tries_something_is_an_informal_test(command: str) -> None:
    assert kind_of_test(command) == "informal"


@pytest.mark.parametrize(
    "command",
    [
        "cat tests/test_a.py",
        "grep -rn pytest .",
        "pip install pytest",
        "npm install jest",
        "echo pytest",
        "git commit -m 'make test'",
        "rm -rf tests",
        "jest --version",
        "pytest --collect-only",
        "./gradlew build -x test",
        "python setup.py build",
        "python manage.py runserver",
        "npm run build",
        "ruff check a.py",
        "python -m mypy a.py",
        "python -c \"open('a.py', 'w').write('x')\"",
        "vim test_a.py",
        "pytester",
        "",
    ],
)
def test_what_only_looks_like_a_test_is_none(command: str) -> None:
    assert kind_of_test(command) is None


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("cat > a.py <<'EOF'\nx > y\nEOF", ("a.py",)),
        ("cat a >> b.py", ("b.py",)),
        ("echo 'x > y' > c.txt", ("c.txt",)),
        ("printf '%s' x > 'd.txt'", ("d.txt",)),
        ("> e.txt", ("e.txt",)),
        ("make | tee -a log.txt", ("log.txt",)),
        ("patch -p1 f.py < fix.diff", ("f.py",)),
        ("sed -i 's/a b/c d/' g.py h.py", ("g.py", "h.py")),
        ("sed -i.bak -e 's/a/b/' g.py; sed --in-place 's/x/y/' i.py", ("g.py", "i.py")),
        ("sed -i -E 's/(a)/b/' g.py", ("g.py",)),
        ("perl -pi -e 's/a/b/' j.pl", ("j.pl",)),
        ("python3 - <<'PY'\nfrom pathlib import Path\np = Path(\"k.py\")\np.write_text('')\nPY", ("k.py",)),
        ("python -c \"open('l.py', 'w').write('x')\"", ("l.py",)),
        ("sed -n '1,3p' g.py", ()),
        ("cat a.py", ()),
        ("ls 2>/dev/null", ()),
        ("echo x > /dev/null", ()),
        ("echo x >&2", ()),
        ("cp a.py b.py", ()),
        ("mv a.py b.py", ()),
        ("grep x a.py > found.txt", ()),
        ("python3 - <<'PY'\nprint(open('a.py').read())\nPY", ()),
    ],
)
def test_the_files_that_a_command_writes(command: str, files: tuple[str, ...]) -> None:
    assert files_written(command) == files


# fmt: off
SLOW = (
    "a'", "x=\"\\", "make -a ", "java -a ", "python -c ", "python ", "((", "a/", "-c open(", "mvn ", "\n", "<<A\n",
    "sed -i ", "timeout -k ", "# ", "> ", "npm ", "sbt ", " ",
)
# fmt: on


@pytest.mark.parametrize("part", SLOW)
def test_a_command_made_to_be_slow_is_not(part: str) -> None:
    command = part * (2_000_000 // len(part))
    began = process_time()
    kind_of_test(command)
    files_written(command)
    assert process_time() - began < 5  # an exponential pattern would take minutes


@given(st.text(st.sampled_from("ab/.-#$ \t\n\r\x0b\x1c\u00a0\u2003'\"\\")))
def test_words_are_what_the_shell_reads(segment: str) -> None:
    try:
        read = shlex.split(segment)
    except ValueError:
        read = []
    assert words(segment) == read
