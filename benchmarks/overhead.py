"""What the platform costs beside plain `harbor run`: seconds a job, and milliseconds a trial.

    .venv/bin/python benchmarks/overhead.py [--sizes 20 120] [--agents oracle terminus-2]

Both sides roll out the same copies of the bundled tasks in the `local` environment, two at a time, with the scripted
model. `trajgen start` does all that it always does: it registers, stages, starts a proxy, captures, settles, keeps the
ledger, logs to Dagster, sums up. With the agent `oracle` the platform's trials ask the model once through the proxy,
which plain Harbor's do not. From two sizes follow the cost that grows with the trials and the cost that does not.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from resources.instance import open_instance
from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.config.inputs import Agent
from trajgen_assets.core.guest import guest_bundle
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.process import child_env
from trajgen_assets.core.rollout.harbor import QUIET_ENV
from trajgen_assets.core.rollout.plan import LOCAL_ENVIRONMENT, RolloutPlan, harbor_job_config
from trajgen_assets.core.rollout.results import read_trial_result
from trajgen_assets.core.scripted import ScriptedModel, running_scripted_model
from trajgen_assets.names import ROLLOUT_JOB

SAMPLES = PROJECT / "examples" / "swe_tasks" / "py-cc"
TASKS = (
    "fernhollow__stanzaconf-87",
    "sablecreek__leasetable-128",
    "quillmark__tablefold-341",
    "brackwater-systems__retryline-1056",
)
DATA_SET = "copies"
KEY, KEY_ENV = "sk-of-the-benchmark", "TRAJGEN_BENCHMARK_KEY"
N_CONCURRENT = 2
TERMINUS_2, ORACLE = "terminus-2", "oracle"
CAMPAIGN = {TERMINUS_2: "main", ORACLE: "check"}
TERMINUS_2_OPTIONS = Agent().options
N_WARM_UP = 2
PHASES = ("starting the LiteLLM proxy", "asking the model for one reply")

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: local, n_concurrent: {n_concurrent}, timeout_multiplier: 1}}
    campaigns: {{check: {{agent: {{name: oracle}}}}}}
"""


@dataclass(frozen=True)
class Lap:
    """One job: how many tasks, how long from the command to the prompt, and what of that was the proxy's start."""

    n_tasks: int
    wall_s: float
    proxy_start_s: float = 0.0

    @property
    def own_s(self) -> float:
        return self.wall_s - self.proxy_start_s


@dataclass(frozen=True)
class Cost:
    """The line through two laps."""

    fixed_s: float
    per_trial_s: float

    @classmethod
    def of(cls, small: Lap, large: Lap) -> "Cost":
        per_trial_s = (large.own_s - small.own_s) / (large.n_tasks - small.n_tasks)
        return cls(small.own_s - small.n_tasks * per_trial_s, per_trial_s)


def main() -> None:
    """Measure, and print one table."""
    arguments = _arguments()
    with running_scripted_model(api_key=KEY) as model, tempfile.TemporaryDirectory(prefix="trajgen-overhead-") as base:
        bench = Bench(Path(base), model)
        laps = {agent: bench.laps(agent, sorted(arguments.sizes)) for agent in arguments.agents}
    print(table(laps))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes", type=int, nargs=2, default=(20, 120))
    parser.add_argument("--agents", nargs="+", choices=CAMPAIGN, default=list(CAMPAIGN))
    return parser.parse_args()


@dataclass(frozen=True)
class Bench:
    """Both ways of rolling out, under one folder."""

    base: Path
    model: ScriptedModel

    def laps(self, agent: str, sizes: Sequence[int]) -> dict[str, tuple[Lap, Lap]]:
        """A warm-up, then both sizes both ways."""
        runs = {"plain": self.plain, "platform": self.platform}
        found: dict[str, list[Lap]] = {way: [] for way in runs}
        for n_tasks in (N_WARM_UP, *sizes):
            for way, run in runs.items():
                with self._folder(f"{agent}-{way}-{n_tasks}") as folder:
                    lap = run(folder, agent, write_tasks(folder / DATA_SET, n_tasks))
                print(f"{agent}, {way}, {n_tasks} tasks: {lap.wall_s:.1f} s", file=sys.stderr, flush=True)
                found[way].append(lap)
        return {way: (laps[1], laps[2]) for way, laps in found.items()}

    @contextmanager
    def _folder(self, name: str) -> Iterator[Path]:
        folder = self.base / name
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)

    def plain(self, folder: Path, agent: str, tasks: list[Path]) -> Lap:
        """`harbor run -c` and nothing else, on the same sandbox."""
        plan = RolloutPlan(
            job="plain",
            jobs_dir=folder / "jobs",
            task_dirs=tasks,
            environment=LOCAL_ENVIRONMENT,
            sandboxes=folder / "sandboxes",
            compose_overlay=folder,
            agent_import_path="",
            model="",
            agent_kwargs={},
            n_concurrent=N_CONCURRENT,
            timeout_multiplier=1.0,
        )
        write_yaml(folder / "job.yaml", harbor_job_config(plan) | {"agents": [self._plain_agent(agent)]})
        plan.sandboxes.mkdir()
        root = Root.from_environ()
        lap = timed(
            [root.env / "harbor-uv" / "bin" / "harbor", "run", "-c", folder / "job.yaml"],
            {**QUIET_ENV, "PYTHONPATH": str(guest_bundle(folder)), "OPENAI_API_KEY": KEY},
            folder,
            len(tasks),
        )
        results = [read_trial_result(path.parent) for path in (folder / "jobs" / "plain").glob("*/result.json")]
        _expect(len([each for each in results if each and each.reward is not None]), len(tasks), folder)
        return lap

    def _plain_agent(self, agent: str) -> dict[str, Any]:
        if agent == ORACLE:
            return {"name": ORACLE}
        kwargs = {"api_base": self.model.base_url, **TERMINUS_2_OPTIONS}
        return {"name": agent, "model_name": "openai/scripted", "kwargs": kwargs}

    def platform(self, folder: Path, agent: str, tasks: list[Path]) -> Lap:
        """`trajgen start` on a root that is set up."""
        root = self.set_up(folder)
        lap = self.start(root, agent, len(tasks))
        return Lap(lap.n_tasks, lap.wall_s, proxy_start_s(root))

    def set_up(self, folder: Path, n_concurrent: int = N_CONCURRENT) -> Root:
        """A root in `folder`, whose configuration names the tasks beside it."""
        root = Root(folder / "root", Root.from_environ().env)
        root.path.mkdir()
        config = CONFIG.format(
            base_url=self.model.base_url, key_env=KEY_ENV, tasks=folder / DATA_SET, n_concurrent=n_concurrent
        )
        (root.path / "config.yaml").write_text(config)
        timed([*_trajgen(root), "setup", "--skip-environments"], _environ(root), folder, 0)
        return root

    def start(self, root: Root, agent: str, n_tasks: int) -> Lap:
        """`trajgen start` to its end, with a result of each task."""
        start = ["start", "--campaign", CAMPAIGN[agent], "--limit", str(n_tasks)]
        lap = timed([*_trajgen(root), *start], _environ(root), root.path.parent, n_tasks)
        with open_ledger(root) as ledger:
            _expect(ledger.counts(CAMPAIGN[agent]).done, n_tasks, root.path.parent)
        return lap


