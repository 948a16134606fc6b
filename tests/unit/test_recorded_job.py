import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from trajgen_assets.core.paths import PROJECT

# Of all trajectories of 40 trials with 7 calls and seed 7, in the order of their names.
TRAJECTORIES_SHA256 = "b3b12443a09089a11050d70567bbcf20c59855fa7494ddd7003118ce33254740"


def test_the_job_for_benchmarks_has_the_bytes_that_figures_were_measured_on(tmp_path: Path) -> None:
    argv = [sys.executable, PROJECT / "benchmarks" / "recorded_job.py", "--out", tmp_path / "made"]
    subprocess.run([*argv, "--trials", "40", "--records", "7"], check=True)
    digest = sha256()
    for path in sorted((tmp_path / "made" / "job").glob("*/agent/*.jsonl")):
        digest.update(path.read_bytes())
    assert digest.hexdigest() == TRAJECTORIES_SHA256
