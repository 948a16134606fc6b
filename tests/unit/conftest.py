from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.ledger.twins import SetClock
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.paths import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "artifacts")


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def ledger(root: Root, clock: SetClock) -> Iterator[Ledger]:
    create_ledger(root)
    with open_ledger(root, now=clock) as opened:
        yield opened
