"""The main job in containers of a real engine, and what is left when Harbor, the driver or the engine goes away."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.docker import needs_docker
from tests.e2e.conftest import SECRET, SOLVED, UNSOLVED, Installation, files_with
from tests.e2e.regrading import patch_records, regraded
from tests.waiting import wait_until
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.process import recorded_processes
from trajgen_assets.core.report.archive import read_metadata, read_runs
from trajgen_assets.core.rollout.docker import leftovers_of
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = [pytest.mark.e2e, needs_docker]

EXIT_FAILED, EXIT_REFUSED = 1, 3
ENGINE_SOCKET = "/var/run/docker.sock"
PATIENCE_S = 120.0


@pytest.fixture
def in_docker(installation: Installation, model: ScriptedModel) -> Iterator[Installation]:
    installation.configure(model.base_url, environment="docker")
    installation.run("setup", "--skip-environments")
    yield installation
    for job in job_names(installation):
        installation.run("reap", job)
        assert not leftovers_of(job)


def job_names(installation: Installation) -> list[str]:
    with open_ledger(installation.root) as ledger:
        return [job.name for job in ledger.jobs()]


def rewards(installation: Installation) -> dict[str, float | None]:
    with open_ledger(installation.root) as ledger:
        return {row.task_id: row.reward for row in ledger.rows() if row.eligible}


def containers_run(installation: Installation) -> bool:
    return any(leftovers_of(job).containers for job in job_names(installation))


def test_the_bundled_tasks_give_the_same_rewards_in_containers_and_leave_none(
    in_docker: Installation, tmp_path: Path
) -> None:
    code, output = in_docker.run("start")
    assert code == 0, output
    assert rewards(in_docker) == {**dict.fromkeys(SOLVED, 1.0), UNSOLVED: 0.0}
    (job,) = job_names(in_docker)
    assert not leftovers_of(job)
    assert files_with(SECRET, in_docker.root.path) == []
    files = in_docker.root.job(job)
    assert {record and (record.status, record.read_by) for record in patch_records(files).values()} == {
        ("ok", "engine")
    }
    assert regraded(files, tmp_path / "fresh") == rewards(in_docker)
    assert not files.patches.exists()
    (run,) = read_runs(in_docker.root).rows
    images = read_metadata(in_docker.root.path / run.archive).images
    assert images is not None
    assert [(name, digest[:7]) for name, digest in images.items()] == [("trajgen/sample-base:1", "sha256:")]


def test_harbor_killed_outright_ends_the_job_truthfully_and_its_containers_with_it(in_docker: Installation) -> None:
    start = in_docker.begin("start")
    wait_until(lambda: containers_run(in_docker), limit_s=PATIENCE_S)
    (job,) = job_names(in_docker)
    os.kill(recorded_processes(in_docker.root.job(job).processes)["harbor"].pid, signal.SIGKILL)
    output, _ = start.communicate(timeout=PATIENCE_S)
    assert start.returncode == EXIT_FAILED, output
    assert "Harbor ended while" in output
    assert not leftovers_of(job)
    with open_ledger(in_docker.root) as ledger:
        assert ledger.job(job).state is JobState.FAILED
        assert ledger.check_balance().done == 0
        assert ledger.check_balance().running == 0


def test_driver_and_harbor_killed_at_once_leave_containers_that_reap_removes(in_docker: Installation) -> None:
    start = in_docker.begin("start")
    wait_until(lambda: containers_run(in_docker), limit_s=PATIENCE_S)
    (job,) = job_names(in_docker)
    harbor = psutil.Process(recorded_processes(in_docker.root.job(job).processes)["harbor"].pid)
    harbor.kill()
    start.kill()
    start.communicate()
    wait_until(lambda: live_holders(in_docker.root.locks) == set(), limit_s=PATIENCE_S)
    assert leftovers_of(job)
    code, output = in_docker.run("reap", job)
    assert code == 0, output
    assert "containers" in output
    assert not leftovers_of(job)

    code, output = in_docker.run("start")
    assert code == 0, output
    assert rewards(in_docker) == {**dict.fromkeys(SOLVED, 1.0), UNSOLVED: 0.0}


def test_without_an_engine_the_job_is_refused_in_one_sentence(in_docker: Installation, tmp_path: Path) -> None:
    elsewhere = {"DOCKER_HOST": f"unix://{tmp_path / 'nobody.sock'}"}
    code, output = Installation(in_docker.root, elsewhere).run("start")
    assert code == EXIT_REFUSED
    assert "refused, and no task was consumed: Docker does not answer" in output
    assert "Traceback" not in output
    with open_ledger(in_docker.root) as ledger:
        assert ledger.check_balance().pending == 6


def test_an_engine_that_goes_away_in_mid_job_costs_no_task(in_docker: Installation, tmp_path: Path) -> None:
    with forwarded_engine(tmp_path / "engine.sock") as cut:
        start = Installation(in_docker.root, {"DOCKER_HOST": f"unix://{tmp_path / 'engine.sock'}"}).begin("start")
        wait_until(lambda: containers_run(in_docker), limit_s=PATIENCE_S)
        cut()
        output, _ = start.communicate(timeout=PATIENCE_S)
    assert start.returncode != 0
    assert "Traceback" not in output
    with open_ledger(in_docker.root) as ledger:
        counts = ledger.check_balance()
        assert (counts.running, counts.failed) == (0, 0)
        assert counts.pending + counts.done == 6


@contextmanager
def forwarded_engine(path: Path) -> Iterator[Callable[[], None]]:
    """Forward a socket to the engine's; yields the function that cuts every connection and takes no new one."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    pairs: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(ENGINE_SOCKET)
            pairs.extend((client, engine))
            for ends in ((client, engine), (engine, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    def cut() -> None:
        listener.shutdown(socket.SHUT_RDWR)
        path.unlink(missing_ok=True)
        for each in pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread that reads from it
            each.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield cut
    finally:
        listener.close()
