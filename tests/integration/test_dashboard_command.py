"""`trajgen dashboard` from outside: what it prints, what it refuses, and how it ends."""

import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.sites import RootSize, make_root
from trajgen_assets.core.exit_codes import EXIT_USAGE
from trajgen_assets.core.paths import PROJECT, Root

TRAJGEN = PROJECT / ".venv" / "bin" / "trajgen"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return make_root(tmp_path_factory.mktemp("command") / "root", RootSize(n_trials=6, n_per_job=6, n_turns=2))


def dashboard(root: Root, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [TRAJGEN, "--root", root.path, "dashboard", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_it_says_where_the_pages_lie_and_that_nothing_changed(root: Root) -> None:
    first, again = dashboard(root), dashboard(root)
    assert (first.returncode, again.returncode) == (0, 0)
    index = root.path / "dashboard" / "site" / "index.html"
    assert index.exists()
    assert first.stdout.splitlines()[-2:] == [str(index.parent), index.as_uri()]
    assert "unchanged" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--export", "x", "--serve"], "give one of them"),
        (["--public"], "--export DIR"),
        (["--port", "8080"], "add --serve"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_mend(root: Root, arguments: list[str], said: str) -> None:
    done = dashboard(root, *arguments)
    assert done.returncode == EXIT_USAGE
    assert said in done.stderr


def test_a_root_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    done = dashboard(Root(tmp_path / "typo"), "--sqlite", tmp_path / "facts.db")
    assert (done.returncode, list(tmp_path.iterdir())) == (EXIT_USAGE, [])
    assert "--root" in done.stderr


def test_it_is_served_until_an_interrupt(root: Root) -> None:
    argv = [TRAJGEN, "--root", root.path, "dashboard", "--serve", "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        address = next(found[0] for line in child.stdout if (found := re.match(r"http://127\.0\.0\.1:\d+/", line)))
        assert "From the manifest into a data set" in httpx.get(address, trust_env=False).text
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
