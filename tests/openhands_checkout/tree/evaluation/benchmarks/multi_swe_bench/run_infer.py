"""Rows of a JSONL file become rows of output.jsonl.

What a row's column `stand_in` may ask for:
    files: `{path: text}` of the repository; greeting.txt by default.
    goes: `crash` (each try), `crash_once`, `hang`, `dies` (no row), `torn` (half a row), `empty_id`, `twice`,
        `other_model` (a condenser's record among the completions).
"""

import argparse
import os
import signal
import subprocess
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import load_dataset
from openhands.agent import Agent
from openhands.llm import LLM, LLMConfig, get_llm_config_arg, log_of_another_model
from openhands.tools import TOOLS

from evaluation.utils.shared import make_metadata, prepare_dataset, run_evaluation

LANGUAGES = ("python", "java", "go", "c", "cpp", "javascript", "typescript", "rust")
FILES = {"greeting.txt": "hallo\n"}
tried: set[str] = set()


def main() -> None:
    args = parse_args()
    rows = load_dataset("json", data_files=args.dataset)[args.split]
    rows = filter_dataset([dict(row) for row in rows])
    llm_config: Any = get_llm_config_arg(args.llm_config) if args.llm_config else None
    llm_config.log_completions = True
    name = args.dataset.replace("/", "__") + "-" + args.split.replace("/", "__")
    metadata = make_metadata(
        llm_config, name, args.agent_cls, args.max_iterations, args.eval_note, args.eval_output_dir
    )
    output_file = str(Path(metadata["eval_output_dir"], "output.jsonl"))
    print(f"### OUTPUT FILE: {output_file} ###", flush=True)
    chosen = prepare_dataset(rows, output_file, args.eval_n_limit)
    for row in chosen:
        for column in ("FAIL_TO_PASS", "PASS_TO_PASS"):
            row[column] = str(row[column])
    run_evaluation(chosen, metadata, llm_config, output_file, args.eval_num_workers, process_instance)


def parse_args() -> argparse.Namespace:
    """The flags; what is not known is passed over in silence."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-c", "--agent-cls")
    parser.add_argument("-i", "--max-iterations", type=int)
    parser.add_argument("-l", "--llm-config")
    parser.add_argument("--dataset")
    parser.add_argument("--split", default="test")
    parser.add_argument("--filter_dataset_after_sampling", action="store_true")
    parser.add_argument("--eval-output-dir", default="evaluation/evaluation_outputs/outputs")
    parser.add_argument("--eval-n-limit", type=int)
    parser.add_argument("--eval-num-workers", type=int, default=4)
    parser.add_argument("--eval-note")
    parser.add_argument("--eval-ids")
    return parser.parse_known_args()[0]


def filter_dataset(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What config.toml beside this file selects; only where it selects nothing, all but SKIP_IDS."""
    path = Path(__file__).with_name("config.toml")
    if path.is_file() and (selected := tomllib.loads(path.read_text()).get("selected_ids")):
        return [row for row in rows if row["instance_id"] in selected]
    skipped = [each for each in os.environ.get("SKIP_IDS", "").split(",") if each]
    return [row for row in rows if row["instance_id"] not in skipped]


def process_instance(row: dict[str, Any], metadata: dict[str, Any], llm_config: LLMConfig) -> dict[str, Any]:
    """One try at an instance."""
    folder = str(Path(metadata["eval_output_dir"], "llm_completions", row["instance_id"]))
    config = replace(llm_config, log_completions_folder=folder)
    asked = row.get("stand_in") or {}
    goes = asked.get("goes")
    llm = LLM(config, TOOLS)
    with tempfile.TemporaryDirectory(prefix="openhands-stand-in-") as temp:
        workspace = Path(temp)
        _make_repository(workspace, asked.get("files") or FILES)
        agent = Agent(llm, workspace)
        instruction = _instruction(row)
        if goes in ("hang", "crash", "dies") or (goes == "crash_once" and row["instance_id"] not in tried):
            agent.run(str(instruction), 1)
            _go_wrong(goes, row["instance_id"])
        state = agent.run(str(instruction), metadata["max_iterations"])
        patch = _patch(workspace) if len(state.history) > 4 else ""
    if goes == "other_model":
        log_of_another_model(config)
    result = {
        "instance_id": "" if goes == "empty_id" else row["instance_id"],
        "test_result": {"git_patch": patch},
        "instruction": instruction,
        "metadata": {**metadata, "llm_config": config.masked()},
        "history": state.history,
        "metrics": llm.metrics(),
        "error": state.error,
        "instance": row,
    }
    return {"row": result, "n_times": 2 if goes == "twice" else 1, "is_torn": goes == "torn"}


def _go_wrong(goes: str, instance_id: str) -> None:
    if goes == "hang":
        signal.pause()
    if goes == "dies":
        os._exit(1)
    tried.add(instance_id)
    raise RuntimeError("Container has exited")


def _instruction(row: dict[str, Any]) -> str | None:
    """None for a language that is not known, and no word about it."""
    if os.environ.get("LANGUAGE", "java") not in LANGUAGES:
        return None
    name = f"{row['repo']}__{row['version']}".replace("/", "__")
    text = f"<uploaded_files>\n/workspace/{name}\n</uploaded_files>\n<issue_description>\n{row['problem_statement']}\n"
    text += f"</issue_description>\nThe base commit is {row['base_commit']}.\n"
    if os.environ.get("RUN_WITH_BROWSING", "false").lower() == "true":
        text += "<IMPORTANT!>\nYou SHOULD NEVER attempt to browse the web.\n</IMPORTANT!>"
    return text


def _make_repository(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    _git(folder, "-c", "user.name=stand-in", "-c", "user.email=s@host.test", "commit", "--quiet", "--message", "base")


def _patch(folder: Path) -> str:
    _git(folder, "add", "--all")
    return "\n".join(_git(folder, "diff", "--no-color", "--cached", "HEAD").splitlines())  # the last newline is lost


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
