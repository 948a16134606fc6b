"""`trajgen score --llm`: rows judged by a model."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.sft.judge.checks import Method
from trajgen_assets.core.sft.judge.job import judge_job
from trajgen_assets.core.sft.judge.scoring import Judged

MEANS: dict[Method, str] = {"checklist": "llm_composite_score", "dynamic": "llm_csr"}


def judge_jobs(platform: Platform, names: Sequence[str], method: Method, *, as_json: bool, dry_run: bool) -> None:
    """Judge the rows of jobs one after the other, and end with an error when some have no score."""
    is_whole = True
    for name in names:
        judged = judge_job(platform.root, platform.config, name, method, dry_run=dry_run)
        facts = _facts(platform, name, method, judged, dry_run=dry_run)
        typer.echo(json.dumps(facts) if as_json else "\n".join(_lines(facts)))
        is_whole = is_whole and judged.n_left == 0
        if judged.stopped_for is not None:
            break
    if not (is_whole or dry_run):
        raise typer.Exit(EXIT_FAILED)


def _facts(platform: Platform, name: str, method: Method, judged: Judged, *, dry_run: bool) -> dict[str, Any]:
    values = [score[MEANS[method]] for score in judged.scores]
    return {
        "job": name,
        "method": method,
        "rows": judged.n_rows,
        "scored": len(judged.scores),
        "known_before": judged.n_known,
        "left": judged.n_left,
        "failed": judged.failed,
        "stopped_for": judged.stopped_for,
        f"mean_{MEANS[method]}": round(sum(values) / len(values), 4) if values else None,
        "tokens_of_all_answers": judged.tokens,
        "cost_usd_of_all_answers": round(judged.cost_usd, 6),
        "dry_run": dry_run,
        "path": str(platform.root.job(name).llm_scores),
    }


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    mean = facts[f"mean_{MEANS[facts['method']]}"]
    shown = "" if mean is None else f", mean {mean:.4f}"
    rows = count_of(facts["rows"], "row")
    yield f"{facts['job']}: {facts['scored']} of {rows} judged by {facts['method']}{shown}: {facts['path']}"
    spent = f"{facts['tokens_of_all_answers']:,} tokens, {facts['cost_usd_of_all_answers']:.4f} USD"
    yield f"  {facts['left']} left; all answers about the job took {spent}"
    for reason, n in facts["failed"].items():
        yield f"  {n} without a score: {reason}"
    if facts["stopped_for"]:
        yield f"  stopped: {facts['stopped_for']}"
