"""Evaluators as programs: begun on one patch, looked at until they end, and believed by their report alone.

Each runs in a process group of its own with a time limit. Exit code 0 says nothing: without a report of the patch there
is no verdict. A program that is killed leaves its containers to Docker.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trajgen_assets.core import atomic
from trajgen_assets.core.openhands.evaluation import (
    EMPTY_PATCH,
    NOT_EVALUATED,
    Evaluation,
    EvaluationClass,
    msb_id,
    velora_evaluation,
)
from trajgen_assets.core.openhands.reports import msb_report, read_object, velora_report
from trajgen_assets.core.process import child_env, spawn, stop_group
from trajgen_assets.core.sft.messages import Json

EvaluatorName = Literal["msb", "velora", "none"]

GRACE_S = 10.0
LOG_NAME = "evaluator.log"

_SCRIPTS = "evaluation/benchmarks/multi_swe_bench/scripts"
_STANDARDIZED, _SIMPLE = "eval_pilot2_standardized", "simple_eval"


@dataclass(frozen=True)
class Bench:
    """What an evaluator runs in.

    Attributes:
        python: an interpreter that has the evaluator's dependencies.
        checkout: root of the OpenHands checkout; Velora's evaluators are part of it.
        timeout_s: of one patch, in seconds.
        env: what it is given besides what children inherit.
    """

    python: Path
    checkout: Path
    timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Handed:
    """One patch that is handed in.

    Attributes:
        row: the instance's row of `output.jsonl`.
        task: its row of the data set, with whatever columns the evaluator asks for.
        image: name of the instance's image, or its tar file; for Velora's evaluator.
    """

    instance_id: str
    patch: str
    row: Json
    task: Json
    image: str = ""


@dataclass
class RunningEvaluation:
    """An evaluator at work on one patch."""

    name: EvaluatorName
    handed: Handed
    folder: Path
    process: "subprocess.Popen[bytes]"
    ends_at: float
    timeout_s: float

    def poll(self) -> Evaluation | None:
        """Return the verdict once there is one; an evaluator that is out of time is ended."""
        code = self.process.poll()
        if code is None and time.monotonic() < self.ends_at:
            return None
        if code is None:
            self.stop()
            return Evaluation(EvaluationClass.TIMEOUT, f"the evaluator did not end within {self.timeout_s:.0f} s")
        stop_group(self.process, grace_s=0)  # what it left in its group
        return self._verdict(code)

    def stop(self) -> None:
        """End it and all of its group."""
        stop_group(self.process, grace_s=GRACE_S)

    def _verdict(self, code: int) -> Evaluation:
        if code:
            return Evaluation(EvaluationClass.EVAL_ERROR, f"the evaluator ended with exit code {code}{self._last()}")
        read = _read_msb if self.name == "msb" else _read_velora
        missing = f"the evaluator ended with exit code 0 and left no report{self._last()}"
        return read(self.handed, self.folder) or Evaluation(EvaluationClass.EVAL_ERROR, missing)

    def _last(self) -> str:
        """The last line that it printed, which says most."""
        lines = (self.folder / LOG_NAME).read_text(errors="replace").strip().splitlines()
        return f": {lines[-1].strip()[:200]}" if lines else ""


def begin_evaluation(name: EvaluatorName, bench: Bench, handed: Handed, folder: Path) -> RunningEvaluation | Evaluation:
    """Begin to evaluate a patch in `folder`, which is emptied first; call it from the main thread.

    Returns:
        The running evaluator, or the verdict where none has to run: on an empty patch, or with the evaluator `none`.
    """
    if name == "none":
        return NOT_EVALUATED
    if not handed.patch.strip():
        return EMPTY_PATCH
    if name == "msb" and msb_id(handed.instance_id) is None:
        return Evaluation(EvaluationClass.ABSENT, "its id is not org__repo-number, which multi-swe-bench cannot take")
    shutil.rmtree(folder, ignore_errors=True)  # a report of an earlier patch must not be taken for this one's
    folder.mkdir(parents=True)
    arguments = _msb_arguments(handed, folder) if name == "msb" else _velora_arguments(bench, handed, folder)
    env = child_env({"PYTHONPATH": str(bench.checkout), "PYTHONUNBUFFERED": "1", **bench.env})
    with (folder / LOG_NAME).open("wb") as log:
        process = spawn([bench.python, "-m", *arguments], env=env, cwd=bench.checkout, log=log)
    return RunningEvaluation(name, handed, folder, process, time.monotonic() + bench.timeout_s, bench.timeout_s)


def _msb_arguments(handed: Handed, folder: Path) -> Sequence[str]:
    """Write what the multi-swe-bench harness reads; nothing is cloned or built, as on a host without a network."""
    place, _, number = (msb_id(handed.instance_id) or "").rpartition(":pr-")
    org, _, repo = place.partition("/")
    identity: Json = {"org": org, "repo": repo, "number": int(number)}
    _write_lines(folder / "patches.jsonl", identity | {"fix_patch": handed.patch})
    _write_lines(folder / "dataset.jsonl", handed.task | identity)
    for part in ("workdir", "output", "repos", "logs"):
        (folder / part).mkdir()
    config = {
        "mode": "evaluation",
        "workdir": str(folder / "workdir"),
        "patch_files": [str(folder / "patches.jsonl")],
        "dataset_files": [str(folder / "dataset.jsonl")],
        "output_dir": str(folder / "output"),
        "repo_dir": str(folder / "repos"),
        "log_dir": str(folder / "logs"),
        "need_clone": False,
        "force_build": False,
        "clear_env": False,
        "global_env": [],
        "specifics": [],
        "skips": [],
        "stop_on_error": False,
        "max_workers": 1,
        "max_workers_build_image": 1,
        "max_workers_run_instance": 1,
        "log_level": "INFO",
        "log_to_console": True,
    }
    atomic.write_json(folder / "config.json", config)
    return ["multi_swe_bench.harness.run_evaluation", "--config", str(folder / "config.json")]


def _velora_arguments(bench: Bench, handed: Handed, folder: Path) -> Sequence[str]:
    """Of the two evaluators the newer one, where the checkout has it and there is an image to name."""
    _write_lines(folder / "output.jsonl", handed.row)
    _write_lines(folder / "dataset.jsonl", handed.task)
    module, timeout = _SCRIPTS.replace("/", "."), str(int(bench.timeout_s))
    rows, tasks = str(folder / "output.jsonl"), str(folder / "dataset.jsonl")
    places = ["--output-dir", str(folder), "--timeout", timeout]
    if handed.image and (bench.checkout / _SCRIPTS / f"{_STANDARDIZED}.py").is_file():
        named = ["--trajectory-file", rows, "--dataset-file", tasks, "--docker-image", handed.image]
        return [f"{module}.{_STANDARDIZED}", *named, "--output-file", str(folder / "graded.jsonl"), *places]
    return [f"{module}.{_SIMPLE}", "--input-file", rows, "--dataset", tasks, *places]


def _read_msb(handed: Handed, folder: Path) -> Evaluation | None:
    return msb_report(folder / "output", folder / "workdir", handed.instance_id, handed.patch)


def _read_velora(handed: Handed, folder: Path) -> Evaluation | None:
    """The row with its details says most: how many tests ran."""
    graded = read_object(folder / "graded.jsonl")
    if graded is not None and graded.get("instance_id") == handed.instance_id and "pilot2_eval_details" in graded:
        return velora_evaluation(graded, handed.instance_id, handed.patch)
    return velora_report(folder, handed.instance_id, handed.patch)


def _write_lines(path: Path, *rows: Json) -> None:
    atomic.write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows))
