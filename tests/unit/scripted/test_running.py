import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.unit.scripted.asking import post, terminus_body
from trajgen_assets.core.scripted import Fault, running_scripted_model


@contextmanager
def command(*options: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "trajgen_assets.core.scripted", *options]
    process = subprocess.Popen(argv, env=os.environ | (env or {}), stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def base_url(ready_file: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 20
    while not ready_file.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return ready_file.read_text().strip()


def test_an_unset_key_variable_is_an_error_and_not_an_open_door() -> None:
    with command("--api-key-env", "NO_SUCH_KEY") as process:
        _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"NO_SUCH_KEY is not set" in error


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with running_scripted_model() as model, command("--port", model.origin.rsplit(":", 1)[1]) as process:
        assert process.wait(20) == 1


def test_the_command_answers_at_the_address_in_its_ready_file(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready"
    options = ("--ready-file", str(ready_file), "--api-key-env", "SCRIPTED_KEY", "--fault", "server_error")
    with command(*options, env={"SCRIPTED_KEY": "right"}) as process:
        url = base_url(ready_file, process)
        assert post(url, terminus_body()).status_code == 401
        assert post(url, terminus_body(), authorization="Bearer right").status_code == 500
        process.send_signal(signal.SIGTERM)
        process.wait(5)
    with pytest.raises(httpx.ConnectError):
        post(url, terminus_body())


def test_open_requests_do_not_hold_up_the_end() -> None:
    with ThreadPoolExecutor(1) as pool:
        with running_scripted_model(fault=Fault.HANG) as model:
            asked = pool.submit(post, model.base_url, terminus_body())
            while model.n_requests() == 0:
                time.sleep(0.01)
            started = time.monotonic()
        assert time.monotonic() - started < 1
        assert asked.result(timeout=5).status_code == 500


def test_models_run_side_by_side() -> None:
    with running_scripted_model(fault=Fault.SERVER_ERROR) as one, running_scripted_model() as two:
        assert [post(each.base_url, terminus_body()).status_code for each in (one, two)] == [500, 200]


def test_an_error_in_the_block_stops_the_model_too() -> None:
    with pytest.raises(ZeroDivisionError), running_scripted_model() as model:
        _ = 1 / 0
    with pytest.raises(httpx.ConnectError):
        post(model.base_url, terminus_body())


def test_latency_is_added_to_every_answer() -> None:
    with running_scripted_model(latency_s=0.15) as model:
        started = time.monotonic()
        post(model.base_url, terminus_body())
        assert time.monotonic() - started >= 0.15


def test_the_logging_of_the_process_is_left_alone() -> None:
    before = [list(logging.getLogger(name).handlers) for name in (None, "uvicorn")]
    with running_scripted_model():
        assert [logging.getLogger(name).handlers for name in (None, "uvicorn")] == before
