"""Errors and texts lose our secrets wherever an upstream put them."""

import json
from enum import StrEnum
from urllib.parse import quote

import httpx
import known_secrets
import plain_json
import pytest

SECRET = 'token/of "ours"+1'


@pytest.fixture(autouse=True)
def _environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAJGEN_UPSTREAM_API_KEY", SECRET)
    monkeypatch.setenv("TRAJGEN_MASTER_KEY", "sk-master-0123456789")


class UpstreamError(Exception):
    """As the errors of client libraries are: fields of its own, and a text made of them."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = 401
        self.body: object = {"error": {"message": message, "param": [message]}, "n": 1}
        self.response = httpx.Response(401, headers={"x-denied": message}, content=message.encode())

    def __str__(self) -> str:
        return f"{self.message} {self.body} {self.response.text} {self.response.headers}"


@pytest.mark.parametrize(
    "form", [SECRET, json.dumps(SECRET), quote(SECRET), quote(SECRET, safe=""), "sk-master-0123456789"]
)
def test_a_text_loses_every_form_of_a_secret(form: str) -> None:
    assert "ours" not in known_secrets.without_secrets(f"bad {form}!")
    assert known_secrets.MARKER in known_secrets.without_secrets(f"bad {form}!")
    assert "ours" not in plain_json.bounded_text(f"bad {form}!")


def test_a_text_without_a_secret_stays_as_it_is() -> None:
    assert known_secrets.without_secrets("no access for token x") == "no access for token x"


@pytest.mark.parametrize("value", ["", "none", "abcde"])
def test_a_value_too_short_for_a_secret_garbles_nothing(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TRAJGEN_UPSTREAM_API_KEY", value)
    assert known_secrets.without_secrets(f"a none {value} b") == f"a none {value} b"


def test_an_error_loses_secrets_in_all_its_fields_and_keeps_its_class_and_status() -> None:
    error = UpstreamError(f"no access for token {SECRET}")
    known_secrets.redact_error(error)
    assert "ours" not in str(error)
    assert "ours" not in repr(error.args)
    assert (error.message, error.status_code) == ("no access for token [redacted]", 401)
    assert error.body == {"error": {"message": error.message, "param": [error.message]}, "n": 1}
    assert error.response.headers["x-denied"] == error.message


def test_the_errors_behind_an_error_lose_them_too() -> None:
    cause, context, wrapped = (UpstreamError(SECRET) for _ in range(3))
    outer = UpstreamError("outer")
    outer.__cause__, outer.__context__ = cause, context
    outer.original_exception = wrapped  # type: ignore[attr-defined]
    wrapped.__context__ = outer  # a circle
    known_secrets.redact_error(outer)
    assert all("ours" not in str(each) for each in (cause, context, wrapped))


def test_what_holds_no_secret_is_left_as_it_is() -> None:
    class Kind(StrEnum):
        LIMIT = "limit"

    error = UpstreamError("plain")
    error.kind, error.raw = Kind.LIMIT, b"\xff\x00"  # type: ignore[attr-defined]
    known_secrets.redact_error(error)
    assert vars(error)["kind"] is Kind.LIMIT
    assert vars(error)["raw"] == b"\xff\x00"
    assert str(error).startswith("plain")


def test_a_container_without_end_ends() -> None:
    error = UpstreamError("plain")
    endless: list[object] = [SECRET]
    endless.append(endless)
    error.body = endless
    known_secrets.redact_error(error)
    assert isinstance(error.body, list)
    assert error.body[0] == "[redacted]"


def test_a_record_loses_what_an_upstream_echoed_and_stays_the_json_that_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(known_secrets.OTHERS_NAME, json.dumps(["hf-of-a-sandbox-4711", "short"]))
    said = {"role": "assistant", "content": f"your key is {SECRET}", "args": json.dumps({"a": SECRET, "b": "short"})}
    record = {"messages": [said, {"role": "user", "content": "HF_TOKEN=hf-of-a-sandbox-4711"}]}
    line = plain_json.encode_without_secrets(record)
    messages = json.loads(line)["messages"]
    assert [message["role"] for message in messages] == ["assistant", "user"]
    assert messages[0]["content"] == "your key is [redacted]"
    assert json.loads(messages[0]["args"]) == {"a": "[redacted]", "b": "short"}
    assert messages[1]["content"] == "HF_TOKEN=[redacted]"


def test_a_record_without_a_secret_is_written_as_it_is() -> None:
    record = {"messages": [{"role": "user", "content": 'ours is "not" a secret'}]}
    assert plain_json.encode_without_secrets(record) == plain_json.encode(record)
