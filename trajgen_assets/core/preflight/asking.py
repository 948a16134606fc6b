"""One question to a model endpoint, asked as the job's proxy will ask it: by LiteLLM."""

import difflib
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

QUESTION = "Reply with the word pong."
MAX_TOKENS = 256
ANSWER_TIMEOUT_S = 30.0
N_ATTEMPTS = 3
PAUSE_S = 1.0

MODELS_TIMEOUT_S = 5.0

_LITELLMS_OWN = re.compile(r"^(litellm\.)?(\w+Error: )+(\w+Exception - )?")
_NO_PROVIDER = "LLM Provider NOT provided"


class Verdict(StrEnum):
    """What became of a question."""

    ANSWERED = "answered"
    THOUGHT = "thought"  # a reasoning model that spent all its tokens before the first word
    EMPTY = "empty"
    REFUSED = "refused"  # 401 or 403
    MISUNDERSTOOD = "misunderstood"  # wrong path, wrong model, or no endpoint at all: another shape may be right
    BUSY = "busy"
    BROKEN = "broken"
    SILENT = "silent"
    UNREACHABLE = "unreachable"


PASSING = frozenset({Verdict.BUSY, Verdict.BROKEN, Verdict.SILENT, Verdict.UNREACHABLE})


@dataclass(frozen=True)
class Question:
    """Whom to ask: `model` is `provider/name` as LiteLLM writes it."""

    model: str
    base_url: str
    key: str = field(repr=False)

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]

    @property
    def name(self) -> str:
        return self.model.partition("/")[2]


@dataclass(frozen=True)
class Answer:
    """What came back: a verdict, and the endpoint's own words."""

    verdict: Verdict
    text: str

    @property
    def works(self) -> bool:
        """Whether a model answered."""
        return self.verdict in (Verdict.ANSWERED, Verdict.THOUGHT)


def ask_patiently(question: Question, *, timeout_s: float = ANSWER_TIMEOUT_S, pause_s: float = PAUSE_S) -> Answer:
    """Ask up to three times: what passes by itself is no reason to call an endpoint wrong."""
    answer = ask(question, timeout_s=timeout_s)
    for n_asked in range(1, N_ATTEMPTS):
        if answer.verdict not in PASSING:
            break
        time.sleep(pause_s * n_asked)
        answer = ask(question, timeout_s=timeout_s)
    return answer


def ask(question: Question, *, timeout_s: float) -> Answer:
    """Ask for one short reply. Whatever goes wrong is in the answer; nothing is raised."""
    litellm = quiet_litellm()
    try:
        reply = litellm.completion(
            model=question.model,
            api_base=question.base_url,
            api_key=question.key,
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=MAX_TOKENS,
            timeout=timeout_s,
            num_retries=0,
            max_retries=0,
            drop_params=True,
        )
        return _judge(reply)
    except Exception as error:  # noqa: BLE001  LiteLLM lets through whatever its many clients raise
        return answer_to_error(error, question.model, timeout_s)


def models_at(base_url: str, key: str) -> list[str]:
    """The names that `<base_url>/models` lists, empty where nothing there lists any."""
    try:
        reply = httpx.get(f"{base_url}/models", headers={"Authorization": f"Bearer {key}"}, timeout=MODELS_TIMEOUT_S)
        listed = reply.json()["data"] if reply.status_code == httpx.codes.OK else []
        return [each["id"] for each in listed if isinstance(each["id"], str)]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return []


def _judge(reply: Any) -> Answer:
    choices = getattr(reply, "choices", None) or []
    if not choices:
        return Answer(Verdict.MISUNDERSTOOD, "a reply without a choice")
    message, reason = choices[0].message, choices[0].finish_reason
    text = (message.content or "").strip()
    if text:
        return Answer(Verdict.ANSWERED, text[:80])
    if reason == "length":
        return Answer(Verdict.THOUGHT, f"all {MAX_TOKENS} tokens went into reasoning")
    return Answer(Verdict.EMPTY, f"an empty text (finish_reason {reason})")


def answer_to_error(error: Exception, model: str, timeout_s: float) -> Answer:
    """What an error of LiteLLM's means."""
    causes = list(_chain(error))
    status = getattr(error, "status_code", None)
    verdict = _of_connection(causes) or _of_status(status)
    if verdict is Verdict.SILENT:
        return Answer(verdict, f"no reply within {timeout_s:.0f} s")
    if verdict is Verdict.UNREACHABLE:
        return Answer(verdict, _words_of(causes) or "no connection")
    if _NO_PROVIDER in str(error):
        return Answer(verdict, _of_provider(model.partition("/")[0]))
    text = _LITELLMS_OWN.sub("", " ".join(str(error).split()))[:300]
    return Answer(verdict, f"HTTP {status}: {text}" if isinstance(status, int) else text)


def _of_provider(name: str) -> str:
    known = [str(getattr(each, "value", each)) for each in quiet_litellm().provider_list]
    near = difflib.get_close_matches(name, known, n=3)
    return f"{name} is no provider that LiteLLM knows" + (f"; the nearest: {', '.join(near)}" if near else "")


def _of_connection(causes: list[BaseException]) -> Verdict | None:
    if any(isinstance(each, httpx.TimeoutException | TimeoutError) for each in causes):
        return Verdict.SILENT
    if any(isinstance(each, httpx.ConnectError | httpx.ProxyError | httpx.UnsupportedProtocol) for each in causes):
        return Verdict.UNREACHABLE
    return Verdict.BROKEN if any(isinstance(each, httpx.TransportError) for each in causes) else None


def _of_status(status: object) -> Verdict:
    """What an HTTP status means; LiteLLM gives one to errors of its own, too, such as 500 to a reply it cannot read."""
    if status in (401, 403):
        return Verdict.REFUSED
    if status == 408:
        return Verdict.SILENT
    if status == 429:
        return Verdict.BUSY
    return Verdict.BROKEN if isinstance(status, int) and status >= 500 else Verdict.MISUNDERSTOOD


def _words_of(causes: list[BaseException]) -> str:
    return next((str(each) for each in causes if isinstance(each, OSError)), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def quiet_litellm() -> Any:
    """LiteLLM, told to fetch no price list and to print nothing. Importing it takes two seconds, so it comes late."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm
