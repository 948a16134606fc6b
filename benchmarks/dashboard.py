"""What making the dashboard of 10,000 trials takes: seconds, CPU seconds, memory; and the sizes that a reader loads.

    .venv/bin/python benchmarks/dashboard.py [--trials 10000] [--per-job 200] [--turns 8] [--root FOLDER]

The root is that of the tests (`tests/sites.py`): a real ledger, jobs with their trials and trajectories, training data.
It is made below the folder for temporary files, which takes some minutes and 1.5 GB, unless `--root` names one that
stands. Each build runs in a program of its own: first all pages, then nothing new, then after one more task.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.sites import RootSize, make_root
from tests.unit.ledger.twins import register
from trajgen_assets.core.dashboard.site import build_site, site_folder
from trajgen_assets.core.ledger import open_ledger
from trajgen_assets.core.paths import Root

MB = 1e6


def main() -> None:
    """Make the root, build three times, and print one table."""
    args = _parse()
    if args.build:
        print(json.dumps(_build(args.build)))
        return
    with tempfile.TemporaryDirectory(prefix="trajgen-dashboard-") as folder:
        root = args.root or Path(folder) / "root"
        if not root.exists():
            make_root(root, RootSize(args.trials, args.per_job, args.turns))
        _measure(Root(root))
    print(f"\n{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f} at the end")


def _measure(root: Root) -> None:
    shutil.rmtree(root.dashboard, ignore_errors=True)
    print("| build | wall s | CPU s | memory MB | files written | of |\n|---|---|---|---|---|---|")
    _print_row("everything", root)
    _print_row("nothing new", root)
    with open_ledger(root) as ledger:
        register(ledger, f"task-{time.time_ns()}", dataset="new-cc", whole=False)
    _print_row("one more task", root)
    site = site_folder(root)
    home, tasks = (site / "index.html").stat().st_size, sorted((site / "data" / "tasks").iterdir())
    sizes = [file.stat().st_size for file in tasks]
    print(f"\nhome {home / 1e3:.0f} kB; search: {len(tasks)} shards, largest {max(sizes) / 1e3:.0f} kB")


def _print_row(label: str, root: Root) -> None:
    argv = [sys.executable, __file__, "--build", str(root.path)]
    began_s = time.perf_counter()
    told = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
    wall_s = time.perf_counter() - began_s
    figures = (
        f"{wall_s:.1f} | {told['cpu_s']:.1f} | {told['peak_mb']:.0f} | {told['n_written']:,} | {told['n_files']:,}"
    )
    print(f"| {label} | {figures} |", flush=True)


def _build(path: Path) -> dict[str, float]:
    """Build in this process. CPU seconds and memory are the whole program's, its start and imports included."""
    report = build_site(Root(path))
    own = psutil.Process()
    with Path("/proc/self/status").open() as status:
        peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    cpu = own.cpu_times()
    return {
        "cpu_s": cpu.user + cpu.system,
        "peak_mb": peak_kb * 1024 / MB,
        "n_written": report.n_written,
        "n_files": report.n_files,
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--per-job", type=int, default=200)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--root", type=Path, help="a root that stands; its dashboard is made anew")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
