"""What only one host or one trial ever had is in no row; the record keeps it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sft.twin import JobOnDisk, TerminusTwin, answer_text, lines_of
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.rollout.host_facts import HostFacts, load_host_facts, write_host_facts
from trajgen_assets.core.rollout.trials import TaskRecord
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.placeholders import Placeholders
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.guest.trial_keys import derive_subkey, mint

KEY = mint(derive_subkey("sk-tm-of-a-proxy"), "demo-job", "fix-calc__a1B2c3D")
FACTS = HostFacts(
    proxy=("127.0.0.1:40123", "host.docker.internal:40123"),
    host=("gx7-rack.example.org", "gx7-rack"),
    paths={
        "root": ("/home/ada/trajgen/artifacts",),
        "checkout": ("/home/ada/trajgen", "/data/ada/trajgen"),
        "home": ("/home/ada",),
        "tasks": ("/srv/swe/py-cc", "/srv/aufgäben/py"),
    },
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        (f"OPENAI_API_KEY={KEY}\nA=1", "OPENAI_API_KEY=<trial-key>\nA=1"),
        ("BASE=http://127.0.0.1:40123/v1", "BASE=http://<proxy>/v1"),
        ("http://host.docker.internal:40123/v1", "http://<proxy>/v1"),
        ("127.0.0.1:401234 10.127.0.0.1:40123", "127.0.0.1:401234 10.127.0.0.1:40123"),
        ("ada@gx7-rack:~$ hostname -f\ngx7-rack.example.org", "ada@<host>:~$ hostname -f\n<host>"),
        ("gx7-rack2 my-gx7-rack gx7-rack-b", "gx7-rack2 my-gx7-rack gx7-rack-b"),
        ('{"keystrokes": "echo\\ngx7-rack\\n"}', '{"keystrokes": "echo\\n<host>\\n"}'),
        ("\x1b[01;32mgx7-rack\x1b[0m", "\x1b[01;32m<host>\x1b[0m"),
        ("cd /home/ada/trajgen/artifacts/jobs.", "cd <path:root>/jobs."),
        ("/home/ada/trajgen/docs /data/ada/trajgen", "<path:checkout>/docs <path:checkout>"),
        ("file:///home/ada/.bashrc in /home/ada.", "file://<path:home>/.bashrc in <path:home>."),
        ("/home/adam /home/ada-x /home/ada.old", "/home/adam /home/ada-x /home/ada.old"),
        ("/srv/swe/py-cc/a__b-1/task.toml", "<path:tasks>/a__b-1/task.toml"),
        (json.dumps({"path": "/srv/aufgäben/py/a.txt"}), '{"path": "<path:tasks>/a.txt"}'),
        ("cat /srv/aufgäben/py/a.txt", "cat <path:tasks>/a.txt"),
    ],
)
def test_a_known_value_becomes_its_placeholder_and_what_only_looks_like_it_stays(text: str, filled: str) -> None:
    assert Placeholders.of(FACTS).text(text) == filled


def test_names_and_paths_that_are_everywhere_say_nothing_about_a_host() -> None:
    facts = HostFacts(host=("ubuntu", "Build", "pc"), paths={"home": ("/root",), "root": ("/",), "checkout": ("/app",)})
    text = "FROM ubuntu:22.04 on pc: make build Build in /root and /app"
    assert Placeholders.of(facts).text(text) == text


def planted(tmp_path: Path, *, with_facts: bool = True) -> tuple[JobOnDisk, TerminusTwin]:
    """A job whose agent ran `env`, `hostname` and `pwd`, and whose model repeated what it saw."""
    seen = f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL=http://127.0.0.1:40123/v1\ngx7-rack\n/home/ada/trajgen/artifacts\n"
    twin = TerminusTwin()
    twin.ask("Fix add() in calc.py.", answer_text("look around", "env; hostname; pwd\n"), "gx7-rack, perhaps?")
    twin.ask(seen, answer_text(f"I am on gx7-rack in /home/ada, my key is {KEY}", "true\n", done=True))
    job = JobOnDisk(tmp_path)
    task = TaskRecord(digest="0" * 64, instruction="Fix add()", metadata={"built_in": "/srv/swe/py-cc/x"})
    job.add("fix-calc__a1B2c3D", twin, task=task).write()
    if with_facts:
        write_host_facts(job.paths.host, FACTS)
    return job, twin


def test_rows_hold_placeholders_only_and_the_receipt_counts_them(tmp_path: Path) -> None:
    job, _ = planted(tmp_path)
    before = {path: path.read_bytes() for path in job.paths.dir.rglob("*") if path.is_file()}
    receipt = convert_job(job.paths, ConversionSettings())
    (row,) = lines_of(receipt.im)
    assert row["messages"][2]["reasoning_content"] == "<host>, perhaps?"
    for path in (receipt.im, receipt.lf):
        text = path.read_text()
        for value in (KEY, "40123", "gx7", "/home/ada", "/srv/swe"):
            assert value not in text
        for placeholder in ("<trial-key>", "<proxy>", "<host>", "<path:root>", "<path:home>", "<path:tasks>"):
            assert placeholder in text
    assert receipt.sft_im.placeholders == {
        "<host>": 3, "<path:home>": 1, "<path:root>": 1, "<path:tasks>": 1, "<proxy>": 1, "<trial-key>": 2,
    }  # fmt: skip
    assert {path: path.read_bytes() for path in before} == before


def test_rejected_rows_hold_placeholders_too_and_are_not_counted(tmp_path: Path) -> None:
    job, _ = planted(tmp_path)
    settings = ConversionSettings(reasoning_check_mode="strict")
    receipt = convert_job(job.paths, settings)
    (trial, row) = sorted(lines_of(job.paths.sft / "rejected.jsonl"), key=lambda each: each["level"], reverse=True)
    assert (trial["reason"], row["reason"]) == ("no_row_kept", "reasoning")
    assert KEY not in (job.paths.sft / "rejected.jsonl").read_text()
    assert receipt.sft_im.placeholders == {}


def test_a_trial_key_is_known_by_its_shape_where_nothing_is_known_of_the_host(tmp_path: Path) -> None:
    job, _ = planted(tmp_path, with_facts=False)
    receipt = convert_job(job.paths, ConversionSettings())
    assert KEY not in receipt.im.read_text()
    assert receipt.sft_im.placeholders == {"<trial-key>": 2}


def test_facts_that_come_later_make_the_data_anew_and_equal_facts_do_not(tmp_path: Path) -> None:
    job, _ = planted(tmp_path, with_facts=False)
    first = convert_job(job.paths, ConversionSettings())
    write_host_facts(job.paths.host, FACTS)
    second = convert_job(job.paths, ConversionSettings())
    third = convert_job(job.paths, ConversionSettings())
    assert (first.changed, second.changed, third.changed) == (True, True, False)
    assert first.signature != second.signature == third.signature


def test_a_row_without_any_known_value_is_handed_on_as_it_is() -> None:
    row: dict[str, Any] = {"meta_info": {"unique_info": {"_instance_metadata": {}}}, "tools": [], "messages": []}
    filled, line, counts = Placeholders.of(FACTS).filled(row)
    assert filled is row
    assert json.loads(line) == row
    assert counts == {}


def test_facts_of_a_host_are_read_back_and_hold_no_key(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    facts = HostFacts.of(Root(link / "root"), proxy_host="127.0.0.1", proxy_port=40123, tasks=[tmp_path / "py-cc"])
    write_host_facts(tmp_path / "host.json", facts)
    assert load_host_facts(tmp_path / "host.json") == facts
    assert facts.paths["root"] == (str(link / "root"), str(tmp_path.resolve() / "root"))
    assert facts.paths["checkout"] == (str(PROJECT),)
    assert "127.0.0.1:40123" in facts.proxy
    assert load_host_facts(tmp_path / "none.json") == HostFacts()


def test_facts_that_cannot_be_read_stop_the_conversion_instead_of_leaking(tmp_path: Path) -> None:
    job, _ = planted(tmp_path)
    job.paths.host.write_text('{"proxy": 1}')
    with pytest.raises(ConversionError, match=r"host\.json"):
        convert_job(job.paths, ConversionSettings())
