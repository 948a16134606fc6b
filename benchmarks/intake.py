"""What reading manifests and keeping the ledger cost when there are many tasks.

    .venv/bin/python benchmarks/intake.py [--only tick read ledger view]

- `tick`: the sensor `verified_tasks` itself, on a real instance and ledger that know 100,000 tasks. 1,000 ids are
  appended, each with a task folder, and it ticks: they are read, registered, inspected, digested and shown as
  partitions, and the published view is written. Then the tick after it, and both again with two jobs requested.
- `read`: a manifest of 1,000,000 lines, read in full by a process of its own, whose peak memory is given; the same with
  the ledger brought in line: once with all of it new, and with all of it known, as after a lost cursor.
- `ledger`: 4 processes consume 10,000 tasks in jobs of 50 on one ledger with `synchronous=FULL`. One task is one claim
  and one settlement: a job is one transaction that assigns it, one that claims it, one for each of its attempts, and
  one that releases it.
- `view`: the published view of 100,000 tasks that are done.

Seconds are the median of five, and beside them those of the processor, which other load on the machine changes less.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import dagster as dg

from resources.instance import open_instance, prepare_instance
from resources.platform import PlatformResource
from sensors.verified_tasks import verified_tasks
from trajgen_assets.core.intake.growth import follow_manifest
from trajgen_assets.core.intake.manifest import read_manifest
from trajgen_assets.core.intake.source import MANIFEST_NAME, TaskSource
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.attempts import record_attempt
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import (
    AttemptKind,
    AttemptOutcome,
    Batch,
    CaptureVerdict,
    JobState,
    ListedTask,
    ManifestSeen,
    RetryPolicy,
)
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.paths import Root
from trajgen_assets.partitions import show_new_partitions

DATA_SET = "py-cc"
N_TASKS, N_APPENDED, N_LINES = 100_000, 1_000, 1_000_000
N_CONSUMED, N_PROCESSES, N_PER_JOB = 10_000, 4, 50
N_LAPS = 5

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/m, api_base_url: "http://127.0.0.1:9/v1", api_key: "k"}}
    task_source: {{dataset_name: {source}}}
    automation: {{enabled: {enabled}, batch_max: 50, max_jobs: 2}}
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    measured: str
    wanted: str


def main() -> None:
    """Measure, and print one table."""
    arguments = _arguments()
    figures: list[Figure] = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory(prefix="trajgen-intake-") as base:
            for each in MEASURES[name](Path(base)):
                print(f"{each.what}: {each.measured}", file=sys.stderr, flush=True)
                figures.append(each)
    print(table(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    return parser.parse_args()


def table(figures: Sequence[Figure]) -> str:
    """The figures in Markdown."""
    lines = [f"{os.cpu_count()} cores; median of {N_LAPS}", "", "| what | measured | wanted |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {each.what} | {each.measured} | {each.wanted} |" for each in figures)])


@dataclass(frozen=True, order=True)
class Lap:
    """How long something took, and how much of that this process was at work."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s ({self.cpu_s:.2f} s at work)"


def timed(work: Callable[[], object]) -> Lap:
    """How long `work` takes."""
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    work()
    return Lap(time.perf_counter() - started_s, time.process_time() - started_cpu_s)


