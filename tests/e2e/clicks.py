"""What a click in the web UI sends to the web server, without a browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from trajgen_assets.names import PREPARED_TASKS, TRAJECTORIES

ASSETS = [{"path": list(key.path)} for key in (PREPARED_TASKS, TRAJECTORIES)]

# The job in which the pages of assets launch; Dagster makes one for every code location.
PLACE = {"pipelineName": "__ASSET_JOB", "repositoryName": "__repository__", "repositoryLocationName": "trajgen"}

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launched: launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { id } } }
}
"""
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launched: launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
BACKFILL_STATUS = """
query Status($id: String!) { backfill: partitionBackfillOrError(backfillId: $id) {
  __typename ... on PartitionBackfill { status }
} }
"""


@dataclass(frozen=True)
class WebUi:
    """A running web server, asked as its own pages do."""

    url: str

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/server_info", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def materialize(self, partition: str) -> None:
        """Launch the rollout of one task."""
        tags = [{"key": "dagster/partition", "value": partition}]
        params = {
            "selector": PLACE | {"assetSelection": ASSETS},
            "mode": "default",
            "executionMetadata": {"tags": tags},
        }
        answer = self._ask(LAUNCH, params=params)
        assert answer["launched"]["__typename"] == "LaunchRunSuccess", answer

    def backfill(self, partitions: Sequence[str]) -> str:
        """Launch the rollout of a selection, as the dialog does for more than one. Returns its id."""
        answer = self._ask(BACKFILL, params={"assetSelection": ASSETS, "partitionNames": list(partitions)})
        assert answer["launched"]["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["launched"]["backfillId"])

    def is_over(self, backfill: str) -> bool:
        status = self._ask(BACKFILL_STATUS, id=backfill)["backfill"]["status"]
        return status not in ("REQUESTED", "CANCELING", "FAILING")

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        reply = httpx.post(f"{self.url}/graphql", json=body, timeout=60, trust_env=False)
        answer = reply.raise_for_status().json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data
