"""The engine's build cache: a limit that a person names, and nothing of it without one."""

import pytest

from tests.docker import needs_docker
from tests.unit.clean.conftest import Place
from trajgen_assets.core.clean.build_cache import build_cache, prune_command
from trajgen_assets.core.errors import BusyError, ConfigError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.rollout.slots import job_slot

# More than any engine has: nothing that somebody built on this machine goes by a test.
BEYOND_ALL_GB = "1000000"


def test_the_engine_is_told_the_limit_in_bytes_and_keeps_what_reads_dockerfiles() -> None:
    assert prune_command(20_000_000_000) == ("builder", "prune", "--force", "--keep-storage", "20000000000")


def test_nobody_is_asked_where_nobody_can_answer(place: Place) -> None:
    assert isinstance(place.run("gc", "--build-cache-gb", BEYOND_ALL_GB).exception, ConfigError)


def test_it_is_refused_while_a_job_runs(place: Place) -> None:
    with job_slot(place.root.locks, 1, holder="j"):
        refused = place.run("gc", "--build-cache-gb", BEYOND_ALL_GB, "--yes")
    assert isinstance(refused.exception, BusyError)


@pytest.mark.faults
@needs_docker
def test_a_real_engine_takes_the_limit_and_what_is_below_it_stays(place: Place) -> None:
    before = build_cache()
    told = place.run("gc", "--build-cache-gb", BEYOND_ALL_GB, "--yes")
    assert told.exit_code == EXIT_OK, told.exception
    assert "of the whole Docker engine, whoever built it" in told.output
    assert told.output.endswith(f"the build cache takes {before.size} now\n")
    assert build_cache() == before
