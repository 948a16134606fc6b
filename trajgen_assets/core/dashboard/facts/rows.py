"""The rows of training data without their messages: what each came to, kept and rejected ones alike.

A row that was not scored has no score, which is not a score of 0.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from trajgen_assets.core.sft.im import read_im
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.receipt import SftPaths, load_receipt
from trajgen_assets.core.sft.score.rules import WEIGHTS
from trajgen_assets.core.sft.tokens.length import n_tokens_of


@dataclass(frozen=True, slots=True)
class Leak:
    """A flag of a row; `turn` counts the model's answers from 1, and is None where it is about the outcome."""

    kind: str
    turn: int | None
    quote: str


@dataclass(frozen=True, slots=True)
class RowFacts:
    """One row.

    Attributes:
        job, trial, conversation: where it comes from.
        reason: why it was left out; None where it is in the data.
        n_tokens: by the tokenizer of its conversion, else as the endpoint counted; None where neither did.
        score: the composite; None where it was not scored.
        parts: each part of the score that has a value, under its short name.
        evidence: what the parts rest on, by part.
        leaks: flags of the leak rules; None where nobody looked.
        n_calls, n_errors: calls of tools with a result, and errors among them; None where nobody counted.
    """

    job: str
    trial: str
    conversation: int
    task_id: str
    agent_type: str
    language: str | None
    model: str
    scaffold: str
    reward: float | None
    reason: str | None
    detail: str | None
    n_turns: int
    n_tokens: int | None
    score: float | None
    parts: Mapping[str, float]
    evidence: Mapping[str, Mapping[str, Any]]
    leaks: tuple[Leak, ...] | None
    n_calls: int | None
    n_errors: int | None


@dataclass(frozen=True, slots=True)
class RejectedTrial:
    """A trial of which nothing became a row, by itself and not by its rows; `trial` is None where it has no name."""

    task_id: str
    trial: str | None
    reason: str
    detail: str | None


def read_rows(paths: SftPaths) -> Iterator[RowFacts | RejectedTrial]:
    """Yield kept rows, then what was rejected, one in memory at a time. Files that are not there have none.

    Raises:
        ValueError: a file holds what the converter did not write.
        OSError: a file cannot be read.
    """
    if paths.im.exists():
        for row in read_im(paths.im):
            yield _facts(row, None, None)
    if paths.rejected.exists():
        with paths.rejected.open("rb") as file:
            for line in file:
                yield _rejected(orjson.loads(line))


def _rejected(refusal: Json) -> RowFacts | RejectedTrial:
    reason, detail = refusal["reason"], refusal["detail"]
    if refusal["level"] == "row":
        return _facts(refusal["row"], reason, detail)
    return RejectedTrial(refusal["task_id"], refusal["trial"], reason, detail)


class RowsOfJob:
    """The rows of a job, by trial. They are read once, and only when a page that is to be made asks for them.

    Attributes:
        signature: names the result that the rows are of; empty where there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = SftPaths(folder.resolve())  # so that all is of one version
        receipt = load_receipt(folder)
        self.signature = receipt.signature if receipt else ""

    def of(self, trial: str) -> Sequence[RowFacts]:
        """The rows of a trial, kept ones first."""
        return self._by_trial.get(trial, ())

    @property
    def problem(self) -> str | None:
        """What could not be read, in words."""
        return self._read[1]

    @property
    def _by_trial(self) -> Mapping[str, Sequence[RowFacts]]:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[Mapping[str, Sequence[RowFacts]], str | None]:
        found: dict[str, list[RowFacts]] = defaultdict(list)
        try:
            for row in read_rows(self._paths):
                if isinstance(row, RowFacts):
                    found[row.trial].append(row)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return found, f"the rows of its training data cannot be read: {type(error).__name__}"
        return found, None


def _facts(row: Json, reason: str | None, detail: str | None) -> RowFacts:
    meta = row["meta_info"]
    facts = meta["unique_info"]
    shown = facts.get("_score") or {}
    values = {part: shown.get(f"{part}_score") for part in WEIGHTS}
    return RowFacts(
        job=facts["job"],
        trial=facts["trial"],
        conversation=facts["conversation"],
        task_id=facts["_instance_id"],
        agent_type=facts["_agent_type"],
        language=_text((facts.get("_instance_metadata") or {}).get("language")),
        model=facts["model"],
        scaffold=facts["scaffold"],
        reward=facts.get("reward"),
        reason=reason,
        detail=detail,
        n_turns=meta["rounds"],
        n_tokens=n_tokens_of(row),
        score=shown.get("composite_score"),
        parts={part: value for part, value in values.items() if value is not None},
        evidence=facts.get("score_evidence") or {},
        leaks=_leaks(facts),
        n_calls=facts.get("n_tool_calls"),
        n_errors=facts.get("n_tool_errors"),
    )


def _leaks(facts: Json) -> tuple[Leak, ...] | None:
    if "leaks" not in facts:  # data of before there were flags
        return None
    return tuple(Leak(each["leak"], each["turn"], each["quote"]) for each in facts["leaks"])


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
