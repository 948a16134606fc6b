"""The launcher of containers, with an engine's API that answers as a real one does when others remove some, too."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG

from resources.container_launcher import CANCEL_TAG, DEPLOYMENT_LABEL, RUN_LABEL
from tests.serving import JsonHandler, serving

NEW = "new"
ENDED = ("gone", "being-removed", "removable")
LAUNCHER = {
    "module": "resources.container_launcher",
    "class": "ContainerRunLauncher",
    "config": {"image": "app:1", "container_kwargs": {"labels": {DEPLOYMENT_LABEL: "here"}}},
}


@dg.op
def nothing() -> None: ...


@dg.job
def idle() -> None:
    nothing()


@contextmanager
def engine() -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it was asked to do. It lists containers, one of which is gone when it is looked at."""
    asked: list[str] = []

    class Handler(JsonHandler):
        def do_GET(self) -> None:  # noqa: N802  the name by which it is called
            path = self.path.partition("?")[0]
            if path.endswith("/version"):
                self.answer(200, {"ApiVersion": "1.45"})
            elif path.endswith("/containers/json"):
                self.answer(200, [{"Id": name} for name in ENDED])
            else:
                name = path.split("/")[-2]
                self.answer(404 if name == "gone" else 200, described(name) | {"message": "No such container"})

        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(self.path.partition("?")[0].rpartition("/")[2])
            self.answer(201, {"Id": NEW})

        def do_DELETE(self) -> None:  # noqa: N802
            name = self.path.partition("?")[0].rpartition("/")[2]
            asked.append(f"remove {name}")
            code = {"being-removed": 409, "removable": 204}[name]
            self.answer(code, {"message": "removal of container is already in progress"})

    with serving(Handler) as url:
        yield url.replace("http://", "tcp://"), asked


def described(name: str) -> dict[str, object]:
    labels = {DEPLOYMENT_LABEL: "here", RUN_LABEL: f"run-of-{name}"}
    return {"Id": name, "State": {"Status": "exited"}, "Config": {"Labels": labels}}


@pytest.mark.parametrize(
    ("tags", "status"),
    [({CANCEL_TAG: "yes"}, dg.DagsterRunStatus.CANCELED), ({}, dg.DagsterRunStatus.STARTED)],
    ids=["cancelled", "wanted"],
)
def test_a_run_whose_container_died_is_over_if_it_was_cancelled_and_else_left_to_be_resumed(
    monkeypatch: pytest.MonkeyPatch, tags: dict[str, str], status: dg.DagsterRunStatus
) -> None:
    with engine() as (address, _), dg.instance_for_test(overrides={"run_launcher": LAUNCHER}) as instance:
        monkeypatch.setenv("DOCKER_HOST", address)
        of_container = {DOCKER_CONTAINER_ID_TAG: "removable"}
        run = instance.create_run_for_job(idle, status=dg.DagsterRunStatus.STARTED, tags=tags | of_container)
        health = instance.run_launcher.check_run_worker_health(run)
        assert health.status is WorkerStatus.FAILED
        assert instance.get_run_by_id(run.run_id).status is status


def test_a_run_starts_whoever_else_removes_containers_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    origin = RepositoryPythonOrigin("/usr/bin/python3", ModuleCodePointer(__name__, "idle", working_directory=None))
    with engine() as (address, asked), dg.instance_for_test(overrides={"run_launcher": LAUNCHER}) as instance:
        monkeypatch.setenv("DOCKER_HOST", address)
        run = instance.create_run_for_job(idle, job_code_origin=JobPythonOrigin("idle", origin))
        instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert asked == ["remove being-removed", "remove removable", "create", "start"]
