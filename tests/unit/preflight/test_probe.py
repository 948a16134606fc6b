import pytest

from tests.unit.preflight.twins import KEY, OddEndpoint, running
from trajgen_assets.core.errors import EndpointError
from trajgen_assets.core.preflight.asking import Question, Verdict, ask_patiently
from trajgen_assets.core.preflight.findings import Level
from trajgen_assets.core.preflight.probe import Place, bases_of, probe
from trajgen_assets.core.scripted.faults import Fault, FaultPlan

PLACE = Place("llm_api.model", "llm_api.api_base_url", "llm_api.api_key")


def refusal(question: Question) -> EndpointError:
    with pytest.raises(EndpointError) as refused:
        probe(question, PLACE)
    return refused.value


def test_a_right_configuration_is_asked_once() -> None:
    with running(OddEndpoint()) as endpoint:
        found = probe(Question("openai/scripted", f"{endpoint.origin}/v1", KEY), PLACE)
    assert found.level is Level.OK
    assert endpoint.asked == [("/v1/chat/completions", "scripted")]


@pytest.mark.parametrize(
    ("endpoint", "model", "path", "correction"),
    [
        (OddEndpoint(), "openai/scripted", "", "llm_api.api_base_url: {origin}/v1"),
        (OddEndpoint(prefix=""), "openai/scripted", "/v1", "llm_api.api_base_url: {origin}"),
        (OddEndpoint(), "openai/scripted", "/v1/chat/completions", "llm_api.api_base_url: {origin}/v1"),
        (OddEndpoint(prefix="/serve/v1"), "openai/scripted", "/serve/", "llm_api.api_base_url: {origin}/serve/v1"),
        (OddEndpoint(), "scripts/scripted", "/v1", "llm_api.model: openai/scripted"),
        (OddEndpoint(served="Qwen/Coder"), "Qwen/Coder", "/v1", "llm_api.model: openai/Qwen/Coder"),
        (OddEndpoint(served="coder"), "openai/models/coder", "/v1", "llm_api.model: openai/coder"),
        (OddEndpoint(served="/srv/models/coder"), "openai/coder", "/v1", "llm_api.model: openai//srv/models/coder"),
        (OddEndpoint(served="GLM-5.2-air"), "openai/glm-5.2", "/v1", "llm_api.model: openai/GLM-5.2-air"),
        (OddEndpoint(lists_models=False), "foo/x/scripted", "", "api_base_url: {origin}/v1 and llm_api.model: openai/"),
        (
            OddEndpoint(speaks="anthropic", lists_models=False),
            "openai/scripted",
            "/v1",
            "llm_api.api_base_url: {origin} and llm_api.model: anthropic/scripted",
        ),
    ],
)
def test_the_neighbouring_shape_that_answers_is_named_as_the_keys_to_set(
    endpoint: OddEndpoint, model: str, path: str, correction: str
) -> None:
    with running(endpoint):
        error = refusal(Question(model, f"{endpoint.origin}{path}", KEY))
        wanted = correction.format(origin=endpoint.origin)
    assert wanted in (error.mend or ""), error


def test_names_that_the_endpoint_lists_are_shown_where_none_of_them_answers() -> None:
    endpoint = OddEndpoint(served="scripted-large")
    with running(endpoint):
        endpoint.inner.faults.set(FaultPlan(fault=Fault.CONTEXT_LENGTH))
        error = refusal(Question("openai/scripted", f"{endpoint.origin}/v1", KEY))
    assert "it lists scripted-large" in (error.mend or "")


def test_a_wrong_key_is_not_taken_for_a_wrong_address() -> None:
    with running(OddEndpoint()) as endpoint:
        error = refusal(Question("openai/scripted", f"{endpoint.origin}/v1", "another"))
    assert "refuses the key" in error.what
    assert "HTTP 401" in str(error)
    assert "llm_api.api_key" in (error.mend or "")


def test_a_reasoning_model_that_used_up_its_tokens_is_there_all_the_same() -> None:
    with running(OddEndpoint(thinks=True)) as endpoint:
        found = probe(Question("openai/scripted", f"{endpoint.origin}/v1", KEY), PLACE)
    assert found.level is Level.WARN
    assert "reasoning" in found.text


def test_a_provider_that_nobody_knows_is_told_in_a_line_with_the_nearest_ones() -> None:
    answer = ask_patiently(Question("opneai/scripted", "http://127.0.0.1:9/v1", KEY))
    assert answer.verdict is Verdict.MISUNDERSTOOD
    assert answer.text.startswith("opneai is no provider that LiteLLM knows; the nearest: openai")


def test_what_passes_by_itself_is_asked_three_times() -> None:
    with running(OddEndpoint()) as endpoint:
        endpoint.inner.faults.set(FaultPlan(fault=Fault.SERVER_ERROR, count=2))
        answer = ask_patiently(Question("openai/scripted", f"{endpoint.origin}/v1", KEY), pause_s=0)
    assert (answer.verdict, len(endpoint.asked)) == (Verdict.ANSWERED, 3)


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (Fault.RATE_LIMIT, Verdict.BUSY),
        (Fault.SERVER_ERROR, Verdict.BROKEN),
        (Fault.CUT, Verdict.BROKEN),
        (Fault.HANG, Verdict.SILENT),
    ],
)
def test_each_trouble_has_its_name(fault: Fault, verdict: Verdict) -> None:
    with running(OddEndpoint()) as endpoint:
        endpoint.inner.faults.set(FaultPlan(fault=fault))
        answer = ask_patiently(Question("openai/scripted", f"{endpoint.origin}/v1", KEY), timeout_s=1, pause_s=0)
    assert answer.verdict is verdict


def test_where_nothing_listens_no_other_shape_is_asked() -> None:
    error = refusal(Question("openai/scripted", "http://127.0.0.1:9/v1", KEY))
    assert "out of reach" in error.what
    assert "neighbour" not in (error.mend or "")


def test_a_pasted_path_is_cut_off_whichever_it_is() -> None:
    for tail in ("", "/", "/chat/completions", "/models", "/responses"):
        assert bases_of(f"http://h:1/v1{tail}") == ["http://h:1/v1", "http://h:1"]
    assert bases_of("http://h:1/v1/messages") == ["http://h:1/v1", "http://h:1"]
    assert bases_of("http://h:1/api") == ["http://h:1/api", "http://h:1/api/v1"]
