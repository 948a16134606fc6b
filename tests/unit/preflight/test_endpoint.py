"""What preflight says of an endpoint, or of several, that the scripted model stands behind."""

from pathlib import Path

import pytest

from tests.unit.preflight.twins import KEY, OddEndpoint, running, write_tasks
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import LedgerMissingError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.preflight.endpoint import completion, connection
from trajgen_assets.core.preflight.findings import Finding, Level, Subject

NOBODY = "http://127.0.0.1:9/v1"
CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, endpoints: [{endpoints}]}}
    task_source: {{dataset_name: {source}}}
    campaigns: {{other: {{agent: {{max_turns: 3}}}}}}
"""


@pytest.fixture
def subject_of(tmp_path: Path):
    """What to look at, with endpoints at these addresses."""

    def made(*urls: str, last_key: str = KEY) -> Subject:
        keys = [*[KEY] * (len(urls) - 1), last_key]
        listed = zip(urls, keys, strict=True)
        endpoints = ", ".join(f'{{api_base_url: "{url}", api_key: {key}}}' for url, key in listed)
        source = write_tasks(tmp_path / "d", "t-1")
        file = tmp_path / "config.yaml"
        file.write_text(CONFIG.format(endpoints=endpoints, source=source))
        return Subject(Root(tmp_path / "root"), file, load_config(file), LedgerMissingError("none"))

    return made


def _levels(found: list[Finding]) -> list[Level]:
    return [finding.level for finding in found]


def test_one_of_several_endpoints_that_is_away_is_a_warning(subject_of) -> None:
    with running(OddEndpoint()) as endpoint:
        subject = subject_of(f"{endpoint.origin}/v1", NOBODY)
        reached, answered = list(connection(subject)), list(completion(subject))
    assert _levels(reached) == [Level.OK, Level.WARN]
    assert NOBODY in reached[1].text
    assert _levels(answered) == [Level.OK, Level.SKIP]


def test_one_of_several_endpoints_that_refuses_its_key_is_a_warning_that_names_the_key(subject_of) -> None:
    with running(OddEndpoint()) as endpoint:
        found = list(completion(subject_of(f"{endpoint.origin}/v1", f"{endpoint.origin}/v1", last_key="another")))
    assert _levels(found) == [Level.OK, Level.WARN]
    assert "llm_api.endpoints.1.api_key" in found[1].mend


def test_no_endpoint_that_answers_is_a_failure(subject_of) -> None:
    subject = subject_of(NOBODY, "http://127.0.0.1:9/other")
    assert _levels(list(connection(subject))) == [Level.FAIL, Level.FAIL]


def test_each_endpoint_is_asked_once_for_all_campaigns(subject_of) -> None:
    with running(OddEndpoint()) as one, running(OddEndpoint()) as two:
        found = list(completion(subject_of(f"{one.origin}/v1", f"{two.origin}/v1")))
        assert _levels(found) == [Level.OK, Level.OK]
        assert [len(each.asked) for each in (one, two)] == [1, 1]
