"""The model: its section of config.toml, its calls, and the record of each."""

import json
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from openhands.llm import fn_call

NATIVE = ("claude-3-7", "claude-4", "gpt-4o", "gpt-4.1", "gpt-5", "gemini-2.5-pro", "qwen3-coder", "deepseek-chat")
RETRIED = (408, 429, 500, 502, 503, 504)


class CompletionError(RuntimeError):
    """The endpoint did not give a completion."""


@dataclass
class LLMConfig:
    """A section `[llm.<name>]`. Keys that are not known here are passed over."""

    model: str = "claude-sonnet-4"
    api_key: str | None = None
    base_url: str | None = None
    num_retries: int = 4
    timeout: int | None = None
    max_message_chars: int = 30000
    temperature: float = 0.0
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    log_completions: bool = False
    log_completions_folder: str = "logs/completions"
    native_tool_calling: bool | None = None

    def masked(self) -> dict[str, Any]:
        """As metadata has it."""
        return asdict(self) | {"api_key": "**********" if self.api_key else None}


def get_llm_config_arg(name: str) -> LLMConfig | None:
    """The section `llm.<name>` or `<name>` of ./config.toml; None, and a line of a log, if there is none."""
    plain = name.strip("[]").removeprefix("llm.")
    path = Path("config.toml")
    sections = tomllib.loads(path.read_text(encoding="utf-8")).get("llm", {}) if path.is_file() else {}
    if not isinstance(sections.get(plain), dict):
        return None
    known = LLMConfig.__dataclass_fields__
    return LLMConfig(**{key: value for key, value in sections[plain].items() if key in known})


@dataclass
class LLM:
    """The model of one instance, with what its calls came to."""

    config: LLMConfig
    tools: list[dict[str, Any]]
    usages: list[dict[str, Any]] = field(default_factory=list)
    latencies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_native(self) -> bool:
        """Whether tools are called in the endpoint's own form, and not in text."""
        if self.config.native_tool_calling is not None:
            return self.config.native_tool_calling
        return self.config.model.rpartition("/")[2].startswith(NATIVE)

    def complete(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Ask for the next answer; returns the response in tool-call form, whatever the endpoint was asked in."""
        sent = messages if self.is_native else fn_call.as_text(messages, self.tools)
        kwargs: dict[str, Any] = {"temperature": self.config.temperature}
        if self.config.max_output_tokens:
            kwargs["max_completion_tokens"] = self.config.max_output_tokens
        if self.is_native:
            kwargs["tools"] = self.tools
        started_at = time.time()
        response = self._asked({"model": self.config.model.removeprefix("openai/"), "messages": sent, **kwargs})
        self._count(response, time.time() - started_at)
        record = {
            "messages": sent,
            "response": response,
            "args": [],
            "kwargs": kwargs,
            "timestamp": time.time(),
            "cost": 0.0,
        }
        answer = response
        if not self.is_native:
            answer = fn_call.from_text(response, messages)
            record |= {"fncall_messages": messages, "fncall_response": answer}
        self._log(record)
        return answer

    def _asked(self, body: dict[str, Any]) -> dict[str, Any]:
        for n_left in reversed(range(self.config.num_retries + 1)):
            try:
                return self._post(body)
            except urllib.error.HTTPError as error:
                if error.code not in RETRIED or not n_left:
                    raise CompletionError(f"litellm.APIError: {error.code} {error.read().decode()[:300]}") from None
            except (OSError, ValueError) as error:
                if not n_left:
                    raise CompletionError(f"litellm.APIConnectionError: {error}") from None
        raise AssertionError

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{(self.config.base_url or '').rstrip('/')}/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.config.api_key}"},
        )
        with urllib.request.urlopen(request, timeout=self.config.timeout or 600) as reply:
            return json.loads(reply.read())

    def _count(self, response: dict[str, Any], latency_s: float) -> None:
        usage, response_id = response.get("usage") or {}, response.get("id", "")
        counted = {
            "model": self.config.model,
            "prompt_tokens": usage.get("prompt_tokens", 0),
            "completion_tokens": usage.get("completion_tokens", 0),
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "response_id": response_id,
        }
        self.usages.append(counted)
        self.latencies.append({"model": self.config.model, "latency": latency_s, "response_id": response_id})

    def _log(self, record: dict[str, Any]) -> None:
        if not self.config.log_completions:
            return
        folder = Path(self.config.log_completions_folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.config.model.replace('/', '__')}-{time.time()}.json"
        (folder / name).write_text(json.dumps(record), encoding="utf-8")

    def metrics(self) -> dict[str, Any]:
        """What a row has under that name."""
        total = {
            "model": "default",
            "prompt_tokens": sum(each["prompt_tokens"] for each in self.usages),
            "completion_tokens": sum(each["completion_tokens"] for each in self.usages),
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "response_id": "",
        }
        return {
            "accumulated_cost": 0.0,
            "max_budget_per_task": None,
            "accumulated_token_usage": total,
            "costs": [],
            "response_latencies": self.latencies,
            "token_usages": self.usages,
            "condenser": [],
        }


def log_of_another_model(config: LLMConfig) -> None:
    """What a condenser with a model of its own leaves in the same folder."""
    Path(config.log_completions_folder).mkdir(parents=True, exist_ok=True)
    record = {
        "messages": [{"role": "user", "content": "Sum this up."}],
        "response": {"id": "c1", "choices": []},
        "kwargs": {},
    }
    Path(config.log_completions_folder, f"openai__condenser-{time.time()}.json").write_text(json.dumps(record))
