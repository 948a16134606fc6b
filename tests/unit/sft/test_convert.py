import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sft.twin import JobOnDisk, TerminusTwin, answer_text, job_with, lines_of, solved
from trajgen_assets.core.capture.stored import compress, compressed_name
from trajgen_assets.core.config.scaffolds import SUPPORTED_SCAFFOLDS
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import TaskRecord
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.scaffolds import SCAFFOLDS
from trajgen_assets.core.sft.settings import ConversionSettings

DEFAULT = ConversionSettings()


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def reasons(job: JobPaths) -> list[tuple[str, str, str]]:
    rejected = lines_of(job.sft / "rejected.jsonl")
    return [(each["trial"], each["level"], each["reason"]) for each in rejected]


def test_a_missing_trials_file_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).paths
    with pytest.raises(ConversionError, match=r"no trials\.json"):
        convert_job(job, DEFAULT)
    assert not job.sft.exists()


def test_an_unknown_scaffold_is_refused_and_the_known_ones_are_named(tmp_path: Path) -> None:
    known = "claude_code, mini_swe_agent, open_code, openhands_codeact, openhands_sdk, terminus2"
    with pytest.raises(ConversionError, match=f"known are {known}"):
        convert_job(job_with(tmp_path, [solved()]), ConversionSettings(scaffold="nonsense"))


def test_the_configuration_and_the_conversion_agree_on_what_can_be_converted() -> None:
    assert {each.sft for each in SUPPORTED_SCAFFOLDS.values() if each.sft} == set(SCAFFOLDS)


@pytest.mark.parametrize("rolled_out", SCAFFOLDS)
def test_a_job_of_another_scaffold_is_refused(tmp_path: Path, rolled_out: str) -> None:
    job = JobOnDisk(tmp_path).write(scaffold=rolled_out)
    for other in set(SCAFFOLDS) - {rolled_out}:
        with pytest.raises(ConversionError, match=f"rolled out with {rolled_out}, not with {other}"):
            convert_job(job, ConversionSettings(scaffold=other))