def median(laps: Sequence[Lap]) -> Lap:
    """The lap in the middle."""
    return sorted(laps)[len(laps) // 2]


def ids(start: int, end: int) -> list[str]:
    """Ids as long as real ones."""
    return [f"some-owner-{n % 97}__some-repository-{n % 1013}-{n}" for n in range(start, end)]


def registered(ledger: Ledger, task_ids: Sequence[str], manifest: ManifestSeen) -> None:
    """Register tasks as usable, as if their folders had been looked at."""
    listed = [ListedTask(task_id, f"{n:064x}", eligible=True) for n, task_id in enumerate(task_ids)]
    ledger.register(MAIN_CAMPAIGN, DATA_SET, listed, manifest)


# The tick


def measure_tick(base: Path) -> Iterator[Figure]:
    """1,000 lines more on a manifest of 100,000, and none; without requests for runs, and with two."""
    root, source = Root(base / "root"), base / DATA_SET
    create_ledger(root)
    prepare_instance(root, max_jobs=2)
    source.mkdir()
    append(source, ids(0, N_TASKS))
    with open_instance(root) as instance:
        with open_ledger(root) as ledger:
            manifest = read_manifest(source / MANIFEST_NAME)
            registered(ledger, manifest.entries, ManifestSeen(str(manifest.path), manifest.sha256, N_TASKS))
            show_new_partitions(instance, ledger)
        ticker = Ticker(root, source, instance)
        for enabled in (False, True):
            yield from ticker.figures(enabled=enabled)
        ticker.check()


@dataclass
class Ticker:
    """The sensor on one installation, and how many ids its manifest lists."""

    root: Root
    source: Path
    instance: dg.DagsterInstance
    n_tasks: int = N_TASKS
    cursor: str | None = None

    def figures(self, *, enabled: bool) -> Iterator[Figure]:
        """Ticks after an addition, each followed by one that finds nothing to do."""
        config = CONFIG.format(source=self.source, enabled=str(enabled).lower())
        (self.root.path / "config.yaml").write_text(config)
        self.tick()
        appended, idle = [], []
        for _ in range(N_LAPS):
            self.end_jobs()
            self.add_tasks()
            appended.append(timed(self.tick))
            idle.append(timed(self.tick))
        what = f"tick, {N_TASKS:,} tasks known, {'two jobs requested' if enabled else 'automation off'}"
        yield Figure(f"{what}, {N_APPENDED:,} appended", str(median(appended)), "1 s")
        yield Figure(f"{what}, {'nothing new' if not enabled else 'as soon after'}", str(median(idle)), "")

    def tick(self) -> None:
        """One evaluation of the sensor, from the cursor of the last."""
        platform = PlatformResource(root=str(self.root.path), config=str(self.root.path / "config.yaml"))
        resources = {"platform": platform}
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources)
        self.cursor = verified_tasks(context).cursor

    def add_tasks(self) -> None:
        """Write task folders, then list them."""
        more = ids(self.n_tasks, self.n_tasks + N_APPENDED)
        for task_id in more:
            write_task(self.source / task_id)
        append(self.source, more)
        self.n_tasks += N_APPENDED

    def end_jobs(self) -> None:
        """Take back what earlier ticks requested, so that the next one has two jobs to request."""
        with open_ledger(self.root) as ledger:
            for job in ledger.jobs_to_launch():
                ledger.withdraw(job.name, "measured")

    def check(self) -> None:
        """What was measured was done."""
        with open_ledger(self.root) as ledger:
            counts = ledger.check_balance()
            assert (counts.registered, counts.waiting, ledger.partitions_to_add()) == (self.n_tasks, 0, [])


def append(source: Path, task_ids: Sequence[str]) -> None:
    """Add lines to the manifest."""
    with (source / MANIFEST_NAME).open("a") as file:
        file.writelines(f"{each}\n" for each in task_ids)


