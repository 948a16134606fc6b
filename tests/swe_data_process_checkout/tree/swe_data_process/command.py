"""The command line that the converters share, and what each of them writes."""

import argparse
import json
import os
import signal
import time
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

Messages = list[dict[str, Any]]
Reader = Callable[[Path], Messages]

# A word in this file makes the converter go wrong: how it is said below.
TROUBLE = Path(__file__).with_name("trouble.txt")
STATUSES = {"resolved": ("1.0",), "unresolved": ("0.0",)}


def main(read: Reader, *, has_reasoning_options: bool, has_quiet: bool) -> None:
    """Convert a job folder. A file that is not there ends it with a traceback and 1, a wrong option with 2."""
    options = _parsed(has_reasoning_options=has_reasoning_options, has_quiet=has_quiet)
    trouble = TROUBLE.read_text().strip() if TROUBLE.exists() else ""
    if trouble == "exit":
        raise SystemExit("the tokenizer has no template")
    if trouble == "hang":
        time.sleep(600)
    rows = list(_rows(options, read))
    _write(options, rows, trouble)
    if trouble == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


def _parsed(*, has_reasoning_options: bool, has_quiet: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("--job-dir", "--im-output", "--lf-output"):
        parser.add_argument(name, required=True, type=Path)
    parser.add_argument("--tokenizer-name", default="some/model")
    parser.add_argument("--max-instances", type=int)
    parser.add_argument("--instance-status", choices=("resolved", "unresolved", "all"), default="resolved")
    parser.add_argument("--exclude-repos-file", default="excluded.txt")
    if has_reasoning_options:
        parser.add_argument("--reasoning-check-mode", choices=("strict", "adaptive"), default="adaptive")
        parser.add_argument("--reasoning-content-ratio-threshold", type=float, default=0.2)
    if has_quiet:
        parser.add_argument("--quiet", action="store_true")
    return parser.parse_args()


def _rows(options: argparse.Namespace, read: Reader) -> Iterator[dict[str, Any]]:
    if options.exclude_repos_file:
        Path(options.exclude_repos_file).read_text()
    n_kept = 0
    for folder in _chosen(options):
        task = folder / json.loads((folder / "config.json").read_text())["task"]["path"]
        metadata = tomllib.loads((task / "task.toml").read_text())["metadata"]
        messages = read(folder)
        if n_kept == options.max_instances or not _in_order(messages):
            continue
        n_kept += 1
        facts = {"_instance_id": task.name, "_score": {"composite_score": 0.5, "sub_score": 1.0}}
        yield _im(messages, facts | {"_instance_metadata": metadata})


def _chosen(options: argparse.Namespace) -> Iterator[Path]:
    result = json.loads((options.job_dir / "result.json").read_text())
    for evaluation in result["stats"]["evals"].values():
        for bucket, names in evaluation["reward_stats"]["reward"].items():
            if bucket in STATUSES.get(options.instance_status, (bucket,)):
                yield from (options.job_dir / name for name in names)


def _in_order(messages: Messages) -> bool:
    roles = [message["role"] for message in messages]
    return roles[-1:] == ["assistant"] and not any(pair == ("user", "user") for pair in pairwise(roles))


def _im(messages: Messages, facts: dict[str, Any]) -> dict[str, Any]:
    meta = {"teacher": "glm-5-thinking", "query_source": "synthesized", "owner": "00000000", "language": "en"}
    dates = {"response_generate_time": "2026-01-02", "response_update_time": "2026-01-02"}
    rounds = sum(message["role"] == "assistant" for message in messages)
    meta_info = meta | dates | {"category": "code", "rounds": rounds, "unique_info": facts}
    system = {"role": "system", "content": ""}
    return {"version": "2.0.0", "meta_info": meta_info, "tools": [], "messages": [system, *messages]}


def _lf(row: dict[str, Any]) -> dict[str, Any]:
    turns = [{"role": each["role"], "content": each["content"]} for each in row["messages"][1:]]
    facts = row["meta_info"]["unique_info"]
    return {"messages": turns, **{name: value for name, value in facts.items() if name.startswith("_")}}


def _n_tokens(name: str, rows: list[dict[str, Any]]) -> list[int]:
    """By the real library where it is installed; it finds the tokenizer under the name that it is given."""
    texts = ["\n".join(message["content"] for message in row["messages"]) for row in rows]
    if find_spec("transformers") is None:
        return [len(text) for text in texts]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    return [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def _write(options: argparse.Namespace, rows: list[dict[str, Any]], trouble: str) -> None:
    if trouble == "foreign":
        rows[0]["meta_info"]["unique_info"]["_instance_id"] = "somebody__else-1"
    if trouble == "no_im":
        del rows[0]["messages"]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if trouble == "no_im":
        rows = []
    lf = [_lf(row) for row in rows]
    if trouble == "no_lf":
        lf[0]["messages"].pop()
    if trouble == "fewer":
        lf.pop()
    text = json.dumps(lf, indent=4, ensure_ascii=False)
    options.im_output.write_text(lines[:-40] if trouble == "half_im" else lines)
    options.lf_output.write_text(text[:-40] if trouble == "half_lf" else text)
    if trouble == "no_stats":
        return
    lengths = _n_tokens(options.tokenizer_name, rows)
    stats: dict[str, Any] = {"tool_call_errors": {}}
    if rows:
        spread = {"max": max(lengths), "min": min(lengths), "mean": sum(lengths) // len(lengths), "gt_128k": 0}
        stats |= {"count": len(rows), "total_tokens": sum(lengths), "token_lens": spread}
    options.lf_output.with_suffix(".stats.json").write_text(json.dumps(stats))
