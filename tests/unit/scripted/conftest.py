from collections.abc import Iterator

import pytest

from trajgen_assets.core.scripted import ScriptedModel, running_scripted_model


@pytest.fixture(scope="module")
def shared_model() -> Iterator[ScriptedModel]:
    """One model for the tests of a module that only ask."""
    with running_scripted_model() as model:
        yield model


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    """A model of its own, for tests that set faults or count."""
    with running_scripted_model() as model:
        yield model
