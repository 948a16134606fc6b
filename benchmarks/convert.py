"""What it takes to make training data of a job: seconds, CPU seconds, and the memory of all processes together.

    .venv/bin/python benchmarks/convert.py [--only large growth branching] [--laps 5]
    .venv/bin/python benchmarks/convert.py --tokens [--laps 5]

- `large`: 200 OpenHands trials of 40 calls, 1 GB (see `recorded_job.py`), converted `--laps` times.
- `growth`: 400, 2,000 and 10,000 trials of 10 short calls: time is to grow with them, memory hardly.
- `branching`: 200 trials of 15, 30 and 60 calls as Claude Code makes them, its system message another in each: time is
  to grow with the bytes, not with the square of the calls.

Each conversion runs in a program of its own, to nothing that stands already, on files that the page cache holds.
`--tokens` is for token statistics: the large job without and with a tokenizer (see `trained_tokenizer.py`), and that
tokenizer alone on the same texts (see `tokenizer_alone.py`), one after the other in each lap. Of two ratios, that of
CPU seconds holds on a machine with other work, too.

Jobs are made below the folder for temporary files, which needs 4 GB.

`recorded_job.py` writes trajectories and rewards, and no final patches, without which a solved trial gives no row
(`no_change`, where what is unknown is refused, as it is unless chosen otherwise). So the record of one that changed
something is put beside each trial here. Rewards of all trials are wanted; all other settings are what they are unless
chosen.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import orjson
import psutil
from recorded_job import BuiltTrial, Size, write_job
from tokenizer_alone import write_texts
from trained_tokenizer import FOLDER, trained_tokenizer

from trajgen_assets.core.atomic import write_json
from trajgen_assets.core.capture.stored import content_sha256
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.patch import PatchRecord
from trajgen_assets.core.rollout.trials import AgentRecord, TaskRecord, TrialEntry, TrialsFile, write_trials
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import ConversionSettings

LOOK_EVERY_S = 0.02
CHANGED = PatchRecord(
    schema_version=1,
    status="ok",
    reason=None,
    workdir="/workspace/repo",
    read_by="command",
    baseline_tree=None,
    final_tree=None,
    n_files=1,
    size_bytes=300,
    sha256=None,
    left_out={},
    largest=[],
    taking_s=0.1,
)


@dataclass(frozen=True)
class Lap:
    """One conversion. Memory is the largest sum of resident sets that was seen, of the program and its children."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    n_rows: int


@dataclass(frozen=True)
class Job:
    """A job to convert, made once."""

    label: str
    folder: Path
    size_mb: float
    n_rows: int


def main() -> None:
    """Measure, and print one table."""
    args = _parse()
    if args.convert:
        print(json.dumps(_convert(args.convert, args.tokenizer)))
        return
    if args.tokens:
        with tempfile.TemporaryDirectory(prefix="trajgen-convert-") as folder:
            _print_tokens(_recorded(Path(folder), Size()), args.laps)
        return
    print("| job | MB | rows | wall s | CPU s | CPU ms a MB | memory MB | load |\n|---|---|---|---|---|---|---|---|")
    for name in args.only:
        for make in MEASURES[name]:
            with tempfile.TemporaryDirectory(prefix="trajgen-convert-") as folder:
                job = make(Path(folder))
                _print_row(job, [_lap(job) for _ in range(args.laps if name == "large" else 1)])
    print(f"\n{os.cpu_count()} cores")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--laps", type=int, default=5)
    parser.add_argument("--tokens", action="store_true", help="what counting tokens takes, instead of the table")
    parser.add_argument("--tokenizer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--convert", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _paths(folder: Path) -> JobPaths:
    return JobPaths(folder / "job", folder / "proxy", folder / "sft_data" / "job")


def _convert(folder: Path, tokenizer: Path | None) -> dict[str, float]:
    """Convert the job in `folder` in this process, and tell what it took."""
    name = str(tokenizer) if tokenizer else None
    began_s, began_cpu_s = time.perf_counter(), sum(os.times()[:4])
    receipt = convert_job(_paths(folder), ConversionSettings(instance_status="all", tokenizer_name=name))
    took = {"wall_s": time.perf_counter() - began_s, "cpu_s": sum(os.times()[:4]) - began_cpu_s}
    return took | {"n_rows": receipt.n_rows}


def _lap(job: Job, tokenizer: Path | None = None) -> Lap:
    shutil.rmtree(job.folder / "sft_data", ignore_errors=True)
    argv = [sys.executable, __file__, "--convert", str(job.folder)]
    argv += ["--tokenizer", str(tokenizer)] if tokenizer else []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        peak_bytes = 0
        while child.poll() is None:
            peak_bytes = max(peak_bytes, _resident_bytes(child.pid))
            time.sleep(LOOK_EVERY_S)
        output = child.stdout.read() if child.stdout else ""
    if child.returncode or (took := json.loads(output))["n_rows"] != job.n_rows:
        sys.exit(f"{job.label}: ended with {child.returncode}, {output}; {job.n_rows} rows were expected")
    return Lap(peak_mb=peak_bytes / 1e6, **took)


def _resident_bytes(pid: int) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def _print_row(job: Job, laps: list[Lap]) -> None:
    wall_s, cpu_s = median(lap.wall_s for lap in laps), median(lap.cpu_s for lap in laps)
    figures = f"{wall_s:.2f} | {cpu_s:.2f} | {cpu_s * 1000 / job.size_mb:.1f} | {max(lap.peak_mb for lap in laps):.0f}"
    load = os.getloadavg()[0]
    print(f"| {job.label} | {job.size_mb:.0f} | {job.n_rows} | {figures} | {load:.1f} |", flush=True)


def _print_tokens(job: Job, n_laps: int) -> None:
    """Print what each way took, and the ratios of conversions to the tokenizer of the same lap."""
    tokenizer, texts = trained_tokenizer(), job.folder / "texts.json"
    _lap(job, tokenizer)
    size_mb = write_texts(_paths(job.folder), tokenizer, texts)
    laps = [(_lap(job), _lap(job, tokenizer), _alone(texts, "fast"), _alone(texts, "plain")) for _ in range(n_laps)]
    without, counting, fast, plain = (list(each) for each in zip(*laps, strict=True))
    print(f"{job.n_rows} rows, {size_mb:.0f} MB of text; one tokenizer takes {fast[0].peak_mb:.0f} MB\n")
    print("| | wall s | CPU s | memory MB |\n|---|---|---|---|")
    _print_lap("conversion without tokens", without)
    _print_lap("conversion with tokens", counting)
    for label, alone in (("fast", fast), ("plain", plain)):
        _print_lap(f"tokenizer alone, {label}", alone)
        both = list(zip(counting, alone, strict=True))
        wall = median(lap.wall_s / other.wall_s for lap, other in both)
        cpu = median(lap.cpu_s / other.cpu_s for lap, other in both)
        print(f"| conversion with tokens / tokenizer alone, {label} | {wall:.2f} | {cpu:.2f} | |")


def _print_lap(label: str, laps: list[Lap]) -> None:
    wall_s, cpu_s = median(lap.wall_s for lap in laps), median(lap.cpu_s for lap in laps)
    print(f"| {label} | {wall_s:.2f} | {cpu_s:.2f} | {max(lap.peak_mb for lap in laps):.0f} |", flush=True)


def _alone(texts: Path, way: str) -> Lap:
    """What the tokenizer alone took; its memory is its own, without any text."""
    argv = [sys.executable, str(Path(__file__).with_name("tokenizer_alone.py")), str(texts), str(FOLDER), way]
    return Lap(**json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout))


