import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen_assets.guest.trial_keys import PREFIX, SUBKEY_PREFIX, derive_subkey, mint, verify

SUBKEY = derive_subkey("sk-master")
NAMES = st.text("abcXYZ019._+-", min_size=1, max_size=200).filter(lambda name: name not in {".", ".."})


def forge(payload: bytes, subkey: str = SUBKEY) -> str:
    """A key with a valid signature over a payload that `mint` would refuse."""
    signature = hmac.new(subkey.encode(), payload, hashlib.sha256).digest()
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (payload, signature)]
    return PREFIX + ".".join(parts)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"/", b"job", b"job/", b"/trial", b"job/trial/more", b"../trial", b"job/..", b"./trial", b"job/.",
        b"job/tri al", b"job/trial\n", b"job/tri\x00al", "job/trïal".encode(), b"\xff/\xfe",
        b"j" * 201 + b"/t", b"j/" + b"t" * 201,
    ],
)  # fmt: skip
def test_a_signed_payload_that_is_not_two_plain_names_is_refused(payload: bytes) -> None:
    assert verify(SUBKEY, forge(payload)) is None


@pytest.mark.parametrize(
    "key",
    [
        "", "sk-tk-", "sk-tk-.", "sk-tk-a", "sk-tk-a.b", "sk-tk-====.====", "sk-other", "Bearer x",
        "sk-tk-\ud800", "é" * 50, "sk-tk-" + "A" * 10**6,
    ],
)  # fmt: skip
def test_text_that_is_no_key_is_refused(key: str) -> None:
    assert verify(SUBKEY, key) is None


@pytest.mark.parametrize("key", [None, 7, b"sk-tk-a.b", ["sk-tk-"], {}])
def test_what_is_not_even_text_is_refused(key: Any) -> None:
    assert verify(SUBKEY, key) is None


@given(st.text())
def test_no_text_makes_verify_raise(text: str) -> None:
    assert verify(SUBKEY, text) is None
    assert verify(SUBKEY, PREFIX + text) is None


def test_a_key_of_another_master_key_is_refused() -> None:
    assert verify(SUBKEY, mint(derive_subkey("sk-other"), "job", "trial")) is None


def test_the_master_key_itself_signs_nothing() -> None:
    assert verify(SUBKEY, forge(b"job/trial", subkey="sk-master")) is None


def test_a_key_for_one_trial_cannot_be_turned_into_one_for_another() -> None:
    ours, theirs = mint(SUBKEY, "job", "ours"), mint(SUBKEY, "job", "theirs")
    assert verify(SUBKEY, theirs.partition(".")[0] + "." + ours.partition(".")[2]) is None


@given(NAMES, NAMES, st.data())
def test_one_changed_character_spoils_a_key(job: str, trial: str, data: st.DataObject) -> None:
    key = mint(SUBKEY, job, trial)
    at = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.characters().filter(lambda char: char != key[at]))
    assert verify(SUBKEY, key[:at] + other + key[at + 1 :]) is None


def test_padding_or_other_spellings_of_the_same_bytes_are_refused() -> None:
    key = mint(SUBKEY, "job", "trial")
    assert verify(SUBKEY, key + "=") is None
    assert verify(SUBKEY, key + "\n") is None
    assert verify(SUBKEY, key.replace(".", "=.", 1)) is None


@pytest.mark.parametrize(
    ("job", "trial"), [("", "t"), ("j", ""), ("..", "t"), ("j/k", "t"), ("j", "t t"), ("j", "t" * 201), ("ü", "t")]
)
def test_names_that_cannot_be_verified_are_not_minted(job: str, trial: str) -> None:
    with pytest.raises(ValueError, match="trial key"):
        mint(SUBKEY, job, trial)


@given(NAMES, NAMES)
def test_a_minted_key_verifies_to_its_job_and_trial(job: str, trial: str) -> None:
    assert verify(SUBKEY, mint(SUBKEY, job, trial)) == (job, trial)


def test_the_subkey_is_hex_behind_its_prefix_and_does_not_show_the_master_key() -> None:
    assert SUBKEY.startswith(SUBKEY_PREFIX)
    digits = SUBKEY.removeprefix(SUBKEY_PREFIX)
    assert len(digits) == 64
    assert int(digits, 16) >= 0
    assert "master" not in SUBKEY
