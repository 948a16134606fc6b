"""LLaMA-Factory itself reads what we wrote: its own code, from `dataset_info.json` to token ids, loses no row.

The program `llamafactory_loader.py` runs that code in an environment of its own, without torch and without a network.
"""

import json
import os
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.unit.openhands.real_rows import ALL_ROWS, job_of_real_rows
from tests.unit.sft.test_golden import GOLDEN, SCAFFOLDS
from tests.unit.sft.twin import JobOnDisk, solved
from trajgen_assets.core.paths import PROJECT, JobPaths, Root
from trajgen_assets.core.rollout.trials import TaskRecord
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.im import read_im, with_facts
from trajgen_assets.core.sft.lf import OBSERVATION_JOINT, check_lf_row, dataset_entry, lf_row
from trajgen_assets.core.sft.lf_step import write_lf
from trajgen_assets.core.sft.messages import normalise_all, normalise_tools
from trajgen_assets.core.sft.receipt import SftPaths
from trajgen_assets.core.sft.settings import ConversionSettings, LfFormat

pytestmark = pytest.mark.e2e

Row = dict[str, Any]
Fates = dict[str, dict[str, Any]]

# One for each way in which models that are trained on agents' work write tool calls: plain text, JSON in tags, the
# same beside empty thoughts that the template adds, and XML.
TEMPLATES = ("default", "qwen", "qwen3", "qwen3_5")
STYLES = ("sharegpt", "llamafactory_lf_v0.1")
LOADER = PROJECT / "tests" / "e2e" / "llamafactory_loader.py"
LOADING_TIME_S = 120


class Loader:
    """LLaMA-Factory's data code in a process of its own, with all that it might keep below `home`."""

    def __init__(self, python: Path, home: Path) -> None:
        self.python = python
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "HF_HOME": str(home / "huggingface"),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "DO_NOT_TRACK": "1",
        }

    def run(self, folder: Path, data_set: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-I", LOADER, folder, data_set, *TEMPLATES],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=LOADING_TIME_S,
            check=False,
        )

    def load(self, folder: Path, data_set: str) -> Fates:
        done = self.run(folder, data_set)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def loader(env_dir: Path, tmp_path: Path) -> Loader:
    python = env_dir / "llamafactory-uv" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{python} is missing: run `scripts/bootstrap --tests`, as `make test` does")
    home = tmp_path / "home"
    home.mkdir()
    return Loader(python, home)


def turns_of(row: Row) -> list[str]:
    turns = [(turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))) for turn in turns_in(row)]
    return [text for tag, text in turns if tag != "system"]


def turns_in(row: Row) -> list[Row]:
    return row.get("conversations") or row["messages"]


def lost(fate: dict[str, Any]) -> list[int]:
    """Which rows the converter passed over."""
    return [number for number, row in enumerate(fate["aligned"]) if not row["turns"]]


def assert_taken_whole(rows: list[Row], fates: Fates) -> None:
    """Rows kept = rows in, turns out = turns in, and every text of every turn is there."""
    assert list(fates) == list(TEMPLATES)
    for fate in fates.values():
        assert lost(fate) == []
        assert (len(fate["aligned"]), len(fate["texts"])) == (len(rows), len(rows))
        for row, aligned, text, learned in zip(rows, fate["aligned"], fate["texts"], fate["learned"], strict=True):
            assert [content for _, content in aligned["turns"]] == turns_of(row)
            assert_texts_are_there(aligned, text, learned)


def assert_texts_are_there(aligned: dict[str, Any], text: str, learned: str) -> None:
    """The template keeps every turn and the system message, and what the model said is what is learned.

    Calls are left to their own test: each template writes them in its own way.
    """
    assert aligned["system"] in text
    for role, content in aligned["turns"]:
        if role in {"user", "observation"}:
            assert content in text
        elif role == "assistant":
            assert content in learned
        else:
            assert content.partition("<tool_call>" if "<tool_call>" in content else "[{")[0] in learned


def rows_in(folder: Path) -> list[Row]:
    return json.loads((folder / "lf.json").read_bytes())


def test_every_row_of_the_demo_is_taken_whole(finished_demo: Root, loader: Loader) -> None:
    (folder,) = (each for each in finished_demo.sft_data.iterdir() if each.is_symlink())
    rows = rows_in(folder)
    assert len(rows) == 4
    assert_taken_whole(rows, loader.load(folder, folder.name))


