"""A run launcher for one host that notices when a run worker is gone, and can always interrupt one that is not.

With the stock launcher a run stays STARTED for ever after a reboot: it has no health check, so run
monitoring has nothing to ask. And a run whose code server has died cannot be cancelled, though it runs on: the stock
launcher asks the server to pass the interrupt on. Linux only, because it reads process start times.
"""

import re
import signal
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeUnreachableError
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
        if announced is None or _find(*announced) is not None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"the run worker (pid {announced[0]}) is gone")

    def terminate(self, run_id: str) -> bool:
        """Interrupt the worker of a run, as its code server does: directly where that server is gone."""
        try:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        except DagsterUserCodeUnreachableError:
            announced = self._announced(run_id)
            worker = _find(*announced) if announced else None
            if worker is None:
                return False
            worker.send_signal(signal.SIGINT)
            return True

    def _announced(self, run_id: str) -> tuple[int, float] | None:
        for entry in self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            match = _PID.search(entry.user_message or "") or _PID.search(entry.message or "")
            if match:
                return int(match.group(1)), entry.timestamp
        return None


def _find(pid: int, announced_at_s: float) -> psutil.Process | None:
    """The process that announced itself by `pid`, if it still lives: a younger one only has its number."""
    try:
        process = psutil.Process(pid)
        is_it = process.create_time() <= announced_at_s + 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if is_it else None
