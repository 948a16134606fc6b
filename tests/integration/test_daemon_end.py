"""A daemon that is ended in order is missed by nobody, also when a tick beats while it ends."""

import sys
from pathlib import Path

import pytest

from resources.instance import prepare_instance
from tests.waiting import wait_until
from trajgen_assets.cli.state import State
from trajgen_assets.cli.ui import daemon
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.heartbeat import last_beat

BEATS_AT_ITS_END = """\
#!/bin/sh
trap 'touch "{beat}"; exit 0' TERM
touch "{ready}"
while :; do sleep 0.05; done
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """A root with a stand-in for Dagster's daemon, which leaves one more beat when it is told to end."""
    root = Root(tmp_path / "root")
    prepare_instance(root, max_jobs=1)
    program = tmp_path / "bin" / "dagster-daemon"
    program.parent.mkdir()
    program.write_text(BEATS_AT_ITS_END.format(beat=root.heartbeat, ready=root.path / "ready"))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    return State(root, root.path / "config.yaml", verbose=False)


def test_a_beat_that_a_tick_leaves_while_the_daemon_ends_is_taken_away_with_it(state: State) -> None:
    with daemon(state) as child:
        wait_until((state.root.path / "ready").exists)
        assert last_beat(state.root) is not None
    assert child.returncode == 0
    assert last_beat(state.root) is None


def test_the_beat_of_a_daemon_that_died_stays(state: State) -> None:
    with daemon(state) as child:
        wait_until((state.root.path / "ready").exists)
        child.kill()
        child.wait()
    assert last_beat(state.root) is not None
