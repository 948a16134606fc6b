"""Each thing by which a run of OpenHands' harness was seen to fail is told before one begins, with its mend."""

from pathlib import Path
from platform import machine
from typing import Any

import pytest

from tests.openhands_checkout.configured import openhands_config_text
from tests.openhands_checkout.making import StandIn, commit_all, make_environment, make_repository, row, write_rows
from tests.unit.preflight.twins import root_at, write_config, write_tasks
from trajgen_assets.core.checkouts.pin import pins_of
from trajgen_assets.core.checkouts.update import update
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.openhands.checkout import BENCHMARK, SERVER
from trajgen_assets.core.paths import Root
from trajgen_assets.core.preflight.findings import Level, looked_at
from trajgen_assets.core.preflight.run import CHECKS, Line, look

# What asks the Docker engine is tested with it.
OF_THE_ENGINE = ("task images", "runtime image")
LOOKED = tuple(each for each in CHECKS if each.group == "openhands" and each.name not in OF_THE_ENGINE)
MANIFESTS = tuple(each for each in CHECKS if each.name in ("file", "older keys", "manifests"))


class Block:
    """A configuration, its rows, and the repository that it pins."""

    def __init__(self, home: Path) -> None:
        self.home, self.origin = home, make_repository(home / "origin")
        self.rows = write_rows(home / "tasks.jsonl", [row()])
        self.python = make_environment(home / "env")
        self.root = root_at(home / "artifacts")
        create_ledger(self.root)

    def lines(self, checks: tuple[Any, ...] = LOOKED, *, check_out: bool = True, **sections: Any) -> dict[str, Line]:
        """What is found, with the origin as it is now checked out."""
        stand_in = StandIn(str(self.origin), commit_all(self.origin), self.python)
        path = self.home / "config.yaml"
        path.write_text(openhands_config_text(self.rows, stand_in, **sections))
        if check_out:
            update(pins_of(load_config(path))["openhands"], print)
        with looked_at(self.root, path) as subject:
            return {line.check: line for line in look(subject, checks)}

    def only_failure(self, **sections: Any) -> Line:
        failed = [line for line in self.lines(**sections).values() if line.level is Level.FAIL]
        (line,) = failed
        return line


@pytest.fixture
def block(tmp_path: Path) -> Block:
    return Block(tmp_path)


def test_a_block_in_order_has_a_line_for_each_thing_and_no_failure(block: Block) -> None:
    write_rows(block.rows, [row() | {"FAIL_TO_PASS": ["test_a"]}])
    found = block.lines(openhands={"evaluator": "velora"})
    assert len(found) == len(LOOKED)
    assert {line.level for line in found.values()} == {Level.OK}


