"""Started alike in several files: a LiteLLM proxy before a scripted upstream; OpenHands' stand-in and its model."""

from collections.abc import Iterator

import pytest

from tests.installed import LITELLM_ENV
from tests.integration.model_calls import JOB, upstream_at
from tests.integration.upstream_twin import Upstream, serving_upstream
from tests.openhands_checkout.making import SCRIPTS, StandIn, make_stand_in
from trajgen_assets.core.capture.proxy import RunningProxy, running_proxy
from trajgen_assets.core.scripted.running import ScriptedModel, running_scripted_model


@pytest.fixture(scope="session")
def twin() -> Iterator[Upstream]:
    with serving_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def proxy(twin: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    folder = tmp_path_factory.mktemp("litellm") / JOB
    with running_proxy(env=LITELLM_ENV, folder=folder, job=JOB, upstream=upstream_at(twin.port)) as running:
        yield running


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> str:
    """A trial of its own for each test."""
    return "task__" + "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return make_stand_in(tmp_path_factory.mktemp("openhands"))


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with running_scripted_model(scripts=SCRIPTS) as running:
        yield running
