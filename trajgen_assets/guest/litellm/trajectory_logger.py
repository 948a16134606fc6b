"""The trajectory logger: one record for each model call that LiteLLM made for a trial.

LiteLLM swallows what a callback raises and goes on serving, so nothing here may fail in silence: a record or
an event that could not be written leaves `<proxy dir>/broken`, and the end event of its call is missing from
the journal, which the verdict on the trial's capture notices.
"""

import json
import os
from functools import lru_cache
from typing import Any

import capture_files
import plain_json
import trajectory_record
from admission import carried_by, opened
from budgets import budget
from fastapi import HTTPException
from known_secrets import redact_error
from litellm.integrations.custom_logger import CustomLogger

SAMPLING_ENV = "TRAJGEN_SAMPLING"
ALREADY_LOGGED = "has_logged_async_failure"  # LiteLLM's own mark on a call
RECORDED = "trajgen_recorded_failures"  # ours


class TrajectoryLogger(CustomLogger):
    """Writes the begin event, the record and the end event of every admitted call. Holds nothing."""

    async def async_pre_call_hook(  # LiteLLM calls it, and all of these methods, by the names of their parameters
        self,
        user_api_key_dict: Any,
        cache: Any,  # noqa: ARG002
        data: dict,
        call_type: str,  # noqa: ARG002
    ) -> dict | None:
        """Journal the beginning of an admitted call, or refuse the call where that cannot be written.

        What the job asks of the model goes into the call here, so that the upstream gets it and the record shows it.
        """
        admission = opened(user_api_key_dict.metadata)
        if admission is None:  # the platform's own call, or one of a route that calls no model
            return None
        try:
            _journal(admission, event="begin", litellm_call_id=str(data.get("litellm_call_id"))[:200])
        except OSError as error:
            capture_files.mark_broken(admission["trial"], "begin", error)
            raise HTTPException(503, "the call could not be written down, so it is not made") from error
        data.update(_sampling())
        return data

    async def async_log_success_event(self, kwargs: dict, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Write the record and the end event of a call that LiteLLM counts as a success."""
        _log(kwargs, response_obj, start_time, end_time, failed=False)

    async def async_log_failure_event(self, kwargs: dict, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Write the record and the end event of a failed attempt. A retry may still succeed under the same call id.

        LiteLLM would report only the first failed attempt of a call, so that a call which failed otherwise in the end,
        or whose client left during a retry, would be on record under a wrong status. So its mark is taken away again;
        what it reports twice is known by our own.
        """
        kwargs.pop(ALREADY_LOGGED, None)
        _log(kwargs, response_obj, start_time, end_time, failed=True)

    async def async_post_call_failure_hook(
        self,
        request_data: dict,  # noqa: ARG002
        original_exception: Exception,
        user_api_key_dict: Any,  # noqa: ARG002
        traceback_str: str | None = None,  # noqa: ARG002
    ) -> None:
        """Take our secrets out of an error before LiteLLM turns it into the client's answer, streamed or not."""
        redact_error(original_exception)


def _is_new_failure(kwargs: dict) -> bool:
    """Whether this attempt has not yet failed in this way."""
    failure = trajectory_record.failure_key(kwargs)
    recorded = kwargs.setdefault(RECORDED, [])
    if failure in recorded:
        return False
    recorded.append(failure)
    return True


@lru_cache(maxsize=1)
def _sampling() -> dict[str, float]:
    """What the job asks of the model in each call of a trial, where the agent cannot be told to."""
    return dict(json.loads(os.environ.get(SAMPLING_ENV) or "{}"))


def _log(kwargs: dict, response: Any, started: Any, ended: Any, *, failed: bool) -> None:
    admission = _admission_of(kwargs)
    if admission is None:
        return  # a refused key, or the platform's own call: no trial to file it under
    try:
        if failed and not _is_new_failure(kwargs):
            return
        record = trajectory_record.build(
            kwargs, response, admission=admission, started=started, ended=ended, failed=failed
        )
        trial, call_id = admission["trial"], admission["admission_id"]
        budget().count(trial, call_id, record["usage"], answered=record["success"])
        line = plain_json.encode_without_secrets(record)
        capture_files.append_line(capture_files.trial_file("trajectories", admission["trial"]), line)
        _journal(
            admission,
            event="end",
            ok=record["success"],
            status=trajectory_record.status_of(record),
            disconnected=record["client_disconnected"],
        )
    except Exception as error:
        capture_files.mark_broken(admission["trial"], "record", error)
        raise


def _admission_of(kwargs: dict) -> dict[str, str] | None:
    return carried_by(trajectory_record.call_metadata(kwargs))


def _journal(admission: dict[str, str], *, event: str, **fields: Any) -> None:
    line = {"event": event, "call_id": admission["admission_id"], **fields, "at": capture_files.now_stamp()}
    capture_files.append_line(capture_files.trial_file("journal", admission["trial"]), json.dumps(line).encode())


trajectory_logger = TrajectoryLogger()