def _recorded(folder: Path, size: Size, *, as_claude_code: bool = False) -> Job:
    built = write_job(folder, size)
    for trial in built:
        write_json(_paths(folder).patch_record(trial.folder), CHANGED.model_dump(mode="json"))
    trajectories = [folder / "job" / _trajectory(trial) for trial in built if trial.lines]
    for path in trajectories if as_claude_code else ():
        path.write_bytes(b"".join(_as_claude_code(path)))
    scaffold = "claude_code" if as_claude_code else "openhands_sdk"
    trials = TrialsFile(
        job="benchmark",
        dataset="benchmark",
        campaign="main",
        scaffold=scaffold,
        agent=AgentRecord(name=scaffold),
        model="openai/bench-model",
        trials=tuple(_entry(folder, trial) for trial in built),
    )
    write_trials(_paths(folder).trials, trials)
    label = f"{size.n_trials} trials of {size.n_records} calls, {scaffold}"
    size_mb = sum(path.stat().st_size for path in trajectories) / 1e6
    return Job(label, folder, size_mb, sum(trial.expect_row for trial in built))


def _trajectory(trial: BuiltTrial) -> str:
    return f"{trial.folder}/agent/litellm-trajectory.jsonl"


def _entry(folder: Path, trial: BuiltTrial) -> TrialEntry:
    return TrialEntry(
        task_id=trial.instance_id,
        task_key=f"benchmark/{trial.instance_id}",
        trial_name=trial.folder,
        attempt=1,
        accepted=True,
        status="done",
        reward=float(trial.reward),
        capture="complete",
        trajectory=_trajectory(trial),
        trajectory_sha256=content_sha256(folder / "job" / _trajectory(trial)),
        task=TaskRecord(digest="d1", instruction="Fix the issue and check it with tests."),
    )


def _as_claude_code(path: Path) -> Iterator[bytes]:
    """Yield the calls of a trial with a session, its tools' names, and a system message that is new each time."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            record = orjson.loads(line)
            request = record["request_body"]
            request["messages"][0]["content"].append({"type": "text", "text": f"mark {number}"})
            for tool in request["tools"]:
                tool["function"]["name"] = {"file_editor": "Edit", "terminal": "Bash"}.get(
                    tool["function"]["name"], "Task"
                )
            yield orjson.dumps(record | {"client_session_id": "one"}) + b"\n"


MEASURES: dict[str, tuple[Callable[[Path], Job], ...]] = {
    "large": (lambda folder: _recorded(folder, Size()),),
    "growth": (
        lambda folder: _recorded(folder, Size(n_trials=400, n_records=10, turn_bytes=800, clean=True)),
        lambda folder: _recorded(folder, Size(n_trials=2000, n_records=10, turn_bytes=800, clean=True)),
        lambda folder: _recorded(folder, Size(n_trials=10000, n_records=10, turn_bytes=800, clean=True)),
    ),
    "branching": (
        lambda folder: _recorded(folder, Size(n_records=15, turn_bytes=1500, clean=True), as_claude_code=True),
        lambda folder: _recorded(folder, Size(n_records=30, turn_bytes=1500, clean=True), as_claude_code=True),
        lambda folder: _recorded(folder, Size(n_records=60, turn_bytes=1500, clean=True), as_claude_code=True),
    ),
}


if __name__ == "__main__":
    main()
