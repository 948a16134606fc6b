"""Rows that are longer than a trainer takes: left out or cut, and said either way."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_tokenizer import trained
from tests.unit.sft.tokens.rows import assistant, im, result, user
from tests.unit.sft.twin import JobOnDisk, lines_of, solved
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.filters import Refusal, pairing_fault, role_fault
from trajgen_assets.core.sft.fitting import fitted
from trajgen_assets.core.sft.parallel import verdicts_on
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.tokens.length import Ruler, ruler_of
from trajgen_assets.core.sft.tokens.source import TokenizerFiles, find_tokenizer

Json = dict[str, Any]
LONG = im(
    user("Fix it"),
    assistant("a", run={"cmd": "ls"}, read={"path": "x"}),
    result("one " * 30),
    result("two " * 30, "read"),
    assistant("b", run={"cmd": "ls"}),
    result("three " * 60),
    assistant("c"),
    n_cut_turns=0,
    teachers=["m"],
    leaks=[],
)


@pytest.fixture
def ruler(tokenizer_files: TokenizerFiles) -> Ruler:
    made = ruler_of(tokenizer_files)
    assert made is not None
    return made


def settings(cutoff_len: int, **changes: Any) -> ConversionSettings:
    return ConversionSettings(cutoff_len=cutoff_len, **changes)


def facts(row: Json) -> Json:
    return {key: row["meta_info"]["unique_info"][key] for key in ("n_tokens", "tokens_from", "n_left_out_messages")}


def test_a_row_of_just_the_length_fits_and_one_of_a_token_more_does_not(ruler: Ruler) -> None:
    n_tokens = ruler.n_tokens(LONG)
    row, refusal = fitted(LONG, settings(n_tokens), ruler)
    assert refusal is None
    assert facts(row) == {"n_tokens": n_tokens, "tokens_from": "tokenizer", "n_left_out_messages": 0}
    row, refusal = fitted(LONG, settings(n_tokens - 1), ruler)
    assert refusal == Refusal(Reason.OVER_LENGTH, f"{n_tokens} tokens")
    assert row["messages"] == LONG["messages"]


@pytest.mark.parametrize("n_kept", [3, 6])
def test_a_cut_row_ends_with_a_turn_of_the_model_and_no_part_of_its_results(ruler: Ruler, n_kept: int) -> None:
    longest = ruler.n_tokens(LONG | {"messages": LONG["messages"][:n_kept]})
    for cutoff_len in (longest, longest + 20):
        row, refusal = fitted(LONG, settings(cutoff_len, over_length="cut"), ruler)
        assert row["messages"] == LONG["messages"][:n_kept]
        assert facts(row) == {"n_tokens": longest, "tokens_from": "tokenizer", "n_left_out_messages": 8 - n_kept}
        assert row["meta_info"]["rounds"] == n_kept // 3
        assert role_fault(row["messages"]) is None
        assert pairing_fault(row["messages"]) is None
        assert refusal == (Refusal(Reason.TOO_SHORT) if n_kept == 3 else None)


def test_a_row_whose_first_turn_is_too_long_is_left_out(ruler: Ruler) -> None:
    row, refusal = fitted(LONG, settings(5, over_length="cut"), ruler)
    assert refusal is not None
    assert refusal.reason is Reason.OVER_LENGTH
    assert row["messages"] == LONG["messages"]


def test_without_a_tokenizer_the_endpoints_count_decides_and_nothing_can_be_cut() -> None:
    row = im(*LONG["messages"][1:], _usage={"prompt_tokens": 100, "completion_tokens": 11})
    kept, refusal = fitted(row, settings(111), None)
    assert (refusal, facts(kept)["n_tokens"], facts(kept)["tokens_from"]) == (None, 111, "usage")
    _, refusal = fitted(row, settings(110, over_length="cut"), None)
    assert refusal == Refusal(Reason.OVER_LENGTH, "111 tokens; to cut takes a tokenizer")


def test_a_length_that_nothing_tells_is_a_reason_of_its_own_unless_a_row_is_short_anyway() -> None:
    _, refusal = fitted(LONG, settings(100), None)
    assert refusal == Refusal(Reason.UNKNOWN, "over_length")
    row, refusal = fitted(LONG, settings(100, unknown="keep"), None)
    assert (refusal, facts(row)["tokens_from"]) == (None, "none")
    assert fitted(LONG, settings(5000), None)[1] is None


def test_a_row_that_the_template_refuses_has_no_known_length(tokenizer_folder: Path) -> None:
    config = {"chat_template": "{{ raise_exception('only one user') }}"}
    (tokenizer_folder / "tokenizer_config.json").write_text(json.dumps(config))
    _, refusal = fitted(LONG, settings(100), ruler_of(find_tokenizer(str(tokenizer_folder))))
    assert refusal == Refusal(Reason.UNKNOWN, "over_length: the chat template does not write it: only one user")


def converted(tmp_path: Path, tokenizer: Path, **changes: Any) -> tuple[Json, list[Json], list[Json]]:
    """Receipt, kept and rejected rows of a job of two trials."""
    job = JobOnDisk(tmp_path).add("fix__a", solved("Look first.")).add("fix__b", solved("Look twice. " * 50)).write()
    receipt = convert_job(job, ConversionSettings(tokenizer_name=str(tokenizer), **changes))
    return (
        json.loads((job.sft / "receipt.json").read_bytes()),
        lines_of(receipt.im),
        lines_of(job.sft / "rejected.jsonl"),
    )


def test_a_job_is_counted_by_its_tokenizer_which_the_receipt_names(tmp_path: Path, tokenizer_folder: Path) -> None:
    receipt, rows, rejected = converted(tmp_path, tokenizer_folder)
    stats = json.loads((tmp_path / "sft_data" / "demo-job" / "lf.stats.json").read_bytes())
    counts = [facts(row)["n_tokens"] for row in rows]
    assert receipt["settings"]["tokenizer"] == {"name": "tiny", "sha256": find_tokenizer(str(tokenizer_folder)).sha256}
    assert "tokenizer_name" not in receipt["settings"]
    assert (stats["tokens_from"], stats["total_tokens"], rejected) == ("tokenizer", sum(counts), [])
    assert stats["token_lens"] == {"max": max(counts), "min": min(counts), "mean": sum(counts) // 2, "gt_128k": 0}


def test_another_tokenizer_of_the_same_name_converts_anew(tmp_path: Path, tokenizer_folder: Path) -> None:
    first, _, _ = converted(tmp_path / "one", tokenizer_folder)
    trained(300).save(str(tokenizer_folder / "tokenizer.json"))
    second, _, _ = converted(tmp_path / "two", tokenizer_folder)
    assert first["sft_im"]["signature"] != second["sft_im"]["signature"]


def test_rows_that_were_cut_are_counted_in_the_receipt(tmp_path: Path, tokenizer_folder: Path) -> None:
    _, rows, _ = converted(tmp_path / "whole", tokenizer_folder)
    short, long = (facts(row)["n_tokens"] for row in rows)
    receipt, kept, rejected = converted(tmp_path / "reject", tokenizer_folder, cutoff_len=short)
    assert ([row["reason"] for row in rejected], len(kept)) == (["no_row_kept", "over_length"], 1)
    receipt, kept, rejected = converted(tmp_path / "cut", tokenizer_folder, cutoff_len=long - 1, over_length="cut")
    assert ([row["n_cut_rows"] for row in receipt["sft_im"]["per_trial"]], rejected) == ([0, 1], [])
    assert facts(kept[1])["n_left_out_messages"] == 2
    assert kept[1]["meta_info"]["unique_info"]["_score"]["assistant_turns"] == 2


def test_processes_count_as_one_does(tmp_path: Path, tokenizer_folder: Path) -> None:
    job = JobOnDisk(tmp_path)
    for number in range(4):
        job.add(f"fix__{number}", solved(f"Look {number}."))
    plan = Plan.of(job.write(), ConversionSettings(tokenizer_name=str(tokenizer_folder)))
    found = []
    for n_workers in (0, 2):
        with verdicts_on(plan, n_workers=n_workers) as verdicts:
            found.append(list(verdicts))
    assert found[0] == found[1]
    assert facts(json.loads(found[0][0].rows[0].line))["tokens_from"] == "tokenizer"
