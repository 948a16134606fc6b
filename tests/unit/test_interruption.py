"""Ctrl-C, from the first import on."""

import subprocess
import sys

import pytest

from trajgen_assets.cli.main import interruption
from trajgen_assets.core.exit_codes import EXIT_INTERRUPTED

KILL = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


def python(*lines: str) -> tuple[int, str]:
    code = "\n".join(("import sys; sys.argv[0] = '/bin/trajgen'", *lines))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_ctrl_c_during_the_imports_ends_quietly() -> None:
    assert python("import trajgen_assets.cli", KILL) == (EXIT_INTERRUPTED, "")


def test_once_imported_ctrl_c_is_an_exception_again() -> None:
    assert "KeyboardInterrupt" in python("import trajgen_assets.cli.main", KILL)[1]


def test_who_ignores_interruptions_goes_on_doing_so() -> None:
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    assert python(ignore, "import trajgen_assets.cli", KILL) == (0, "")


@pytest.mark.parametrize(
    ("line", "had_tasks"),
    [
        ("start", True),
        ("--root start -v init --tasks d", True),
        ("--config=c.yaml demo", True),
        ("--root start logs -f", False),
        ("stop", False),
        ("", False),
    ],
)
def test_only_a_command_that_rolls_out_says_what_became_of_its_tasks(line: str, had_tasks: bool) -> None:
    assert interruption(line.split()).startswith("interrupted")
    assert ("pending again" in interruption(line.split())) is had_tasks
