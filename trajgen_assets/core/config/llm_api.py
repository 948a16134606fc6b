"""`runtime_info.input.llm_api`: the model, and the endpoint or the several endpoints that serve it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.secrets import Secret
from trajgen_assets.core.config.section import (
    CostPerToken,
    ModelName,
    Number,
    Positive,
    SafeName,
    Section,
    Strings,
    Url,
)

_ALIASES: Mapping[str, str] = {"api_base": "api_base_url", "upstream_model": "model"}
_SAID_BELOW = "is said by each of the endpoints: leave it out here"


@dataclass(frozen=True)
class Endpoint:
    """One endpoint with all that is known of it.

    Attributes:
        name: what records and the archive call it.
        model: the name under which this endpoint serves the model, `provider/name`.
        weight: its share of the tasks, against the weights of the others.
        requests_per_minute: calls in any 60 s; None for no limit.
    """

    name: str
    model: str
    api_base_url: str
    api_key: Secret
    weight: float = 1.0
    requests_per_minute: int | None = None
    timeout_s: float = 600.0


class EndpointChoice(Section):
    """One of several endpoints. What it does not say, `llm_api` does."""

    ALIASES: ClassVar[Mapping[str, str]] = _ALIASES

    api_base_url: Url
    api_key: Secret
    name: SafeName | None = None
    model: ModelName | None = None
    weight: Number = 1.0
    requests_per_minute: Positive | None = None
    timeout_s: Number | None = None


class LlmApi(Section):
    """The model behind the proxy, at one endpoint or at several."""

    ALIASES: ClassVar[Mapping[str, str]] = _ALIASES

    model: ModelName
    endpoints: Annotated[tuple[EndpointChoice, ...], Field(strict=False)] = ()
    api_base_url: Annotated[Url | None, Field(validate_default=True)] = None
    api_key: Annotated[Secret | None, Field(validate_default=True)] = None
    description: str = ""
    protocols: Strings = ("openai_compatible", "anthropic_compatible")
    served_via: str = "per_job_litellm_proxy"
    input_cost_per_token: CostPerToken | None = None
    output_cost_per_token: CostPerToken | None = None
    requests_per_minute: Positive | None = None
    timeout_s: Number = 600.0
    cooldown_s: Number = 30.0

    @field_validator("endpoints")
    @classmethod
    def _have_names_of_their_own(
        cls, endpoints: tuple[EndpointChoice, ...], info: ValidationInfo
    ) -> tuple[EndpointChoice, ...]:
        names = [_name(each, number) for number, each in enumerate(endpoints, start=1)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise PydanticCustomError("refused", "two of them are named {name}", {"name": twice})
        asked_for = str(info.data.get("model")).rpartition("/")[2]
        if asked_for in names:  # agents may not ask for an endpoint by its name, and must be able to ask for the model
            raise PydanticCustomError("refused", "one is named {name}, as the model is", {"name": asked_for})
        return endpoints

    @field_validator("api_base_url", "api_key")
    @classmethod
    def _is_said_once(cls, value: str | Secret | None, info: ValidationInfo) -> str | Secret | None:
        several = info.data.get("endpoints")
        if several and value is not None:
            raise PydanticCustomError("refused", _SAID_BELOW)
        if several == () and value is None:
            raise PydanticCustomError("missing", "is missing")
        return value

    @property
    def pool(self) -> tuple[Endpoint, ...]:
        """The endpoints in the order of the file, at least one."""
        single = {"api_base_url": self.api_base_url, "api_key": self.api_key}
        listed = self.endpoints or (EndpointChoice.model_validate(single),)
        return tuple(self._completed(each, number) for number, each in enumerate(listed, start=1))

    def _completed(self, choice: EndpointChoice, number: int) -> Endpoint:
        return Endpoint(
            name=_name(choice, number),
            model=choice.model or self.model,
            api_base_url=choice.api_base_url,
            api_key=choice.api_key,
            weight=choice.weight,
            requests_per_minute=choice.requests_per_minute or self.requests_per_minute,
            timeout_s=choice.timeout_s or self.timeout_s,
        )

    def named(self, model: str) -> "LlmApi":
        """The same endpoints asked for another model, of which no price is known."""
        unnamed = tuple(each.model_copy(update={"model": None}) for each in self.endpoints)
        unpriced = {"input_cost_per_token": None, "output_cost_per_token": None}
        return self.model_copy(update={"model": model, "endpoints": unnamed} | unpriced)


def _name(choice: EndpointChoice, number: int) -> str:
    return choice.name or f"endpoint-{number}"
