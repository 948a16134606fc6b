import dataclasses
import json
import time
from pathlib import Path

import pytest

from tests.unit.preflight.twins import KEY, OddEndpoint, root_at, running, tree_digest, write_config, write_tasks
from tests.unit.provision.twins import script
from trajgen_assets.core.errors import EndpointError
from trajgen_assets.core.ledger.models import ListedTask, ManifestSeen
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.preflight.environments import programs_run
from trajgen_assets.core.preflight.findings import Level, Subject, looked_at, ok
from trajgen_assets.core.preflight.run import (
    CHECKS,
    PROBE,
    Check,
    Line,
    canary_check,
    look,
    refuse_unless_all_pass,
    report,
    verdict,
)
from trajgen_assets.core.preflight.tasks import partitions
from trajgen_assets.core.provision.record import Record, inputs_digest
from trajgen_assets.core.provision.setup import HARBOR, LITELLM, LOCKS
from trajgen_assets.core.rollout.slots import job_slot

QUICK = tuple(check for check in CHECKS if check.name != "programs")  # which takes seconds: Harbor tells its version


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = root_at(tmp_path / "artifacts")
    create_ledger(made)
    made.dagster_home.mkdir()
    (made.dagster_home / "dagster.yaml").write_text("{}\n")
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t-1", "t-2"))


def lines(root: Root, config: Path, checks: tuple[Check, ...] = QUICK) -> dict[str, Line]:
    with looked_at(root, config) as subject:
        return {f"{line.group}/{line.check}": line for line in look(subject, checks)}


def levels(found: dict[str, Line], level: Level) -> set[str]:
    return {name for name, line in found.items() if line.level is level}


def test_nothing_changes_and_it_takes_seconds(tmp_path: Path, root: Root, config: Path) -> None:
    with job_slot(root.locks, 2, holder="a job"), open_ledger(root):
        before, began_at = tree_digest(tmp_path), time.monotonic()
        found = lines(root, config, CHECKS)
        assert time.monotonic() - began_at < 30
        assert tree_digest(tmp_path) == before
    assert levels(found, Level.FAIL) == {"model/connection"}
    assert found["root/jobs slot"].level is Level.WARN


def test_a_missing_root_fails_and_is_not_made(tmp_path: Path, config: Path) -> None:
    found = lines(Root(tmp_path / "nowhere", tmp_path / "no-env"), config)
    assert {"root/ledger", "root/Dagster"} <= levels(found, Level.FAIL)
    assert {"environments/locks harbor-uv", "environments/locks litellm-venv"} <= levels(found, Level.WARN)
    assert "trajgen setup" in found["root/ledger"].mend
    assert {"root/jobs", "root/pauses", "tasks/partitions"} == levels(found, Level.SKIP)
    assert found["tasks/manifests d"].level is Level.OK
    assert not (tmp_path / "nowhere").exists()


def test_each_problem_of_a_broken_configuration_has_a_line_and_the_rest_is_looked_at(root: Root, config: Path) -> None:
    text = config.read_text().replace("openai/scripted", "human").replace("environment:", "enviroment:")
    config.write_text(text)
    with looked_at(root, config) as subject:
        found = list(look(subject, QUICK))
    problems = [line.text for line in found if line.check == "file"]
    assert [line for line in problems if "human" in line]
    assert [line for line in problems if "the nearest known key is environment" in line]
    by_name = {line.check: line for line in found}
    assert by_name["ledger"].level is Level.OK
    assert by_name["locks litellm-venv"].level is Level.OK
    assert by_name["manifests"].level is Level.SKIP
    assert "the configuration cannot be read" in by_name["manifests"].text


def test_one_trouble_of_the_endpoint_fails_once_and_what_depends_on_it_is_not_looked_at(
    tmp_path: Path, root: Root
) -> None:
    source = write_tasks(tmp_path / "d", "t-1")
    found = lines(root, write_config(tmp_path / "config.yaml", source=source), (*QUICK, PROBE))
    assert {name for name in levels(found, Level.FAIL) if "model/" in name} == {"model/connection"}
    assert found["model/completion"].text == "not looked at: nothing can be reached there"
    with running(OddEndpoint()) as endpoint:
        unset = {"base_url": f"{endpoint.origin}/v1", "key": "${A_KEY_THAT_NOBODY_SETS}"}
        found = lines(root, write_config(tmp_path / "config.yaml", source=source, **unset), (*QUICK, PROBE))
    assert {name for name in levels(found, Level.FAIL) if "model/" in name} == {"model/key"}
    assert found["model/completion"].text == "not looked at: its key is not set"
    assert endpoint.asked == []


