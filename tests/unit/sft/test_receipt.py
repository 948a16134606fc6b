"""In is kept plus rejected, whatever a job holds."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.sft.twin import JobOnDisk, TerminusTwin, lines_of, solved
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.receipt import Balance, load_receipt
from trajgen_assets.core.sft.settings import ConversionSettings

words = st.sampled_from(["a", "b", "You are about to hand off your work to another AI agent. Go.", "<think>t</think>x"])
messages = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": words})


@st.composite
def trajectories(draw: st.DrawFn) -> bytes | None:
    """Dialogues with branches, hand-offs and nonsense; torn files; none at all."""
    twin = TerminusTwin()
    for _ in range(draw(st.integers(0, 5))):
        step = draw(st.sampled_from(["ask", "ask", "ask", "hand_off", "stray", "retry", "fail"]))
        if step == "ask":
            twin.ask(draw(words), draw(words), draw(st.none() | words))
        elif step == "hand_off" and twin.chat:
            twin.hand_off()
        elif step == "stray":
            twin.call(draw(st.lists(messages, min_size=1, max_size=4)), draw(words))
        elif twin.records:
            last = twin.records[-1]
            twin.call(last["request_body"]["messages"], draw(words), success=step == "retry")
    lines = twin.lines()
    cut = draw(st.sampled_from([None, None, None, -30]))
    return draw(st.sampled_from([lines[:cut], lines[:cut], lines[:cut], None]))


entries = st.fixed_dictionaries(
    {
        "reward": st.sampled_from([1.0, 0.5, 0.0]),
        "capture": st.sampled_from(["complete", "complete", "cut", "gap", None]),
        "accepted": st.sampled_from([True, True, True, False]),
    }
)
choices = st.builds(
    ConversionSettings,
    instance_status=st.sampled_from(["resolved", "all"]),
    max_instances=st.none() | st.integers(1, 2),
    reasoning_check_mode=st.sampled_from(["strict", "adaptive"]),
    take_cut=st.booleans(),
    lf_format=st.sampled_from(["sharegpt", "llamafactory_lf_v0.1"]),
)


@settings(max_examples=40, deadline=None)
@given(trials=st.lists(st.tuples(trajectories(), entries), max_size=4), chosen=choices)
def test_every_trial_and_every_conversation_is_accounted_for(
    trials: list[tuple[bytes | None, dict[str, Any]]], chosen: ConversionSettings
) -> None:
    with TemporaryDirectory() as folder:
        on_disk = JobOnDisk(Path(folder))
        for number, (lines, changes) in enumerate(trials):
            on_disk.add(f"trial__{number}", lines, **changes)
        job = on_disk.write()
        receipt = convert_job(job, chosen).sft_im
        kept, rejected = lines_of(job.sft / "im.jsonl"), lines_of(job.sft / "rejected.jsonl")
        lf = json.loads((job.sft / "lf.json").read_bytes())
        stored = load_receipt(job.sft)
    assert receipt.trials.n_in == len(trials) == len(receipt.per_trial)
    assert receipt.rows.n_in == sum(each.rows.n_in for each in receipt.per_trial)
    assert receipt.rows.n_kept == len(kept) == len(lf)
    assert sum(receipt.rows.rejected.values()) == sum(each["level"] == "row" for each in rejected)
    assert sum(receipt.trials.rejected.values()) == sum(each["level"] == "trial" for each in rejected)
    assert "unexpected_error" not in receipt.trials.rejected
    assert {row["meta_info"]["unique_info"]["trial"] for row in kept} == {
        each.trial for each in receipt.per_trial if each.reason is None
    }
    assert stored is not None
    assert stored.sft_im == receipt


def test_a_balance_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(ValidationError, match="in is not kept plus rejected"):
        Balance(n_in=3, n_kept=1, rejected={"reasoning": 1})


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": 2}', b'{"foreign": true}'])
def test_a_receipt_that_cannot_be_read_is_made_anew(tmp_path: Path, content: bytes) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved()).write()
    whole = convert_job(job, ConversionSettings())
    (job.sft / "receipt.json").write_bytes(content)
    assert load_receipt(job.sft) is None
    assert convert_job(job, ConversionSettings()) == whole


def test_data_without_a_row_says_why_and_data_with_one_does_not(tmp_path: Path) -> None:
    chosen = ConversionSettings()
    assert convert_job(JobOnDisk(tmp_path / "a").write(), chosen).why_empty == (
        "of 0 trials none became a row (no trial has ended)"
    )
    refused = JobOnDisk(tmp_path / "b").add("t__1", None, accepted=False).write()
    assert (convert_job(refused, chosen).why_empty or "").startswith("of 1 trial none became a row (1 ")
    assert convert_job(JobOnDisk(tmp_path / "c").add("t__1", solved()).write(), chosen).why_empty is None