def uneven_job(folder: Path) -> JobPaths:
    """Trials whose facts differ in shape: metadata, sampling settings, usage that is there or not."""
    bare = solved(reasoning=None)
    bare.records[-1]["usage"] = None
    other = solved("Look closer.")
    for record in other.records:
        record["request_body"] |= {"temperature": 1, "stop": ["END"]}
    job = JobOnDisk(folder)
    metadata: list[dict[str, Any]] = [
        {"language": "python", "tags": ["math"], "stars": 3},
        {"language": ["python", "c"], "tags": "math", "stars": 2**63},
        {},
    ]
    for number, trajectory in enumerate((solved(), bare, other)):
        task = TaskRecord(digest="d", instruction="Fix add()", metadata=metadata[number])
        job.add(f"trial__{number}", trajectory, task=task)
    return job.write()


@pytest.mark.parametrize("lf_format", STYLES)
def test_rows_whose_facts_differ_in_shape_are_all_taken(lf_format: LfFormat, loader: Loader, tmp_path: Path) -> None:
    job = uneven_job(tmp_path)
    convert_job(job, ConversionSettings(lf_format=lf_format))
    rows = rows_in(job.sft)
    assert len(rows) == 3
    assert all("composite_score" in str(row["_score"]) for row in rows)
    assert_taken_whole(rows, loader.load(job.sft, "demo-job"))