def write_task(folder: Path) -> None:
    """A small task folder."""
    for name, text in (
        ("task.toml", 'version = "1.0"\n[agent]\ntimeout_sec = 600.0\n'),
        ("instruction.md", f"Mend {folder.name}.\n"),
        ("environment/Dockerfile", "FROM scratch\n"),
        ("solution/solve.sh", "true\n"),
        ("tests/test.sh", "true\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


# The cold read


def measure_read(base: Path) -> Iterator[Figure]:
    """A million lines, in a process of its own."""
    root, source = Root(base / "root"), base / DATA_SET
    source.mkdir()
    append(source, ids(0, N_LINES))
    laps = [alone(read_cold, source) for _ in range(N_LAPS)]
    yield _read_figure(f"cold read of {N_LINES:,} lines", laps, "10 s, 500 MB")
    create_ledger(root)
    first = [alone(register_cold, source, root)]
    yield _read_figure("the same, and registering them all (once)", first, "")
    laps = [alone(register_cold, source, root) for _ in range(N_LAPS)]
    yield _read_figure("the same with all registered, as after a lost cursor", laps, "10 s, 500 MB")


def _read_figure(what: str, laps: Sequence[tuple[Lap, int]], wanted: str) -> Figure:
    peak_mb = max(peak_bytes for _, peak_bytes in laps) / 1e6
    return Figure(what, f"{median([lap for lap, _ in laps])}, {peak_mb:.0f} MB", wanted)


def alone(work: Callable[..., None], *arguments: object) -> tuple[Lap, int]:
    """Run `work` in a process of its own: its time without the process's start, and its peak memory in bytes."""
    spawn = multiprocessing.get_context("spawn")
    said = spawn.Queue()
    child = spawn.Process(target=_report, args=(said, work, *arguments))
    child.start()
    lap, peak_bytes = said.get(timeout=600)
    child.join()
    return lap, peak_bytes


def _report(said: "multiprocessing.Queue[tuple[Lap, int]]", work: Callable[..., None], *arguments: object) -> None:
    lap = timed(lambda: work(*arguments))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    said.put((lap, int(peak.split()[1]) * 1024))


def read_cold(source: Path) -> None:
    """Read the manifest in full."""
    assert len(read_manifest(source / MANIFEST_NAME).entries) == N_LINES


def register_cold(source: Path, root: Root) -> None:
    """Read the manifest without a cursor and bring the ledger in line with it."""
    with open_ledger(root) as ledger:
        follow_manifest(ledger, TaskSource(DATA_SET, source, source / MANIFEST_NAME), MAIN_CAMPAIGN, None)


# Claims and settlements


def measure_ledger(base: Path) -> Iterator[Figure]:
    """10,000 tasks consumed by 4 processes."""
    root = Root(base / "root")
    create_ledger(root)
    with open_ledger(root) as ledger:
        registered(ledger, ids(0, N_CONSUMED), ManifestSeen("m", "s", N_CONSUMED))
        rate = N_CONSUMED / consume_together(root)
        assert ledger.check_balance().done == N_CONSUMED
        n_transactions = N_CONSUMED + 3 * len(ledger.jobs())
    what = (
        f"{N_CONSUMED:,} tasks claimed and settled by {N_PROCESSES} processes in jobs of {N_PER_JOB}"
        f" ({n_transactions:,} durable transactions; one fsync here: {sync_ms(base):.1f} ms)"
    )
    yield Figure(what, f"{rate:,.0f} tasks a second", "1,000 a second")


def consume_together(root: Root) -> float:
    """Let the processes run until no task is free; returns the seconds from when all have opened the ledger."""
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(N_PROCESSES + 1)
    children = [spawn.Process(target=consume, args=(root.path, number, start)) for number in range(N_PROCESSES)]
    for each in children:
        each.start()
    start.wait()
    started_s = time.perf_counter()
    for each in children:
        each.join()
        assert each.exitcode == 0
    return time.perf_counter() - started_s


def sync_ms(folder: Path) -> float:
    """What this disk takes for one small write that is durable."""
    with (folder / "synced").open("wb", buffering=0) as file:
        laps = [timed(lambda: (file.write(b"x" * 8192), os.fsync(file.fileno()))) for _ in range(200)]
    return median(laps).wall_s * 1000


def consume(path: Path, number: int, start: Barrier) -> None:
    """Take batches, settle every task of them as done, release them."""
    with open_ledger(Root(path)) as ledger:
        ledger.counts()
        start.wait()
        n_jobs, policy = 0, RetryPolicy()
        batch = Batch(MAIN_CAMPAIGN, DATA_SET, limit=N_PER_JOB)
        while ledger.assign(f"job-{number}-{n_jobs}", batch) is not None:
            lease = ledger.claim(f"job-{number}-{n_jobs}", f"owner-{number}", ttl_s=600)
            for row in ledger.tasks_of_job(lease.job):
                ledger.record_attempt(lease, row.key, graded(row.key), policy)
            ledger.release(lease, JobState.FINISHED)
            n_jobs += 1


def graded(key: TaskKey) -> AttemptOutcome:
    """A trial with a result."""
    return AttemptOutcome(
        f"{key.task_id}__trial",
        AttemptKind.GRADED,
        reward=1.0,
        capture=CaptureVerdict.COMPLETE,
        trajectory_path=f"jobs/job/{key.task_id}__trial/agent/litellm_trajectory.jsonl",
        trajectory_sha256="0" * 64,
    )


# The published view


def measure_view(base: Path) -> Iterator[Figure]:
    """The view of 100,000 tasks that are done."""
    root = Root(base / "root")
    create_ledger(root)
    with open_ledger(root) as ledger:
        registered(ledger, ids(0, N_TASKS), ManifestSeen("m", "s", N_TASKS))
        ledger.assign("job", Batch(MAIN_CAMPAIGN, DATA_SET, limit=N_TASKS))
        lease = ledger.claim("job", "owner", ttl_s=600)
        rows, policy = ledger.tasks_of_job(lease.job), RetryPolicy()
        with ledger.store.write() as conn:  # all at once: that each is durable by itself is not what is measured here
            for row in rows:
                record_attempt(conn, ledger.now(), lease, row.key, graded(row.key), policy)
        ledger.release(lease, JobState.FINISHED)
        view = PublishedView(ledger, root)
        laps: list[Lap] = []
        for _ in range(N_LAPS):
            root.ledger_view.unlink(missing_ok=True)
            laps.append(timed(lambda: view.refresh(force=True)))
        size_mb = root.ledger_view.stat().st_size / 1e6
    yield Figure(f"view of {N_TASKS:,} tasks written ({size_mb:.0f} MB)", str(median(laps)), "3 s")


MEASURES: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "tick": measure_tick,
    "read": measure_read,
    "ledger": measure_ledger,
    "view": measure_view,
}


if __name__ == "__main__":
    main()
