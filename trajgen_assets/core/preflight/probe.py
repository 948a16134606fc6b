"""A real completion, and where there is none, the neighbouring address or name under which there is one."""

import difflib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.inputs import CampaignChoice
from trajgen_assets.core.errors import EndpointError
from trajgen_assets.core.keys import MAIN_CAMPAIGN, SMOKE_CAMPAIGN
from trajgen_assets.core.preflight.asking import Answer, Question, Verdict, ask, ask_patiently, models_at
from trajgen_assets.core.preflight.findings import Finding, ok, warn

# What people paste behind the address that a client wants as its base.
TAILS = ("/chat/completions", "/completions", "/responses", "/messages", "/models", "/embeddings")
OPENAI, ANTHROPIC = "openai", "anthropic"

# A neighbour is asked once, and all of them together for so long.
NEIGHBOUR_TIMEOUT_S = 10.0
SEARCH_S = 45.0
N_NEAREST = 3


@dataclass(frozen=True)
class Place:
    """Where model, address and key are said: dotted keys of the configuration, or the options of a command.

    `joint` stands between such a name and its value.
    """

    model: str
    base_url: str
    key: str
    joint: str = ": "

    @classmethod
    def of(cls, config: Config, campaign: str, number: int | None = None) -> "Place":
        """A campaign may have an endpoint or a model of its own; of several endpoints `number` says which, from 0."""
        entry = MAIN_CAMPAIGN if campaign == SMOKE_CAMPAIGN else campaign
        choice = config.runtime_info.input.campaigns.get(entry, CampaignChoice())
        base, own = "runtime_info.input.llm_api", f"runtime_info.input.campaigns.{entry}"
        section = f"{own}.llm_api" if choice.llm_api else base
        model = f"{own}.model" if choice.model else f"{section}.model"
        if number is not None:
            section += f".endpoints.{number}"
        return cls(model, f"{section}.api_base_url", f"{section}.api_key")


def probe(question: Question, place: Place) -> Finding:
    """Ask for one reply; say how to correct the configuration if another shape of it gets one.

    Raises:
        EndpointError: no reply.
    """
    answer = ask_patiently(question)
    if answer.verdict is Verdict.THOUGHT:
        text = f"{question.model} answers, but {answer.text} before it said a word"
        return warn(text, "nothing, if it is a reasoning model: agents give it more")
    if answer.works:
        return ok(f"{question.model} answers at {question.base_url}")
    raise EndpointError(
        _WHAT[answer.verdict],
        where=f"{question.model} at {question.base_url}",
        why=answer.text,
        mend=_mend(question, answer, place),
    )


_WHAT = {
    Verdict.EMPTY: "the model answers without a word",
    Verdict.REFUSED: "the endpoint refuses the key",
    Verdict.MISUNDERSTOOD: "the endpoint does not understand the question",
    Verdict.BUSY: "the endpoint has no room for a question",
    Verdict.BROKEN: "the endpoint fails",
    Verdict.SILENT: "the endpoint does not answer",
    Verdict.UNREACHABLE: "the model endpoint is out of reach",
}


def _mend(question: Question, answer: Answer, place: Place) -> str:
    if answer.verdict is Verdict.UNREACHABLE:
        return f"check {place.base_url}, and that the endpoint is up"
    if answer.verdict is Verdict.BUSY:
        return "wait, or ask for a higher limit; an account without credit is refused in this way, too"
    if answer.verdict is Verdict.SILENT:
        return "see why it takes so long to answer one short question"
    names = _names_listed(question)
    if found := _neighbour(question, names):
        return correction(question, found, place)
    if answer.verdict is Verdict.REFUSED:
        return f"check {place.key}; some endpoints also refuse by address or program (a filter before them)"
    listed = f"; it lists {', '.join(_nearest(question, names))}" if names else ""
    return f"check {place.model} and {place.base_url}: no neighbouring shape gets a reply{listed}"


def correction(question: Question, right: Question, place: Place) -> str:
    """What to change, as it is to stand in the file or on the command line."""
    changes = []
    if right.base_url != question.base_url:
        changes.append(f"{place.base_url}{place.joint}{right.base_url}")
    if right.model != question.model:
        changes.append(f"{place.model}{place.joint}{right.model}")
    return f"set {' and '.join(changes)} (asked: it answers)"


def neighbours(question: Question, names: list[str]) -> Iterator[Question]:
    """Other shapes of the same question, the likeliest first: other addresses, then other names, then both."""
    bases, models = bases_of(question.base_url), list(_models_of(question, names))
    seen = {question}
    shapes = [replace(question, base_url=base) for base in bases]
    shapes += [replace(question, model=model, base_url=base) for base in bases for model in models]
    shapes += [
        replace(question, model=f"{ANTHROPIC}/{question.name}", base_url=base.removesuffix("/v1")) for base in bases
    ]
    for shape in shapes:
        if shape not in seen:
            seen.add(shape)
            yield shape


def bases_of(url: str) -> list[str]:
    """The address as a client's base: without a pasted path, with and without `/v1`."""
    base = url.rstrip("/")
    while (tail := next((each for each in TAILS if base.endswith(each)), None)) is not None:
        base = base.removesuffix(tail).rstrip("/")
    other = base.removesuffix("/v1") if base.endswith("/v1") else f"{base}/v1"
    return [base, other]


def _models_of(question: Question, names: list[str]) -> Iterator[str]:
    """Names that may have been meant: with the right provider, without a path, as the endpoint lists them."""
    for name in _nearest(question, names):
        yield f"{question.provider}/{name}"
        yield f"{OPENAI}/{name}"
    basename = question.model.rpartition("/")[2]
    yield f"{question.provider}/{basename}"
    for name in (question.name, question.model, basename):
        yield f"{OPENAI}/{name}"


def _nearest(question: Question, names: list[str]) -> list[str]:
    """The listed names that are like the one asked for: equal up to a path, then similar ones, else the first."""
    wanted = (question.model, question.name, question.model.rpartition("/")[2])
    alike = [name for name in names if name in wanted or name.rpartition("/")[2] == wanted[2]]
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(wanted[1].lower(), folded, n=N_NEAREST, cutoff=0.5)
    return list(dict.fromkeys([*alike, *(folded[each] for each in close)])) or names[:N_NEAREST]


def _names_listed(question: Question) -> list[str]:
    return next((names for base in bases_of(question.base_url) if (names := models_at(base, question.key))), [])


def _neighbour(question: Question, names: list[str]) -> Question | None:
    deadline = time.monotonic() + SEARCH_S
    for shape in neighbours(question, names):
        if time.monotonic() > deadline:
            return None
        if ask(shape, timeout_s=NEIGHBOUR_TIMEOUT_S).works:
            return shape
    return None
