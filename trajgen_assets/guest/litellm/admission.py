"""What custom auth tells the logger about a call: job, trial, call id and dialect, sealed.

The seal matters because LiteLLM carries this dictionary among metadata that a client can write to. A call is
filed under a trial only if the seal fits, so no request body can place a record into another trial.
"""

import hashlib
import hmac
import os
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import trial_keys

DIALECTS = {
    "/v1/chat/completions": "openai_chat",
    "/chat/completions": "openai_chat",
    "/v1/messages": "anthropic_messages",
    "/v1/responses": "openai_responses",
    "/responses": "openai_responses",
}
FIELDS = ("job", "trial", "admission_id", "dialect")
SELF_TEST_TRIAL = "self-test"  # in whose name the platform asks before the first trial: what no trial may
METADATA_NAMES = ("user_api_key_auth_metadata", "user_api_key_metadata")


@lru_cache(maxsize=1)
def subkey() -> str:
    """The key that trial keys and seals are made with, derived from `TRAJGEN_MASTER_KEY`."""
    return trial_keys.derive_subkey(os.environ["TRAJGEN_MASTER_KEY"])


def admit(job: str, trial: str, path: str) -> dict[str, str]:
    """A new admission of one model call that arrived at the route `path`."""
    fields = {"job": job, "trial": trial, "admission_id": uuid.uuid4().hex, "dialect": DIALECTS[path]}
    return fields | {"seal": _seal(fields)}


def _seal(fields: dict[str, str]) -> str:
    payload = "admission\n" + "\n".join(fields[name] for name in FIELDS)
    return hmac.new(subkey().encode(), payload.encode(), hashlib.sha256).hexdigest()


def opened(candidate: Any) -> dict[str, str] | None:
    """`candidate` if it is an admission that this proxy sealed, else None."""
    if not isinstance(candidate, dict):
        return None
    values = {name: candidate.get(name) for name in (*FIELDS, "seal")}
    if not all(isinstance(value, str) and value.isascii() for value in values.values()):
        return None
    return values if hmac.compare_digest(values["seal"], _seal(values)) else None


def carried_by(metadata: Mapping[str, Any]) -> dict[str, str] | None:
    """The admission among LiteLLM's metadata of a call, if this proxy sealed it."""
    candidates = (opened(metadata.get(name)) for name in METADATA_NAMES)
    return next((admission for admission in candidates if admission), None)
