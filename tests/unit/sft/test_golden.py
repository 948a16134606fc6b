"""One trial of each agent that calls tools, as the proxy recorded it, and all that becomes of it.

The records are of real rollouts with the scripted model, with long texts and most tools cut away, and ids renamed.
When other bytes are meant, look at what changed, and write `made(...)` into the file.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sft.twin import JobOnDisk, lines_of
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import ConversionSettings

GOLDEN = Path(__file__).parent / "golden"
SCAFFOLDS = tuple(sorted(path.stem for path in GOLDEN.glob("*.jsonl")))


def made(folder: Path, scaffold: str) -> dict[str, Any]:
    trajectory = (GOLDEN / f"{scaffold}.jsonl").read_bytes()
    job = JobOnDisk(folder).add("fix__x", trajectory).write(scaffold=scaffold)
    receipt = convert_job(job, ConversionSettings())
    rejected = [(each["reason"], each["detail"]) for each in lines_of(job.sft / "rejected.jsonl")]
    im, lf = lines_of(receipt.im), json.loads(receipt.lf.read_bytes())
    for facts in (*(row["meta_info"]["unique_info"] for row in im), *lf):
        for name in ("_score", "score_evidence"):  # which have tests of their own, and rules that may change
            facts.pop(name, None)
    return {"im": im, "rejected": rejected, "lf": lf}


def test_there_is_a_record_of_each_agent_that_calls_tools() -> None:
    assert SCAFFOLDS == ("claude_code", "mini_swe_agent", "open_code", "openhands_sdk")


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_a_recorded_trial_becomes_the_same_rows_as_ever(tmp_path: Path, scaffold: str) -> None:
    expected = json.loads((GOLDEN / f"{scaffold}.json").read_bytes())
    assert json.loads(json.dumps(made(tmp_path, scaffold))) == expected
