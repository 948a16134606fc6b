"""What every benchmark shares: metadata, the choice of instances, and the loop that writes a row for each."""

import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openhands.llm import LLMConfig

Row = dict[str, Any]
Process = Callable[[Row, Row, LLMConfig], Row]

N_RETRIES = 3
TIMEOUT_S = 2 * 3600


class InstanceTimeoutError(Exception):
    """An instance took too long; told of by an alarm, with several workers only."""


def make_metadata(
    llm_config: LLMConfig,
    dataset_name: str,
    agent_class: str,
    max_iterations: int | None,
    eval_note: str | None,
    eval_output_dir: str,
) -> Row:
    """Make the output folder and metadata.json, anew at each start."""
    model = llm_config.model.split("/")[-1].replace(":", "_").replace("@", "-")
    note = f"_N_{eval_note}" if eval_note else ""
    folder = Path(eval_output_dir, dataset_name, str(agent_class), f"{model}_maxiter_{max_iterations}{note}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    if not isinstance(max_iterations, int) or agent_class is None:
        raise ValueError("1 validation error for EvalMetadata\nmax_iterations\n  Input should be a valid integer")
    metadata = {
        "agent_class": agent_class,
        "llm_config": llm_config.masked(),
        "agent_config": None,
        "max_iterations": max_iterations,
        "eval_output_dir": str(folder),
        "start_time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "git_commit": commit,
        "dataset": dataset_name,
        "data_split": None,
        "details": {},
        "condenser_config": {"type": "noop"},
        "instruction_template_name": os.environ.get("INSTRUCTION_TEMPLATE_NAME"),
    }
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return metadata


def prepare_dataset(rows: list[Row], output_file: str, n_limit: int | None) -> list[Row]:
    """Of `rows` a choice of `n_limit`, without those of which output.jsonl has a row of whatever kind."""
    finished: set[str] = set()
    if Path(output_file).exists():
        with Path(output_file).open(encoding="utf-8") as lines:
            finished = {str(json.loads(line)["instance_id"]) for line in lines}
    if n_limit:
        rows = random.Random(42).sample(rows, min(n_limit, len(rows)))
    return [row for row in rows if str(row["instance_id"]) not in finished]


def run_evaluation(
    rows: list[Row], metadata: Row, llm_config: LLMConfig, output_file: str, n_workers: int, process: Process
) -> None:
    """Work on each instance and append its row."""
    with Path(output_file).open("a", encoding="utf-8") as output:
        jobs = [(process, row, metadata, llm_config, n_workers > 1) for row in rows]
        if n_workers > 1:
            with multiprocessing.Pool(n_workers) as pool:
                for number, result in enumerate(pool.imap_unordered(_tried, jobs), start=1):
                    _append(output, result, number, len(rows))
        else:
            for number, job in enumerate(jobs, start=1):
                _append(output, _tried(job), number, len(rows))


def _append(output: Any, result: Row, number: int, n_rows: int) -> None:
    text = json.dumps(result["row"]) + "\n"
    if result["is_torn"]:
        output.write(text[: len(text) // 2])
        output.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    output.write(text * result["n_times"])
    output.flush()
    print(f"{number}/{n_rows} instances", file=sys.stderr)


def _tried(job: tuple[Process, Row, Row, LLMConfig, bool]) -> Row:
    """One instance with its retries; a row comes out of it, or RuntimeError."""
    process, row, metadata, llm_config, is_worker = job
    timeout_s = float(os.environ.get("STAND_IN_TIMEOUT_S", TIMEOUT_S))
    if is_worker:
        reset_logger(row["instance_id"], metadata["eval_output_dir"])
        signal.signal(signal.SIGALRM, _raise_timeout)
    for n_left in reversed(range(N_RETRIES + 1)):
        try:
            if is_worker:
                signal.setitimer(signal.ITIMER_REAL, timeout_s)
            return process(row, metadata, llm_config)
        except InstanceTimeoutError:
            return _made(_row_without_work(row, f"Timeout after {timeout_s:g} seconds"))
        except Exception as error:  # noqa: BLE001
            logging.getLogger("openhands").error("%s: %s", row["instance_id"], error)
            if n_left:
                continue
            return _made(_given_up(row, metadata, f"{type(error).__name__}: {error}"))
        finally:
            if is_worker:
                signal.setitimer(signal.ITIMER_REAL, 0)
    raise AssertionError


def _given_up(row: Row, metadata: Row, error: str) -> Row:
    text = f"Maximum retries ({N_RETRIES}) reached: {error}"
    if os.environ.get("EVAL_SKIP_MAXIMUM_RETRIES_EXCEEDED", "false").lower() != "true":
        raise RuntimeError(f"{text} for instance {row['instance_id']}")
    said = {"instance_id": row["instance_id"], "error": error, "timestamp": time.strftime("%Y-%m-%d %H:%M:%S")}
    with Path(metadata["eval_output_dir"], "maximum_retries_exceeded.jsonl").open("a", encoding="utf-8") as skipped:
        skipped.write(json.dumps(said) + "\n")
    return _row_without_work(row, text)


def _row_without_work(row: Row, error: str) -> Row:
    absent = dict.fromkeys(("instruction", "metadata", "history", "metrics", "instance"))
    return {"instance_id": row["instance_id"], "test_result": {}, **absent, "error": error}


def _made(row: Row) -> Row:
    return {"row": row, "n_times": 1, "is_torn": False}


def _raise_timeout(_number: int, _frame: Any) -> None:
    raise InstanceTimeoutError


def reset_logger(instance_id: str, folder: str) -> None:
    """A log of its own for an instance; with one worker there is none."""
    logs = Path(folder, "infer_logs")
    logs.mkdir(exist_ok=True)
    handler = logging.FileHandler(logs / f"instance_{instance_id}.log")
    logging.getLogger("openhands").handlers[:] = [handler]
