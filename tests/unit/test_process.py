"""Children are ended in good order, also those that somebody had stopped."""

import signal
import sys
import time
from pathlib import Path

import psutil

from tests.waiting import wait_until
from trajgen_assets.core.process import ProcessId, child_env, spawn, stop_group, stop_recorded

CLEANS_UP = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("cleaned up", flush=True), sys.exit(7)))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_stopped_process_still_cleans_up_when_it_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for end in ("group", "recorded"):
        with log.open("wb") as output:
            child = spawn([sys.executable, "-c", CLEANS_UP], env=child_env(), cwd=tmp_path, log=output)
        wait_until(lambda: "ready" in log.read_text(), limit_s=30)
        child.send_signal(signal.SIGSTOP)
        wait_until(lambda pid=child.pid: psutil.Process(pid).status() == psutil.STATUS_STOPPED)  # type: ignore[misc]
        started_s = time.monotonic()
        if end == "group":
            assert stop_group(child, grace_s=30) == 7
        else:
            assert stop_recorded([ProcessId.of(child.pid)], grace_s=30) == [child.pid]
            child.wait()
        assert time.monotonic() - started_s < 20
        assert "cleaned up" in log.read_text()
