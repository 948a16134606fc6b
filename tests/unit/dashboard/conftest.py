from pathlib import Path

import pytest

from tests.sites import RootSize, make_root
from trajgen_assets.core.paths import Root

SIZE = RootSize(n_trials=60, n_per_job=15, n_turns=3)


@pytest.fixture(scope="session")
def worked_root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A root after some weeks of work. Nobody may change what lies in it but the dashboard's folder."""
    return make_root(Path(tmp_path_factory.mktemp("worked")) / "root", SIZE)
