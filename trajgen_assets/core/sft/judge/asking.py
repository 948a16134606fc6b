"""One question to a judge's model, by LiteLLM, within a budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from threading import Event, Lock
from typing import Any

from trajgen_assets.core.config.budget import LimitChoice
from trajgen_assets.core.config.llm_api import Endpoint, LlmApi
from trajgen_assets.core.preflight.asking import PASSING, Verdict, answer_to_error, quiet_litellm
from trajgen_assets.core.sft.messages import Json

N_TRIES = 3
PAUSE_S = 2.0
MAX_ANSWER_TOKENS = 8192
CHARACTERS_A_TOKEN = 3  # of a question, at the least: it is an estimate that budgets are kept by before a reply tells


class NoReplyError(RuntimeError):
    """No reply came, or none of use; `is_final` where no other question would get one either."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final


class UsedUpError(RuntimeError):
    """The budget has no room for another question."""


@dataclass(frozen=True)
class Reply:
    """What a model said, and what that took. `cost_usd` is None where no price is known."""

    text: str
    n_prompt_tokens: int
    n_completion_tokens: int
    cost_usd: float | None


@dataclass
class Spending:
    """What was spent so far and is held back for questions under way, against a limit. Any thread may call it."""

    limit: LimitChoice
    tokens: int = 0
    cost_usd: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def held_back(self, tokens: int, cost_usd: float) -> Iterator[None]:
        """Keep room for a question within the block.

        Raises:
            UsedUpError: there is none.
        """
        with self._lock:
            has_tokens = self.limit.tokens is None or self.tokens + tokens <= self.limit.tokens
            has_money = self.limit.cost_usd is None or self.cost_usd + cost_usd <= self.limit.cost_usd
            if not (has_tokens and has_money):
                raise UsedUpError(f"the budget of {self.limit.words} has no room for another question")
            self._add(tokens, cost_usd)
        try:
            yield
        finally:
            with self._lock:
                self._add(-tokens, -cost_usd)

    def add(self, reply: Reply) -> None:
        """Count a reply."""
        with self._lock:
            self._add(reply.n_prompt_tokens + reply.n_completion_tokens, reply.cost_usd or 0.0)

    def _add(self, tokens: int, cost_usd: float) -> None:
        self.tokens += tokens
        self.cost_usd += cost_usd


@dataclass(frozen=True)
class JudgeModel:
    """The model that judges. Of several endpoints the next one is asked where one fails.

    Attributes:
        given_up: once it is set, nothing is asked again.
    """

    api: LlmApi
    spending: Spending
    pause_s: float = PAUSE_S
    given_up: Event = field(default_factory=Event)

    def ask(self, messages: list[Json]) -> Reply:
        """Return the model's reply; what passes by itself is tried again.

        Raises:
            UsedUpError: the budget has no room for it.
            NoReplyError: none came.
        """
        n_prompt = sum(len(message["content"]) for message in messages) // CHARACTERS_A_TOKEN
        with self.spending.held_back(n_prompt + MAX_ANSWER_TOKENS, self._price(n_prompt, MAX_ANSWER_TOKENS) or 0.0):
            reply = self._ask_patiently(messages)
            self.spending.add(reply)
            return reply

    def _ask_patiently(self, messages: list[Json]) -> Reply:
        for n_asked, endpoint in enumerate(islice(cycle(self.api.pool), N_TRIES), start=1):
            try:
                return self._ask_once(endpoint, messages)
            except Exception as error:  # noqa: BLE001  LiteLLM lets through whatever its many clients raise
                answer = answer_to_error(error, endpoint.model, endpoint.timeout_s)
            is_last = answer.verdict not in PASSING or n_asked == N_TRIES
            if is_last or self.given_up.wait(self.pause_s * 2 ** (n_asked - 1)):
                raise NoReplyError(answer.text, is_final=answer.verdict is Verdict.REFUSED)
        raise AssertionError("unreachable")

    def _ask_once(self, endpoint: Endpoint, messages: list[Json]) -> Reply:
        litellm = quiet_litellm()
        reply = litellm.completion(
            model=endpoint.model,
            api_base=endpoint.api_base_url,
            api_key=endpoint.api_key.reveal(),
            messages=messages,
            temperature=0,
            max_tokens=MAX_ANSWER_TOKENS,
            response_format={"type": "json_object"},
            timeout=endpoint.timeout_s,
            num_retries=0,
            max_retries=0,
            drop_params=True,
        )
        usage = getattr(reply, "usage", None)
        n_prompt, n_completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        price = self._price(n_prompt, n_completion)
        cost = price if price is not None else _listed_cost(litellm, reply)
        choices = getattr(reply, "choices", None) or []
        text = (choices[0].message.content or "") if choices else ""
        return Reply(text, n_prompt, n_completion, cost)

    def _price(self, n_prompt: int, n_completion: int) -> float | None:
        each = (self.api.input_cost_per_token, self.api.output_cost_per_token)
        return None if None in each else n_prompt * (each[0] or 0.0) + n_completion * (each[1] or 0.0)


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, 0)
    return value if isinstance(value, int) else 0


def _listed_cost(litellm: Any, reply: Any) -> float | None:
    try:
        cost = litellm.completion_cost(completion_response=reply)
    except Exception:  # noqa: BLE001  it raises for a model that its price list does not have
        return None
    return float(cost) if cost else None
