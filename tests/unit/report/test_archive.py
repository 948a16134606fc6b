"""Every run leaves one archive entry with a truthful status, whole or not at all, and two never share a number."""

import hashlib
import multiprocessing
import os
import resource as limits  # noqa: TID251  the file size limit is the disk that is full
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.report.conftest import DATASET
from tests.waiting import wait_until
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import EndpointError
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger import Batch, JobState, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import (
    ArchiveEntry,
    archived,
    archived_after,
    file_left_open,
    mend_index,
    read_metadata,
    read_runs,
    unfiled_jobs,
)
from trajgen_assets.core.report.archive.models import RunMetadata
from trajgen_assets.core.report.archive.monitor import Install, monitor_text
from trajgen_assets.core.report.archive.origin import COPY_SIZE_BYTES
from trajgen_assets.core.rollout.trials import (
    AgentRecord,
    TaskRecord,
    TrialEntry,
    TrialsFile,
    load_trials,
    write_trials,
)


def index_of(root: Root) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = yaml.safe_load(root.index.read_text())["runs"]
    return runs


def assigned(platform: Platform, job: str, *task_ids: str) -> str:
    assert platform.ledger.assign(job, Batch(MAIN_CAMPAIGN, DATASET, task_ids=task_ids or ("a",)))
    return job


def run(platform: Platform, job: str, state: JobState = JobState.FINISHED, entry: ArchiveEntry | None = None) -> None:
    """What a driver does with the ledger."""
    lease = platform.ledger.claim(job, "r", ttl_s=60)
    platform.ledger.release(lease, state, note=entry.notes if entry else None)


def left_open(platform: Platform) -> list[Path]:
    folder = platform.root.archives / ".open"
    return sorted(folder.iterdir()) if folder.exists() else []


def redactor(platform: Platform) -> Redactor:
    return Redactor.of(platform.config)


def broken_off(platform: Platform, job: str, state: JobState, error: BaseException) -> None:
    with archived(platform, job=assigned(platform, job), owner="r"):
        run(platform, job, state)
        raise error


def test_a_run_that_breaks_is_archived_as_failed(platform: Platform) -> None:
    with pytest.raises(ZeroDivisionError):
        broken_off(platform, "j", JobState.FAILED, ZeroDivisionError())
    assert [(row["id"], row["status"]) for row in index_of(platform.root)] == [("run_001", "failed")]
    assert left_open(platform) == []


def test_an_interrupt_is_archived_as_interrupted_with_its_exit_code(platform: Platform) -> None:
    with pytest.raises(KeyboardInterrupt):
        broken_off(platform, "j", JobState.INTERRUPTED, KeyboardInterrupt())
    metadata = read_metadata(platform.root.archives / "run_001")
    assert (metadata.status, metadata.exit_code) == ("interrupted", 130)
    assert (
        (platform.root.archives / "run_001" / "session.log")
        .read_text()
        .splitlines()[-1]
        .endswith("interrupted: KeyboardInterrupt")
    )


def _refuse(platform: Platform, entry: ArchiveEntry) -> None:
    entry.status = "refused"
    platform.ledger.withdraw(entry.job, note="refused")
    raise EndpointError("the model endpoint is out of reach", where="http://x")


def test_a_refusal_keeps_its_reason(platform: Platform) -> None:
    with pytest.raises(EndpointError), archived(platform, job=assigned(platform, "j"), owner="r") as entry:
        _refuse(platform, entry)
    assert index_of(platform.root)[0]["status"] == "refused"
    assert "out of reach" in index_of(platform.root)[0]["notes"]


def test_a_run_that_found_its_job_taken_leaves_no_trace(platform: Platform) -> None:
    with archived(platform, job=assigned(platform, "j"), owner="r") as entry:
        entry.is_kept = False
    assert read_runs(platform.root).rows == ()
    assert left_open(platform) == []


def _archive_one(folder: Path, job: str) -> None:
    root = Root(folder)
    with open_ledger(root) as ledger:
        platform = Platform(root, load_config(root.path / "config.yaml"), ledger)
        with archived(platform, job=job, owner="r") as entry:
            run(platform, job)
            entry.status = "completed"


