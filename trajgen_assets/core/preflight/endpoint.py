"""The model endpoint of each campaign: its key, the connection, and one reply."""

from collections.abc import Iterator

from trajgen_assets.core.errors import ConfigError, EndpointError
from trajgen_assets.core.preflight.asking import Question
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, fail, ok, skip
from trajgen_assets.core.preflight.probe import Place, probe


def keys(subject: Subject) -> Finding:
    """Every key that the file names is set in this environment."""
    for campaign in subject.campaigns:
        subject.config.campaign(campaign).llm_api.api_key.reveal()
    subject.config.child_env()
    return ok("every key that is named is set")


def connection(subject: Subject) -> Iterator[Finding]:
    """Something listens there."""
    for address in {subject.config.campaign(name).llm_api.api_base_url: None for name in subject.campaigns}:
        yield fail(subject.unreachable[address]) if address in subject.unreachable else ok(address)


def completion(subject: Subject) -> Iterator[Finding]:
    """The model answers; campaigns with one endpoint and model are asked for together."""
    asked: dict[Question, str] = {}
    for name in subject.campaigns:
        try:
            asked.setdefault(_question(subject, name), name)
        except NotLookedError as reason:
            yield skip(reason, subject=name if len(subject.campaigns) > 1 else "")
    for question, name in asked.items():
        try:
            yield probe(question, Place.of(subject.config, name))
        except EndpointError as error:
            yield fail(error, subject="" if len(asked) == 1 else name)


def _question(subject: Subject, campaign: str) -> Question:
    """What to ask for a campaign. Raises NotLookedError where another check has said already why there is no answer."""
    api = subject.config.campaign(campaign).llm_api
    if api.api_base_url in subject.unreachable:
        raise NotLookedError("nothing can be reached there")
    try:
        return Question(api.model, api.api_base_url, api.api_key.reveal())
    except ConfigError as error:
        raise NotLookedError("its key is not set") from error
