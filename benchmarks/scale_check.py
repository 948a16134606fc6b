"""A forecast held against a real job: `benchmarks/scale.py --check N` calls this."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.overhead import DATA_SET, KEY, N_CONCURRENT, TERMINUS_2, Bench, Lap, write_tasks
from benchmarks.scale_model import EVENTS_PER_TRIAL, Fleet, UnitCosts, Workload, forecast
from trajgen_assets.core.scripted import running_scripted_model

SAMPLE_S = 0.5
PLAIN_SIZES = (8, 40)
N_PILOT = 12
MB, MIB = 1e6, 2**20
PROGRAMS = {"litellm": "proxy", "harbor": "harness"}
WORKER = "worker"


@dataclass
class Watched:
    """What the processes under this one took, by kind; filled while they run."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mib: float = 0.0
    busy_share: float = 0.0
    _by_process: dict[tuple[int, float], tuple[str, float]] = field(default_factory=dict)

    def look(self) -> None:
        """Take what each process has used so far, its ended children included."""
        resident = 0
        for process in psutil.Process().children(recursive=True):
            try:
                times, started = process.cpu_times(), process.create_time()
                resident += process.memory_info().rss
                used_s = times.user + times.system + times.children_user + times.children_system
                self._by_process[process.pid, started] = (_kind_of(process), used_s)
            except psutil.NoSuchProcess:
                continue
        self.peak_mib = max(self.peak_mib, resident / MIB)

    def kept(self) -> dict[str, float]:
        """Seconds of the two programs; what the command had beside them is of the worker."""
        kinds = dict.fromkeys(PROGRAMS.values(), 0.0)
        for kind, used_s in self._by_process.values():
            if kind in kinds:
                kinds[kind] = max(kinds[kind], used_s)
        return kinds


def _kind_of(process: psutil.Process) -> str:
    names = [Path(each).name for each in process.cmdline()[:2]]
    return next((PROGRAMS[name] for name in names if name in PROGRAMS), WORKER)


@contextmanager
def watching() -> Iterator[Watched]:
    """Look at the processes below this one while the block runs, and at what else the machine did."""
    watched, over = Watched(), threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_S):
            watched.look()

    thread = threading.Thread(target=look, daemon=True)
    before, machine = os.times(), psutil.cpu_times()
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()
        ours_s = sum(os.times()[2:4]) - sum(before[2:4])  # of children that were waited for, with all of theirs
        now = psutil.cpu_times()
        watched.busy_share = 1 - (now.idle + now.iowait - machine.idle - machine.iowait) / (
            sum(now[:8]) - sum(machine[:8])
        )
        programs = watched.kept()
        watched.cpu_s = {**programs, WORKER: ours_s - sum(programs.values())}


@dataclass(frozen=True)
class Rolled:
    """A job that ran, and what is on disk of it."""

    lap: Lap
    watched: Watched
    n_calls: int
    record_mb: float
    files_mb: float
    ledger_mb: float
    events_mb: float


def checked(n_tasks: int) -> str:
    """Forecast a job of `n_tasks` from few, run it, and set both beside each other."""
    with running_scripted_model(api_key=KEY) as model, tempfile.TemporaryDirectory(prefix="trajgen-scale-") as base:
        bench = Bench(Path(base), model)
        small, large = (_plain(bench, n) for n in PLAIN_SIZES)
        n_more = PLAIN_SIZES[1] - PLAIN_SIZES[0]
        harness_cpu_s, around_s = ((after - before) / n_more for before, after in zip(small, large, strict=True))
        pilot = _rolled(bench, N_PILOT)
        work = Workload(
            n_tasks=n_tasks,
            trials_per_task=1.0,
            n_calls=pilot.n_calls / N_PILOT,
            request_mb=pilot.record_mb / pilot.n_calls,
            n_chunks=0,
            first_token_s=0.0,
            output_tokens=0.0,
            tools_s=0.0,
            around_s=around_s * N_CONCURRENT,
            batch=n_tasks,
        )
        costs = replace(
            UnitCosts(),
            harness_cpu_s=harness_cpu_s,
            harness_job_cpu_s=small[0] - PLAIN_SIZES[0] * harness_cpu_s,
            trial_files_mb=pilot.files_mb / N_PILOT,
        )
        fleet = Fleet(cores=os.cpu_count() or 1, trials_at_once=N_CONCURRENT, n_concurrent=N_CONCURRENT, sandbox_mb=0.0)
        _say(f"forecast made: {harness_cpu_s:.2f} s of CPU and {around_s:.2f} s a trial in Harbor")
        return comparison(work, fleet, costs, _rolled(bench, n_tasks))


