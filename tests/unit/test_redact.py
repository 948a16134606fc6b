import base64
import json
import traceback
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen_assets.core.redact import Redactor, looks_secret
from trajgen_assets.guest.trial_keys import MASTER_PREFIX, derive_subkey, mint

SECRET = 'sk-a/b+c"d\\e é=1'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        quote(SECRET, safe=""),
        "sk-a%2fb%2bc%22d%5ce%20%c3%a9%3d1",
        json.dumps({"key": SECRET}),
        json.dumps({"key": SECRET}).replace("/", "\\/"),
        json.dumps({"key": SECRET}, ensure_ascii=False),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"me:{SECRET}:you".encode()).decode(),
    ],
)
def test_every_form_of_a_secret_is_replaced_by_its_name(text: str) -> None:
    clean = Redactor({"LLM_API_KEY": SECRET}).text(f"401 at {text}!")
    assert "<redacted:LLM_API_KEY>" in clean
    for part in (SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1]):
        assert part not in clean


def test_a_secret_that_begins_with_another_is_replaced_whole() -> None:
    redactor = Redactor({"A": "sk-secret", "B": "sk-secret-longer"})
    assert redactor.text("sk-secret-longer sk-secret") == "<redacted:B> <redacted:A>"


def test_values_too_short_to_be_secrets_are_left_alone() -> None:
    assert Redactor({"A": "none", "B": ""}).text("none of it") == "none of it"


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert Redactor({}).text("a|b") == "a|b"


def test_whatever_the_environment_holds_under_the_name_of_a_secret_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-environment")
    monkeypatch.setenv("SOME_MAX_TOKENS", "100000")
    assert Redactor.of_environ().text("sk-environment 100000") == "<redacted:SOME_API_KEY> 100000"


def test_a_configuration_and_the_environment_are_known_together(monkeypatch: pytest.MonkeyPatch) -> None:
    class Holder:
        def secret_values(self) -> dict[str, str]:
            return {"llm_api.api_key": "sk-literal"}

    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    assert Redactor.of(Holder()).text("sk-literal hf_environment") == "<redacted:llm_api.api_key> <redacted:HF_TOKEN>"


@pytest.mark.parametrize(
    "name",
    ["LLM_API_KEY", "HF_TOKEN", "PGPASSWORD", "GITHUB_PAT", "DB_PWD", "AWS_SECRET_ACCESS_KEY", "apikey", "SOCK_TOKEN"],
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "MAX_TOKENS",
        "AUTHOR",
        "PATH",
        "PWD",
        "OLDPWD",
        "HARBOR_EXCLUDE_TASKS",
        "LITELLM_NUM_WORKERS",
        "MAX_TOKEN_LIMIT",
        "SSH_AUTH_SOCK",
    ],
)
def test_other_names_are_not_taken_for_secrets(name: str) -> None:
    assert not looks_secret(name)


@settings(deadline=None)
@given(st.binary(max_size=5), st.binary(max_size=5), st.text(min_size=12, max_size=30))
def test_no_neighbours_hide_a_secret_in_base64(before: bytes, after: bytes, secret: str) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    assert "<redacted:A>" in Redactor({"A": secret}).text(encoded)


def test_the_keys_that_we_make_are_known_by_their_shape() -> None:
    subkey = derive_subkey(f"{MASTER_PREFIX}0123456789abcdef")
    text = f"{MASTER_PREFIX}0123456789abcdef {subkey} {mint(subkey, 'job', 'trial')}. sk-tk-short sk-other-0123456789"
    expected = "<redacted:master key> <redacted:trial subkey> <redacted:trial key>. sk-tk-short sk-other-0123456789"
    assert Redactor({}).text(text) == expected


def test_an_error_loses_secrets_in_place_with_all_that_it_follows_and_groups() -> None:
    class UpstreamError(Exception):
        def __init__(self, message: str) -> None:
            super().__init__(message, {"body": [message]})
            self.body = message.encode()

    cause, context = UpstreamError(f"cause {SECRET}"), KeyError(SECRET)
    inner = ValueError(f"in a group {SECRET}")
    error = ExceptionGroup("several", [inner])
    error.__cause__, inner.__context__, context.__cause__ = cause, context, error
    Redactor({"KEY": SECRET}).in_place(error)
    assert cause.args == ("cause <redacted:KEY>", {"body": ["cause <redacted:KEY>"]})
    assert cause.body == b"cause <redacted:KEY>"
    assert (context.args, inner.args) == (("<redacted:KEY>",), ("in a group <redacted:KEY>",))
    assert "a/b" not in "".join(traceback.format_exception(error))
