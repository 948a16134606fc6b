"""`llm_scores.jsonl` of a job: every answer of a judge, written as soon as it came, so that none is paid for twice.

It lies with the job and not with its training data, which is made anew at any time.
"""

import os
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.judge.checks import Method

Step = Literal["score", "checks"]


class JudgeAnswer(BaseModel):
    """One line: what a judge answered to one question, or why there is no answer.

    Attributes:
        subject: digest of what was asked about: of a row for `score`, of its system prompt, question and tools for
            the making of `checks`.
        score: what the answer says, for `score`; null with a reason.
        reason: why the answer is of no use, or why none came.
        answer: the model's own text; null where none came, which is asked again by a later run.
        cost_usd: null where no price is known.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    method: Method
    version: str
    model: str
    step: Step
    subject: str
    trial: str | None
    conversation: int | None
    score: dict[str, Any] | None = None
    reason: str | None = None
    answer: str | None = None
    n_prompt_tokens: int = 0
    n_completion_tokens: int = 0
    cost_usd: float | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two answers answers to one question."""
        return (self.method, self.version, self.model, self.step, self.subject)

    @property
    def n_tokens(self) -> int:
        return self.n_prompt_tokens + self.n_completion_tokens


class AnswerStore:
    """The answers of one job, in memory and in the file. Any thread may call it; one process at a time has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._answers: dict[tuple[str, ...], list[JudgeAnswer]] = {}
        for answer in _read(path):
            self._answers.setdefault(answer.key, []).append(answer)

    def of(self, key: tuple[str, ...]) -> list[JudgeAnswer]:
        """Return all answers to one question, in the order in which they came."""
        with self._lock:
            return list(self._answers.get(key, ()))

    def add(self, answer: JudgeAnswer) -> None:
        """Note an answer; it is on disk when this returns."""
        with self._lock:
            with self._path.open("ab") as file:
                file.write(answer.model_dump_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._answers.setdefault(answer.key, []).append(answer)

    def spent(self) -> tuple[int, float]:
        """Return tokens and cost of all answers, of whatever method."""
        with self._lock:
            listed = [each for answers in self._answers.values() for each in answers]
        return sum(each.n_tokens for each in listed), sum(each.cost_usd or 0.0 for each in listed)


def _read(path: Path) -> list[JudgeAnswer]:
    """Read what is there, and take away a last line that was not written to its end.

    Raises:
        ConversionError: a line within the file is no answer of ours. It is left as it is: it may have been paid for.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    try:
        return [JudgeAnswer.model_validate_json(line) for line in whole.splitlines()]
    except ValidationError as error:
        why = f"line {_line_of_fault(whole)} is not as it was written"
        raise ConversionError("answers of a judge cannot be read", where=path, why=why, mend="move it away") from error


def _line_of_fault(data: bytes) -> int:
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            JudgeAnswer.model_validate_json(line)
        except ValidationError:
            return number
    return 0
