"""The model endpoint of each campaign: its key, the connection, and one reply."""

from collections.abc import Iterator

from trajgen_assets.core.errors import EndpointError
from trajgen_assets.core.preflight.asking import Question
from trajgen_assets.core.preflight.findings import Finding, Subject, fail, ok
from trajgen_assets.core.preflight.probe import Place, probe
from trajgen_assets.core.rollout.endpoint import check_reachable


def keys(subject: Subject) -> Finding:
    """Every key that the file names is set in this environment."""
    for campaign in subject.campaigns:
        subject.config.campaign(campaign).llm_api.api_key.reveal()
    subject.config.child_env()
    return ok("every key that is named is set")


def connection(subject: Subject) -> Iterator[Finding]:
    """Something listens there."""
    addresses = {subject.config.campaign(name).llm_api.api_base_url: None for name in subject.campaigns}
    for address in addresses:
        try:
            check_reachable(address)
        except EndpointError as error:
            yield fail(error)
        else:
            yield ok(address)


def completion(subject: Subject) -> Iterator[Finding]:
    """The model answers; campaigns with one endpoint and model are asked for together."""
    asked: dict[Question, str] = {}
    for name in subject.campaigns:
        api = subject.config.campaign(name).llm_api
        asked.setdefault(Question(api.model, api.api_base_url, api.api_key.reveal()), name)
    for question, name in asked.items():
        try:
            yield probe(question, Place.of(subject.config, name))
        except EndpointError as error:
            yield fail(error, subject="" if len(asked) == 1 else name)
