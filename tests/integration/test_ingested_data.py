"""A job that was ingested is summed up and converted as any other, by the run that the sensor asks for."""

import json
import os
from pathlib import Path

import pytest

from resources.instance import dagster_environ, open_instance
from tests.integration.test_ingest import RESOLVED, graded, said
from tests.roots import set_up_root
from tests.unit.openhands import twin
from tests.unit.sft.twin import lines_of
from trajgen_assets.cli.start import make_data
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.platform import Platform
from trajgen_assets.definitions import defs
from trajgen_assets.names import JOB_RESULT, SFT_IM, SFT_LF

CONVERSION = {"enabled": True, "revoked": "keep", "instance_status": "all"}


def test_an_ingested_job_gets_its_result_and_its_training_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = set_up_root(tmp_path, "fern-1", sft_conversion=CONVERSION)
    twin.write_rows(tmp_path / "run" / "output.jsonl", graded(RESOLVED, 1), twin.row("acme__cli-2"))
    [name] = said(root, tmp_path / "run")["jobs"]
    for variable, value in dagster_environ(root, root.path / "config.yaml").items():
        monkeypatch.setitem(os.environ, variable, value)
    with open_ledger(root) as ledger, open_instance(root) as instance:
        [job] = ledger.jobs_needing_downstream()
        assert job.name == name
        platform = Platform(root, load_config(root.path / "config.yaml"), ledger)
        assert make_data(platform, instance, job, defs())
        assert ledger.jobs_needing_downstream() == []
        for asset in (JOB_RESULT, SFT_IM, SFT_LF):
            assert name in instance.event_log_storage.get_materialized_partitions(asset)
    sft = root.job(name).sft
    [row] = lines_of(sft / "im.jsonl")
    assert row["meta_info"]["unique_info"]["scaffold"] == "openhands_codeact"
    assert [message["role"] for message in row["messages"]][-1] == "assistant"
    assert len(json.loads((sft / "lf.json").read_bytes())) == 1
    [refused] = lines_of(sft / "rejected.jsonl")
    assert (refused["reason"], refused["detail"]) == ("not_accepted", "verifier")