def rows_of_all_scaffolds(folder: Path, n_rows: int) -> list[Row]:
    """IM rows of a recorded trial of each scaffold in turn, of mixed metadata, a fifth of them without a score."""
    metadata: list[dict[str, Any]] = [{"stars": 3}, {"stars": "many", "tags": ["a"]}, {}]
    rows = []
    for scaffold in SCAFFOLDS:
        trajectory = (GOLDEN / f"{scaffold}.jsonl").read_bytes()
        job = JobOnDisk(folder / scaffold).add("fix__x", trajectory).write(scaffold=scaffold)
        rows += read_im(convert_job(job, ConversionSettings()).im)
    assert len(rows) == len(SCAFFOLDS) == 6
    mixed = [rows[number % len(rows)] for number in range(n_rows)]
    scored = [with_facts(im, {"_instance_metadata": metadata[n % len(metadata)]}) for n, im in enumerate(mixed)]
    return [with_facts(im, {"_score": None}) if n // len(rows) % 5 == 0 else im for n, im in enumerate(scored)]


def data_of(folder: Path, ims: list[Row], lf_format: LfFormat) -> Path:
    """A folder with these rows as im.jsonl, and what is made of it."""
    folder.mkdir()
    SftPaths(folder).im.write_bytes(b"".join(encode(im) + b"\n" for im in ims))
    write_lf("rows", ConversionSettings(lf_format=lf_format), folder)
    return folder


@pytest.mark.parametrize("lf_format", STYLES)
def test_a_thousand_rows_of_all_scaffolds_are_taken_whole(lf_format: LfFormat, loader: Loader, tmp_path: Path) -> None:
    ims = rows_of_all_scaffolds(tmp_path / "jobs", 1000)
    folder = data_of(tmp_path / "all", ims, lf_format)
    fates = loader.load(folder, "rows")
    assert_taken_whole(rows_in(folder), fates)
    calls, results = [calls_of(im) for im in ims], [results_of(im) for im in ims]
    assert min(sum(map(len, calls)), sum(map(len, results))) > 1000
    assert_calls_are_there(calls, fates, lf_format)
    for fate in fates.values() if lf_format == "sharegpt" else ():
        assert [observations_of(row) for row in fate["aligned"]] == results


def test_real_rows_of_openhands_are_taken_whole(loader: Loader, tmp_path: Path) -> None:
    job = job_of_real_rows(tmp_path)
    ims = [*read_im(convert_job(job, ALL_ROWS).im)]
    fates = loader.load(job.sft, job.dir.name)
    assert len(ims) == 3
    assert_taken_whole(rows_in(job.sft), fates)
    told = {name: fate for name, fate in fates.items() if name != "qwen3_5"}  # whose XML has no types: "false" is false
    assert_calls_are_there([calls_of(im) for im in ims], told, "sharegpt")


def assert_calls_are_there(calls: list[list[Any]], fates: Fates, lf_format: LfFormat) -> None:
    """Name and arguments of each are read back; in the older style they are words of the model, as JSON."""
    for fate in fates.values():
        if lf_format == "sharegpt":
            assert fate["calls"] == calls
        else:
            for made, learned in zip(calls, fate["learned"], strict=True):
                assert all(json.dumps({"name": n, "arguments": a}, ensure_ascii=False) in learned for n, a in made)


def calls_of(im: Row) -> list[list[Any]]:
    """The calls of an IM row, as name and arguments."""
    functions = [call["function"] for message in im["messages"] for call in message.get("tool_calls", ())]
    return [[function["name"], json.loads(function["arguments"])] for function in functions]


def results_of(im: Row) -> list[str]:
    return [message["content"] for message in im["messages"] if message["role"] == "tool"]


def observations_of(aligned: Row) -> list[str]:
    """What LLaMA-Factory has of the results of a row, parallel ones apart."""
    found = [content.split(OBSERVATION_JOINT) for role, content in aligned["turns"] if role == "observation"]
    return list(chain.from_iterable(found))


def call(name: str, **arguments: Any) -> Row:
    return {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def model(content: str, *calls: Row, reasoning: str = "") -> Row:
    return {"role": "assistant", "content": content, "reasoning_content": reasoning, "tool_calls": list(calls)}


def user(content: str) -> Row:
    return {"role": "user", "content": content}


def result(content: str) -> Row:
    return {"role": "tool", "content": content}


EDIT = call("edit", path="a b.py", text='x = "ü"\n\t\\n{{content}}', at=[1, 2.5, None, True], nested={"a": {}})
LIST, LOOK = call("list"), call("look", depth=2)
SYSTEM = {"role": "system", "content": "Be brief.\n{braces} and 'quotes'"}
TOOLS = [
    {"type": "function", "function": {"name": "list", "description": "Lists."}},
    {"name": "look", "parameters": {"type": "object"}},
    {
        "name": "edit",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
]
DIALOGUES: list[tuple[list[Row], list[Row]]] = [
    ([SYSTEM, user("go"), model("", EDIT), result("done"), model("Fine.")], [EDIT]),
    (
        [user("go"), model("", LIST, LOOK), result("a"), result("b"), model("", EDIT), result(""), model("Fine.")],
        [LIST, LOOK, EDIT],
    ),
    (
        [
            user("go"),
            model("Both.", LIST, EDIT, reasoning="Why."),
            result("a"),
            result("b"),
            model("Fine.", reasoning="So."),
        ],
        [LIST, EDIT],
    ),
    ([SYSTEM, user("go"), model("", LOOK, reasoning="Why."), result("<tool_call>"), model("<b>Fine</b>")], [LOOK]),
    ([user("5"), model("6")], []),
]


def im_row(number: int, messages: list[Row]) -> Row:
    facts = {"_instance_id": str(number), "_score": None, "_agent_type": "main", "_gen_params": {}, "_usage": None}
    return {
        "meta_info": {"unique_info": facts | {"_instance_metadata": {}}},
        "tools": normalise_tools(TOOLS if number else []),
        "messages": normalise_all(messages),
    }


def written(folder: Path, rows: list[Row], lf_format: LfFormat) -> Path:
    (folder / "lf.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps(dataset_entry("calls", lf_format, "lf.json")))
    return folder


def rows_with_calls(lf_format: LfFormat) -> list[Row]:
    return [lf_row(im_row(number, messages), lf_format) for number, (messages, _) in enumerate(DIALOGUES)]


@pytest.mark.parametrize("lf_format", STYLES)
def test_every_tool_call_keeps_its_name_and_arguments(lf_format: LfFormat, loader: Loader, tmp_path: Path) -> None:
    rows = rows_with_calls(lf_format)
    fates = loader.load(written(tmp_path, rows, lf_format), "calls")
    assert_taken_whole(rows, fates)
    made = [[list(call["function"].values()) for call in calls] for _, calls in DIALOGUES]
    expected = [[[name, json.loads(arguments)] for name, arguments in calls] for calls in made]
    assert_calls_are_there(expected, fates, lf_format)


MARKED = call("edit", text="<think>a</think><tool_call>[]</tool_call>", end="<|im_end|>")
SAID = "I write <tool_call>[]</tool_call> and <|im_end|>."
MARKED_TURNS = {
    "in arguments": model("", MARKED),
    "in arguments beside thoughts": model("", LIST, MARKED, reasoning="Why."),
    "in a text": model(SAID, LIST, EDIT),
    "an open one in a text": model("I write <tool_call>.", MARKED),
    "in thoughts": model("", LIST, reasoning=SAID),
    "an end of thoughts in thoughts": model("", LIST, reasoning="I write </think>."),
}


@pytest.mark.parametrize("lf_format", STYLES)
def test_no_mark_in_a_text_hides_a_call(lf_format: LfFormat, loader: Loader, tmp_path: Path) -> None:
    """At inference not all of these could be told apart, so the words are looked at that LLaMA-Factory trains on."""
    dialogues = [[user("go"), turn, result(SAID), model(SAID)] for turn in MARKED_TURNS.values()]
    rows = [lf_row(im_row(number, messages), lf_format) for number, messages in enumerate(dialogues, start=1)]
    fate = loader.load(written(tmp_path, rows, lf_format), "calls")["qwen"]
    assert lost(fate) == []
    for turn, text, learned in zip(MARKED_TURNS.values(), fate["texts"], fate["learned"], strict=True):
        functions = [each["function"] for each in turn["tool_calls"]]
        calls = [{"name": each["name"], "arguments": json.loads(each["arguments"])} for each in functions]
        tagged = [f"<tool_call>\n{json.dumps(each, ensure_ascii=False)}\n</tool_call>" for each in calls]
        said = f"<think>\n{turn['reasoning_content']}\n</think>\n\n" if turn["reasoning_content"] else ""
        said += f"{turn['content']}\n" if turn["content"] else ""
        assert learned == said + "\n".join(tagged) + f"<|im_end|>\n{SAID}<|im_end|>\n"
        assert f"<tool_response>\n{SAID}\n</tool_response>" in text


def test_a_number_put_into_a_users_words_is_told_before(loader: Loader, tmp_path: Path) -> None:
    rows = [lf_row(im_row(1, [user("a {{idx}}"), model("b")]), "sharegpt")]
    assert "{{idx}}" in str(check_lf_row(rows[0]))
    fate = loader.load(written(tmp_path, rows, "sharegpt"), "calls")["qwen"]
    assert "a 0<|im_end|>" in fate["texts"][0]


def test_every_tool_is_described_to_the_model(loader: Loader, tmp_path: Path) -> None:
    fates = loader.load(written(tmp_path, rows_with_calls("sharegpt"), "sharegpt"), "calls")
    for fate in fates.values():
        first, *others = fate["texts"]
        assert "Lists." not in first
        assert all("Lists." in text and "look" in text and "edit" in text for text in others)


@pytest.mark.parametrize("lf_format", STYLES)
def test_a_row_with_two_human_turns_in_a_row_is_seen_to_be_lost(
    lf_format: LfFormat, loader: Loader, tmp_path: Path
) -> None:
    rows = rows_with_calls(lf_format)
    turns = turns_in(rows[1])
    turns[1:2] = [turns[0], turns[1]]
    assert check_lf_row(rows[1])
    fates = loader.load(written(tmp_path, rows, lf_format), "calls")
    with pytest.raises(AssertionError):
        assert_taken_whole(rows, fates)
    for fate in fates.values():
        assert lost(fate) == [1]
        assert (len(fate["aligned"]), len(fate["texts"])) == (5, 4)


def test_a_call_that_is_not_json_stops_the_loader(loader: Loader, tmp_path: Path) -> None:
    rows = rows_with_calls("sharegpt")
    rows[0]["conversations"][1]["value"] = "not json"
    done = loader.run(written(tmp_path, rows, "sharegpt"), "calls")
    assert done.returncode != 0
    assert "Invalid JSON format in function message: ['not json']" in done.stderr


def test_a_data_set_of_jobs_that_were_converted_in_both_styles_is_taken_whole(loader: Loader, tmp_path: Path) -> None:
    jobs = []
    for style in STYLES:
        jobs.append(JobOnDisk(tmp_path, style).add("trial__1", solved(f"As {style}.")).write())
        convert_job(jobs[-1], ConversionSettings(lf_format=style))
    order = Order.of("mixed", jobs, Selection(jobs=STYLES), ConversionSettings())
    folder = build_data_set(order, Root(tmp_path).job("mixed").sft).folder
    rows = json.loads((folder / "lf.json").read_bytes())
    assert len(rows) == 2
    assert_taken_whole(rows, loader.load(folder, "mixed"))