def _plain(bench: Bench, n_tasks: int) -> tuple[float, float]:
    """Seconds of CPU and of the clock of `harbor run` over so many tasks."""
    with _folder(bench, f"plain-{n_tasks}") as folder, watching() as watched:
        lap = bench.plain(folder, TERMINUS_2, write_tasks(folder / DATA_SET, n_tasks))
    _say(f"harbor run of {n_tasks} tasks: {lap.wall_s:.0f} s")
    return sum(watched.cpu_s.values()), lap.wall_s


def _rolled(bench: Bench, n_tasks: int) -> Rolled:
    with _folder(bench, f"platform-{n_tasks}") as folder:
        write_tasks(folder / DATA_SET, n_tasks)
        root = bench.set_up(folder)
        empty = (_size_mb([root.ledger]), _size_mb([root.dagster_home]))
        with watching() as watched:
            lap = bench.start(root, TERMINUS_2, n_tasks)
        _say(f"trajgen start of {n_tasks} tasks: {lap.wall_s:.0f} s, {watched.cpu_s}")
        records = sorted(root.jobs.glob("*/*/agent/litellm-trajectory.jsonl"))
        record_mb = _size_mb(records)
        return Rolled(
            lap,
            watched,
            n_calls=sum(path.read_bytes().count(b"\n") for path in records),
            record_mb=record_mb,
            files_mb=_size_mb([root.jobs]) - record_mb,
            ledger_mb=_size_mb([root.ledger]) - empty[0],
            events_mb=_size_mb([root.dagster_home]) - empty[1],
        )


@contextmanager
def _folder(bench: Bench, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=bench.base) as folder:
        yield Path(folder)


def _size_mb(paths: Sequence[Path]) -> float:
    files = [each for path in paths for each in (path.rglob("*") if path.is_dir() else [path])]
    return sum(each.lstat().st_size for each in files if each.is_file() and not each.is_symlink()) / MB


def comparison(work: Workload, fleet: Fleet, costs: UnitCosts, rolled: Rolled) -> str:
    """Forecast and measured, as Markdown."""
    found, cpu_s = forecast(work, fleet, costs), rolled.watched.cpu_s
    ours_share = sum(cpu_s.values()) / (rolled.lap.wall_s * fleet.cores)
    rows = (
        ("CPU of the proxy, s", found.cpu.proxy, cpu_s["proxy"]),
        ("CPU of Harbor with sandboxes, s", found.cpu.harness, cpu_s["harness"]),
        ("CPU of the run worker, s", found.cpu.worker, cpu_s[WORKER]),
        ("wall, s", found.hours * 3600, rolled.lap.wall_s),
        ("records, MB", work.n_trials * work.record_mb, rolled.record_mb),
        ("other files of trials, MB", work.n_trials * costs.trial_files_mb, rolled.files_mb),
        ("ledger, MB", found.ledger_gb * 1000, rolled.ledger_mb),
        ("Dagster's storage, MB", work.n_trials * EVENTS_PER_TRIAL * costs.event_mb, rolled.events_mb),
        ("memory of all processes at most, MiB", found.memory_share * fleet.memory_gb * 1024, rolled.watched.peak_mib),
    )
    busy = f"busy {rolled.watched.busy_share:.0%} of the time, {ours_share:.0%} with this run"
    head = f"{work.n_tasks} trials on {fleet.cores} cores, {busy}; by the forecast {found.binds} bind first"
    lines = [f"| {what} | {was:,.1f} | {got:,.1f} | {got / was:.2f} |" for what, was, got in rows]
    return "\n".join([head, "", "| what | forecast | measured | ratio |", "|---|---|---|---|", *lines])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