def test_the_row_of_a_trial_says_everything_about_where_it_comes_from(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("fix__x", solved()).write()
    receipt = convert_job(job, DEFAULT)
    (row,) = lines_of(receipt.im)
    facts = row["meta_info"].pop("unique_info")
    assert list(row) == ["version", "meta_info", "tools", "messages"]
    assert row["version"] == "2.0.0"
    assert row["meta_info"] == {
        "teacher": "served-v2",
        "query_source": "synthesized",
        "response_generate_time": "2025-11-21",
        "response_update_time": "2025-11-21",
        "owner": "00000000",
        "language": "en",
        "category": "code",
        "rounds": 3,
    }
    assert facts["_instance_id"] == "tox-dev__tox-3813"
    assert facts["_agent_type"] == "main"
    assert (facts["_score"]["assistant_turns"], facts["_score"]["composite_score"]) == (3, 0.662)
    assert facts["_gen_params"] == {"model": "served", "temperature": 0.7}
    assert facts["_usage"]["total_tokens"] == 310
    assert facts["_instance_metadata"] == {"language": "python", "tags": ["math"]}
    assert (facts["job"], facts["trial"], facts["reward"], facts["capture"]) == ("demo-job", "fix__x", 1.0, "complete")
    assert (facts["task_digest"], facts["model"], facts["think_mode"]) == ("d1", "openai/served", "slow")
    roles = [message["role"] for message in row["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    assert [each["reasoning_content"] for each in row["messages"][2::2]] == ["Look first.", "", "Look first."]


def test_model_turns_reach_the_data_byte_for_byte(tmp_path: Path) -> None:
    twin = TerminusTwin().ask("one", ' {"plan" :  "ü 漢"}  \n', "t").ask("two", "not json at all\n\n", "t")
    receipt = convert_job(job_with(tmp_path, [twin]), DEFAULT)
    (row,) = lines_of(receipt.im)
    assert [each["content"] for each in row["messages"][2::2]] == [' {"plan" :  "ü 漢"}  \n', "not json at all\n\n"]
    (lf,) = json.loads(receipt.lf.read_bytes())
    assert lf["conversations"][3]["value"] == "<think>\nt\n</think>\n\nnot json at all\n\n"


def test_lf_alternates_and_carries_thoughts_in_tags_only_where_there_are_any(tmp_path: Path) -> None:
    receipt = convert_job(job_with(tmp_path, [solved(), solved(reasoning=None)]), DEFAULT)
    slow, fast = json.loads(receipt.lf.read_bytes())
    assert [turn["from"] for turn in slow["conversations"]] == ["human", "gpt"] * 3
    assert slow["conversations"][1]["value"].startswith("<think>\nLook first.\n</think>\n\n{")
    assert slow["conversations"][3]["value"].startswith("{")
    assert all("<think>" not in turn["value"] for turn in fast["conversations"])
    assert (slow["system"], slow["tools"]) == ("", "")
    assert json.loads(slow["_usage"])["total_tokens"] == 310


def test_the_older_style_has_messages_of_role_and_content(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    receipt = convert_job(job, ConversionSettings(lf_format="llamafactory_lf_v0.1"))
    (row,) = json.loads(receipt.lf.read_bytes())
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * 3
    assert row["messages"][1]["content"].startswith("<think>\nLook first.\n</think>\n\n{")
    assert row["_instance_metadata"] == {"language": "python", "tags": ["math"]}
    tags = json.loads((job.sft / "dataset_info.json").read_bytes())["demo-job"]["tags"]
    assert (tags["role_tag"], tags["user_tag"], tags["assistant_tag"]) == ("role", "user", "assistant")


def test_only_facts_that_differ_in_shape_between_rows_become_text_in_the_older_style(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path)
    for number, tags in enumerate((["math"], "math")):
        task = TaskRecord(digest="d", instruction="Fix add()", metadata={"tags": tags})
        job.add(f"trial__{number}", solved(f"Look {number}."), task=task)
    receipt = convert_job(job.write(), ConversionSettings(lf_format="llamafactory_lf_v0.1"))
    first, second = json.loads(receipt.lf.read_bytes())
    assert (first["_instance_metadata"], second["_instance_metadata"]) == ('{"tags":["math"]}', '{"tags":"math"}')
    assert first["_usage"]["total_tokens"] == 310


def test_statistics_are_of_recorded_usage_and_leave_open_what_was_not_measured(tmp_path: Path) -> None:
    bare = solved(None)
    bare.records[-1]["usage"] = None
    job = job_with(tmp_path, [solved(), bare])
    convert_job(job, DEFAULT)
    stats = json.loads((job.sft / "lf.stats.json").read_bytes())
    errors = {
        "total_tool_calls": 4,
        "error_tool_calls": 0,
        "error_rate": 0.0,
        "trajectories_with_tool_calls": 2,
        "trajectories_with_error": 0,
        "trajectory_error_rate": 0.0,
    }
    assert stats == {
        "count": 2,
        "total_tokens": 310,
        "tokens_from": "usage",
        "rows_without_tokens": 1,
        "rows_cut": 0,
        "token_lens": {"max": 310, "min": 310, "mean": 310, "gt_128k": 0},
        "n_turns": {"max": 3, "min": 3, "mean": 3, "gte_100": 0},
        "scores": {"max": 0.662, "min": 0.662, "mean": 0.662},
        "tool_call_errors": {**errors, "by_scaffold": {"terminus2": errors}},
    }


def test_a_job_without_any_kept_row_still_gives_valid_files(tmp_path: Path) -> None:
    receipt = convert_job(JobOnDisk(tmp_path).write(), DEFAULT)
    assert receipt.im.read_bytes() == b""
    assert json.loads(receipt.lf.read_bytes()) == []
    assert receipt.n_rows == 0


REJECTED: dict[str, dict[str, Any]] = {
    "not_accepted": {"accepted": False, "status": "failed", "cause": "sandbox"},
    "instance_status": {"reward": 0.0},
    "capture_unknown": {"capture": None},
    "capture_gap": {"capture": "gap"},
    "capture_cut": {"capture": "cut"},
    "trajectory_changed": {"trajectory_sha256": "0" * 64},
}
DETAILS = {
    "not_accepted": "sandbox",
    "instance_status": "reward 0.0",
    "trajectory_changed": "its digest is not the recorded one",
}


@pytest.mark.parametrize("reason", REJECTED)
def test_a_trial_is_left_out_for_what_its_entry_says(tmp_path: Path, reason: str) -> None:
    job = JobOnDisk(tmp_path).add("bad__x", solved(), **REJECTED[reason]).add("good__x", solved()).write()
    receipt = convert_job(job, DEFAULT)
    assert reasons(job) == [("bad__x", "trial", reason)]
    assert receipt.sft_im.per_trial[0].detail == DETAILS.get(reason)
    assert (receipt.n_rows, receipt.rejected) == (1, {"trials": {reason: 1}, "rows": {}})


def broken(*, line: bytes) -> bytes:
    return solved().lines() + line + b"\n"


def with_message(message: Any) -> bytes:
    twin = solved()
    twin.records[-1]["request_body"]["messages"][1] = message
    return twin.lines()


def with_answer(**changes: Any) -> bytes:
    twin = solved()
    twin.records[-1]["response_body"]["choices"][0]["message"] |= changes
    return twin.lines()


def without_choices() -> bytes:
    twin = solved()
    twin.records[-1]["response_body"]["choices"] = []
    return twin.lines()


def all_failed() -> bytes:
    twin = solved()
    return b"".join(json.dumps(record | {"success": False}).encode() + b"\n" for record in twin.records)


BAD_FILES: dict[str, tuple[bytes | None, str]] = {
    "file that is missing": (None, "missing_trajectory"),
    "empty file": (b"", "no_successful_record"),
    "failed calls only": (all_failed(), "no_successful_record"),
    "torn line": (solved().lines()[:-40], "broken_line"),
    "line that is no object": (broken(line=b"[1]"), "broken_line"),
    "byte order mark": (b"\xef\xbb\xbf" + solved().lines(), "broken_line"),
    "bytes that are not UTF-8": (broken(line=b'{"a": "\xff"}'), "broken_line"),
    "lone surrogate": (broken(line=rb'{"a": "\ud800"}'), "broken_line"),
    "number that is none": (broken(line=b'{"a": NaN}'), "broken_line"),
    "nesting without end": (broken(line=b"[" * 5000 + b"]" * 5000), "broken_line"),
    "message that is no object": (with_message("hello"), "malformed_record"),
    "line of 100 MB": (solved().lines() + b"x" * 100_000_000, "broken_line"),
    "answer without choices": (without_choices(), "malformed_record"),
    "answer of another role": (with_answer(role="user"), "malformed_record"),
    "calls that are no list": (with_answer(tool_calls=7), "malformed_record"),
    "call that is no object": (with_answer(tool_calls=["bash"]), "malformed_record"),
    "result of a call whose id is no text": (
        with_message({"role": "tool", "content": "x", "tool_call_id": [1]}),
        "malformed_record",
    ),
    "message without a role": (with_message({"content": "hello"}), "malformed_record"),
    "deeply nested content": (
        with_message({"role": "user", "content": json.loads("[" * 400 + "]" * 400)}),
        "unencodable",
    ),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_trajectory_costs_its_own_trial_only(tmp_path: Path, what: str) -> None:
    lines, reason = BAD_FILES[what]
    job = JobOnDisk(tmp_path).add("before__x", solved()).add("bad__x", lines).add("after__x", solved(None)).write()
    receipt = convert_job(job, DEFAULT)
    assert reasons(job) == [("bad__x", "trial", reason)]
    assert [row["meta_info"]["unique_info"]["trial"] for row in lines_of(receipt.im)] == ["before__x", "after__x"]


def test_an_unforeseen_failure_costs_one_trial_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = JobOnDisk(tmp_path).add("odd__x", b"no frame", trajectory_sha256=None).add("good__x", solved()).write()
    job.trajectory("odd__x").rename(compressed_name(job.trajectory("odd__x")))
    receipt = convert_job(job, DEFAULT)
    assert receipt.rejected["trials"] == {"unexpected_error": 1}
    assert receipt.n_rows == 1
    assert not convert_job(job, DEFAULT).changed  # it fails as before
    assert caplog.text.count("odd__x could not be converted") == 2


def two_users() -> TerminusTwin:
    twin = solved()
    twin.call([*twin.chat, {"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "c", "t")
    return twin


def one_turn() -> TerminusTwin:
    return TerminusTwin().ask("do", "done", "t")


def few_thoughts() -> TerminusTwin:
    twin = TerminusTwin().ask("0", "a", "t")
    for number in range(1, 6):
        twin.ask(str(number), "a")
    return twin


@pytest.mark.parametrize(
    ("build", "reason", "detail"),
    [
        (two_users, "role_order", "message 8 is 'user' after 'user'"),
        (one_turn, "too_short", None),
        (few_thoughts, "reasoning", "in 1 of 6 turns"),
    ],
)
def test_a_conversation_is_left_out_for_what_it_is(tmp_path: Path, build: Any, reason: str, detail: str | None) -> None:
    job = JobOnDisk(tmp_path).add("bad__x", build()).write()
    receipt = convert_job(job, DEFAULT)
    assert reasons(job) == [("bad__x", "trial", "no_row_kept"), ("bad__x", "row", reason)]
    assert receipt.rejected == {"trials": {"no_row_kept": 1}, "rows": {reason: 1}}
    refusal = lines_of(job.sft / "rejected.jsonl")[1]
    assert refusal["detail"] == detail
    assert refusal["row"]["messages"]


def test_a_row_that_the_trainer_would_lose_is_left_out_with_the_cause(tmp_path: Path) -> None:
    twin = TerminusTwin().ask("one", "a", "t").ask("two", "b", "t")
    call = {"id": "c1", "type": "function", "function": {"name": "run", "arguments": "not json"}}
    twin.records[-1]["response_body"]["choices"][0]["message"]["tool_calls"] = [call]
    job = JobOnDisk(tmp_path).add("bad__x", twin).write()
    convert_job(job, DEFAULT)
    refusal = lines_of(job.sft / "rejected.jsonl")[1]
    assert (refusal["reason"], "not an object" in refusal["detail"]) == ("not_loadable", True)


def test_excluded_repositories_are_left_out(tmp_path: Path) -> None:
    listed = tmp_path / "repos.txt"
    listed.write_text("# benchmark\n\nTox-Dev/tox\n")
    job = JobOnDisk(tmp_path).add("a__x", solved()).add("b__x", solved(), task_id="tox-dev__tox-ini-3").write()
    receipt = convert_job(job, ConversionSettings(exclude_repos_file=listed))
    assert receipt.rejected["trials"] == {"excluded_repo": 1}
    assert lines_of(receipt.im)[0]["meta_info"]["unique_info"]["trial"] == "b__x"


def test_at_most_the_asked_number_of_trials_is_kept_in_recorded_order(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("bad__x", b"").add("a__x", solved()).add("b__x", solved()).write()
    receipt = convert_job(job, ConversionSettings(max_instances=1))
    assert reasons(job) == [("bad__x", "trial", "no_successful_record"), ("b__x", "trial", "max_instances")]
    assert receipt.n_rows == 1


def test_partial_rewards_come_only_with_all(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("half__x", solved(), reward=0.5).add("none__x", solved(None), reward=0.0).write()
    kept = {
        status: convert_job(job, ConversionSettings(instance_status=status)).n_rows
        for status in ("resolved", "unresolved", "all")
    }
    assert kept == {"resolved": 0, "unresolved": 1, "all": 2}


def test_a_cut_capture_is_taken_up_to_its_last_whole_call(tmp_path: Path) -> None:
    twin = solved()
    job = JobOnDisk(tmp_path).add("cut__x", twin.lines()[:-40], capture="cut").write()
    receipt = convert_job(job, ConversionSettings(take_cut=True))
    assert lines_of(receipt.im)[0]["meta_info"]["rounds"] == 2


def test_equal_inputs_give_equal_bytes_wherever_and_whenever_they_are_converted(tmp_path: Path) -> None:
    jobs = [
        job_with(tmp_path / name, [solved(), b"", solved(None).hand_off().ask("go", "a", "t")]) for name in ("a", "b")
    ]
    for job in jobs:
        convert_job(job, DEFAULT)
    assert everything_in(jobs[0].sft) == everything_in(jobs[1].sft)
    (jobs[0].sft / "receipt.json").unlink()
    assert convert_job(jobs[0], DEFAULT).changed
    assert everything_in(jobs[0].sft) == everything_in(jobs[1].sft)


def test_unchanged_inputs_write_nothing(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved(), b""])
    first = convert_job(job, DEFAULT)
    written = {path.name: path.stat().st_ino for path in job.sft.iterdir()}
    again = convert_job(job, DEFAULT)
    assert (first.changed, again.changed) == (True, False)
    assert again == first.model_copy(update={"changed": False})
    assert {path.name: path.stat().st_ino for path in job.sft.iterdir()} == written


def test_a_trajectory_that_turns_up_later_is_converted_then(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("late__x", None).write()
    assert convert_job(job, DEFAULT).n_rows == 0
    job.trajectory("late__x").parent.mkdir(parents=True)
    job.trajectory("late__x").write_bytes(solved().lines())
    assert convert_job(job, DEFAULT).n_rows == 1


@pytest.mark.parametrize(
    "name", ["im.jsonl", "rejected.jsonl", "rows.parquet", "lf.json", "lf.stats.json", "dataset_info.json"]
)
def test_a_damaged_or_missing_file_is_written_again(tmp_path: Path, name: str) -> None:
    job = job_with(tmp_path, [solved(), b""])
    convert_job(job, DEFAULT)
    before = everything_in(job.sft)
    (job.sft / name).write_bytes(b"damaged")
    assert convert_job(job, DEFAULT).changed
    assert everything_in(job.sft) == before
    (job.sft / name).unlink()
    assert convert_job(job, DEFAULT).changed
    assert everything_in(job.sft) == before


def test_another_lf_style_takes_the_im_rows_over(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    earlier = convert_job(job, DEFAULT).im.stat().st_ino
    receipt = convert_job(job, ConversionSettings(lf_format="llamafactory_lf_v0.1"))
    assert receipt.changed
    assert receipt.im.stat().st_ino == earlier


def test_other_settings_change_the_signature(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    signatures = {
        convert_job(job, settings).signature
        for settings in (DEFAULT, ConversionSettings(take_cut=True), ConversionSettings(max_instances=3))
    }
    assert len(signatures) == 3


def test_no_temporary_file_and_no_path_of_the_machine_is_left(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    convert_job(job, DEFAULT)
    written = everything_in(job.sft)
    assert sorted(written) == [
        "dataset_info.json",
        "im.jsonl",
        "lf.json",
        "lf.stats.json",
        "receipt.json",
        "rejected.jsonl",
        "rows.parquet",
    ]
    assert all(str(tmp_path).encode() not in content for content in written.values())


def test_compressed_trajectories_give_the_same_data_and_are_not_converted_anew(tmp_path: Path) -> None:
    branching = solved()
    for title in ("Briefly continue this task: one", "Briefly continue this task: two"):
        branching.call([{"role": "user", "content": title}], "aside")  # each a conversation of its own, read again
    trials = [solved(None), branching.ask("One more look.", answer_text("Fine.", done=True))]
    job = job_with(tmp_path / "a", trials)
    plain = job_with(tmp_path / "b", trials)
    convert_job(plain, DEFAULT)
    for name in ("trial__0", "trial__1"):
        compress(job.trajectory(name))
    convert_job(job, DEFAULT)
    assert (job.sft / "im.jsonl").read_bytes() == (plain.sft / "im.jsonl").read_bytes()
    for name in ("trial__0", "trial__1"):
        compress(plain.trajectory(name))
    assert not convert_job(plain, DEFAULT).changed


def test_a_damaged_compressed_trajectory_costs_its_own_trial(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved(), solved()])
    compress(job.trajectory("trial__0"))
    compressed_name(job.trajectory("trial__0")).write_bytes(b"x")
    receipt = convert_job(job, DEFAULT)
    assert receipt.sft_im.trials.rejected == {"trajectory_changed": 1}
