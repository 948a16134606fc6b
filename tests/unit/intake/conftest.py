from pathlib import Path

import pytest

TASK_TOML = """\
[metadata]
difficulty = "easy"
tags = ["python"]

[verifier]
timeout_sec = 120.0

[agent]
timeout_sec = 60

[environment]
build_timeout_sec = 300.0
"""


def write_task(folder: Path, *, instruction: str = "Mend the parser.\n", toml: str = TASK_TOML) -> Path:
    for name in ("environment", "tests", "solution"):
        (folder / name).mkdir(parents=True)
    (folder / "task.toml").write_text(toml)
    (folder / "instruction.md").write_text(instruction)
    (folder / "environment" / "Dockerfile").write_text("FROM scratch\n")
    (folder / "environment" / "bug.patch").write_text("--- a\n+++ b\n")
    (folder / "solution" / "solve.sh").write_text("#!/bin/sh\n")
    test = folder / "tests" / "test.sh"
    test.write_text("#!/bin/sh\nexit 0\n")
    test.chmod(0o755)
    return folder


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "source" / "tox-dev__tox-3813")
