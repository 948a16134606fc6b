"""`runtime_info.input.alerts`: where alerts go besides the log and `logs/alerts.jsonl`."""

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.secrets import Secret
from trajgen_assets.core.config.section import Section

_BY_NAME = "should be ${NAME}: whoever knows the address can write there"


class AlertsChoice(Section):
    """`file` gets a copy of each alert, as one more line; `webhook` is posted each, until it has taken it."""

    file: str | None = None
    webhook: Secret | None = None

    @field_validator("webhook")
    @classmethod
    def _is_named(cls, webhook: Secret | None) -> Secret | None:
        if webhook is not None and webhook.is_literal:
            raise PydanticCustomError("refused", "{problem}", {"problem": _BY_NAME})
        return webhook
