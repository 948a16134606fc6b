import json
from typing import Any

import httpx
import openai
import pytest

from tests.unit.scripted.asking import joined, message, post, stream, terminus_body, tool_body
from trajgen_assets.core.scripted import MODEL_NAME, ScriptedModel, running_scripted_model
from trajgen_assets.core.scripted.server import MAX_REMEMBERED_REQUESTS

BODIES = [terminus_body(), terminus_body("one answer"), tool_body()]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"messages": 3}'])
def test_a_malformed_request_is_refused_in_the_words_of_the_api(shared_model: ScriptedModel, data: bytes) -> None:
    response = httpx.post(f"{shared_model.base_url}/chat/completions", content=data)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("key", [None, "Bearer wrong", "right", "Bearer k\u00e9y"])
def test_without_the_key_there_is_no_answer(key: str | None) -> None:
    with running_scripted_model(api_key="right") as model:
        headers = {} if key is None else {b"authorization": key.encode()}
        response = httpx.post(f"{model.base_url}/chat/completions", json=terminus_body(), headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
        assert httpx.get(f"{model.base_url}/models", headers=headers).status_code == 401
        assert post(model.base_url, terminus_body(), authorization="Bearer right").status_code == 200


def test_the_one_model_is_listed(shared_model: ScriptedModel) -> None:
    assert [each["id"] for each in httpx.get(f"{shared_model.base_url}/models").json()["data"]] == [MODEL_NAME]


@pytest.mark.parametrize("body", BODIES)
def test_equal_requests_get_equal_bytes(shared_model: ScriptedModel, body: dict[str, Any]) -> None:
    for each in (body, {**body, "stream": True}):
        assert post(shared_model.base_url, each).content == post(shared_model.base_url, each).content


def test_different_histories_get_different_ids(shared_model: ScriptedModel) -> None:
    ids = [post(shared_model.base_url, body).json()["id"] for body in BODIES]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("body", BODIES)
def test_a_streamed_answer_is_the_whole_one_in_pieces(shared_model: ScriptedModel, body: dict[str, Any]) -> None:
    plain = post(shared_model.base_url, body).json()
    *deltas, finish, last = stream(shared_model.base_url, body)
    assert joined(deltas) == plain["choices"][0]["message"]
    assert finish["choices"][0]["finish_reason"] == plain["choices"][0]["finish_reason"]
    assert (last["choices"], last["usage"]) == ([], plain["usage"])
    assert {chunk["id"] for chunk in [*deltas, finish, last]} == {plain["id"]}
    assert len(deltas) > 10


def test_the_model_name_of_the_request_is_echoed(shared_model: ScriptedModel) -> None:
    assert post(shared_model.base_url, terminus_body() | {"model": "big"}).json()["model"] == "big"


def test_usage_counts_four_characters_a_token(shared_model: ScriptedModel) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 401}]}
    reply = post(shared_model.base_url, body).json()
    usage, said = reply["usage"], reply["choices"][0]["message"]
    n_reasoning = -(-len(said["reasoning_content"]) // 4)
    assert usage["prompt_tokens"] == 101
    assert usage["completion_tokens"] == n_reasoning - (-len(said["content"]) // 4)
    assert usage["completion_tokens_details"] == {"reasoning_tokens": n_reasoning}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_what_the_request_before_had_sent_is_cached(shared_model: ScriptedModel) -> None:
    first = post(shared_model.base_url, terminus_body()).json()["usage"]
    second = post(shared_model.base_url, terminus_body("an answer")).json()["usage"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["prompt_tokens_details"]["cached_tokens"] == first["prompt_tokens"]
    assert second["prompt_tokens"] > first["prompt_tokens"]


def test_tools_count_as_prompt(shared_model: ScriptedModel) -> None:
    with_tools, without = tool_body(), tool_body() | {"tools": []}
    counts = [post(shared_model.base_url, body).json()["usage"]["prompt_tokens"] for body in (with_tools, without)]
    assert counts[0] > counts[1]


def test_requests_are_counted_and_only_the_latest_kept(model: ScriptedModel) -> None:
    n_sent = MAX_REMEMBERED_REQUESTS + 5
    with httpx.Client() as client:
        for _ in range(n_sent):
            client.post(f"{model.base_url}/chat/completions", json=terminus_body())
    found = httpx.get(f"{model.origin}/_requests").json()
    assert (found["n_requests"], len(found["latest"])) == (n_sent, MAX_REMEMBERED_REQUESTS)
    assert model.n_requests() == n_sent


def test_no_key_and_no_text_is_remembered(model: ScriptedModel) -> None:
    post(model.base_url, terminus_body("my answer"), authorization="Bearer sk-secret")
    text = httpx.get(f"{model.origin}/_requests").text
    assert "sk-secret" not in text
    assert "my answer" not in text


def test_the_client_library_of_the_api_reads_both_forms(shared_model: ScriptedModel) -> None:
    client = openai.OpenAI(base_url=shared_model.base_url, api_key="any", max_retries=0)
    body = tool_body()
    reply = client.chat.completions.create(**body)
    call = (reply.choices[0].message.tool_calls or [])[0]
    assert call.type == "function"
    chunks = list(client.chat.completions.create(**body, stream=True))
    pieces = [delta.function for c in chunks for choice in c.choices for delta in choice.delta.tool_calls or ()]
    assert "".join(piece.arguments or "" for piece in pieces if piece) == call.function.arguments
    assert json.loads(call.function.arguments)["command"]
    assert chunks[-1].usage == reply.usage


def test_a_turn_depends_on_the_history_alone(shared_model: ScriptedModel) -> None:
    late = message(shared_model.base_url, terminus_body("1", "2"))
    message(shared_model.base_url, terminus_body())
    assert message(shared_model.base_url, terminus_body("1", "2")) == late
    assert message(shared_model.base_url, terminus_body("other", "words"))["content"] == late["content"]
