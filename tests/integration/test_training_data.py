"""Training data as Dagster shows it: receipts, checks that can fail, and data sets of several jobs."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import PARTITION_NAME_TAG
from typer.testing import CliRunner, Result

from tests.configuration import NO_MODEL, config_text
from tests.integration.finished_job import ALL, JOB, Host, finished_host, job_that_is_over
from tests.unit.ledger.twins import batch, register
from tests.unit.sft.checks.test_checks import edited, lose_result, no_turn, say
from tests.unit.sft.twin import lines_of
from trajgen_assets.cli.main import app, exit_code_of
from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from trajgen_assets.core.sft.checks.findings import Check
from trajgen_assets.core.sft.checks.folders import DATA_SET_CHECKS, IM_CHECKS, LF_CHECKS
from trajgen_assets.definitions import defs
from trajgen_assets.launches import run_config
from trajgen_assets.names import DATA_SET_OP, DATA_SETS, SFT_DATA_SET, SFT_IM, SFT_LF
from trajgen_assets.partitions import add_partitions

ASSET_JOB = "__ASSET_JOB"
KEY = "the-key-of-the-endpoint"
OTHER = "other-job"
SET = "mixed"
CHECKS = {SFT_IM: IM_CHECKS, SFT_LF: LF_CHECKS, SFT_DATA_SET: DATA_SET_CHECKS}


@contextmanager
def configured_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host with a key, and with a list of excluded repositories."""
    with finished_host(folder, monkeypatch) as made:
        excluded = made.root.path / "excluded.txt"
        excluded.write_text("pallets/flask\n")
        conversion = {"enabled": True, "exclude_repos_file": str(excluded)}
        api = {**NO_MODEL, "api_key": KEY}
        text = config_text(made.root.path / "py-cc", sft_conversion=conversion, llm_api=api)
        (made.root.path / "config.yaml").write_text(text)
        yield made


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with configured_host(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two jobs with their data, and a data set of both."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        configured_host(tmp_path_factory.mktemp("built"), monkeypatch) as made,
    ):
        two_jobs(made)
        assert made.materialize(ALL).success
        assert code_of(build(made, "--campaign", "main")) == EXIT_OK
        yield made


@pytest.fixture
def damaged(built: Host, tmp_path: Path) -> Iterator[Host]:
    """The same, to be damaged and then as it was."""
    kept = {name: built.root.job(name).sft.resolve() for name in (JOB, SET)}
    for name, folder in kept.items():
        shutil.copytree(folder, tmp_path / name)
    yield built
    for name, folder in kept.items():
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / name, folder)


def checked(host: Host, result: dg.ExecuteInProcessResult) -> dict[tuple[dg.AssetKey, str], dg.AssetCheckEvaluation]:
    """The checks of a run, as they are stored."""
    entries = host.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [each.dagster_event.asset_check_evaluation_data for each in entries if each.dagster_event]
    return {(each.asset_key, each.check_name): each for each in found}


def failure(result: dg.ExecuteInProcessResult) -> str:
    return str([event.step_failure_data.error for event in result.all_events if event.is_step_failure])


def execute(host: Host, partition: str | None, **chosen: Any) -> dg.ExecuteInProcessResult:
    """What a click in the web UI starts."""
    config = chosen.pop("config", None)
    job = defs().get_repository_def().get_job(ASSET_JOB).get_subset(**chosen)
    return job.execute_in_process(
        instance=host.instance,
        tags={PARTITION_NAME_TAG: partition} if partition else {},
        run_config=config,
        raise_on_error=False,
    )


def look(host: Host, asset: dg.AssetKey, check: Check, partition: str = JOB) -> dg.ExecuteInProcessResult:
    """A click on a check alone."""
    return execute(host, partition, asset_selection=set(), asset_check_selection={dg.AssetCheckKey(asset, check.value)})


def build(host: Host, *words: str) -> Result:
    return CliRunner().invoke(app, ["--root", str(host.root.path), "dataset", "build", SET, *words])


def code_of(result: Result) -> int:
    return exit_code_of(result.exception) if isinstance(result.exception, TrajgenError) else result.exit_code


