"""How long a row is in tokens, how that is known, and what becomes of rows that are too long for a trainer.

A trainer cuts what is longer than its `cutoff_len` and says nothing of it. So rows are cut here, where the cut is a
turn's border and is written down, or left out.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, Protocol

from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.im import assistant_turns, with_facts
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.tokens import RefusedByTemplateError
from trajgen_assets.core.sft.tokens.source import TokenizerFiles

TokensFrom = Literal["tokenizer", "usage", "none"]


@dataclass(frozen=True)
class Length:
    """Tokens of a row, and what they are known from; `why_unknown` says more where a tokenizer did not tell."""

    n_tokens: int | None
    tokens_from: TokensFrom
    why_unknown: str | None = None

    @property
    def facts(self) -> Json:
        """As rows hold it."""
        return {"n_tokens": self.n_tokens, "tokens_from": self.tokens_from}


class Ruler(Protocol):
    """Measures rows by a tokenizer and its chat template."""

    def n_tokens(self, row: Json) -> int:
        """Return the tokens of an IM row.

        Raises:
            RefusedByTemplateError: the template does not write it.
        """


def ruler_of(files: TokenizerFiles | None) -> Ruler | None:
    """Return what measures by a tokenizer; None without one.

    Raises:
        ConversionError: the tokenizer or its template cannot be read.
    """
    if files is None:
        return None
    from trajgen_assets.core.sft.tokens.ruler import TokenizerRuler  # takes 50 ms, which most conversions need not

    return TokenizerRuler.of(files)


def length_of(row: Json, ruler: Ruler | None) -> Length:
    """Return the length of an IM row; without a tokenizer what the endpoint counted in its last call."""
    if ruler is None:
        n_tokens = _recorded_tokens(row)
        return Length(n_tokens, "none" if n_tokens is None else "usage")
    try:
        return Length(ruler.n_tokens(row), "tokenizer")
    except RefusedByTemplateError as error:
        return Length(None, "none", f"the chat template does not write it: {error}")


def fits(row: Json, length: Length, cutoff_len: int) -> bool | None:
    """Whether a row is no longer than `cutoff_len` tokens; None where its length is not known.

    No tokenizer makes more tokens than there are bytes, so that a row of so few bytes fits anyway.
    """
    if length.n_tokens is not None:
        return length.n_tokens <= cutoff_len
    return True if len(encode([row["messages"], row["tools"]])) <= cutoff_len else None


def cut_to(row: Json, cutoff_len: int, ruler: Ruler) -> Json | None:
    """Return the longest beginning of a row that fits and ends with a turn of the model; None where not even one does.

    Calls of its last turn stay whole, and their results are left out, all of them. `n_left_out_messages` counts what
    was behind.
    """
    messages = row["messages"]
    ends = [index + 1 for index, message in enumerate(messages) if message["role"] == "assistant"]
    n_fitting = bisect_right(ends, cutoff_len, key=lambda end: ruler.n_tokens(row | {"messages": messages[:end]}))
    if not n_fitting:
        return None
    kept = messages[: ends[n_fitting - 1]]
    meta = row["meta_info"] | {"rounds": len(assistant_turns(kept))}
    short = row | {"meta_info": meta, "messages": kept}
    return with_facts(short, {"n_left_out_messages": len(messages) - len(kept)})


def n_tokens_of(row: Json) -> int | None:
    """Return the length that an IM row states, or, made by an earlier version, what was recorded."""
    facts = row["meta_info"]["unique_info"]
    return facts["n_tokens"] if "n_tokens" in facts else _recorded_tokens(row)


def _recorded_tokens(row: Json) -> int | None:
    """Prompt and answer of the row's last call, which saw the whole dialogue."""
    usage = row["meta_info"]["unique_info"].get("_usage") or {}
    parts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    numbers = [part for part in parts if isinstance(part, int)]
    return sum(numbers) if len(numbers) == len(parts) else None
