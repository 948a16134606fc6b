"""A run launcher for one host that notices when a run worker is gone.

With the stock launcher a run stays STARTED for ever after a reboot: it has no health check, so run
monitoring has nothing to ask. Linux only, because it reads process start times.
"""

import re
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
import psutil
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClassData

_PID = re.compile(r"pid[:\s]+(\d+)")


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher with a health check by pid and start time."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Make one as `dagster.yaml` configures it."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Always: that is what this class is for."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say whether the worker of `run` lives; running while it has not announced itself yet."""
        announced = self._announced(run.run_id)
        if announced is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        pid, at_s = announced
        try:
            process = psutil.Process(pid)
            alive = process.create_time() <= at_s + 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            alive = False
        if alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"the run worker (pid {pid}) is gone")

    def _announced(self, run_id: str) -> tuple[int, float] | None:
        for entry in self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            match = _PID.search(entry.user_message or "") or _PID.search(entry.message or "")
            if match:
                return int(match.group(1)), entry.timestamp
        return None
