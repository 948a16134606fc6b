"""A judge's answer, read strictly: what is not exactly of the asked form is no score."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from trajgen_assets.core.sft.judge import checks
from trajgen_assets.core.sft.judge.prompts import MadeCheck
from trajgen_assets.core.sft.messages import Json

_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)


class UnusableAnswerError(ValueError):
    """An answer that is not of the form that was asked for. The text says how."""


def fixed_score(text: str) -> Json:
    """Return the score by the fixed list: a share for each category, and their mean.

    Raises:
        UnusableAnswerError: a check is missing, unknown, or has anything but a whole number in range.
    """
    scores = _only(text, "scores")
    _same_names(scores, [name for _, name, _ in checks.FIXED])
    by_category: dict[str, list[int]] = defaultdict(list)
    for category, name, _ in checks.FIXED:
        by_category[category].append(_whole(scores[name], name, checks.LOWEST, checks.HIGHEST))
    span = checks.HIGHEST - checks.LOWEST
    shares = {
        category: (sum(given) - checks.LOWEST * len(given)) / (span * len(given))
        for category, given in by_category.items()
    }
    return {
        **{f"llm_{category}_score": round(share, 4) for category, share in shares.items()},
        "llm_composite_score": round(_mean(shares.values()), 4),
        "llm_checks": {name: scores[name] for _, name, _ in checks.FIXED},
    }


def made_checks(text: str) -> list[MadeCheck]:
    """Return a list of checks for a task, named by their places.

    Raises:
        UnusableAnswerError: they are too few or too many, or one lacks its text or has an unknown category.
    """
    listed = _only(text, "checks")
    if not isinstance(listed, list) or not checks.FEWEST_MADE <= len(listed) <= checks.MOST_MADE:
        raise UnusableAnswerError(f"not {checks.FEWEST_MADE} to {checks.MOST_MADE} checks")
    return [_made(each, f"c{number:02d}") for number, each in enumerate(listed, start=1)]


def made_score(text: str, made: Sequence[MadeCheck]) -> Json:
    """Return the score by a list that was made for a task: whether all checks pass (ISR), and the share (CSR).

    Raises:
        UnusableAnswerError: a check is missing or unknown, or its verdict is neither 0 nor 1 with its evidence.
    """
    verdicts = _only(text, "verdicts")
    _same_names(verdicts, [each.name for each in made])
    passed = {each.name: _verdict(verdicts[each.name], each.name) for each in made}
    by_category: dict[str, list[int]] = defaultdict(list)
    for each in made:
        by_category[each.category].append(passed[each.name])
    return {
        "llm_isr": int(all(passed.values())),
        "llm_csr": round(_mean(passed.values()), 4),
        "llm_csr_by_category": {category: round(_mean(given), 4) for category, given in sorted(by_category.items())},
        "llm_checks": passed,
        "llm_evidence": {name: verdicts[name]["evidence"] for name in passed},
    }


def _only(text: str, key: str) -> Any:
    """Return the one value of the object that an answer is, with or without a fence of code around it."""
    fenced = _FENCED.match(text.strip())
    try:
        value = orjson.loads(fenced[1] if fenced else text)
    except orjson.JSONDecodeError as error:
        raise UnusableAnswerError("it is not JSON") from error
    if not isinstance(value, dict) or list(value) != [key]:
        raise UnusableAnswerError(f"it is not an object of {key} alone")
    return value[key]


def _same_names(given: Any, wanted: Sequence[str]) -> None:
    if not isinstance(given, dict) or set(given) != set(wanted):
        raise UnusableAnswerError("its checks are not those that were asked")


def _whole(value: Any, name: str, lowest: int, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise UnusableAnswerError(f"{name} is not a whole number from {lowest} to {highest}")
    return value


def _made(value: Any, name: str) -> MadeCheck:
    if not isinstance(value, dict) or set(value) != {"category", "check"}:
        raise UnusableAnswerError(f"{name} is not a category and a check")
    if value["category"] not in checks.MADE_CATEGORIES or not (
        isinstance(value["check"], str) and value["check"].strip()
    ):
        raise UnusableAnswerError(f"{name} has an unknown category or no text")
    return MadeCheck(name, value["category"], value["check"])


def _verdict(value: Any, name: str) -> int:
    if not isinstance(value, dict) or set(value) != {"pass", "evidence"}:
        raise UnusableAnswerError(f"{name} is not a verdict with its evidence")
    evidence = value["evidence"]
    is_listed = isinstance(evidence, list) and all(isinstance(each, str) for each in evidence)
    if not is_listed or len(evidence) > checks.MOST_EVIDENCE:
        raise UnusableAnswerError(f"the evidence of {name} is not up to {checks.MOST_EVIDENCE} texts")
    return _whole(value["pass"], name, 0, 1)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
