"""Budgets of tokens and money: counts what each call of this proxy took, and refuses calls when a limit is reached.

A call is refused only by what earlier calls are known to have taken, so a limit is overshot by the calls in flight
and by no more. What cannot be counted counts as too much: then nothing goes on.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import capture_files
from spending import Limit, SpendFile, Spent, UnreadableSpendError, day_file

SETTINGS_ENV = "TRAJGEN_BUDGET"
TRIAL, JOB, DAY = "trial", "job", "day"

# LiteLLM tells the logger of a call within milliseconds of its reply, and of one that it cannot even read never.
COUNT_PATIENCE_S = 2.0
COUNT_LOOK_S = 0.01


@dataclass(frozen=True)
class Refusal:
    """Why a call does not go on: whose budget is used up, and a sentence."""

    scope: str
    text: str


class Budget:
    """What was spent and what may be. Begins with what the files say, so that a proxy that is started again goes on.

    Args:
        settings: `limits` (of `trial`, `job` and `day`), `day_folder`, and `lost`: what the ledger knows of a `day`
            beyond what the file of that day said when the proxy was started. `max_calls` of a trial, for agents that
            heed no limit of turns.
        folder: the proxy's working folder.
        clock: the moment, in UTC.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        folder: Path,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        limits = settings.get("limits") or {}
        self._limits = {scope: Limit.of(limits.get(scope)) for scope in (TRIAL, JOB, DAY)}
        self._folder = folder
        self._clock = clock
        self._day_folder = Path(settings["day_folder"]) if settings.get("day_folder") else None
        self._lost = settings.get("lost") or {}
        self._max_calls: int | None = settings.get("max_calls")
        self._job = SpendFile(folder / "spend.jsonl")
        self._day: SpendFile | None = None
        self._unknown: str | None = None
        self._uncounted: dict[str, float] = {}
        self._counted_early: set[str] = set()

    def served(self, call_id: str) -> None:
        """Note that the client has its reply; what that took may not be known yet."""
        if call_id in self._counted_early:
            self._counted_early.remove(call_id)
        else:
            self._uncounted[call_id] = time.monotonic()

    async def caught_up(self) -> None:
        """Wait until what every reply took that was served is counted, so that only calls in flight are not."""
        while self._is_limited and self._has_uncounted():
            await asyncio.sleep(COUNT_LOOK_S)

    def _has_uncounted(self) -> bool:
        given_up = time.monotonic() - COUNT_PATIENCE_S
        while self._uncounted and next(iter(self._uncounted.values())) < given_up:
            del self._uncounted[next(iter(self._uncounted))]
        return bool(self._uncounted)

    @property
    def _is_limited(self) -> bool:
        return any(limit.is_set for limit in self._limits.values())

    def count(self, trial: str, call_id: str, usage: Mapping[str, Any], *, answered: bool) -> None:
        """Write down what an ended call took. A job whose budget that uses up begins no more trials."""
        if self._uncounted.pop(call_id, None) is None:
            self._counted_early.add(call_id)
        if answered:
            self._unknown = self._unknown or self._untold(usage)
        spent = Spent(int(usage.get("total_tokens") or 0), float(usage.get("cost") or 0.0))
        if spent != Spent():
            self._write_down(trial, call_id, spent)
        why = self._over_all()
        if why is not None:
            self._stop(why)

    def _untold(self, usage: Mapping[str, Any]) -> str | None:
        """What a reply did not tell that a limit asks for. An upstream need not say what it used."""
        if not usage.get("total_tokens"):
            return "a reply came without its count of tokens"
        if usage.get("cost") is None and any(limit.cost_usd is not None for limit in self._limits.values()):
            return "a reply came whose price is not known"
        return None

    def _write_down(self, trial: str, call_id: str, spent: Spent) -> None:
        job = os.environ["TRAJGEN_JOB"]
        amounts = {"job": job, "trial": trial, "call_id": call_id, "tokens": spent.tokens, "cost_usd": spent.cost_usd}
        line = json.dumps({"at": capture_files.now_stamp(), **amounts}).encode()
        files = [self._job.path, *([day_file(self._day_folder, self._clock())] if self._day_folder else [])]
        for path in files:
            try:
                capture_files.append_line(path, line)
            except OSError as error:
                self._unknown = f"{path.name} could not be written: {error.strerror or error}"
                capture_files.mark_broken(trial, "spend", error)

    def refusal(self, trial: str) -> Refusal | None:
        """Why the next call of `trial` may not go on; None if it may. The first refusal of each trial is noted."""
        why = self._over_all() or self._over(TRIAL, lambda: self._job_spent().by_trial.get(trial, Spent()))
        why = why or self._over_calls(trial)
        if why is not None:
            self._note(self._folder / "over_budget" / trial, why)
            if why.scope != TRIAL:
                self._stop(why)
        return why

    def _over_calls(self, trial: str) -> Refusal | None:
        if self._max_calls is None or _n_admitted(trial) < self._max_calls:
            return None
        return Refusal(TRIAL, f"the trial's {self._max_calls} model calls are used up")

    def _over_all(self) -> Refusal | None:
        """Why no call of any trial may go on."""
        if self._unknown and self._is_limited:
            return _not_known(JOB, self._unknown)
        return self._over(JOB, lambda: self._job_spent().total) or self._over(DAY, self._day_spent)

    def _stop(self, why: Refusal) -> None:
        """Let no more trials begin."""
        self._note(self._folder / "budget_stop", why)
        (self._folder / "stop").touch()

    def _over(self, scope: str, spent: Callable[[], Spent]) -> Refusal | None:
        limit = self._limits[scope]
        if not limit.is_set:
            return None
        try:
            reached = limit.reached_by(spent())
        except (UnreadableSpendError, OSError) as error:
            return _not_known(scope, error)
        return Refusal(scope, f"the {scope}'s budget of {reached} is used up") if reached else None

    def _job_spent(self) -> SpendFile:
        self._job.read()
        return self._job

    def _day_spent(self) -> Spent:
        """Of all jobs of the root on this day."""
        moment = self._clock()
        if self._day_folder is None:
            return Spent()
        path = day_file(self._day_folder, moment)
        if self._day is None or self._day.path != path:
            self._day = SpendFile(path)
        amount = Spent(self._lost.get("tokens", 0), self._lost.get("cost_usd", 0.0))
        return self._day.read() + (amount if self._lost.get("day") == f"{moment:%Y-%m-%d}" else Spent())

    def _note(self, path: Path, why: Refusal) -> None:
        """Put the note there, whole; the first one stays."""
        path.parent.mkdir(mode=0o700, exist_ok=True)
        line = json.dumps({"scope": why.scope, "text": why.text, "at": capture_files.now_stamp()}) + "\n"
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            part.write_text(line)
            os.link(part, path)
        except FileExistsError:
            return
        finally:
            part.unlink(missing_ok=True)


def _not_known(scope: str, why: object) -> Refusal:
    """A trial has no part in that, so it is never its own budget that ends it: it would be graded."""
    return Refusal(JOB if scope == TRIAL else scope, f"what this {scope} has spent is not known: {why}")


def _n_admitted(trial: str) -> int:
    """How many calls of the trial were let through so far, answered or not."""
    try:
        return capture_files.trial_file("admitted", trial).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@lru_cache(maxsize=1)
def budget() -> Budget:
    """That of this proxy, as the platform has set it."""
    return Budget(json.loads(os.environ.get(SETTINGS_ENV) or "{}"), capture_files.proxy_dir())
