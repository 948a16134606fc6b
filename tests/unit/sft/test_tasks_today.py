"""What became of a task after it was rolled out decides about its rows, and only that does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.configuration import config_text
from tests.unit.ledger.twins import DATASET, batch, graded, listed, register, settle
from tests.unit.sft.twin import JobOnDisk, lines_of, solved
from trajgen_assets.core.config import parse_config
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.models import AskedBy, JobState
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.receipt import Receipt
from trajgen_assets.core.sft.settings import SWE_BENCH_REPOS, ConversionSettings
from trajgen_assets.core.sft.task_today import TaskToday
from trajgen_assets.core.sft.tasks_today import tasks_today

JOB = "demo-job"
ASKING = ConversionSettings(retired="reject", revoked="reject", task_changed="reject")
FINE = TaskToday(is_retired=False, is_listed=True, digest="d1")


@contextmanager
def rolled_out(folder: Path) -> Iterator[tuple[Platform, Ledger]]:
    """A root in which tasks a and b of one job are done."""
    root = Root(folder / "root")
    create_ledger(root)
    on_disk = JobOnDisk(root.path)
    with open_ledger(root) as ledger:
        register(ledger, listed("a", "d1"), listed("b", "d1"))
        ledger.assign(JOB, batch(), asked_by=AskedBy.START)
        lease = ledger.claim(JOB, "run", ttl_s=60)
        for task_id in ("a", "b"):
            on_disk.add(
                f"{task_id}__1", solved(f"Look at {task_id}."), task_id=task_id, task_key=f"{DATASET}/{task_id}"
            )
            settle(ledger, lease, task_id, graded(f"{task_id}__1"))
        ledger.release(lease, JobState.FINISHED)
        on_disk.write()
        config = parse_config(config_text(Path("tasks")), folder / "config.yaml")
        yield Platform(root, config, ledger), ledger


def converted(platform: Platform, settings: ConversionSettings = ASKING) -> Receipt:
    return convert_job(platform.root.job(JOB), settings, tasks_today(platform, JOB))


def rejected(job: JobPaths) -> dict[str, tuple[str, str | None]]:
    return {each["task_id"]: (each["reason"], each["detail"]) for each in lines_of(job.sft / "rejected.jsonl")}


def test_tasks_that_stand_as_they_were_rolled_out_pass(tmp_path: Path) -> None:
    with rolled_out(tmp_path) as (platform, _):
        assert converted(platform).n_rows == 2


def test_a_task_that_a_list_names_is_retired(tmp_path: Path) -> None:
    with rolled_out(tmp_path) as (platform, _):
        (tmp_path / "excluded_tasks.txt").write_text("a  # its tests are wrong\n")
        converted(platform)
        assert rejected(platform.root.job(JOB)) == {"a": ("retired", None)}


def test_a_task_that_a_ledger_elsewhere_has_done_is_not_retired_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs.yaml").write_text("tasks: {a: done, b: skipped}")
    monkeypatch.setenv("HARBOR_EXCLUDE_TASKS", str(tmp_path / "theirs.yaml"))
    with rolled_out(tmp_path) as (platform, _):
        converted(platform)
        assert rejected(platform.root.job(JOB)) == {"b": ("retired", None)}


def test_a_task_that_the_manifest_lists_no_more_is_revoked(tmp_path: Path) -> None:
    with rolled_out(tmp_path) as (platform, ledger):
        register(ledger, listed("b", "d1"))
        converted(platform)
        assert rejected(platform.root.job(JOB)) == {"a": ("revoked", None)}


def test_a_task_of_another_content_today_has_changed(tmp_path: Path) -> None:
    with rolled_out(tmp_path) as (platform, ledger):
        register(ledger, listed("a", "d2"), listed("b", "d1"))
        converted(platform)
        assert rejected(platform.root.job(JOB)) == {"a": ("task_changed", None)}


@pytest.mark.parametrize(
    ("today", "detail"),
    [
        (None, "retired"),
        (TaskToday(is_retired=False), "revoked"),
        (TaskToday(is_retired=False, is_listed=True), "task_changed"),
    ],
)
def test_what_cannot_be_told_of_a_task_is_unknown_unless_that_is_to_be_kept(
    tmp_path: Path, today: TaskToday | None, detail: str
) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved(), task_id="a").write()
    tasks = {"a": today} if today else None
    assert convert_job(job, ASKING, tasks).n_rows == 0
    assert rejected(job) == {"a": ("unknown", detail)}
    assert convert_job(job, ASKING.model_copy(update={"unknown": "keep"}), tasks).n_rows == 1


@pytest.mark.parametrize("bar", ["retired", "revoked", "task_changed"])
def test_each_bar_can_be_kept(tmp_path: Path, bar: str) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved(), task_id="a").write()
    worst = {
        "retired": TaskToday(is_retired=True, is_listed=True, digest="d1"),
        "revoked": TaskToday(is_retired=False, is_listed=False, digest="d1"),
        "task_changed": TaskToday(is_retired=False, is_listed=True, digest="d2"),
    }
    tasks = {"a": worst[bar]}
    assert convert_job(job, ASKING, tasks).rejected["trials"] == {bar: 1}
    receipt = convert_job(job, ASKING.model_copy(update={bar: "keep"}), tasks)
    assert receipt.n_rows == 1
    assert bar not in receipt.filters["trials"]


def test_the_receipt_names_the_filters_in_the_order_in_which_they_were_tried(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved(), task_id="a").write()
    receipt = convert_job(job, ASKING, {"a": FINE})
    assert receipt.filters["trials"][:6] == [
        "not_accepted",
        "instance_status",
        "excluded_repo",
        "retired",
        "revoked",
        "task_changed",
    ]
    assert receipt.filters["rows"][0] == "too_short"


def test_only_what_becomes_of_the_job_s_own_accepted_tasks_asks_for_another_conversion(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved(), task_id="a").add("b__x", None, task_id="b", accepted=False).write()

    def signature(tasks: dict[str, TaskToday], settings: ConversionSettings = ASKING) -> str:
        return Plan.of(job, settings, tasks).signature()

    first = signature({"a": FINE})
    assert signature({"a": FINE, "b": FINE, "c": TaskToday(is_retired=True)}) == first
    assert signature({"a": TaskToday(is_retired=True, is_listed=True, digest="d1")}) != first
    kept = ConversionSettings()
    assert signature({"a": FINE}, kept) == signature({"a": TaskToday(is_retired=True)}, kept)


@pytest.mark.parametrize(
    ("task_id", "repo"),
    [
        ("django__django-11099", "django/django"),
        ("BurntSushi__ripgrep-2626", "BurntSushi/ripgrep"),
        ("nodebb__nodebb-0123456789abcdef0123456789abcdef01234567-vnan", "NodeBB/NodeBB"),
        ("instance_ansible__ansible-0123456789abcdef0123456789abcdef01234567-v0123", "ansible/ansible"),
        ("django__django-rest-framework-1", None),
        ("tox-dev__tox-3813", None),
    ],
)
def test_tasks_from_repositories_of_benchmarks_are_left_out_unless_no_list_is_wanted(
    tmp_path: Path, task_id: str, repo: str | None
) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved(), task_id=task_id).write()
    convert_job(job, ConversionSettings())
    assert rejected(job) == ({task_id: ("excluded_repo", repo)} if repo else {})
    assert convert_job(job, ConversionSettings(exclude_repos_file=None)).n_rows == 1


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ({}, SWE_BENCH_REPOS),
        ({"exclude_repos": "none"}, None),
        ({"exclude_repos": "mine.txt"}, Path("/there/mine.txt")),
        ({"exclude_repos_file": "mine.txt"}, Path("/there/mine.txt")),
        ({"exclude_repos_file": ""}, SWE_BENCH_REPOS),
    ],
)
def test_the_configuration_names_the_list_of_repositories(said: dict[str, str], chosen: Path | None) -> None:
    config = parse_config(config_text(Path("tasks"), sft_conversion=said), Path("/there/config.yaml"))
    settings = ConversionSettings.of(config)
    assert settings.exclude_repos_file == chosen
    assert (settings.retired, settings.revoked, settings.task_changed) == ("reject", "reject", "reject")
