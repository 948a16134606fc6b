"""The parts without a weight, case by case."""

from math import exp

import pytest

from tests.unit.sft.score.test_composite import Talk
from trajgen_assets.core.sft.messages import Json

ERROR = "<tool_use_error>gone"


def reads(*observed: str) -> Talk:
    talk = Talk()
    for number, text in enumerate(observed):
        talk.call("Read", text, file_path=f"{number}.py")
    return talk


def shown(talk: Talk) -> Json:
    return talk.say("Done.").score()


@pytest.mark.parametrize(
    ("observed", "value"),
    [
        (["ab"] * 4, None),
        (["ab"] * 5, 1.0),
        (["ab"] * 5 + ["a"] * 3, 0.0),
        (["a"] * 5, 0.0),
        (["ab"] * 5 + ["a"] * 2, 1 / 3),
        (["ab"] * 5 + ["abcd"] * 3, 1.0),
    ],
)
def test_observations_that_become_monotonous_lower_oec(observed: list[str], value: float | None) -> None:
    assert shown(reads(*observed))["oec_score"] == (None if value is None else pytest.approx(value, abs=1e-4))


def test_only_the_first_characters_of_an_observation_tell_its_entropy() -> None:
    assert shown(reads(*["a" * 5000 + "bcdef"] * 5))["oec_score"] == 0.0


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["Let me read it."] * 2, None),
        (["Let me read it."] * 3, 1.0),
        (["Hm.", "Let me view it.", "Hm."], 1 / 3),
        (["Hm."] * 3, 0.0),
    ],
)
def test_turns_that_say_what_they_do_raise_iac(texts: list[str], value: float | None) -> None:
    talk = reads(*["ok"] * len(texts))
    for message, text in zip(talk.messages[1::2], texts, strict=True):
        message["content"] = text
    assert shown(talk)["iac_score"] == (None if value is None else pytest.approx(value, abs=1e-4))


@pytest.mark.parametrize(
    ("second", "value"),
    [
        (("Read", {"file_path": "a.py"}), 0.0),
        (("Read", {"file_path": "b.py"}), 0.5),
        (("Edit", {"file_path": "a.py"}), 0.5),
        (("Edit", {"file_path": "b.py"}), 1.0),
    ],
)
def test_another_tool_or_file_after_an_error_raises_ped(second: tuple[str, Json], value: float) -> None:
    name, arguments = second
    assert shown(Talk().call("Read", ERROR, file_path="a.py").call(name, **arguments))["ped_score"] == value


def test_without_an_error_that_is_followed_by_an_action_there_is_no_ped() -> None:
    assert shown(reads("ok", "ok"))["ped_score"] is None
    assert shown(reads("ok", ERROR))["ped_score"] is None


def reads_of(files: str) -> Talk:
    talk = Talk()
    for file in files:
        talk.call("Read", file_path=f"{file}.py")
    return talk


def test_files_at_hand_that_become_fewer_raise_psn() -> None:
    widening, same, narrowing = (
        shown(reads_of("x" * 9 + files))["psn_score"] for files in ("abcdefghij", "aaaaaaaaaa", "abcdeeeeee")
    )
    assert widening < same == 0.5 < narrowing
    assert shown(reads_of("abcdefgh"))["psn_score"] is None


def test_too_few_actions_have_no_tte_and_equal_ones_have_none_of_it() -> None:
    assert shown(reads("a", "a"))["tte_score"] is None
    assert shown(reads(*["a"] * 6))["tte_score"] == 0.0
    mixed = reads("a", "a").call("Edit", file_path="a.py").call("Bash", command="pytest").call("Read", file_path="a")
    assert 0.0 < shown(mixed)["tte_score"] < 1.0


@pytest.mark.parametrize(
    ("at", "n_turns", "value"),
    [(2, 10, 1.0), (5, 10, 1.0), (1, 10, exp(-(0.1**2) / 0.08)), (8, 10, exp(-(0.3**2) / 0.08))],
)
def test_a_first_write_after_a_look_around_and_not_late_raises_scp(at: int, n_turns: int, value: float) -> None:
    talk = Talk()
    for number in range(1, n_turns):
        talk.call("Edit" if number == at else "Read", file_path="a.py")
    assert shown(talk)["scp_score"] == pytest.approx(value, abs=1e-4)


def test_without_a_successful_write_there_is_no_scp() -> None:
    assert shown(reads("a", "b"))["scp_score"] is None
    assert shown(Talk().call("Edit", ERROR, file_path="a.py"))["scp_score"] is None
