from pathlib import Path

import pytest

from tests.unit.sft.agent_twin import AgentTwin, tool_call, tool_result
from tests.unit.sft.twin import JobOnDisk, lines_of
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.weights import REFUSALS


def refused(text: str) -> AgentTwin:
    """Three turns; one of the two calls of the second is refused."""
    return (
        AgentTwin()
        .answer("Look.", tool_call("c1"))
        .tell(tool_result("c1"))
        .answer("Edit.", tool_call("c2"), tool_call("c3", "{}", "Edit"))
        .tell(tool_result("c2", "calc.py"), tool_result("c3", text))
        .answer("Done.")
    )


def weights(folder: Path, text: str, *, mask: bool) -> list[int]:
    job = JobOnDisk(folder).add("fix__x", refused(text)).write(scaffold="claude_code")
    (row,) = lines_of(convert_job(job, ConversionSettings(mask_error_turns=mask)).im)
    return [message["weight"] for message in row["messages"] if message["role"] == "assistant"]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_turn_that_a_tool_refused_is_kept_and_masked_only_where_that_is_wanted(tmp_path: Path, refusal: str) -> None:
    assert weights(tmp_path / "off", f"{refusal} No such file.", mask=False) == [1, 1, 1]
    assert weights(tmp_path / "on", f"\n{refusal} No such file.", mask=True) == [1, 0, 1]


def test_a_result_that_only_mentions_a_refusal_masks_nothing(tmp_path: Path) -> None:
    assert weights(tmp_path, "grep found: <tool_use_error>", mask=True) == [1, 1, 1]
