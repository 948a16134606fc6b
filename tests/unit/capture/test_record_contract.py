"""The document names every field that a record can have, and no other."""

from collections.abc import Iterable
from datetime import UTC, datetime

import trajectory_record

from tests.record_contract import documented_fields, fields_of

CHOICES = "response_body.choices[]"
ADMISSION = {"job": "j", "trial": "t", "admission_id": "c", "dialect": "openai_chat"}


def _below(path: str, names: Iterable[str]) -> set[str]:
    return {f"{path}.{name}" for name in names}


def test_what_can_be_in_a_record_is_what_is_documented() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    record = trajectory_record.build({}, None, admission=ADMISSION, started=moment, ended=moment, failed=True)
    possible = set(record) | _below("failure", record["failure"])
    possible |= _below("usage", (*trajectory_record.USAGE, "cost"))
    possible |= _below("request_body", trajectory_record.REQUEST)
    possible |= _below("response_body", (*trajectory_record.RESPONSE, "choices", "usage"))
    possible |= _below(CHOICES, (*trajectory_record.CHOICE, "message"))
    possible |= _below(f"{CHOICES}.message", trajectory_record.MESSAGE)
    possible |= _below(f"{CHOICES}.message.tool_calls[]", trajectory_record.TOOL_CALL)
    assert documented_fields() == possible


def test_a_field_that_the_document_lacks_would_be_seen() -> None:
    known = {"usage", "usage.cost", "items", "items[].id"}
    record = {"usage": {"cost": 1, "new": 2}, "items": [{"id": 1, "odd": {"x": 1}}], "free": {"anything": 1}}
    found = set(fields_of(record, known))
    assert found - known == {"usage.new", "items[].odd", "free"}
