"""Sending alerts out: each to a webhook, or a file, until that has taken it, or until it is too late to matter.

At least once: the note that an alert was taken is written after it was, so whoever dies in between sends it again,
under the same id. At most once would lose an alert by the same death, and nobody would know.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trajgen_assets.core import clock
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.locks import locked_if_free
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.alerts import Raised, append_lines, read_alerts, read_lines
from trajgen_assets.core.report.receivers import Fate, Send, copy_to, webhook

# What is older was raised before there was a webhook, or is known by now.
MAX_AGE = timedelta(days=1)

# Waits of 30 s, 1, 2, 4 … minutes: the last try is about an hour after the first.
MAX_TRIES = 8
FIRST_WAIT_S = 30.0


@dataclass(frozen=True)
class _Tries:
    n: int = 0
    last_at: datetime | None = None
    is_taken: bool = False

    def are_due(self, now: datetime) -> bool:
        if self.is_taken or self.n >= MAX_TRIES:
            return False
        return self.last_at is None or now >= self.last_at + timedelta(seconds=FIRST_WAIT_S * 2 ** (self.n - 1))


def send_out(root: Root, config: Config, redact: Callable[[str], str]) -> list[str]:
    """Send what is due to where the configuration says. Returns a line for each try."""
    chosen = config.runtime_info.input.alerts
    lines: list[str] = []
    if chosen.file is not None:
        lines += deliver(root, "file", copy_to(config.resolve(chosen.file)), clock.now())
    if chosen.webhook is not None:
        try:
            lines += deliver(root, "webhook", webhook(chosen.webhook.reveal(), redact), clock.now())
        except ConfigError as error:  # its variable is not set: what is not sent now is due when it is
            lines.append(f"nothing is sent to the webhook: {error}")
    return lines


def deliver(root: Root, to: str, send: Send, now: datetime) -> list[str]:
    """Send what is due to one receiver, oldest first. Returns a line for each try; none while another is at it."""
    with locked_if_free(root.locks / "alerts-delivery") as lock:
        return list(_deliver(root, to, send, now)) if lock is not None else []


def _deliver(root: Root, to: str, send: Send, now: datetime) -> Iterator[str]:
    tries = _tries(root, to)
    for alert in _due(read_alerts(root), tries, now):
        answer = send(alert)
        reached("alert_sent")
        row = {"id": alert.id, "to": to, "at": stamp(now), "fate": answer.fate.value, "answer": answer.words}
        append_lines(root.alerts_sent, [row])
        is_last = answer.fate is not Fate.TAKEN and tries.get(alert.id, _Tries()).n + 1 >= MAX_TRIES
        yield f"{alert.id} to {to}: {answer.fate.value}, {answer.words}" + (", and given up" if is_last else "")
        if answer.fate is Fate.UNREACHED:  # the others would wait as long, each
            return


def _due(alerts: Sequence[Raised], tries: dict[str, _Tries], now: datetime) -> list[Raised]:
    young = [each for each in alerts if now - datetime.fromisoformat(each.at) <= MAX_AGE]
    return [each for each in young if tries.get(each.id, _Tries()).are_due(now)]


def _tries(root: Root, to: str) -> dict[str, _Tries]:
    found: dict[str, _Tries] = {}
    for row in read_lines(root.alerts_sent):
        if row["to"] != to:
            continue
        before = found.get(row["id"], _Tries())
        taken = before.is_taken or row["fate"] == Fate.TAKEN.value
        found[row["id"]] = replace(before, n=before.n + 1, last_at=datetime.fromisoformat(row["at"]), is_taken=taken)
    return found