def two_jobs(host: Host) -> None:
    job_that_is_over(host.root, OTHER, {"c": "Look at c.", "d": "Look at b."})
    for job in (JOB, OTHER):
        assert CliRunner().invoke(app, ["--root", str(host.root.path), "convert", "--job", job]).exit_code == 0


def test_a_run_that_makes_the_data_makes_its_checks_and_shows_the_receipt(host: Host) -> None:
    result = host.materialize(ALL)
    assert result.success
    found = {key: each for key, each in checked(host, result).items() if key[0] in {SFT_IM, SFT_LF}}
    assert set(found) == {(asset, check.value) for asset in (SFT_IM, SFT_LF) for check in CHECKS[asset]}
    assert all(each.passed and each.partition == JOB for each in found.values())
    assert {each.target_materialization_data.run_id for each in found.values() if each.target_materialization_data} == {
        result.run_id
    }
    for asset in (SFT_IM, SFT_LF):
        (record,) = host.instance.fetch_materializations(asset, limit=10).records
        assert record.asset_materialization is not None
        assert "| kept | 2 |" in str(record.asset_materialization.metadata["summary"].value)


def of_excluded_repository(row: Any) -> None:
    row["meta_info"]["unique_info"]["_instance_id"] = "pallets__flask-12"


def unbalanced(receipt: Any) -> None:
    receipt["sft_im"]["rows"]["n_kept"] += 1


