"""A command as a script: it does what was done, and asks for what is secret."""

import subprocess
from pathlib import Path

from trajgen_assets.core.shell import script_of

HARD = "a b'c\"$HOME`id`\\\n;*"


def test_arguments_folder_and_environment_arrive_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    code = "import os, sys; print(repr((sys.argv[1:], os.getcwd(), os.environ['PLAIN'], os.environ['KEY'])))"
    text = script_of(
        ["python3", "-c", code, HARD, folder], title="t", cwd=folder, plain={"PLAIN": HARD}, secret=["KEY"]
    )
    environ = {"PATH": "/usr/bin:/bin:/usr/local/bin", "KEY": HARD}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout == repr(([HARD, str(folder)], str(folder), HARD, HARD)) + "\n"


def test_without_its_secret_nothing_is_run(tmp_path: Path) -> None:
    text = script_of(["touch", tmp_path / "ran"], title="t", cwd=tmp_path, plain={}, secret=["KEY"])
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env={}, check=False)
    assert done.returncode != 0
    assert "KEY: its value is not kept" in done.stderr
    assert not (tmp_path / "ran").exists()