def test_with_harbor_nothing_of_it_is_said(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t-1"))
    with looked_at(Root(tmp_path / "artifacts"), config) as subject:
        assert list(look(subject, [each for each in CHECKS if each.group == "openhands"])) == []


def test_trouble_1_a_missing_action_execution_server(block: Block) -> None:
    (block.origin / SERVER).unlink()
    line = block.only_failure()
    assert (line.check, "no container would start" in line.text) == ("action execution server", True)
    assert "tag 0.62.0 of OpenHands (not from 0.33)" in line.mend


def test_trouble_1_a_server_that_does_not_know_its_flag(block: Block) -> None:
    server = block.origin / SERVER
    server.write_text(server.read_text().replace("--no-enable-browser", "--other"))
    assert "does not know --no-enable-browser" in block.only_failure().text


def test_trouble_2_more_output_than_the_model_writes(block: Block) -> None:
    asked = {"max_output_tokens": 64000}
    api = {"model": "openai/gpt-4o", "api_base_url": "http://127.0.0.1:9/v1", "api_key": "k"}
    found = block.lines(MANIFESTS, check_out=False, llm_api=api, openhands=asked)
    assert found["file"].level is Level.FAIL
    assert "set it to 16384 or less" in found["file"].text


def test_trouble_2_a_model_of_which_the_limit_is_not_known(block: Block) -> None:
    line = block.lines(openhands={"max_output_tokens": 64000})["output limit main"]
    assert (line.level, "is not known" in line.text) == (Level.WARN, True)


def test_trouble_3_another_split_than_train(block: Block) -> None:
    found = block.lines(MANIFESTS, check_out=False, openhands={"split": "test"})
    assert "split: should be train" in found["file"].text
    assert "--split train is passed" in block.lines()["split"].text


def test_trouble_4_an_error_of_the_browser_is_a_note_where_browsing_is_off(block: Block) -> None:
    line = block.lines()["browser"]
    assert (line.level, "does not start in a container is no error" in line.text) == (Level.OK, True)
    assert block.lines(openhands={"run_with_browsing": True})["browser"].level is Level.WARN


def test_trouble_5_a_missing_endpoint_update_mcp_server(block: Block) -> None:
    server = block.origin / SERVER
    server.write_text(server.read_text().replace("/update_mcp_server", "/other"))
    line = block.only_failure()
    assert (line.check, "no endpoint /update_mcp_server" in line.text) == ("update_mcp_server", True)


def test_point_6_the_llm_section_is_written_with_its_model(block: Block) -> None:
    line = block.lines(openhands={"llm_config": "llm.gpt"})["llm section main"]
    assert line.text.startswith("[llm.gpt] is written for each process, with openai/m")


def test_point_7_a_checkout_that_is_not_there(block: Block) -> None:
    found = block.lines(check_out=False)
    assert (found["checkout"].level, found["checkout"].mend) == (
        Level.FAIL,
        "run `trajgen update-repos --repo openhands`",
    )
    assert found["action execution server"].level is Level.SKIP


def test_point_7_a_checkout_at_another_commit_or_changed(block: Block) -> None:
    block.lines()
    (block.origin / "more.txt").write_text("x")
    assert "is not" in block.lines(check_out=False)["checkout"].text
    block.lines()
    (block.home / "repos" / "openhands" / "mine.txt").write_text("x")
    assert "not committed: mine.txt" in block.lines(check_out=False)["checkout"].text


def test_point_7_an_unpacked_wheel_is_no_checkout(block: Block) -> None:
    (block.origin / "poetry.lock").unlink()
    (block.origin / "microagents" / "README.md").unlink()
    line = block.only_failure()
    assert "it lacks microagents, poetry.lock, of which the runtime image is built" in line.text
    assert "an unpacked wheel has none of it" in line.mend


def test_point_9_rows_without_a_column_and_ids_twice_or_empty(block: Block) -> None:
    bad = [row("a__b-1") | {"base_commit": None}, row(), {**row("x"), "instance_id": ""}]
    write_rows(block.rows, [row(), *bad])
    with looked_at(block.root, _written(block)) as subject:
        said = [line.text for line in look(subject, MANIFESTS) if line.check == "manifests tasks"]
    assert "2 lines are left out, the first is line 3: listed twice" in said
    assert any("a__b-1 lacks column base_commit" in text for text in said)


def test_point_10_rows_of_another_language(block: Block) -> None:
    write_rows(block.rows, [row() | {"language": "Python"}, row("a__b-2") | {"language": "C++"}])
    line = block.only_failure()
    assert (line.check, line.text) == (
        "language tasks",
        "1 task not of language python: a__b-2: their rows say another",
    )
    write_rows(block.rows, [row() | {"language": "golang"}])
    assert block.lines(openhands={"language": "go"})["language tasks"].level is Level.OK


def test_point_11_a_selection_that_counts_before_skip_ids(block: Block) -> None:
    (block.origin / BENCHMARK / "config.toml").write_text('selected_ids = ["a"]\n')
    assert "has selected_ids, which silently decides what runs" in block.only_failure().text


def test_point_12_an_id_with_a_comma(block: Block) -> None:
    write_rows(block.rows, [row(), {**row("x"), "instance_id": "a__b-1,a__b-2"}])
    with looked_at(block.root, _written(block)) as subject:
        said = [line.text for line in look(subject, MANIFESTS) if line.check == "manifests tasks"]
    assert any("line 2: not a task id" in text for text in said)


def test_point_13_a_python_that_openhands_does_not_take(block: Block) -> None:
    line = block.only_failure(openhands={"python": "/none/bin/python"})
    assert (line.check, "it does not run" in line.text) == ("packages", True)
    assert "Python 3.12 or 3.13" in line.mend


def test_point_14_what_the_wheel_does_not_bring_along(block: Block) -> None:
    (pth,) = block.python.parents[1].glob("lib/*/site-packages/stand_in.pth")
    pth.unlink()
    line = block.only_failure(openhands={"evaluator": "msb"})
    assert "datasets and multi_swe_bench.harness.run_evaluation cannot be imported" in line.text


def test_the_evaluator_of_another_environment_is_looked_for_there(block: Block, tmp_path: Path) -> None:
    other = make_environment(tmp_path / "other")
    assert block.lines(openhands={"evaluator": "msb", "evaluator_python": str(other)})["packages"].level is Level.OK
    (pth,) = other.parents[1].glob("lib/*/site-packages/stand_in.pth")
    pth.unlink()
    line = block.only_failure(openhands={"evaluator": "msb", "evaluator_python": str(other)})
    assert f"multi_swe_bench.harness.run_evaluation cannot be imported ({other})" in line.text


def test_an_environment_that_the_first_job_makes_is_not_looked_at(block: Block) -> None:
    line = block.lines(openhands={"lock": "openhands.txt"})["packages"]
    assert (line.level, "made of openhands.txt by the first job" in line.text) == (Level.SKIP, True)


def test_no_evaluator_is_told_with_what_it_means(block: Block) -> None:
    line = block.lines()["evaluator"]
    assert (line.level, line.text.partition(", ")[0]) == (Level.WARN, "none: no patch gets a reward")


def test_rows_to_grade_by_that_are_not_there(block: Block) -> None:
    line = block.only_failure(openhands={"evaluator": "msb", "evaluator_dataset": "msb.jsonl"})
    assert (line.check, "the rows to grade by are not there" in line.text) == ("evaluator", True)


@pytest.mark.parametrize(
    ("chosen", "odd"),
    [
        ("msb", row("conan-io__conan_2.0.14_2.0.15") | {"repo": "conan-io/conan"}),
        ("velora", row("acme__greeter-2") | {"FAIL_TO_PASS": "[]"}),
        ("velora", row("acme__greeter-2") | {"FAIL_TO_PASS": "test_a"}),
    ],
)
def test_tasks_that_would_get_no_verdict_are_told_and_refused_where_all_are_so(
    block: Block, chosen: str, odd: dict[str, Any]
) -> None:
    write_rows(block.rows, [row() | {"FAIL_TO_PASS": "['test_a']"}, odd])
    line = block.lines(openhands={"evaluator": chosen})["evaluator tasks"]
    assert (line.level, f"1 task cannot be graded by {chosen}: {odd['instance_id']}" in line.text) == (Level.WARN, True)
    write_rows(block.rows, [odd])
    assert block.only_failure(openhands={"evaluator": chosen}).check == "evaluator tasks"


def test_containers_of_another_kind_of_machine_are_told(block: Block) -> None:
    assert block.lines()["platform"].level is Level.OK
    other = "linux/arm64" if machine() == "x86_64" else "linux/amd64"
    infer = block.origin / BENCHMARK / "run_infer.py"
    infer.write_text(f'{infer.read_text()}\nPLATFORM = "{other}"\n')
    line = block.lines()["platform"]
    assert (line.level, f"asks for containers of {other}" in line.text) == (Level.WARN, True)


def test_hints_are_told_to_do_nothing(block: Block) -> None:
    found = block.lines(MANIFESTS, check_out=False, openhands={"use_hint_text": True})
    assert "use_hint_text does nothing" in found["older keys"].text


def _written(block: Block) -> Path:
    block.lines()
    return block.home / "config.yaml"
