from collections.abc import Iterator

import pytest

from tests.postgres import Cluster, running_cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One server for all tests of a process, each of which takes a database of its own."""
    with running_cluster(fsync="off") as cluster:
        yield cluster
