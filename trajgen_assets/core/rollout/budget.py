"""Budgets as the platform sees them: what a job's proxy is told, and whether the day has anything left."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.guest.spending import Limit, SpendFile, Spent, UnreadableSpendError, day_file

MEND = "wait for the next day in UTC, or raise runtime_info.input.budget.day"
UNREADABLE_MEND = "correct that line, which says what one call took, or delete it"


@dataclass(frozen=True)
class UsedUp:
    """Why the budget of a day lets no job begin, and what can be done about it."""

    why: str
    mend: str = MEND

    @property
    def words(self) -> str:
        """Both, in one line."""
        return f"{self.why}; {self.mend}"


def proxy_budget(root: Root, config: Config, ledger: Ledger) -> dict[str, Any]:
    """What the proxy of a job is told, as `guest/litellm/budgets.py` reads it."""
    moment = ledger.now()
    root.spend.mkdir(parents=True, exist_ok=True)
    try:
        lost = _lost(ledger, moment, _in_file(root, moment))
    except UnreadableSpendError:  # the proxy meets it too, and says so where the day has a budget
        lost = Spent()
    return {
        "limits": config.runtime_info.input.budget.model_dump(exclude_none=True),
        "day_folder": str(root.spend),
        "lost": {"day": f"{moment:%Y-%m-%d}", "tokens": lost.tokens, "cost_usd": lost.cost_usd},
    }


def day_used_up(root: Root, config: Config, ledger: Ledger) -> UsedUp | None:
    """Why the budget of this day lets no job begin; None where there is none, or something is left of it."""
    chosen, moment = config.runtime_info.input.budget.day, ledger.now()
    limit = Limit(chosen.tokens, chosen.cost_usd)
    if not limit.is_set:
        return None
    try:
        in_file = _in_file(root, moment)
    except (UnreadableSpendError, OSError) as error:
        return UsedUp(f"what was spent today is not known: {error}", UNREADABLE_MEND)
    reached = limit.reached_by(in_file + _lost(ledger, moment, in_file))
    return UsedUp(f"the day's budget of {reached} is used up") if reached else None


# A day of many jobs has a file of many megabytes, and each tick looks at it: it is read on, not anew.
_files: dict[Path, SpendFile] = {}
_reading = Lock()


def _in_file(root: Root, moment: datetime) -> Spent:
    path = day_file(root.spend, moment)
    with _reading:
        file = _files.setdefault(path, SpendFile(path))
        try:
            return file.read()
        except UnreadableSpendError:
            del _files[path]  # once it was said that a file is gone, the next look begins with what is there
            raise


def _lost(ledger: Ledger, moment: datetime, in_file: Spent) -> Spent:
    """What the ledger knows of this day beyond the file, which a person may have deleted."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return ledger.spent_since(midnight).beyond(in_file)