def test_a_file_of_secrets_that_others_can_read_has_a_line_of_its_own_and_is_shown_nowhere(
    root: Root, config: Path
) -> None:
    secrets = config.with_name("secrets.env")
    secrets.write_text("SOME_KEY=planted-secret-4711\n")
    secrets.chmod(0o644)
    found = lines(root, config)
    assert levels(found, Level.FAIL) == {"configuration/secrets.env"}
    assert found["configuration/secrets.env"].mend == f"chmod 600 {secrets}"
    assert found["configuration/file"].level is Level.SKIP
    secrets.chmod(0o600)
    assert lines(root, config)["configuration/secrets.env"].text == f"1 value in {secrets}"


def test_a_check_that_breaks_is_a_failure_and_the_next_one_is_made(root: Root, config: Path) -> None:
    def break_off(_: Subject) -> None:
        raise PermissionError(13, "Permission denied", "/srv/tasks")

    checks = (Check("g", "breaks", break_off), Check("g", "next", lambda _: ok("made")))  # type: ignore[arg-type]
    found = lines(root, config, checks)
    assert (found["g/breaks"].level, "/srv/tasks" in found["g/breaks"].text) == (Level.FAIL, True)
    assert found["g/next"].level is Level.OK


def test_no_line_holds_the_key(root: Root, config: Path) -> None:
    config.write_text(config.read_text().replace("http://127.0.0.1:9/v1", f"http://127.0.0.1:9/{KEY}/v1"))
    with looked_at(root, config) as subject:
        text = json.dumps(report(look(subject, QUICK)))
    assert KEY not in text
    assert json.loads(text)["schema_version"] == 1
    assert json.loads(text)["ready"] is False


def test_a_job_is_refused_by_the_first_failure_in_its_own_words_within_three_seconds(root: Root, config: Path) -> None:
    with looked_at(root, config) as subject:
        began_at = time.monotonic()
        with pytest.raises(EndpointError, match="out of reach"):
            refuse_unless_all_pass(dataclasses.replace(subject, n_tasks=1, campaign="main"))
        assert time.monotonic() - began_at < 3


def test_an_environment_that_the_next_job_builds_is_no_reason_to_refuse_it(root: Root, config: Path) -> None:
    env = root.path / "env"
    (env / "litellm-venv" / "bin").mkdir(parents=True)
    with looked_at(Root(root.path, env), config) as subject:
        found = {line.check: line for line in look(subject) if line.group == "environments"}
    assert {line.level for line in found.values()} == {Level.WARN}
    assert "is not set up; the next job builds it first" in found["locks harbor-uv"].text
    assert "is not what its lock says; the next job builds it first" in found["locks litellm-venv"].text
    assert {line.mend for line in found.values()} == {"run `trajgen setup-envs`"}


@pytest.mark.parametrize(
    ("does", "level", "said"),
    [
        ("exec sleep 60", Level.WARN, "did not tell its version within 1 s"),
        ("echo broken >&2; exit 3", Level.FAIL, "broken"),
        ("echo 9.9", Level.OK, "9.9"),
    ],
)
def test_a_program_that_is_slow_is_not_one_that_is_broken(
    root: Root, config: Path, does: str, level: Level, said: str
) -> None:
    for name in (HARBOR, LITELLM):
        home = root.path / "env" / name
        python = script(home / "bin" / "python", "echo 1.0").resolve()
        inputs = inputs_digest(PROJECT / "locks" / LOCKS[name])
        Record(name, str(python), "3", inputs, "now").write(home)
    script(root.path / "env" / HARBOR / "bin" / "harbor", does)
    with looked_at(Root(root.path, root.path / "env"), config) as subject:
        harbor, litellm = programs_run(subject, timeout_s=1)
    assert (harbor.level, said in harbor.text, litellm.level) == (level, True, Level.OK)


def test_the_verdict_says_what_would_become_of_a_job() -> None:
    def line(level: Level, *, refuses: bool) -> Line:
        return Line("g", "c", level, "", refuses=refuses)

    fine, refused, spoiled = (
        line(Level.WARN, refuses=True), line(Level.FAIL, refuses=True), line(Level.FAIL, refuses=False),
    )  # fmt: skip
    assert verdict([fine]) == "Ready: `trajgen start`"
    assert verdict([fine, spoiled, refused]) == "A job would be refused"
    assert verdict([fine, spoiled]) == "A job would begin, and go wrong: mend what failed first"


def test_a_canary_that_fails_refuses_no_job_and_what_a_job_needs_does() -> None:
    refusing = {check.name for check in (*CHECKS, PROBE, canary_check(1, print)) if check.refuses}
    assert {check.name for check in CHECKS if check.at_start} < refusing
    assert {"file", "ledger", "Dagster", "manifests", "excluded", "completion"} < refusing
    assert not refusing & {"tasks", "programs", "locks", "images"}


