"""A disk that is full while the proxy records: the trial is marked, and what comes after is whole again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from tests.disks import small_disk
from tests.installed import LITELLM_ENV
from tests.integration.model_calls import CHAT, JOB, body_of, upstream_at
from tests.integration.upstream_twin import Upstream, serving_upstream
from tests.waiting import wait_until
from trajgen_assets.core.capture.proxy import RunningProxy, running_proxy
from trajgen_assets.core.capture.verdict import judge
from trajgen_assets.core.ledger.models import CaptureVerdict

TRIAL, OTHER = "a__1", "b__1"
LONG = "x" * 5000  # so that a record does not fit into what is left of the last page


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "16m") as folder:
        yield folder


@pytest.fixture
def twin() -> Iterator[Upstream]:
    with serving_upstream() as upstream:
        yield upstream


def ask(proxy: RunningProxy, trial: str) -> int:
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    body = body_of(CHAT, LONG)
    return httpx.post(f"{proxy.base_url}{CHAT}", json=body, headers=headers, timeout=30, trust_env=False).status_code


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    return filler


def test_records_of_a_full_disk_are_torn_at_most_and_their_trials_are_known(disk: Path, twin: Upstream) -> None:
    upstream = upstream_at(twin.port)
    with running_proxy(env=LITELLM_ENV, folder=disk / JOB, job=JOB, upstream=upstream) as proxy:
        assert [ask(proxy, TRIAL), ask(proxy, OTHER)] == [200, 200]
        wait_until(lambda: judge(proxy.folder, TRIAL, explained=None).ok == 1, limit_s=10)
        filler = fill(disk)
        # The admission may still fit into a page that is half full; its record does not, and then nothing goes on.
        statuses = [ask(proxy, TRIAL) for _ in range(4)]
        n_served = statuses.count(200)
        assert statuses == [200] * n_served + [503] * (4 - n_served)
        assert judge(proxy.folder, TRIAL, explained=None).ok == 1

        os.unlink(filler)
        assert [ask(proxy, TRIAL), ask(proxy, OTHER)] == [200, 200]
        wait_until(lambda: judge(proxy.folder, TRIAL, explained=None).ok == 2, limit_s=10)
        wait_until(lambda: judge(proxy.folder, OTHER, explained=None).ok == 2, limit_s=10)

        capture = judge(proxy.folder, TRIAL, explained="the agent ran out of time")
        assert capture.admitted == 2 + n_served
        assert capture.verdict is (CaptureVerdict.GAP if n_served else CaptureVerdict.COMPLETE)
        assert proxy.has_lost_lines()
        assert judge(proxy.folder, OTHER, explained=None).verdict is CaptureVerdict.COMPLETE
        whole = [orjson.loads(line) for line in records(proxy) if is_json(line)]
        assert [record["success"] for record in whole] == [True, True]
        lost = [json.loads(line)["lost"] for line in (proxy.folder / "broken").read_text().splitlines()]
        assert "admission" in lost
        assert n_served == 0 or "record" in lost


def records(proxy: RunningProxy) -> list[bytes]:
    return (proxy.folder / "trajectories" / f"{TRIAL}.jsonl").read_bytes().splitlines()


def is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
