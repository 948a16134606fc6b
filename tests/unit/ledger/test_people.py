import pytest

from tests.unit.ledger.twins import key, register
from trajgen_assets.core.errors import UnknownNameError
from trajgen_assets.core.ledger import Ledger

ON_BOTH_PLACES = True


def test_tasks_are_named_by_key_or_by_an_id_that_is_plain(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    register(ledger, "b", dataset="rust")
    register(ledger, "a", campaign="other")
    found = ledger.named(["a", "rust/b", "py-cc/a", "py-cc/a@other"], "main")
    assert [row.key for row in found] == [key("a"), key("b", "rust"), key("a", campaign="other")]


def test_an_id_of_two_data_sets_is_not_guessed(ledger: Ledger) -> None:
    register(ledger, "b")
    register(ledger, "b", dataset="rust")
    with pytest.raises(UnknownNameError, match="write py-cc/b or rust/b"):
        ledger.named(["b"], "main")


def test_an_unknown_id_names_the_nearest(ledger: Ledger) -> None:
    register(ledger, "pallets__flask-1")
    with pytest.raises(UnknownNameError, match="the nearest is pallets__flask-1"):
        ledger.named(["palets__flask-1"], "main")
    with pytest.raises(UnknownNameError):
        ledger.named(["py-cc/../x"], "main")


def test_a_bare_id_may_bring_its_campaign_and_one_of_another_campaign_names_how_to_write_it(ledger: Ledger) -> None:
    register(ledger, "a", campaign="smoke")
    (found,) = ledger.named(["a@smoke"], "main")
    assert found.key == key("a", campaign="smoke")
    with pytest.raises(UnknownNameError, match="write py-cc/a@smoke"):
        ledger.named(["a"], "main")
    with pytest.raises(UnknownNameError, match="no task of campaign smoke has this id"):
        ledger.named(["b@smoke"], "main")