def test_what_is_listed_and_cannot_be_rolled_out_is_counted_with_the_first_names(tmp_path: Path, root: Root) -> None:
    source = write_tasks(tmp_path / "d", "t-1", "t-2", "t-3")
    (source / "t-2" / "tests" / "test.sh").unlink()
    manifest = source / "verifiable_tasks.txt"
    manifest.write_text(manifest.read_text() + "gone\nbad id\ntorn")
    config = write_config(tmp_path / "config.yaml", source=source)
    with looked_at(root, config) as subject:
        texts = [line.text for line in look(subject, QUICK) if line.check == "manifests d"]
    assert texts == [
        "4 listed, 2 usable",
        "the manifest's last line has no newline, and waits for one",
        "1 line is left out, the first is line 5: " + texts[2].partition("line 5: ")[2],
        "1 listed without a folder: gone",
        "1 incomplete: t-2 lacks tests/test.sh",
    ]


@pytest.mark.parametrize(
    ("write", "level", "text"),
    [
        (lambda source: (source / "verifiable_tasks.txt").unlink(), Level.FAIL, "there is no manifest"),
        (lambda source: (source / "verifiable_tasks.txt").write_text(""), Level.WARN, "lists nothing yet"),
        (lambda source: (source / "verifiable_tasks.txt").write_text("x\n"), Level.FAIL, "none of 1 listed tasks"),
        (lambda source: (source / "verifiable_tasks.txt").write_bytes(b"\xff\n"), Level.FAIL, "not UTF-8"),
    ],
)
def test_a_manifest_without_a_usable_task(tmp_path: Path, root: Root, write: object, level: Level, text: str) -> None:
    source = write_tasks(tmp_path / "d", "t-1")
    write(source)  # type: ignore[operator]
    with looked_at(root, write_config(tmp_path / "config.yaml", source=source)) as subject:
        found = next(line for line in look(subject, QUICK) if line.check == "manifests d")
    assert (found.level, text in found.text) == (level, True)


def test_many_partitions_are_warned_of(root: Root, config: Path) -> None:
    with open_ledger(root) as ledger:
        listed = [ListedTask(f"t-{n}", "0" * 64, eligible=True) for n in range(3)]
        ledger.register("main", "d", listed, ManifestSeen("m", "0" * 64, 3))
    with looked_at(root, config) as subject:
        assert [partitions(subject, many=n).level for n in (3, 4)] == [Level.WARN, Level.OK]


def test_settings_that_cannot_work_or_are_not_acted_on_are_told_apart(tmp_path: Path, root: Root) -> None:
    source = write_tasks(tmp_path / "d", "t-1")
    more = (
        "    sft_conversion: {enabled: true, exclude_repos_file: gone.txt}\n"
        "    automation: {enabled: true}\n"
        "    campaigns: {check: {agent: {name: oracle, max_turns: 3}}}\n"
        "    env_extra: {HARBOR_EXCLUDE_TASKS: gone.yaml}\n"
    )
    found = lines(root, write_config(tmp_path / "config.yaml", source=source, more=more))
    assert {"configuration/training data", "tasks/excluded"} <= levels(found, Level.FAIL)
    warned = {"configuration/secrets", "configuration/older keys", "configuration/spending limit"}
    assert warned <= levels(found, Level.WARN)
    assert "no price is known" in found["configuration/spending main"].text


def test_an_agent_in_containers_is_told_what_it_is_set_to_and_gives_training_data(tmp_path: Path, root: Root) -> None:
    source = write_tasks(tmp_path / "d", "t-1")
    more = "    sft_conversion: {enabled: true}\n    campaigns: {b: {agent: {name: claude-code, temperature: 0.3}}}\n"
    config = write_config(tmp_path / "config.yaml", source=source, more=more)
    config.write_text(config.read_text().replace("environment: local", "environment: docker"))
    found = lines(root, config)
    told = found["configuration/training data"]
    assert (told.level, told.text) == (Level.OK, "sharegpt, resolved")
    assert found["configuration/agent b"].text == "claude-code, max_turns 80, temperature 0.3 (by the proxy)"


def test_a_tokenizer_that_is_not_to_be_had_fails_before_anything_is_rolled_out(tmp_path: Path, root: Root) -> None:
    source = write_tasks(tmp_path / "d", "t-1")
    more = "    sft_conversion: {enabled: true, tokenizer_name: nowhere/at-all}\n"
    found = lines(root, write_config(tmp_path / "config.yaml", source=source, more=more))["configuration/training data"]
    assert (found.level, "the tokenizer is not on this machine" in found.text) == (Level.FAIL, True)


def test_an_unset_key_is_named(tmp_path: Path, root: Root) -> None:
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t-1"), key="${TRAJGEN_NOT_SET}")
    found = lines(root, config)["model/key"]
    assert (found.level, "TRAJGEN_NOT_SET" in found.text) == (Level.FAIL, True)