def edit_row(file: str, edit: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda folder: edited(folder / file, 2, edit)


def edit_receipt(edit: Callable[[Any], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        receipt = json.loads((folder / "receipt.json").read_bytes())
        edit(receipt)
        (folder / "receipt.json").write_text(json.dumps(receipt))

    return damage


def lose_a_row(folder: Path) -> None:
    (folder / "lf.json").write_bytes(b"[\n" + (folder / "lf.json").read_bytes().splitlines()[2] + b"\n]\n")


DAMAGES = [
    (SFT_IM, Check.ROLES_ALTERNATE, edit_row("im.jsonl", lose_result)),
    (SFT_IM, Check.NO_SECRETS, edit_row("im.jsonl", say(f"export KEY={KEY}"))),
    (SFT_IM, Check.NO_EXCLUDED_REPOSITORY, edit_row("im.jsonl", of_excluded_repository)),
    (SFT_IM, Check.RECEIPT_BALANCES, edit_receipt(unbalanced)),
    (SFT_LF, Check.LOADER_KEEPS_EVERY_ROW, edit_row("lf.json", no_turn)),
    (SFT_LF, Check.NO_SECRETS, edit_row("lf.json", say(KEY))),
    (SFT_LF, Check.RECEIPT_BALANCES, lose_a_row),
]


@pytest.mark.parametrize(("asset", "check", "damage"), DAMAGES)
def test_a_check_fails_a_run_by_data_that_would_do_harm(
    damaged: Host, asset: dg.AssetKey, check: Check, damage: Callable[[Path], None]
) -> None:
    damage(damaged.root.job(JOB).sft)
    result = look(damaged, asset, check)
    assert not result.success
    (found,) = checked(damaged, result).values()
    assert (found.asset_key, found.check_name, found.partition) == (asset, check.value, JOB)
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    table = found.metadata["findings"]
    assert isinstance(table, dg.TableMetadataValue)
    assert {record.data["row"] for record in table.records} <= {2, None}
    assert KEY not in (found.description or "") + str(found.metadata)
    assert check.value in failure(result)


@pytest.mark.parametrize("asset", [SFT_IM, SFT_LF, SFT_DATA_SET])
def test_a_click_on_all_checks_of_an_asset_looks_at_every_partition_that_there_is(
    damaged: Host, asset: dg.AssetKey
) -> None:
    name = SET if asset == SFT_DATA_SET else JOB
    edited(damaged.root.job(name).sft / ("lf.json" if asset == SFT_LF else "im.jsonl"), 1, say(KEY))
    keys = {dg.AssetCheckKey(asset, check.value) for check in CHECKS[asset]}
    result = execute(damaged, None, asset_selection=set(), asset_check_selection=keys)
    assert not result.success
    for key in keys:
        history = damaged.instance.event_log_storage.get_asset_check_execution_history(key, limit=50)
        of_run = {each.partition: each.status.value for each in history if each.run_id == result.run_id}
        fails = key.name in {Check.NO_SECRETS.value, Check.RECEIPT_BALANCES.value}
        assert of_run == dict.fromkeys((name, None), "FAILED" if fails else "SUCCEEDED")


def test_what_only_looks_like_a_key_warns_and_fails_nothing(damaged: Host) -> None:
    edited(damaged.root.job(JOB).sft / "im.jsonl", 1, say("ghp_" + "a1" * 18))
    result = look(damaged, SFT_IM, Check.NO_SECRETS)
    (found,) = checked(damaged, result).values()
    assert result.success
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_secret_that_a_model_saw_fails_the_run_that_makes_the_data_and_the_ledger_asks_for_no_other(
    host: Host,
) -> None:
    job_that_is_over(host.root, OTHER, {"c": f"The key is {KEY}."})
    (first, second), _ = host.tick()
    request = second if second.partition_key == OTHER else first
    result = (
        defs()
        .resolve_job_def("data_job")
        .execute_in_process(
            instance=host.instance,
            partition_key=OTHER,
            asset_selection=list(request.asset_selection or []),
            raise_on_error=False,
        )
    )
    assert not result.success
    failed = {key for key, each in checked(host, result).items() if not each.passed}
    assert failed == {(SFT_IM, Check.NO_SECRETS.value), (SFT_LF, Check.NO_SECRETS.value)}
    assert [request.partition_key for request in host.tick()[0]] == [JOB]


def test_a_data_set_that_the_command_builds_is_shown_with_its_receipt_and_its_checks(host: Host) -> None:
    two_jobs(host)
    result = build(host, "--jobs", OTHER, "--jobs", JOB)
    assert code_of(result) == EXIT_OK
    assert f"{SET}: 3 rows of 3 tasks from 2 jobs, written" in result.output
    assert f"{OTHER}: 1 of 2 rows, 1 rejected by duplicate" in result.output
    assert host.instance.get_dynamic_partitions(DATA_SETS) == [SET]
    (record,) = host.instance.fetch_materializations(SFT_DATA_SET, limit=10).records
    event = record.asset_materialization
    assert event is not None
    assert event.partition == SET
    shown = {name: value.value for name, value in event.metadata.items()}
    assert (shown["dagster/row_count"], shown["tasks"], shown["jobs"]) == (3, 3, 2)
    assert shown["rejected"] == {"duplicate": 1}
    assert "| all | 4 | 3 | 1 |" in str(shown["receipt"])
    assert Path(str(shown["path"])).samefile(host.root.job(SET).sft / "lf.json")
    summaries = [
        host.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(SFT_DATA_SET, check.value), limit=5
        )
        for check in DATA_SET_CHECKS
    ]
    assert [[each.status.value for each in history] for history in summaries] == [["SUCCEEDED"]] * len(DATA_SET_CHECKS)


def test_a_click_builds_what_the_command_builds_and_on_equal_rows_it_is_no_news(host: Host) -> None:
    two_jobs(host)
    add_partitions(host.instance, DATA_SETS, [SET])
    config = run_config(DATA_SET_OP, jobs=[JOB, OTHER])
    chosen = {"asset_selection": {SFT_DATA_SET}, "asset_check_selection": None}
    result = execute(host, SET, config=config, **chosen)
    assert result.success
    assert set(checked(host, result)) == {(SFT_DATA_SET, check.value) for check in DATA_SET_CHECKS}
    for _ in range(2):
        assert code_of(build(host)) == EXIT_OK  # of what it was made of
    assert execute(host, SET, **chosen).success
    assert len(host.instance.fetch_materializations(SFT_DATA_SET, limit=10).records) == 1


def test_a_click_that_names_nothing_says_what_to_name(host: Host) -> None:
    add_partitions(host.instance, DATA_SETS, [SET])
    result = execute(host, SET, asset_selection={SFT_DATA_SET}, asset_check_selection=None)
    assert not result.success
    assert "nothing says which jobs this data set is made of" in failure(result)


@pytest.mark.parametrize("check", DATA_SET_CHECKS)
def test_each_check_of_a_data_set_can_fail(damaged: Host, check: Check) -> None:
    damages = {check: damage for _, check, damage in DAMAGES}
    folder = damaged.root.job(SET).sft
    if check is Check.RECEIPT_BALANCES:
        os.truncate(folder / "rejected.jsonl", 0)
    else:
        damages[check](folder)
    result = look(damaged, SFT_DATA_SET, check, SET)
    assert not result.success
    (found,) = checked(damaged, result).values()
    assert (found.check_name, found.partition, found.passed) == (check.value, SET, False)


def test_a_build_of_rows_with_a_secret_says_so_and_fails(host: Host) -> None:
    job_that_is_over(host.root, OTHER, {"c": f"The key is {KEY}."})
    assert CliRunner().invoke(app, ["--root", str(host.root.path), "convert", "--job", OTHER]).exit_code == 0
    result = build(host, "--jobs", OTHER)
    assert code_of(result) == EXIT_FAILED
    assert "of 1 row; the first: im.jsonl, row 1, messages[2].reasoning_content: a known secret" in result.output
    assert KEY not in result.output


def test_a_campaign_gives_its_jobs_that_are_over_and_says_what_it_left_out(host: Host) -> None:
    two_jobs(host)
    with host.ledger() as ledger:
        register(ledger, "z", whole=False)
        assert ledger.assign("waiting", batch(task_ids=["z"]))
    job_that_is_over(host.root, "elsewhere", {"a": "Another."}, campaign="second")
    made = json.loads(build(host, "--campaign", "main", "--json").stdout)
    assert [part["job"] for part in made["jobs"]] == [JOB, OTHER]
    assert made["left_out"] == {"waiting": "it is assigned"}
    assert made["checks"].keys() == {check.value for check in Check}


def test_what_cannot_be_built_is_refused_with_what_to_do(host: Host) -> None:
    def refused(*words: str, name: str = SET) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["--root", str(host.root.path), "dataset", "build", name, *words])
        return code_of(result), str(result.exception) + result.output

    for words, name, code, said in [
        (("--jobs", JOB), JOB, EXIT_REFUSED, "a job has this name"),
        (("--jobs", JOB), "../x", EXIT_USAGE, "cannot be the name of a data set"),
        (("--jobs", "nobody"), SET, EXIT_USAGE, "there is no job of that name"),
        (("--campaign", "nobody"), SET, EXIT_USAGE, "no job gives rows"),
        (("--campaign", "smoke"), SET, EXIT_REFUSED, "a smoke test becomes no training data"),
        (("--jobs", JOB, "--campaign", "main"), SET, EXIT_USAGE, "not both"),
        ((), SET, EXIT_USAGE, "nothing says which jobs"),
        (("--jobs", JOB), SET, EXIT_FAILED, f"`trajgen convert --job {JOB}`"),
    ]:
        found, text = refused(*words, name=name)
        assert (found, said in " ".join(text.split())) == (code, True), text
    assert not (host.root.sft_data / SET).exists()


def test_a_dry_run_writes_nothing_and_shows_nothing(host: Host) -> None:
    two_jobs(host)
    result = build(host, "--campaign", "main", "--dry-run")
    assert f"{SET}: 3 rows of 3 tasks from 2 jobs, would be written" in result.output
    assert not (host.root.sft_data / SET).exists()
    assert host.instance.get_dynamic_partitions(DATA_SETS) == []


def test_the_list_tells_which_data_sets_are_no_longer_what_their_jobs_give(host: Host) -> None:
    def listed() -> Any:
        words = ["--root", str(host.root.path), "dataset", "list", "--json"]
        return json.loads(CliRunner().invoke(app, words).stdout)

    assert listed() == []
    two_jobs(host)
    build(host, "--campaign", "main")
    (entry,) = listed()
    assert (entry["data_set"], entry["rows"], entry["stale"]) == (SET, 3, None)
    config = host.root.path / "config.yaml"
    config.write_text(config.read_text().replace("enabled: true", "enabled: true\n      max_instances: 1"))
    CliRunner().invoke(app, ["--root", str(host.root.path), "convert", "--job", JOB])
    (entry,) = listed()
    assert entry["stale"] == f"{JOB} was converted anew"
    shown = CliRunner().invoke(app, ["--root", str(host.root.path), "dataset", "show", SET])
    assert f"state: {JOB} was converted anew" in shown.output
    build(host)
    (entry,) = listed()
    assert (entry["rows"], entry["stale"]) == (len(lines_of(host.root.job(SET).sft / "im.jsonl")), None)
