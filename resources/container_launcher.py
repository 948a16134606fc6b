"""A run launcher of containers that needs the Docker engine in Dagster's daemon alone.

The web UI asks for the end of a run in its own process. The engine's socket is as good as root on its host, so the
process that talks to browsers has none: it leaves a tag, and the daemon ends the run when it next looks after it.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
import docker
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, ResumeRunContext
from dagster._serdes import ConfigurableClassData
from dagster_docker import DockerRunLauncher

log = logging.getLogger(__name__)

CANCEL_TAG = "trajgen/cancel_requested"
DEPLOYMENT_LABEL = "trajgen.deployment"
RUN_LABEL = "dagster/run_id"
ENGINE_SOCKET = Path("/var/run/docker.sock")


class ContainerRunLauncher(DockerRunLauncher):
    """Dagster's launcher of containers, with an end of runs by word of the web UI, and of containers with their runs.

    `container_kwargs.labels` of its configuration has `trajgen.deployment`, by which its containers are found.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Make one as `dagster.yaml` configures it."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run in a container of its own, and remove those whose runs are over."""
        self._remove_finished()
        super().launch_run(context)

    def resume_run(self, context: ResumeRunContext) -> None:
        """Go on with the run in another container, in place of the one that ended."""
        if (ended := self._container_of(context.dagster_run)) is not None:
            ended.remove(force=True)
        super().resume_run(context)

    def terminate(self, run_id: str) -> bool:
        """Have the run end, without waiting for it: at once where the engine can be asked, else by the daemon."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if ENGINE_SOCKET.exists():
            return self._interrupt(run)
        self._instance.add_run_tags(run_id, {CANCEL_TAG: "yes"})
        self._instance.report_engine_event("The daemon is asked to end the run.", run, cls=type(self))
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say whether the run's container runs. One that is to end is told so here: nothing else looks at each run."""
        health: CheckRunHealthResult = super().check_run_worker_health(run)
        if CANCEL_TAG in run.tags and not self._interrupt(run):
            self._end_without_container(run.run_id)
        return health

    def _interrupt(self, run: dg.DagsterRun) -> bool:
        """Tell the run's container to end, as the inherited method does, which then waits for minutes."""
        container = self._container_of(run)
        if container is None or container.status != "running":
            return False
        self._instance.report_run_canceling(run)
        container.kill(signal="SIGTERM")
        return True

    def _end_without_container(self, run_id: str) -> None:
        """Report the end of a run that is gone already: run monitoring would resume what nobody wants any more."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_canceled(run, "Its container had ended before it could be told to.")

    def _container_of(self, run: dg.DagsterRun) -> Any | None:
        return self._get_container(run)  # type: ignore[no-untyped-call]

    def _remove_finished(self) -> None:
        """Remove the containers whose runs are over. Until then they tell how they ended."""
        ours = f"{DEPLOYMENT_LABEL}={self.container_kwargs['labels'][DEPLOYMENT_LABEL]}"
        ended = docker.client.from_env().containers.list(
            all=True, filters={"label": ours, "status": "exited"}, ignore_removed=True
        )
        for container in ended:
            run = self._instance.get_run_by_id(container.labels.get(RUN_LABEL, ""))
            if run is None or run.is_finished:
                _remove(container)


def _remove(container: Any) -> None:
    """Remove a container that ended. One that cannot be, as others are at it, keeps no run from its start."""
    try:
        container.remove()
    except docker.errors.APIError as error:
        log.warning("%s: its container is left for the next start of a run: %s", container.id, error.explanation)
