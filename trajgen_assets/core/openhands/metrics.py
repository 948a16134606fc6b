"""What the model calls of an instance took, as `metrics` of its row says."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trajgen_assets.core.sft.messages import Json


@dataclass(frozen=True)
class Metrics:
    """Tokens and cost of all calls that the harness counted.

    Attributes:
        response_ids: of each call, in their order; one that the agent could not read may lack here.
        answered_ids: of each call that was timed, also those that the agent could not read.
        n_input_tokens: of all requests, cached ones included: each request repeats the history.
        cost_usd: None where the harness knows no price, which it writes as 0.
    """

    response_ids: tuple[str, ...] = ()
    answered_ids: tuple[str, ...] = ()
    n_input_tokens: int | None = None
    n_output_tokens: int | None = None
    n_cache_tokens: int | None = None
    cost_usd: float | None = None

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Each answered call once."""
        return tuple(dict.fromkeys((*self.answered_ids, *self.response_ids)))


def metrics_of(raw: Json | None) -> Metrics:
    """Return what a row's `metrics` says; rows of timeouts have none."""
    if not raw:
        return Metrics()
    total = raw.get("accumulated_token_usage")
    total = total if isinstance(total, dict) else {}
    cost = raw.get("accumulated_cost")
    return Metrics(
        response_ids=_ids(raw.get("token_usages")),
        answered_ids=_ids(raw.get("response_latencies")),
        n_input_tokens=_count(total.get("prompt_tokens")),
        n_output_tokens=_count(total.get("completion_tokens")),
        n_cache_tokens=_count(total.get("cache_read_tokens")),
        cost_usd=float(cost) if isinstance(cost, int | float) and cost else None,
    )


def usage_by_response(raw: Json | None) -> dict[str, Json]:
    """Return `prompt_tokens`, `completion_tokens` and cached ones of each call, by the id of its response."""
    listed = (raw or {}).get("token_usages")
    usages = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {each["response_id"]: _usage(each) for each in usages if isinstance(each.get("response_id"), str)}


def _usage(each: Json) -> Json:
    asked, answered = _count(each.get("prompt_tokens")) or 0, _count(each.get("completion_tokens")) or 0
    cached = {"cached_tokens": _count(each.get("cache_read_tokens")) or 0}
    total = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
    return total | {"prompt_tokens_details": cached}


def _ids(listed: Any) -> tuple[str, ...]:
    entries: Iterable[Any] = listed if isinstance(listed, list) else ()
    ids = (each.get("response_id") for each in entries if isinstance(each, dict))
    return tuple(each for each in ids if isinstance(each, str) and each)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
