"""A configuration that rolls rows out with the stand-in."""

from pathlib import Path
from typing import Any

import yaml

from tests.configuration import NO_MODEL
from tests.openhands_checkout.making import StandIn


def openhands_config_text(rows: Path, stand_in: StandIn, **sections: Any) -> str:
    """With the rows in `rows`, of which each counts as verified; `sections` of `runtime_info.input` are merged in."""
    openhands = {"evaluator": "none", "python": str(stand_in.python), "language": "python"}
    source = {"provider": "multi_swe_jsonl", "dataset_name": str(rows), "manifest": "none"}
    inputs = {
        "llm_api": NO_MODEL,
        "task_source": source | sections.pop("task_source", {}),
        "rollout": {"harness": "openhands"},
        "openhands": openhands | sections.pop("openhands", {}),
        **sections,
    }
    meta = {"repositories": {"openhands": stand_in.repository}}
    return yaml.safe_dump({"meta_info": meta, "runtime_info": {"input": inputs}})
