"""The score of one row: its parts, their weighted mean, and what they rest on."""

from dataclasses import dataclass

from trajgen_assets.core.sft.im import with_facts
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.score import diagnostics, parts, rules
from trajgen_assets.core.sft.score.parts import Part
from trajgen_assets.core.sft.score.story import Turn

SCORED_AGENTS = frozenset({"main"})


@dataclass(frozen=True)
class Score:
    """`shown` has the keys that the reference gives a score; `evidence` maps the name of a part to its grounds."""

    shown: Json
    evidence: Json


def score(turns: list[Turn], scaffold: str) -> Score:
    """Return the score of a conversation; the same texts give the same score at any time and place."""
    valued = {
        "sub": parts.submission(turns, scaffold),
        "stp": parts.steps(turns),
        "tvr": parts.tests(turns),
        "fec": parts.edits(turns),
        "dpi": parts.patterns(turns, scaffold),
        "oec": Part(diagnostics.entropy_collapse(turns)),
        "iac": Part(diagnostics.intent_match(turns)),
        "ped": Part(diagnostics.post_error_change(turns)),
        "psn": Part(diagnostics.narrowing(turns)),
        "tte": Part(diagnostics.transition_entropy(turns)),
        "scp": Part(diagnostics.write_position(turns)),
    }
    shown: Json = {
        "scaffold": scaffold,
        "assistant_turns": len(turns),
        "total_tool_calls": sum(len(turn.actions) for turn in turns),
        **{f"{name}_score": _rounded(part.value) for name, part in valued.items()},
        "composite_score": composite({name: part.value for name, part in valued.items()}),
        "reproduce_first": diagnostics.reproduces_first(turns, scaffold),
    }
    return Score(shown, {name: part.evidence for name, part in valued.items() if part.evidence})


def composite(values: dict[str, float | None]) -> float:
    """Return the weighted mean of the parts that have a value, to four places; their exponents come first."""
    known = {name: value for name, value in values.items() if value is not None}
    weight = sum(rules.WEIGHTS[name] for name in known)
    total = sum(rules.WEIGHTS[name] * value ** rules.EXPONENTS.get(name, 1) for name, value in known.items())
    return round(total / weight, 4) if weight else 0.0


def scored(row: Json, turns: list[Turn]) -> Json:
    """Return an IM row, whose story `turns` is, with its score and the evidence; both are null for a subagent's."""
    facts = row["meta_info"]["unique_info"]
    found: Json = {"_score": None, "score_evidence": None}
    if facts["_agent_type"] in SCORED_AGENTS:
        result = score(turns, facts["scaffold"])
        found = {"_score": result.shown, "score_evidence": result.evidence}
    return with_facts(row, found)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
