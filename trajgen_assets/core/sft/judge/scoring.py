"""The rows of a job, judged: each question is asked once, whatever ends in between."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.sft.judge.answers import UnusableAnswerError, fixed_score, made_checks, made_score
from trajgen_assets.core.sft.judge.asking import N_TRIES, JudgeModel, NoReplyError, Reply, UsedUpError
from trajgen_assets.core.sft.judge.checks import VERSIONS, Method
from trajgen_assets.core.sft.judge.prompts import (
    MadeCheck,
    fixed_question,
    making_question,
    row_digest,
    task_digest,
    verdict_question,
)
from trajgen_assets.core.sft.judge.store import AnswerStore, JudgeAnswer, Step
from trajgen_assets.core.sft.messages import Json

T = TypeVar("T")
Reading = Callable[[str], T]


@dataclass
class Judged:
    """What judging the rows of a job gave.

    Attributes:
        n_rows: rows that are judged at all; a subagent's are not.
        n_known: of these, rows that had their score before.
        failed: why rows have none, with their numbers.
        stopped_for: why not all rows were asked about, if so.
        tokens, cost_usd: of all answers about the job, earlier ones included.
    """

    n_rows: int = 0
    n_known: int = 0
    scores: list[Json] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    stopped_for: str | None = None
    tokens: int = 0
    cost_usd: float = 0.0

    @property
    def n_left(self) -> int:
        """Rows without a score."""
        return self.n_rows - len(self.scores)

    @classmethod
    def of_known(cls, rows: Iterable[Json], judge: "Judge") -> "Judged":
        """Return what is known without asking anything."""
        judged = cls()
        for _ in _unknown(rows, judge, judged):
            pass
        return judged

    def fail(self, reason: str) -> None:
        """Count a row without a score."""
        self.failed[reason] = self.failed.get(reason, 0) + 1


class Judge:
    """Asks one model by one method, and keeps its answers in one store."""

    def __init__(self, method: Method, model: JudgeModel, store: AnswerStore, redactor: Redactor) -> None:
        self._method = method
        self._model = model
        self._store = store
        self._redactor = redactor
        self._making: dict[str, Lock] = {}
        self._lock = Lock()

    def give_up(self) -> None:
        """Ask nothing again that fails."""
        self._model.given_up.set()

    def known(self, row: Json) -> Json | None:
        """Return the score that a row has already."""
        return next((each.score for each in self._store.of(self._blank(row, "score").key) if each.score), None)

    def score(self, row: Json) -> Json:
        """Return the score of a row, asking for what is not on record.

        Raises:
            NoReplyError: no answer came, or none of the asked form.
            UsedUpError: the budget has no room for the question.
        """
        blank = self._blank(row, "score")
        if self._method == "checklist":
            return self._answer(blank, fixed_question(row), fixed_score)
        made = self._checks_for(row)
        return self._answer(blank, verdict_question(row, made), lambda text: made_score(text, made))

    def _checks_for(self, row: Json) -> list[MadeCheck]:
        """Return the checks of a row's task; rows of one task that are judged at once wait for one list."""
        blank = self._blank(row, "checks")
        with self._lock:
            making = self._making.setdefault(blank.subject, Lock())
        with making:
            return self._answer(blank, making_question(row), made_checks)

    def _answer(self, blank: JudgeAnswer, question: list[Json], read: Reading[T]) -> T:
        """Return what a model answers, as `read` understands it: of earlier answers the first that is of use."""
        given = [each.answer for each in self._store.of(blank.key) if each.answer is not None]
        why = "no answer"
        for text in given:
            try:
                return read(text)
            except UnusableAnswerError as error:
                why = str(error)
        for _ in range(N_TRIES - len(given)):
            reply = self._ask(blank, question)
            try:
                value = read(reply.text)
            except UnusableAnswerError as error:
                why = str(error)
                self._note(blank, reply, reason=why)
            else:
                self._note(blank, reply, score=value if isinstance(value, dict) else None)
                return value
        raise NoReplyError(f"an answer of no use: {why}")

    def _ask(self, blank: JudgeAnswer, question: list[Json]) -> Reply:
        try:
            return self._model.ask(question)
        except NoReplyError as error:
            reason = self._redactor.text(str(error))
            self._store.add(blank.model_copy(update={"reason": reason}))
            raise NoReplyError(reason, is_final=error.is_final) from error

    def _note(self, blank: JudgeAnswer, reply: Reply, *, score: Json | None = None, reason: str | None = None) -> None:
        taken = {"n_prompt_tokens": reply.n_prompt_tokens, "n_completion_tokens": reply.n_completion_tokens}
        said = {"answer": reply.text, "cost_usd": reply.cost_usd, "score": score, "reason": reason}
        self._store.add(blank.model_copy(update=taken | said))

    def _blank(self, row: Json, step: Step) -> JudgeAnswer:
        facts = row["meta_info"]["unique_info"]
        return JudgeAnswer(
            method=self._method,
            version=VERSIONS[self._method],
            model=self._model.api.model,
            step=step,
            subject=row_digest(row) if step == "score" else task_digest(row),
            trial=facts.get("trial"),
            conversation=facts.get("conversation"),
        )


def judge_rows(rows: Iterable[Json], judge: Judge, *, concurrency: int) -> Judged:
    """Score rows, so many at a time. No more than these are held; a question under way is waited for.

    When the budget is used up, or the endpoint refuses the key, no further row is asked about.
    """
    judged = Judged()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="judge") as pool:
        try:
            for outcome in _in_turn(pool, _unknown(rows, judge, judged), judge.score, concurrency):
                _take(outcome, judged)
        except BaseException:
            judge.give_up()
            pool.shutdown(cancel_futures=True)
            raise
    return judged


def _unknown(rows: Iterable[Json], judge: Judge, judged: Judged) -> Iterator[Json]:
    """Yield the rows that are to be asked about, and count all."""
    for row in rows:
        if row["meta_info"]["unique_info"]["_agent_type"] == "subagent":
            continue
        judged.n_rows += 1
        score = judge.known(row)
        if score is None and judged.stopped_for is None:
            yield row
        elif score is not None:
            judged.n_known += 1
            judged.scores.append(score)


def _in_turn(
    pool: ThreadPoolExecutor, rows: Iterator[Json], work: Callable[[Json], Json], n_at_once: int
) -> Iterator[Future[Json]]:
    waiting: set[Future[Json]] = set()
    for row in rows:
        waiting.add(pool.submit(work, row))
        if len(waiting) >= n_at_once:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from done
    yield from wait(waiting).done


def _take(outcome: Future[Json], judged: Judged) -> None:
    try:
        judged.scores.append(outcome.result())
    except UsedUpError as error:
        judged.stopped_for = str(error)
    except NoReplyError as error:
        judged.fail(str(error))
        if error.is_final:
            judged.stopped_for = str(error)
