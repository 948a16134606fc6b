"""Each check of training data finds what it is there for, in the place where it is, and nothing in whole data."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sft.data_sets.test_build import ALL, build
from tests.unit.sft.twin import JobOnDisk, lines_of, solved
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.sft.checks.files import Subject
from trajgen_assets.core.sft.checks.findings import MAX_SHOWN, Check, Verdict
from trajgen_assets.core.sft.checks.folders import look_at_data_set, look_at_im, look_at_lf
from trajgen_assets.core.sft.checks.secrets import SHAPES, SecretFinder, texts_of
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import LfFormat
from trajgen_assets.guest import trial_keys

KNOWN = "s3cr3t-of-the-endpoint"
SECRETS = SecretFinder(Redactor({"LLM_API_KEY": KNOWN}), Redactor({"OTHER_TOKEN": "another-value-1"}))

# What each shape takes, of no service's making.
KEYS = [
    ("API key", "sk-" + "ab1" * 12),
    ("Stripe key", "sk_live_" + "a1" * 12),
    *(("AWS access key", f"A{kind}IA" + "Q7" * 8) for kind in "KS"),
    *(("GitHub token", f"gh{kind}_" + "a1" * 18) for kind in "pousr"),
    ("GitHub access token", "github_pat_" + "a1" * 20),
    ("GitLab token", "glpat-" + "a1" * 10),
    ("Slack token", "xoxb-1234567890-" + "a1" * 6),
    ("Google API key", "AIza" + "a1" * 17 + "b"),
    ("Hugging Face token", "hf_" + "a1" * 17),
    ("npm token", "npm_" + "a1" * 18),
    ("PyPI token", "pypi-AgEI" + "a1" * 25),
    ("private key", "-----BEGIN PRIVATE KEY-----\n" + "MIIEv" * 10),
]


def job_of(folder: Path, lf_format: LfFormat = "sharegpt") -> Path:
    """The data of a job with two kept rows and one that is left out."""
    on_disk = JobOnDisk(folder)
    on_disk.add("a__1", solved("A"), task_id="tox-dev__tox-3813").add("b__1", solved("B"), task_id="b")
    job = on_disk.add("c__1", solved("A"), task_id="c").write()
    convert_job(job, ALL.model_copy(update={"lf_format": lf_format}))
    return job.sft


def looked(folder: Path, excluded: tuple[str, ...] = ("pallets/flask",)) -> dict[tuple[str, Check], Verdict]:
    subject = Subject("demo-job", folder, SECRETS, excluded)
    found = {"im": look_at_im(subject), "lf": look_at_lf(subject)}
    return {(of, verdict.check): verdict for of, verdicts in found.items() for verdict in verdicts}


def edited(path: Path, number: int, edit: Callable[[Any], None]) -> None:
    """Change one row of im.jsonl or lf.json, in whose forms rows stand one a line."""
    is_array = path.suffix == ".json"
    lines = path.read_bytes().splitlines()
    at = number - 1 + is_array
    comma = b"," if lines[at].endswith(b",") else b""
    row = json.loads(lines[at].removesuffix(b","))
    edit(row)
    lines[at] = json.dumps(row).encode() + comma
    path.write_bytes(b"\n".join(lines) + b"\n")


def say(text: str) -> Callable[[Any], None]:
    """Let the last turn of a row say something, in either form."""

    def edit(row: Any) -> None:
        turn = row["messages"][-1] if "messages" in row else row["conversations"][-1]
        turn["content" if "content" in turn else "value"] = text

    return edit


@pytest.mark.parametrize("lf_format", ["sharegpt", "llamafactory_lf_v0.1"])
def test_whole_data_passes_every_check(tmp_path: Path, lf_format: LfFormat) -> None:
    verdicts = looked(job_of(tmp_path, lf_format))
    assert {key: verdict.n_found for key, verdict in verdicts.items()} == dict.fromkeys(verdicts, 0)
    assert all(verdict.n_rows for verdict in verdicts.values())
    assert {check for _, check in verdicts} == set(Check)


def swap_roles(row: Any) -> None:
    row["messages"][2]["role"] = "user"


def lose_result(row: Any) -> None:
    row["messages"][2]["tool_calls"] = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("edit", "found"),
    [(swap_roles, "message 2 is 'user' after 'user'"), (lose_result, "a call before message 3 has no result")],
)
def test_roles_out_of_order_are_found_in_their_row(tmp_path: Path, edit: Callable[[Any], None], found: str) -> None:
    folder = job_of(tmp_path)
    edited(folder / "im.jsonl", 2, edit)
    verdict = looked(folder)["im", Check.ROLES_ALTERNATE]
    assert [(each.row, each.field, each.found, each.is_grave) for each in verdict.shown] == [
        (2, "messages", found, True)
    ]


@pytest.mark.parametrize("file", ["im.jsonl", "lf.json"])
def test_a_known_secret_is_grave_wherever_it_stands_and_is_never_told(tmp_path: Path, file: str) -> None:
    folder = job_of(tmp_path)
    edited(folder / file, 2, say(f'{{"key": "{KNOWN}"}}'))
    verdict = looked(folder)["im" if file == "im.jsonl" else "lf", Check.NO_SECRETS]
    (finding,) = verdict.shown
    assert (finding.row, finding.is_grave, finding.found) == (2, True, "a known secret: LLM_API_KEY")
    assert finding.field.startswith(("messages[", "conversations["))
    assert KNOWN not in verdict.words


def test_a_key_of_our_own_is_grave_though_nobody_told_of_it(tmp_path: Path) -> None:
    folder = job_of(tmp_path)
    key = trial_keys.mint(trial_keys.derive_subkey("sk-tm-master"), "job", "trial")
    edited(folder / "im.jsonl", 1, say(f"export KEY={key}"))
    (finding,) = looked(folder)["im", Check.NO_SECRETS].shown
    assert (finding.is_grave, finding.found) == (True, "a known secret: trial key")


def test_a_value_of_the_environment_is_for_a_person_to_look_at(tmp_path: Path) -> None:
    folder = job_of(tmp_path)
    edited(folder / "im.jsonl", 1, say("another-value-1"))
    (finding,) = looked(folder)["im", Check.NO_SECRETS].shown
    assert (finding.is_grave, finding.found) == (False, "a secret of the environment: OTHER_TOKEN")


def test_there_is_an_example_of_each_shape() -> None:
    assert list(dict(KEYS)) == [shape.name for shape in SHAPES]


@pytest.mark.parametrize(("name", "key"), KEYS)
@pytest.mark.parametrize("text", ["{}", 'TOKEN="{}"', "a\n{}\nb", "{}."])
def test_what_has_the_shape_of_a_key_is_noted_and_not_told_in_full(name: str, key: str, text: str) -> None:
    row = {"messages": [{"content": text.format(key)}]}
    ((field, found, is_grave),) = SECRETS.found_in(json.dumps(row).encode(), row)
    assert (field, is_grave, name in found) == ("messages[0].content", False, True)
    assert key not in found


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn and task-0123456789012345678901234567890123456789",
        "disk-" + "a1" * 20,
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_short",
        "-----BEGIN PUBLIC KEY-----\n" + "MIIEv" * 10,
        "f" * 64,
        "npm_config_registry",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    ],
)
def test_what_only_begins_like_a_key_is_no_finding(text: str) -> None:
    row = {"a": text}
    assert list(SECRETS.found_in(json.dumps(row).encode(), row)) == []


def test_texts_are_found_with_their_place_in_the_order_of_the_row() -> None:
    row = {"a": ["x", {"b": "y", "n": 1}], "c": "z"}
    assert list(texts_of(row)) == [("a[0]", "x"), ("a[1].b", "y"), ("c", "z")]


def test_a_row_of_an_excluded_repository_is_found_and_no_list_is_told(tmp_path: Path) -> None:
    folder = job_of(tmp_path)
    (finding,) = looked(folder, ("tox-dev/tox",))["im", Check.NO_EXCLUDED_REPOSITORY].shown
    assert (finding.row, finding.found) == (1, "tox-dev__tox-3813 is of tox-dev/tox, which is excluded")
    assert "no list" in looked(folder, ())["im", Check.NO_EXCLUDED_REPOSITORY].words


def no_turn(row: Any) -> None:
    row["conversations"].pop()


def no_text(row: Any) -> None:
    row["conversations"][1]["value"] = None


def no_system(row: Any) -> None:
    del row["system"]


def other_shape(row: Any) -> None:
    row["_agent_type"] = 7


@pytest.mark.parametrize(
    ("edit", "row", "found"),
    [
        (no_turn, 2, "5 turns"),
        (no_text, 2, "no text"),
        (no_system, 2, "not both text"),
        (other_shape, None, "not fit one"),
    ],
)
def test_a_row_that_the_loader_would_lose_is_found(
    tmp_path: Path, edit: Callable[[Any], None], row: int | None, found: str
) -> None:
    folder = job_of(tmp_path)
    edited(folder / "lf.json", 2, edit)
    (finding,) = looked(folder)["lf", Check.LOADER_KEEPS_EVERY_ROW].shown
    assert finding.row == row
    assert found in finding.found


@pytest.mark.parametrize("damage", ["{}", "", '{"another": {}}'])
def test_an_entry_that_does_not_lead_to_the_rows_is_found(tmp_path: Path, damage: str) -> None:
    folder = job_of(tmp_path)
    (folder / "dataset_info.json").write_text(damage)
    (finding,) = looked(folder)["lf", Check.LOADER_KEEPS_EVERY_ROW].shown
    assert finding.file == "dataset_info.json"


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 40)


def missing(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\n[1, 2]\n" + path.read_bytes())


def doubled(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize("damage", [cut, missing, emptied, garbage, doubled])
@pytest.mark.parametrize("file", ["im.jsonl", "lf.json", "receipt.json", "rejected.jsonl", "rows.parquet"])
def test_whatever_a_file_holds_the_receipt_tells_of_it_and_no_check_raises(
    tmp_path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    folder = job_of(tmp_path)
    damage(folder / file)
    verdicts = looked(folder)
    part = "lf" if file == "lf.json" else "im"
    assert verdicts[part, Check.RECEIPT_BALANCES].n_grave
    if file == "lf.json":
        assert verdicts["lf", Check.LOADER_KEEPS_EVERY_ROW].n_grave
    if file == "im.jsonl" and damage in (cut, missing, garbage):
        assert verdicts["im", Check.ROLES_ALTERNATE].n_grave


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("sft_im", "rows", "n_kept"), 3, "im"),
        (("sft_im", "rows", "rejected"), {"duplicate": 2}, "im"),
        (("sft_im", "per_trial"), [], "im"),
        (("sft_lf", "n_rows"), 1, "lf"),
    ],
)
def test_a_receipt_that_does_not_balance_is_found(tmp_path: Path, path: tuple[str, ...], value: Any, part: str) -> None:
    folder = job_of(tmp_path)
    receipt = json.loads((folder / "receipt.json").read_bytes())
    inner = receipt
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    (folder / "receipt.json").write_text(json.dumps(receipt))
    assert looked(folder)[part, Check.RECEIPT_BALANCES].n_grave


def test_rejected_rows_are_counted_under_their_reasons(tmp_path: Path) -> None:
    folder = job_of(tmp_path)
    rows = lines_of(folder / "rejected.jsonl")
    assert [row["reason"] for row in rows] == ["no_row_kept", "duplicate"]
    (folder / "rejected.jsonl").write_text(json.dumps(rows[0]) + "\n")
    found = [each.found for each in looked(folder)["im", Check.RECEIPT_BALANCES].shown]
    assert "0 times duplicate of a row, and the receipt has 1" in found


def test_of_many_findings_all_are_counted_and_some_are_shown(tmp_path: Path) -> None:
    folder = job_of(tmp_path)
    row = lines_of(folder / "im.jsonl")[0]
    swap_roles(row)
    (folder / "im.jsonl").write_text((json.dumps(row) + "\n") * 50)
    verdict = looked(folder)["im", Check.ROLES_ALTERNATE]
    assert (verdict.n_rows, verdict.n_found, len(verdict.shown)) == (50, 50, MAX_SHOWN)


def test_a_data_set_has_one_verdict_of_each_check_over_both_of_its_forms(tmp_path: Path) -> None:
    job_of(tmp_path)
    receipt = build(tmp_path, Root(tmp_path).job("demo-job"))
    subject = Subject("mixed", receipt.folder, SECRETS, ("pallets/flask",))
    assert {verdict.check: verdict.n_found for verdict in look_at_data_set(subject)} == dict.fromkeys(Check, 0)
    for file in ("im.jsonl", "lf.json"):
        edited(receipt.folder / file, 1, say(KNOWN))
    verdicts = {verdict.check: verdict for verdict in look_at_data_set(subject)}
    assert [each.file for each in verdicts[Check.NO_SECRETS].shown] == ["im.jsonl", "lf.json"]
    assert verdicts[Check.RECEIPT_BALANCES].n_grave == 2
