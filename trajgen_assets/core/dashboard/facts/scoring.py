"""The parts of the score as the scorer has them: names, weights, and what each says. So no page can drift from it."""

from dataclasses import dataclass

from trajgen_assets.core.sft.score import diagnostics, parts
from trajgen_assets.core.sft.score.rules import EXPONENTS, WEIGHTS

_MADE_BY = {
    "sub": parts.submission,
    "stp": parts.steps,
    "tvr": parts.tests,
    "fec": parts.edits,
    "dpi": parts.patterns,
    "oec": diagnostics.entropy_collapse,
    "iac": diagnostics.intent_match,
    "ped": diagnostics.post_error_change,
    "psn": diagnostics.narrowing,
    "tte": diagnostics.transition_entropy,
    "scp": diagnostics.write_position,
}


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One part: `weight` is its share of the composite before what has no value is left out; 0 only describes."""

    name: str
    weight: float
    exponent: int
    means: str

    @property
    def label(self) -> str:
        return self.name.upper()


def score_parts() -> tuple[ScorePart, ...]:
    """Every part that a score has, the weightiest first."""
    return tuple(ScorePart(name, weight, EXPONENTS.get(name, 1), _means(name)) for name, weight in WEIGHTS.items())


def _means(name: str) -> str:
    """What the function that makes the part says that it is, behind its name."""
    said = (_MADE_BY[name].__doc__ or "").split("\n", 1)[0]
    return said.partition(": ")[2]
