"""Who gets an alert: a file, or an address that a person gave, posted to within a time and followed nowhere else."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import httpx

from trajgen_assets.core.report.alerts import Raised, append_lines

# For all of it, from the name to the first line of the reply; a tick of the sensor may take 60 s.
TIMEOUT_S = 10.0

# Client errors by which a receiver says "later".
LATER = {408, 425, 429}


class Fate(Enum):
    """What became of one try: taken, refused for what it is, or not reached, as no other would be now."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNREACHED = "unreached"


@dataclass(frozen=True)
class Answer:
    """What the receiver said."""

    fate: Fate
    words: str


Send = Callable[[Raised], Answer]


def copy_to(path: Path) -> Send:
    """What adds an alert to a file of JSON lines."""

    def send(alert: Raised) -> Answer:
        try:
            append_lines(path, [asdict(alert)])
        except OSError as error:
            return Answer(Fate.UNREACHED, f"{path}: {error.strerror}")
        return Answer(Fate.TAKEN, str(path))

    return send


def webhook(url: str, redact: Callable[[str], str], *, timeout_s: float = TIMEOUT_S) -> Send:
    """What sends an alert to `url`. No answer of it quotes the address, which is a secret.

    The body is JSON: `id`, `at`, `kind`, `text`, `host`. Slack and its kin show `text`; others can tell by `id`, which
    is also the header `Idempotency-Key`, what they have had before.
    """

    def send(alert: Raised) -> Answer:
        body = {"id": alert.id, "at": alert.at, "kind": alert.kind, "text": redact(alert.text)}
        try:
            status = asyncio.run(_post(url, body | {"host": socket.gethostname()}, timeout_s))
        except TimeoutError:
            return Answer(Fate.UNREACHED, f"no answer within {timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(Fate.UNREACHED, type(error).__name__)
        return Answer(_fate(status), f"status {status}")

    return send


def _fate(status: int) -> Fate:
    if 200 <= status < 300:
        return Fate.TAKEN
    return Fate.REFUSED if 300 <= status < 500 and status not in LATER else Fate.UNREACHED


async def _post(url: str, body: dict[str, str], timeout_s: float) -> int:
    """Post, and return the status; what else the receiver says is not read, however long it is."""
    async with asyncio.timeout(timeout_s), httpx.AsyncClient(timeout=timeout_s) as client:
        headers = {"Idempotency-Key": body["id"]}
        async with client.stream("POST", url, json=body, headers=headers) as reply:
            return reply.status_code
