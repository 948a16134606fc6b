"""The proxy's start against programs that are no proxy: it must fail soon, say why, and leave no process."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from trajgen_assets.core.capture.proxy import Upstream, running_proxy
from trajgen_assets.core.errors import ProxyError
from trajgen_assets.guest import trial_keys

UPSTREAM = Upstream("openai/m", "http://upstream.test/v1", "upstream-secret-0123456789")


def _env(folder: Path, script: str) -> Path:
    program = folder / "env" / "bin" / "litellm"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho $$ >> {folder}/pids\n{script}\n")
    program.chmod(0o755)
    return folder / "env"


def _error(folder: Path, env: Path, ready_timeout_s: float = 20) -> ProxyError:
    with (
        pytest.raises(ProxyError) as caught,
        running_proxy(env=env, folder=folder / "job", job="job", upstream=UPSTREAM, ready_timeout_s=ready_timeout_s),
    ):
        pytest.fail("entered without a proxy")
    return caught.value


def _living(folder: Path) -> list[int]:
    pids = map(int, (folder / "pids").read_text().split())
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_a_missing_environment_is_named(tmp_path: Path) -> None:
    assert "LiteLLM is not installed" in str(_error(tmp_path, tmp_path / "none"))


def test_a_proxy_that_dies_is_reported_at_once_with_its_log_and_no_secret(tmp_path: Path) -> None:
    script = 'echo "no module named x; $TRAJGEN_UPSTREAM_API_KEY $TRAJGEN_MASTER_KEY"; exit 3'
    began_at = time.monotonic()
    text = str(_error(tmp_path, _env(tmp_path, script)))
    assert time.monotonic() - began_at < 10
    assert "exit code 3" in text
    assert "no module named x; <redacted:TRAJGEN_UPSTREAM_API_KEY> <redacted:master key>" in text
    assert _living(tmp_path) == []


def test_nothing_that_it_prints_brings_a_secret_into_its_log(tmp_path: Path) -> None:
    subkey = "import hashlib, hmac, os; key = os.environ['TRAJGEN_MASTER_KEY'].encode(); "
    subkey += "print(hmac.new(key, b'trial-key-v1', hashlib.sha256).hexdigest())"
    trial_key = trial_keys.mint("00" * 32, "job", "task__1")
    script = f'env; echo "a {trial_key} b" >&2; {sys.executable} -c "{subkey}"; exit 3'
    error = _error(tmp_path, _env(tmp_path, script))
    text = (tmp_path / "job" / "proxy.log").read_text()
    assert "TRAJGEN_UPSTREAM_API_KEY=<redacted:TRAJGEN_UPSTREAM_API_KEY>\n" in text
    assert "TRAJGEN_MASTER_KEY=<redacted:master key>\n" in text
    assert "a <redacted:trial key> b\n<redacted:trial subkey>\n" in text
    for known in (UPSTREAM.api_key, trial_key):
        assert known not in text + str(error)


def test_a_proxy_that_never_answers_is_ended_with_its_children(tmp_path: Path) -> None:
    env = _env(tmp_path, f"sh -c 'echo $$ >> {tmp_path}/pids; exec sleep 300' & sleep 300")
    assert "did not get ready in time" in str(_error(tmp_path, env, ready_timeout_s=3))
    assert len((tmp_path / "pids").read_text().split()) == 2
    assert _living(tmp_path) == []


def test_a_port_taken_by_another_is_tried_three_times(tmp_path: Path) -> None:
    env = _env(tmp_path, 'echo "[Errno 98] error while attempting to bind: Address already in use"; exit 1')
    assert "lost its port 3 times" in str(_error(tmp_path, env))
    assert len((tmp_path / "pids").read_text().split()) == 3


def test_its_environment_is_an_allow_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-someone-elses")
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere")
    _error(tmp_path, _env(tmp_path, f"env > {tmp_path}/environ; exit 1"))
    environ = (tmp_path / "environ").read_text()
    assert "OPENAI_API_KEY" not in environ
    assert "DATABASE_URL" not in environ
    assert "TRAJGEN_JOB=job\n" in environ
    assert f"TRAJGEN_PROXY_DIR={tmp_path}/job\n" in environ


def test_its_folder_is_private_and_its_configuration_without_secrets(tmp_path: Path) -> None:
    _error(tmp_path, _env(tmp_path, "exit 1"))
    assert UPSTREAM.api_key not in (tmp_path / "job" / "litellm_config.yaml").read_text()
    for name in ("trajectories", "journal", "admitted", "ended"):
        assert (tmp_path / "job" / name).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "job" / "guest" / "trial_auth.py").exists()
