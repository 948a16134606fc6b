"""The model endpoints of each campaign: their keys, the connection, and one reply.

Of several endpoints one that does not answer is a warning as long as another does: a job would go on without it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from trajgen_assets.core.config.llm_api import Endpoint
from trajgen_assets.core.errors import ConfigError, EndpointError
from trajgen_assets.core.preflight.asking import Question
from trajgen_assets.core.preflight.findings import Finding, Level, Subject, fail, ok, skip
from trajgen_assets.core.preflight.probe import Place, probe

UNANSWERED = (Level.FAIL, Level.SKIP)


def keys(subject: Subject) -> Finding:
    """Every key that the file names is set in this environment."""
    for campaign in subject.campaigns:
        for endpoint in subject.config.campaign(campaign).llm_api.pool:
            endpoint.api_key.reveal()
    subject.config.child_env()
    return ok("every key that is named is set")


def connection(subject: Subject) -> Iterator[Finding]:
    """Something listens there."""

    def look(endpoint: Endpoint, _: Place) -> Finding:
        error = subject.unreachable.get(endpoint.api_base_url)
        return fail(error) if error else ok(endpoint.api_base_url)

    yield from dict.fromkeys(each for name in subject.campaigns for each in _of_pool(subject, name, look))


def completion(subject: Subject) -> Iterator[Finding]:
    """The model answers; an endpoint that several campaigns ask for the same model is asked once."""
    found: dict[Question, Finding] = {}

    def look(endpoint: Endpoint, place: Place) -> Finding:
        if endpoint.api_base_url in subject.unreachable:
            return skip("nothing can be reached there")
        try:
            question = Question(endpoint.model, endpoint.api_base_url, endpoint.api_key.reveal())
        except ConfigError:
            return skip("its key is not set")
        if question not in found:
            found[question] = _answer(question, place)
        return found[question]

    asked_for: dict[Finding, str] = {}
    for name in subject.campaigns:
        for finding in _of_pool(subject, name, look):
            asked_for.setdefault(finding, name)
    for finding, name in asked_for.items():
        is_told_apart = finding.level in UNANSWERED and len(asked_for) > 1
        yield replace(finding, subject=name) if is_told_apart else finding


def _of_pool(subject: Subject, campaign: str, look: Callable[[Endpoint, Place], Finding]) -> list[Finding]:
    """What is found of each endpoint of a campaign; no failure where another of them is in order."""
    pool = subject.config.campaign(campaign).llm_api.pool
    numbers = range(len(pool)) if len(pool) > 1 else [None]
    places = [Place.of(subject.config, campaign, number) for number in numbers]
    found = [look(endpoint, place) for endpoint, place in zip(pool, places, strict=True)]
    if all(finding.level in UNANSWERED for finding in found):
        return found
    return [replace(each, level=Level.WARN) if each.level is Level.FAIL else each for each in found]


def _answer(question: Question, place: Place) -> Finding:
    try:
        return probe(question, place)
    except EndpointError as error:
        return fail(error)
