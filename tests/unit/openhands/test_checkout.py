import re
from pathlib import Path

import pytest

from tests.unit.openhands.checkouts import Place
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.openhands.checkout import BENCHMARK, SERVER, whole_checkout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.under(tmp_path)


def test_a_whole_checkout_at_its_pin_is_taken(place: Place) -> None:
    found = whole_checkout(place.checked_out())
    assert (found.folder, (found.folder / SERVER).is_file()) == (place.home / "repos" / "openhands", True)


def test_what_is_not_checked_out_is_refused_with_the_command_that_does_it(place: Place) -> None:
    with pytest.raises(RefusedError, match=r"not checked out.*trajgen update-repos --repo openhands"):
        whole_checkout(place.config())


def test_a_checkout_at_another_commit_is_refused(place: Place) -> None:
    place.checked_out()
    (place.origin / "more.txt").write_text("more")
    with pytest.raises(RefusedError, match=r"its HEAD .* is not"):
        whole_checkout(place.config())


def test_a_checkout_that_was_changed_is_refused(place: Place) -> None:
    config = place.checked_out()
    (place.home / "repos" / "openhands" / "mine.py").write_text("x = 1\n")
    with pytest.raises(RefusedError, match=r"not committed: mine\.py"):
        whole_checkout(config)


def test_a_missing_action_execution_server_is_told_with_the_tag_to_take_it_from(place: Place) -> None:
    (place.origin / SERVER).unlink()
    with pytest.raises(RefusedError, match=r"no container would start.*tag 0\.62\.0 of OpenHands"):
        whole_checkout(place.checked_out())


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("--no-enable-browser", "does not know --no-enable-browser"),
        ("/update_mcp_server", "no endpoint /update_mcp_ser"),
    ],
)
def test_an_earlier_action_execution_server_is_told_by_what_it_lacks(place: Place, marker: str, said: str) -> None:
    server = place.origin / SERVER
    server.write_text(server.read_text().replace(marker, "other"))
    with pytest.raises(RefusedError, match=re.escape(said)) as caught:
        whole_checkout(place.checked_out())
    assert "not from 0.33" in str(caught.value)


@pytest.mark.parametrize("name", ["microagents/README.md", "pyproject.toml", "poetry.lock"])
def test_a_checkout_that_is_not_full_is_refused(place: Place, name: str) -> None:
    (place.origin / name).unlink()
    with pytest.raises(RefusedError, match=rf"it lacks {name.partition('/')[0]}, of which the runtime image is built"):
        whole_checkout(place.checked_out())


def test_a_checkout_without_the_benchmark_is_refused(place: Place) -> None:
    (place.origin / BENCHMARK / "run_infer.py").unlink()
    with pytest.raises(RefusedError, match=r"has no evaluation/benchmarks/multi_swe_bench/run_infer\.py"):
        whole_checkout(place.checked_out())


@pytest.mark.parametrize(("text", "said"), [('selected_ids = ["a"]', "has selected_ids"), ("a = [", "is not TOML")])
def test_a_selection_in_the_checkout_is_refused(place: Place, text: str, said: str) -> None:
    (place.origin / BENCHMARK / "config.toml").write_text(text)
    with pytest.raises(RefusedError, match=said):
        whole_checkout(place.checked_out())


def test_a_missing_evaluator_of_velora_is_told_only_where_it_is_asked_for(place: Place) -> None:
    assert whole_checkout(place.checked_out(evaluator="velora"))
    (place.origin / BENCHMARK / "scripts" / "eval_pilot2_standardized.py").unlink()
    assert whole_checkout(place.checked_out())
    with pytest.raises(RefusedError, match=r"it has no .*eval_pilot2_standardized\.py.*openhands.evaluator_script"):
        whole_checkout(place.checked_out(evaluator="velora"))
