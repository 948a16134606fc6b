"""The earlier system's scripts: one line each, from any folder, with its flags and the command's exit code."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command_words import problem_of
from tests.roots import set_up_root
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from trajgen_assets.core.paths import PROJECT, Root

SCRIPTS = sorted((PROJECT / "scripts").glob("*.sh"))
OLD_FLAGS = {
    "update_repos": ("--repo", "--ref"),
    "setup_swe_data_process_env": ("--no-extras",),
    "prepare_tasks": ("--config", "--overwrite"),
    "dryrun": (),
    "clean": ("--dry-run", "-n", "--outputs", "--repos"),
    "start": ("--update-repos", "--dry-run-command", "-h"),
    "convert_trajectories": (
        "--job", "--scaffold", "--out-dir", "--max-instances", "--exclude-repos-file", "--skip-unchanged",
        "--reasoning-check-mode", "--reasoning-content-ratio-threshold",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return set_up_root(tmp_path_factory.mktemp("scripts"), "fern-1")


def run(root: Root, name: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    script = PROJECT / "scripts" / f"{name}.sh"
    environ = {**os.environ, "TRAJGEN_ROOT": str(root.path)}
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, env=environ, cwd=cwd or root.path, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_one_line_around_a_command_that_knows_its_old_flags(script: Path) -> None:
    shebang, line = script.read_text().splitlines()
    assert shebang == "#!/bin/sh"
    head, tail = 'exec "$(dirname "$(readlink -f "$0")")/trajgen" ', ' "$@"'
    assert (line.startswith(head), line.endswith(tail), os.access(script, os.X_OK)) == (True, True, True)
    command = line.removeprefix(head).removesuffix(tail)
    assert problem_of(" ".join([command, *OLD_FLAGS[script.stem]])) is None


def test_each_script_has_its_list_of_old_flags() -> None:
    assert {path.stem for path in SCRIPTS} == OLD_FLAGS.keys()


@pytest.mark.faults  # each call takes 2 s of a processor, and below each script is called for what it does
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_is_that_of_the_command(root: Root, script: Path) -> None:
    done = run(root, script.stem, "--help")
    assert (done.returncode, "Usage: trajgen " in done.stdout) == (EXIT_OK, True)


def test_tasks_are_staged_from_any_folder_and_the_old_flags_say_what_they_mean(root: Root, tmp_path: Path) -> None:
    config = shutil.copy(root.path / "config.yaml", tmp_path / "mine.yaml")
    done = run(root, "prepare_tasks", "--config", config.name, "--overwrite", cwd=tmp_path)
    assert done.returncode == EXIT_OK, done.stderr
    staged = root.tasks / "py-cc" / "fern-1" / "task.toml"
    assert staged.is_file()
    assert "--overwrite is not needed" in done.stderr
    done = run(root, "clean", "-n")
    assert (done.returncode, "would be removed" in done.stdout, staged.is_file()) == (EXIT_OK, True, True)


def test_exit_codes_are_the_commands(root: Root) -> None:
    assert run(root, "dryrun", "--no-probe").returncode == EXIT_FAILED  # nothing listens where the model should
    assert run(root, "convert_trajectories", "--job", "nobody", "--skip-unchanged").returncode == EXIT_USAGE
    assert run(root, "update_repos", "--ref", "main").returncode == EXIT_USAGE
    refused = run(root, "start", "--dry-run-command")
    assert (refused.returncode, "`trajgen dryrun` checks all" in refused.stderr) == (EXIT_USAGE, True)


def test_the_converters_environment_takes_a_pin_and_the_old_flag_says_what_it_means(root: Root) -> None:
    done = run(root, "setup_swe_data_process_env", "--no-extras")
    assert (done.returncode, "no converter is pinned" in done.stderr) == (EXIT_USAGE, True)
    assert "--no-extras is not needed" in done.stderr


def test_through_a_link_it_is_the_same(root: Root, tmp_path: Path) -> None:
    link = tmp_path / "start"
    link.symlink_to(PROJECT / "scripts" / "start.sh")
    done = subprocess.run([link, "-h"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "Usage: trajgen start" in done.stdout


def test_a_checkout_that_is_not_set_up_says_so(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "scripts", tmp_path / "scripts")
    done = subprocess.run([tmp_path / "scripts" / "start.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, "Mend: make setup" in done.stderr) == (EXIT_REFUSED, True)