def _trajgen(root: Root) -> list[str | Path]:
    return [Path(sys.executable).parent / "trajgen", "--root", root.path]


def _environ(root: Root) -> dict[str, str]:
    return {KEY_ENV: KEY, "TRAJGEN_ENV_DIR": str(root.env)}


def write_tasks(folder: Path, n_tasks: int) -> list[Path]:
    """`n_tasks` copies of the bundled tasks under names of their own, and their manifest."""
    names = [f"{TASKS[number % len(TASKS)]}-{number:03}" for number in range(n_tasks)]
    for name in names:
        shutil.copytree(SAMPLES / name.rpartition("-")[0], folder / name)
    (folder / "verifiable_tasks.txt").write_text("".join(f"{name}\n" for name in names))
    return [folder / name for name in names]


def timed(argv: Sequence[str | Path], environ: Mapping[str, str], folder: Path, n_tasks: int) -> Lap:
    """Run a command to its end. A non-zero exit ends the benchmark."""
    with (folder / "output.log").open("a+") as output:
        began_s = time.monotonic()
        done = subprocess.run(argv, env=child_env(environ), cwd=folder, stdout=output, stderr=output, check=False)
        wall_s = time.monotonic() - began_s
    if done.returncode != 0:
        sys.exit(f"{argv[0]} ended with {done.returncode}:\n{(folder / 'output.log').read_text()[-3000:]}")
    return Lap(n_tasks, wall_s)


def _expect(found: int, wanted: int, folder: Path) -> None:
    if found != wanted:
        sys.exit(f"{found} of {wanted} tasks have a result:\n{(folder / 'output.log').read_text()[-3000:]}")


def proxy_start_s(root: Root) -> float:
    """From the word that the proxy is being started to the next one, in the job's run."""
    began, ready = PHASES
    with open_instance(root) as instance:
        (run,) = [run for run in instance.get_runs() if run.job_name == ROLLOUT_JOB]
        at_s = {text: entry.timestamp for entry in instance.all_logs(run.run_id) for text in _phase_of(entry)}
    return at_s[ready] - at_s[began]


def _phase_of(entry: dg.EventLogEntry) -> list[str]:
    return [phase for phase in PHASES if entry.user_message.endswith(phase)]


def table(laps: Mapping[str, Mapping[str, tuple[Lap, Lap]]]) -> str:
    """Costs as Markdown, with what the platform adds."""
    head = "| agent | way | tasks | wall s | proxy start s | fixed s | ms a trial |"
    lines = [f"{os.cpu_count()} cores; {N_CONCURRENT} trials at a time", "", head, "|---|---|---|---|---|---|---|"]
    for agent, ways in laps.items():
        costs = {way: Cost.of(*pair) for way, pair in ways.items()}
        lines += [_row(agent, way, pair, costs[way]) for way, pair in ways.items()]
        lines.append(_difference(agent, costs["plain"], costs["platform"]))
    return "\n".join(lines)


def _row(agent: str, way: str, pair: tuple[Lap, Lap], cost: Cost) -> str:
    sizes = ", ".join(str(lap.n_tasks) for lap in pair)
    walls = ", ".join(f"{lap.wall_s:.1f}" for lap in pair)
    starts = ", ".join(f"{lap.proxy_start_s:.1f}" for lap in pair if lap.proxy_start_s)
    return f"| {agent} | {way} | {sizes} | {walls} | {starts} | {cost.fixed_s:.1f} | {cost.per_trial_s * 1000:.0f} |"


def _difference(agent: str, plain: Cost, platform: Cost) -> str:
    fixed_s = platform.fixed_s - plain.fixed_s
    more_ms = (platform.per_trial_s - plain.per_trial_s) * 1000
    ratio = platform.per_trial_s / plain.per_trial_s
    return f"| {agent} | platform less plain | | | | {fixed_s:+.1f} | {more_ms:+.0f} ({ratio:.2f} times) |"


if __name__ == "__main__":
    main()
