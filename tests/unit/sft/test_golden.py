"""One trial of each scaffold, as the proxy recorded it, and what becomes of it.

The records are of real rollouts with the scripted model, with long texts and most tools cut away, and ids renamed;
that of `openhands_codeact` is written in the form of its calls.
When other rows are meant, look at what changed, and write what `made` returns into the file.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sft.twin import JobOnDisk, Record, lines_of
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.scaffolds import SCAFFOLDS as READERS
from trajgen_assets.core.sft.settings import ConversionSettings

GOLDEN = Path(__file__).parent / "golden"
SCAFFOLDS = tuple(sorted(path.stem for path in GOLDEN.glob("*.jsonl")))

LF_KEYS = ("conversations", "system", "tools")

# Facts of a row that say how it came to be. What is found out about it later has tests of its own.
FACTS = (
    "_agent_type",
    "_gen_params",
    "_usage",
    "think_mode",
    "conversation",
    "scaffold",
    "n_unmatched_reasoning",
    "n_rewritten_turns",
    "n_joined_user_messages",
    "n_shared_messages",
)


def made(folder: Path, scaffold: str) -> dict[str, Any]:
    trajectory = (GOLDEN / f"{scaffold}.jsonl").read_bytes()
    job = JobOnDisk(folder).add("fix__x", trajectory).write(scaffold=scaffold)
    receipt = convert_job(job, ConversionSettings())
    rejected = [[each["reason"], each["detail"]] for each in lines_of(job.sft / "rejected.jsonl")]
    lf = [
        {key: row[key] for key in ("conversations", "system", "tools")} for row in json.loads(receipt.lf.read_bytes())
    ]
    return {"im": [with_own_facts(row) for row in lines_of(receipt.im)], "rejected": rejected, "lf": lf}


def with_own_facts(row: Record) -> Record:
    facts = {key: row["meta_info"]["unique_info"][key] for key in FACTS}
    return row | {"meta_info": row["meta_info"] | {"unique_info": facts}}


def test_there_is_a_record_of_each_scaffold() -> None:
    assert set(SCAFFOLDS) == set(READERS)


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_a_recorded_trial_becomes_the_same_rows_as_ever(tmp_path: Path, scaffold: str) -> None:
    assert made(tmp_path, scaffold) == json.loads((GOLDEN / f"{scaffold}.json").read_bytes())
