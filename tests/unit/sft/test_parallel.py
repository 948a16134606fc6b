import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults import Points
from tests.unit.sft.test_convert import BAD_FILES, everything_in
from tests.unit.sft.twin import JobOnDisk, TerminusTwin, answer_text, lines_of, solved
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft import parallel
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.parallel import n_workers_for
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.settings import ConversionSettings


def mixed_job(folder: Path) -> JobPaths:
    """Trials of unequal length, some of which are rejected, one of them before it is read."""
    job = JobOnDisk(folder)
    for number in range(7):
        twin = TerminusTwin()
        for turn in range(3 + 2 * (number % 3)):
            twin.ask(f"{number}, {turn}", answer_text("Go on.", "ls\n"), "Think.")
        job.add(f"trial__{number}", twin)
    job.add("broken", b"{\n").add("gone", None).add("failed", solved(), reward=0.0)
    return job.add("last", solved()).write()


@pytest.mark.parametrize(
    ("n_cores", "bytes_worth_a_worker", "n_workers"), [(2, 64 << 20, 0), (3, 1000, 3), (1, 1000, 0), (64, 1000, 4)]
)
def test_processes_are_started_as_far_as_cores_and_bytes_are_worth_it(
    tmp_path: Path, n_cores: int, bytes_worth_a_worker: int, n_workers: int
) -> None:
    plan = Plan.of(mixed_job(tmp_path), ConversionSettings())
    assert n_workers_for(plan, n_cores=n_cores, bytes_worth_a_worker=bytes_worth_a_worker) == n_workers


def test_several_processes_write_the_bytes_that_one_writes(tmp_path: Path) -> None:
    job = mixed_job(tmp_path)
    convert_job(job, ConversionSettings(), n_workers=0)
    by_one = everything_in(job.sft)
    (job.sft / "receipt.json").unlink()
    assert convert_job(job, ConversionSettings(), n_workers=3).changed
    assert everything_in(job.sft) == by_one
    assert len(by_one["im.jsonl"].splitlines()) == 8


def test_bad_trajectories_cost_their_own_trials_in_several_processes_too(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("first", solved())
    for number, (lines, _) in enumerate(BAD_FILES.values()):
        job.add(f"bad_{number}", lines)
    written = convert_job(job.add("last", solved(None)).write(), ConversionSettings(), n_workers=3)
    reasons = [None, *(reason for _, reason in BAD_FILES.values()), None]
    assert [each.reason for each in written.sft_im.per_trial] == reasons


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("endless", b'{"a":"', trajectory_sha256=None).add("good", solved()).write()
    os.truncate(job.trajectory("endless"), 400 << 20)
    program = (
        "import pickle, re, sys; from trajgen_assets.core.sft.convert import ConversionSettings, convert_job; "
        "convert_job(pickle.load(sys.stdin.buffer), ConversionSettings()); "
        "print(re.search('VmHWM: *(.*) kB', open('/proc/self/status').read())[1])"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, input=pickle.dumps(job), stdout=subprocess.PIPE, check=True, timeout=60)
    assert [each["reason"] for each in lines_of(job.sft / "rejected.jsonl")] == ["broken_line"]
    assert int(done.stdout) < 200_000


def test_a_process_that_dies_is_an_error_and_leaves_what_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, points = mixed_job(tmp_path), Points(tmp_path / "points")
    convert_job(job, ConversionSettings())
    stood = {path: path.read_bytes() for path in job.sft.parent.rglob("*") if path.is_file()}
    points.arm("trial_converted")
    monkeypatch.setenv(FAULTS_ENV, str(points.folder))
    with ThreadPoolExecutor() as pool:
        conversion = pool.submit(convert_job, job, ConversionSettings(take_cut=True), n_workers=2)
        os.kill(points.wait("trial_converted"), signal.SIGKILL)
        with pytest.raises(ConversionError, match="ended with -9"):
            conversion.result(timeout=60)
    assert {path: path.read_bytes() for path in job.sft.parent.rglob("*") if path.is_file()} == stood


def test_a_process_whose_verdicts_nobody_reads_ends(tmp_path: Path) -> None:
    plan = Plan.of(mixed_job(tmp_path), ConversionSettings())
    argv = [sys.executable, "-m", parallel.__name__]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.close()
        with worker.stdin as its_input:
            pickle.dump(plan, its_input)
            pickle.dump(plan.trials.trials[0], its_input)
        assert worker.wait(timeout=60) == 1


def test_a_process_loads_nothing_that_no_trial_needs() -> None:
    heavy = "{'sqlalchemy', 'dagster', 'litellm', 'polars'}"
    program = f"import sys, {parallel.__name__}; sys.exit(', '.join({heavy} & sys.modules.keys()) or None)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
