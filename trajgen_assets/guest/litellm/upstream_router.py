"""Gives each call of LiteLLM's router its endpoint, and lets the endpoints that fail cool down.

LiteLLM asks `async_filter_deployments` before each attempt of a call, retries too, and tells of each that failed.
A deployment's `model_info` is what the configuration says of the endpoint.
"""

import asyncio
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from admission import SELF_TEST_TRIAL, carried_by, opened
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger
from trajectory_record import attempt_of, call_metadata
from upstream_pool import Endpoint, NoRoomError, Pool, cools

NAMES_ENV = "TRAJGEN_UPSTREAM_NAMES"  # a JSON list
PLATFORM = ""  # the task of a call that belongs to no trial
# LiteLLM retries at once where there are several endpoints, while the failed attempt's record, which is made from the
# state that both share, is still in its queue.
RETRY_PAUSE_S = 0.25


class UpstreamRouter(CustomLogger):
    """Routes by task. Holds the pool."""

    def __init__(self) -> None:
        """Begin with endpoints of which nothing is known."""
        super().__init__()
        self._pool = Pool()
        self._names = frozenset(json.loads(os.environ.get(NAMES_ENV) or "[]"))
        self._noted: set[object] = set()

    async def async_pre_call_hook(  # LiteLLM calls it, and all of these methods, by the names of their parameters
        self,
        user_api_key_dict: Any,
        cache: Any,  # noqa: ARG002
        data: dict,
        call_type: str,  # noqa: ARG002
    ) -> dict | None:
        """Refuse a trial that asks for an endpoint by its name, as only the platform may."""
        admission = opened(user_api_key_dict.metadata)
        is_of_trial = admission is not None and admission["trial"] != SELF_TEST_TRIAL
        if is_of_trial and data.get("model") in self._names:
            raise HTTPException(400, f"there is no model {data['model']}")
        return None

    async def async_filter_deployments(
        self,
        model: str,  # noqa: ARG002
        healthy_deployments: list,
        messages: list | None,  # noqa: ARG002
        request_kwargs: dict | None = None,
        parent_otel_span: Any = None,  # noqa: ARG002
    ) -> list:
        """The one deployment that this attempt goes to, when it may go."""
        if not healthy_deployments:
            return healthy_deployments
        request, endpoints = request_kwargs or {}, [_endpoint(each) for each in healthy_deployments]
        if len(endpoints) > 1 and attempt_of(_metadata(request)) > 1:
            await asyncio.sleep(RETRY_PAUSE_S)
        try:
            choice = self._pool.choose(_task_of(request), endpoints)
        except NoRoomError as error:
            headers = {"Retry-After": str(math.ceil(error.wait_s))}
            raise HTTPException(429, str(error), headers) from error
        await asyncio.sleep(choice.wait_s)
        return [each for each in healthy_deployments if each["model_info"]["id"] == choice.name]

    async def async_post_call_failure_deployment_hook(
        self,
        request_data: Mapping[str, Any],
        exception: Exception,
        call_type: Any,  # noqa: ARG002
        fallback_depth: int | None = None,  # noqa: ARG002
    ) -> None:
        """Note the failure of one attempt, the first or a retry."""
        self._noted.add(request_data.get("litellm_call_id"))
        self._note_failure(request_data.get("model_info"), exception)

    async def async_log_failure_event(self, kwargs: dict, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
        """Note a stream that broke off; of any other failure this tells a second time, and late."""
        call_id = kwargs.get("litellm_call_id")
        if call_id in self._noted:
            self._noted.discard(call_id)
            return
        self._note_failure((kwargs.get("litellm_params") or {}).get("model_info"), kwargs.get("exception"))

    def _note_failure(self, model_info: Any, error: Any) -> None:
        if isinstance(model_info, Mapping) and model_info.get("id") in self._names and cools(_status(error)):
            self._pool.failed(_endpoint({"model_info": model_info}), retry_after_s=_retry_after_s(error))


def _endpoint(deployment: Mapping[str, Any]) -> Endpoint:
    info = deployment["model_info"]
    limit = info.get("pool_requests_per_minute")  # LiteLLM leaves out what is null
    return Endpoint(info["id"], info["pool_weight"], limit, info["pool_cooldown_s"])


def _metadata(request: Mapping[str, Any]) -> dict[str, Any]:
    return call_metadata({"litellm_params": request})


def _task_of(request: Mapping[str, Any]) -> str:
    """What Harbor puts before the random ending of a trial's name: all attempts at a task have it in common."""
    admission = carried_by(_metadata(request))
    trial = admission["trial"] if admission else PLATFORM
    return trial.rpartition("__")[0] or trial


def _status(error: Any) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _retry_after_s(error: Any) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    own = getattr(error, "litellm_response_headers", None) or {}
    try:
        return float(headers.get("retry-after") or own.get("retry-after") or 0)
    except (TypeError, ValueError):  # a date, which nobody asks for in minutes
        return 0.0


upstream_router = UpstreamRouter()