def test_jobs_that_end_together_get_different_numbers(platform: Platform) -> None:
    jobs = [assigned(platform, f"j-{task_id}", task_id) for task_id in ("a", "b", "c")]
    spawn = multiprocessing.get_context("spawn").Process
    processes = [spawn(target=_archive_one, args=(platform.root.path, job)) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sorted(row["id"] for row in index_of(platform.root)) == ["run_001", "run_002", "run_003"]
    assert {row.job for row in read_runs(platform.root).rows} == set(jobs)
    assert not read_runs(platform.root).is_behind


def _refuse_in(platform: Platform, job: str, outage: str, *, lost: tuple[str, ...] = ()) -> None:
    with archived(platform, job=assigned(platform, job), owner="r") as entry:
        assert entry.opened is not None
        for name in lost:  # as where the disk was full
            (entry.opened.path / name).unlink()
        entry.outage = outage
        _refuse(platform, entry)


def test_runs_that_one_outage_refuses_share_one_entry_with_a_count(platform: Platform) -> None:
    for job, outage in (("j1", "d since 1"), ("j2", "d since 1"), ("j3", "d since 2"), ("j4", "d since 1")):
        with pytest.raises(EndpointError):
            _refuse_in(platform, job, outage)
    rows = {row["outage"]: (row["id"], row["job"], row["n_runs"]) for row in index_of(platform.root)}
    assert rows == {"d since 2": ("run_002", "j3", 1), "d since 1": ("run_001", "j4", 3)}
    assert len(list(platform.root.archives.glob("run_*"))) == 2
    session = (platform.root.archives / "run_001" / "session.log").read_text()
    assert [job for job in ("j1", "j2", "j3", "j4") if f"job {job}," in session] == ["j1", "j2", "j4"]
    assert left_open(platform) == []


def test_in_an_entry_that_runs_share_every_file_is_of_the_last_run(platform: Platform) -> None:
    (platform.config.path.parent / "excluded_tasks.txt").write_text("c\n")
    with pytest.raises(EndpointError):
        _refuse_in(platform, "j1", "d since 1")
    (platform.config.path.parent / "excluded_tasks.txt").write_text("b\n")
    with platform.config.source(DATASET).manifest.open("a") as manifest:
        manifest.write("d\n")
    made = platform.root.job("j2").harbor_script
    made.parent.mkdir(parents=True)
    made.write_text("harbor run of j2\n")
    with pytest.raises(EndpointError):
        _refuse_in(platform, "j2", "d since 1")
    folder = platform.root.archives / "run_001"
    assert read_metadata(folder).job == "j2"
    assert (folder / "inputs" / "excluded_tasks.txt").read_text() == "b\n"
    copy = read_metadata(folder).inputs.manifest
    assert copy is not None
    assert hashlib.sha256((folder / "inputs" / "verifiable_tasks.txt").read_bytes()).hexdigest() == copy.sha256
    assert (folder / "scripts" / made.name).read_text() == "harbor run of j2\n"
    assert not (folder / "begun.json").exists()


def test_a_run_whose_configuration_could_not_be_copied_joins_the_entry_of_its_outage_once(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EndpointError):
        _refuse_in(platform, "j1", "d since 1")
    with pytest.raises(EndpointError):
        _refuse_in(platform, "j2", "d since 1", lost=("config.yaml",))
    for _ in range(2):
        file_left_open(platform.root, platform.ledger, redactor(platform))
    assert [(row["job"], row["n_runs"]) for row in index_of(platform.root)] == [("j2", 2)]
    folder = platform.root.archives / "run_001"
    assert (folder / "session.log").read_text().count("job j2, driven by r") == 1
    assert (folder / "config.yaml").exists()
    assert left_open(platform) == []
    assert "not archived" not in caplog.text


def test_an_entry_that_cannot_be_joined_leaves_the_shared_log_as_it_was(platform: Platform) -> None:
    with pytest.raises(EndpointError):
        _refuse_in(platform, "j1", "d since 1")
    folder = platform.root.archives / "run_001"
    before = (folder / "session.log").read_text()
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").mkdir()
    with pytest.raises(EndpointError):
        _refuse_in(platform, "j2", "d since 1")
    assert (folder / "session.log").read_text() == before
    assert unfiled_jobs(platform.root, platform.ledger) == ["j2"]


def test_a_run_that_an_outage_ends_after_trials_ran_has_an_entry_of_its_own(platform: Platform) -> None:
    for job in ("j1", "j2"):
        with archived(platform, job=assigned(platform, job), owner="r") as entry:
            run(platform, job, JobState.FAILED)
            entry.outage, entry.status = "d since 1", "failed"
    assert [row.get("outage") for row in index_of(platform.root)] == [None, None]


def test_an_entry_says_what_the_run_was_made_from_and_holds_no_secret(platform: Platform) -> None:
    (platform.config.path.parent / "excluded_tasks.txt").write_text("c # too hard\n")
    with archived(platform, job=assigned(platform, "j", "a", "b"), owner="run-id") as entry:
        entry.listener.phase("a step that says literal-key-4711")
        run(platform, "j")
        entry.status, entry.exit_code = "completed", 0
    folder = platform.root.archives / "run_001"
    metadata = read_metadata(folder)
    assert (metadata.dagster_run_id, metadata.n_tasks, metadata.environment) == ("run-id", 2, "local")
    assert metadata.upstream is not None
    assert metadata.upstream.api_base_url == "http://127.0.0.1:9/v1"
    assert metadata.accepted_digest == platform.ledger.job("j").accepted_digest
    assert sorted(metadata.task_digests) == ["a", "b"]
    assert len(metadata.repositories["trajgen"].commit) == 40
    assert metadata.inputs.manifest is not None
    assert metadata.inputs.manifest.copied == "whole"
    assert (folder / "inputs" / "verifiable_tasks.txt").read_text() == "a\nb\nc\n"
    assert (folder / "inputs" / "excluded_tasks.txt").read_text() == "c\n"
    assert "model: openai/m" in (folder / "config.yaml").read_text()
    for path in (each for each in folder.rglob("*") if each.is_file()):
        assert "literal-key-4711" not in path.read_text(), path
    assert not (folder / "begun.json").exists()


def test_of_a_large_manifest_the_job_s_part_and_the_digest_are_kept(platform: Platform) -> None:
    manifest = platform.config.source(DATASET).manifest
    manifest.write_text("a\nb\nc\n" + "".join(f"t-{n:0100}\n" for n in range(COPY_SIZE_BYTES // 100)))
    with archived(platform, job=assigned(platform, "j", "b"), owner="r"):
        run(platform, "j")
    folder = platform.root.archives / "run_001"
    copy = read_metadata(folder).inputs.manifest
    assert copy is not None
    assert (copy.copied, copy.size_bytes) == ("part", manifest.stat().st_size)
    head, *lines = (folder / "inputs" / "verifiable_tasks.txt").read_text().splitlines()
    assert head.startswith("# the ids of the job's 1 task only")
    assert copy.sha256 in head
    assert lines == ["b"]


def trial(task_id: str, **fields: Any) -> TrialEntry:
    base: dict[str, Any] = {
        "task_id": task_id,
        "task_key": f"{DATASET}/{task_id}",
        "trial_name": f"{task_id}__x",
        "attempt": 1,
        "accepted": False,
        "status": "pending",
        "task": TaskRecord(digest="d", instruction="i"),
        "n_input_tokens": 1000,
        "n_output_tokens": 24,
    }
    return TrialEntry(**base | fields)


def ended_trials(platform: Platform, job: str) -> None:
    solved = {"accepted": True, "status": "done", "reward": 1.0, "trajectory": "a__x/t", "cost_usd": 0.25}
    failed = {
        "status": "failed",
        "cause": "sandbox",
        "note": "the build failed:\n<b>no | space</b> `left`",
        "cost_usd": 0.5,
    }
    header = TrialsFile(
        job=job,
        dataset=DATASET,
        campaign=MAIN_CAMPAIGN,
        scaffold="terminus2",
        agent=AgentRecord(name="terminus-2"),
        model="openai/m",
        trials=(trial("a", **solved), trial("b", **failed)),
    )
    write_trials(platform.root.job(job).trials, header)


def test_the_account_tells_progress_failures_by_cause_and_commands_to_run_next(platform: Platform) -> None:
    with archived(platform, job=assigned(platform, "j", "a", "b"), owner="r") as entry:
        ended_trials(platform, "j")
        run(platform, "j")
        entry.status = "completed"
    (row,) = index_of(platform.root)
    assert (row["n_tasks"], row["n_trials"], row["n_accepted"]) == (2, 2, 1)
    assert (row["mean_reward"], row["cost_usd"]) == (1.0, 0.75)
    text = (platform.root.archives / "run_001" / "monitor.md").read_text()
    assert "# run_001: completed" in text
    assert "- valid results: 1, of these solved: 1" in text
    assert "- tokens: 2,048; cost: 0.75 US dollars" in text
    assert "### sandbox: 1 of 2" in text
    assert r"- `b` (attempt 1, now failed): the build failed: \<b\>no \| space\</b\> \`left\`" in text
    assert f"trajgen --root {platform.root.path} ledger show --job j" in text
    assert f"trajgen --root {platform.root.path} start" in text
    assert f"trajgen --root {platform.root.path} ledger retry {DATASET}/b" in text
    assert "- `jobs/j/`: results" in text
    assert "sft_data" not in text  # no training data was made


def test_the_commands_of_a_smoke_test_name_its_campaign_and_no_conversion(platform: Platform) -> None:
    job = RunMetadata.model_validate(yaml.safe_load(OLDEST) | {"campaign": "smoke"})
    install = Install(platform.root, str(platform.config.path))
    text = monitor_text(install, job, (), has_data=False)
    assert f"`trajgen --root {platform.root.path} start --campaign smoke`" in text
    assert "convert" not in text
    assert "convert --job" in monitor_text(install, job, (), has_data=True)


def test_the_commands_of_a_run_name_the_configuration_that_it_was_made_with(platform: Platform) -> None:
    other = platform.config.path.with_name("other config.yaml")
    platform.config.path.rename(other)
    with_other = Platform(platform.root, load_config(other), platform.ledger)
    with pytest.raises(EndpointError), archived(with_other, job=assigned(with_other, "j"), owner="r") as entry:
        _refuse(with_other, entry)
    text = (platform.root.archives / "run_001" / "monitor.md").read_text()
    for command in ("dryrun", "start"):
        assert f"trajgen --root {platform.root.path} --config '{other}' {command}`" in text


def test_a_trial_that_was_not_begun_is_told_as_no_failure(platform: Platform) -> None:
    with archived(platform, job=assigned(platform, "j", "a", "b"), owner="r") as entry:
        ended_trials(platform, "j")
        listed = load_trials(platform.root.job("j").trials)
        stopped = {"cause": "cancelled", "note": "JobStoppedError: /x/stop asks for no more trials"}
        left = listed.trials[1].model_copy(update=stopped)
        write_trials(platform.root.job("j").trials, listed.model_copy(update={"trials": (listed.trials[0], left)}))
        run(platform, "j", JobState.INTERRUPTED)
        entry.status = "interrupted"
    text = (platform.root.archives / "run_001" / "monitor.md").read_text()
    assert "trials that ended: 1; not begun: 1" in text
    assert "### not begun: 1 of 2" in text
    assert "cancelled" not in text
    assert "/stop" not in text.replace("\\", "")


# Killed, and the disk full


def _run_and_stop(folder: Path, job: str, ended: bool) -> None:
    root = Root(folder)
    with open_ledger(root) as ledger:
        platform = Platform(root, load_config(root.path / "config.yaml"), ledger)
        with archived(platform, job=job, owner="gone") as entry:
            entry.listener.phase("rolling out")
            lease = ledger.claim(job, "gone", ttl_s=600)
            if ended:
                ledger.release(lease, JobState.FINISHED)
            (root.path / "there").touch()
            signal.pause()


def killed_in(platform: Platform, job: str, *, ended: bool) -> None:
    """A driver that is killed with its job running, or between the job's end and the archive."""
    args = (platform.root.path, job, ended)
    child = multiprocessing.get_context("spawn").Process(target=_run_and_stop, args=args)
    child.start()
    try:
        wait_until((platform.root.path / "there").exists)
        assert file_left_open(platform.root, platform.ledger, redactor(platform)) == []  # it lives: it is its own
    finally:
        child.kill()
        child.join(30)


def test_the_entry_of_a_driver_that_was_killed_is_gone_on_with_by_whoever_settles_its_job(platform: Platform) -> None:
    killed_in(platform, assigned(platform, "j"), ended=False)
    assert file_left_open(platform.root, platform.ledger, redactor(platform)) == []  # the job is not settled yet
    job = platform.ledger.job("j")
    with archived_after(platform, job):
        pass  # time was up: the job is still running, and its entry open
    assert read_runs(platform.root).rows == ()
    with archived_after(platform, job) as entry:
        entry.notes = "its driver died"
        platform.ledger.release(platform.ledger.seize(job, "recovery", ttl_s=60), JobState.FAILED)
    (row,) = read_runs(platform.root).rows
    metadata = read_metadata(platform.root.archives / row.id)
    assert (row.status, row.notes, metadata.dagster_run_id) == ("failed", "its driver died", "gone")
    assert "rolling out" in (platform.root.archives / row.id / "session.log").read_text()
    assert file_left_open(platform.root, platform.ledger, redactor(platform)) == []
    assert len(read_runs(platform.root).rows) == 1


def test_a_job_that_was_over_when_its_driver_was_killed_is_archived_once_by_the_next_look(platform: Platform) -> None:
    killed_in(platform, assigned(platform, "j"), ended=True)
    assert unfiled_jobs(platform.root, platform.ledger) == ["j"]
    (run_made,) = file_left_open(platform.root, platform.ledger, redactor(platform))
    assert (run_made.status, run_made.exit_code, run_made.notes) == ("completed", 0, "archived afterwards")
    assert file_left_open(platform.root, platform.ledger, redactor(platform)) == []
    assert [row["id"] for row in index_of(platform.root)] == ["run_001"]
    assert left_open(platform) == []


def test_an_entry_whose_driver_hangs_is_not_filed_by_others(platform: Platform) -> None:
    with archived(platform, job=assigned(platform, "j"), owner="r") as hanging:
        lease = platform.ledger.claim("j", "r", ttl_s=0)
        job = platform.ledger.job("j")
        with archived_after(platform, job):
            platform.ledger.release(platform.ledger.seize(job, "recovery", ttl_s=60), JobState.FAILED)
        assert read_runs(platform.root).rows == ()
        hanging.notes = f"lost fence {lease.fence}"
    assert [row.notes for row in read_runs(platform.root).rows] == ["lost fence 1"]


def _archive_on_a_full_disk(folder: Path, job: str, n_bytes: int) -> None:
    root = Root(folder)
    with open_ledger(root) as ledger:
        platform = Platform(root, load_config(root.path / "config.yaml"), ledger)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with archived(platform, job=job, owner="r") as entry:
            run(platform, job)
            entry.status = "completed"
            limits.setrlimit(limits.RLIMIT_FSIZE, (n_bytes, limits.RLIM_INFINITY))
        os._exit(7)  # it has come here: the archive did not end the run


@pytest.mark.parametrize("n_bytes", [0, 200, 900])
def test_a_disk_that_is_full_just_then_leaves_no_half_entry_and_the_next_look_files_it(
    platform: Platform, n_bytes: int
) -> None:
    args = (platform.root.path, assigned(platform, "j"), n_bytes)
    child = multiprocessing.get_context("spawn").Process(target=_archive_on_a_full_disk, args=args)
    child.start()
    child.join(60)
    assert child.exitcode == 7
    assert platform.ledger.job("j").state is JobState.FINISHED
    for folder in platform.root.archives.glob("run_*"):
        assert read_metadata(folder).status == "completed"
    file_left_open(platform.root, platform.ledger, redactor(platform))
    mend_index(platform.root)
    assert [(row["id"], row["status"]) for row in index_of(platform.root)] == [("run_001", "completed")]
    assert read_metadata(platform.root.archives / "run_001").exit_code in (0, 1)
    assert left_open(platform) == []


# The index


def test_an_index_that_is_not_one_is_kept_beside_and_made_anew_from_the_folders(platform: Platform) -> None:
    for job in ("j1", "j2"):
        with archived(platform, job=assigned(platform, job), owner="r"):
            run(platform, job)
        platform.root.index.write_text("just text\n")
    runs = mend_index(platform.root)
    assert runs.words == ["index.yaml could not be read (it has no list `runs`)"]
    assert [row["job"] for row in index_of(platform.root)] == ["j1", "j2"]
    assert platform.root.index.with_name("index.yaml.broken").read_text() == "just text\n"
    assert mend_index(platform.root).words == []


@pytest.mark.parametrize("text", ["", "runs: [1]\n", "runs: {", "\x00", "runs: [{id: run_001}]\n"])
def test_no_garbage_in_the_index_keeps_a_run_from_being_archived(platform: Platform, text: str) -> None:
    platform.root.index.write_text(text)
    with archived(platform, job=assigned(platform, "j"), owner="r"):
        run(platform, "j")
    assert [row["id"] for row in index_of(platform.root)] == ["run_001"]


def test_an_index_that_is_behind_is_completed_and_a_number_is_never_given_twice(platform: Platform) -> None:
    for job in ("j1", "j2"):
        with archived(platform, job=assigned(platform, job), owner="r"):
            run(platform, job)
    lines = platform.root.index.read_text()
    platform.root.index.write_text(lines[: lines.index('- id: "run_002"')])
    assert read_runs(platform.root).missing == ("run_002",)
    assert [row.id for row in mend_index(platform.root).rows] == ["run_001", "run_002"]
    (platform.root.archives / "run_002").rename(platform.root.path / "elsewhere")  # the index remembers it
    with archived(platform, job=assigned(platform, "j3"), owner="r"):
        run(platform, "j3")
    assert [row["id"] for row in index_of(platform.root)] == ["run_001", "run_002", "run_003"]


def test_an_entry_that_cannot_be_read_is_told_and_hides_no_other(platform: Platform) -> None:
    with archived(platform, job=assigned(platform, "j"), owner="r"):
        run(platform, "j")
    platform.root.index.unlink()
    (platform.root.archives / "run_002").mkdir()
    (platform.root.archives / "run_003").mkdir()
    (platform.root.archives / "run_003" / "metadata.yaml").write_text("id: 3\n")
    runs = read_runs(platform.root)
    assert [row.id for row in runs.rows] == ["run_001"]
    assert [each.partition(":")[0] for each in runs.unreadable] == ["run_002", "run_003"]


OLDEST = """\
schema_version: 1
block: trajgen
dagster_run_id: 7b1f
exit_code: 0
n_trials: 2
dataset: py-cc
campaign: main
n_tasks: 2
n_accepted: 1
stopped_for: null
causes: {sandbox: 1}
cost_usd: null
task_digests: {a: 5d}
id: run_001
job: py-cc-j
status: completed
started_at: '2026-11-21T01:00:00.000000+00:00'
completed_at: '2026-11-21T01:00:12.000000+00:00'
archive: archives/run_001
notes: ''
"""


def test_entries_of_the_first_version_are_read(platform: Platform) -> None:
    folder = platform.root.archives / "run_001"
    folder.mkdir(parents=True)
    (folder / "metadata.yaml").write_text(OLDEST)
    (row,) = read_runs(platform.root).rows
    assert (row.job, row.n_accepted, read_metadata(folder).causes) == ("py-cc-j", 1, {"sandbox": 1})
