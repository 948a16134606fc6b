"""Rows that are too long for a trainer: measured last, as that takes longest, and cut or left out."""

from trajgen_assets.core.sft.filters import Refusal, first_refusal, row_filters
from trajgen_assets.core.sft.im import with_facts
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.tokens.length import Length, Ruler, cut_to, fits, length_of

NOTHING_CUT: Json = {"n_left_out_messages": 0}


def measured(row: Json) -> Json:
    """Return an IM row that is left out anyway, with no more about its length than what is recorded."""
    return with_facts(row, NOTHING_CUT | length_of(row, None).facts)


def fitted(row: Json, settings: ConversionSettings, ruler: Ruler | None) -> tuple[Json, Refusal | None]:
    """Return an IM row with its length, cut where that is wanted and can be, and why it is left out after all."""
    length = length_of(row, ruler)
    does_fit = fits(row, length, settings.cutoff_len)
    if does_fit is False and settings.over_length == "cut" and ruler and (short := _cut(row, settings, ruler)):
        return short, first_refusal(row_filters(settings), short, unknown=settings.unknown)
    row = with_facts(row, NOTHING_CUT | length.facts)
    if does_fit is None and settings.unknown == "keep":
        return row, None
    return row, None if does_fit else _refusal(length, settings)


def n_left_out(row: Json) -> int:
    """Return how many messages a cut has taken from the end of an IM row."""
    return int(row["meta_info"]["unique_info"]["n_left_out_messages"])


def _cut(row: Json, settings: ConversionSettings, ruler: Ruler) -> Json | None:
    short = cut_to(row, settings.cutoff_len, ruler)
    return None if short is None else with_facts(short, length_of(short, ruler).facts)


def _refusal(length: Length, settings: ConversionSettings) -> Refusal:
    if length.n_tokens is None:
        why = f": {length.why_unknown}" if length.why_unknown else ""
        return Refusal(Reason.UNKNOWN, f"{Reason.OVER_LENGTH}{why}")
    more = "" if length.tokens_from == "tokenizer" or settings.over_length == "reject" else "; to cut takes a tokenizer"
    return Refusal(Reason.OVER_LENGTH, f"{length.n_tokens} tokens{more}")
