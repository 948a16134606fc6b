"""The job that Dagster's own run launcher asks a cluster for, of one of our runs, as deploy/kubernetes sets it up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

from resources.instance import OVERLAY_VARIABLE
from tests.chart_values import FOLDER, check_object, values
from tests.cluster_twin import Cluster, running_cluster
from tests.integration.host_in_time import Host, host_with
from trajgen_assets.dispatch import due_requests
from trajgen_assets.names import ROLLOUT_JOB

SECRET = "sk-never-in-a-job"
NAMESPACE = "rollouts"
LIMITS = {"requests": {"cpu": "450m", "memory": "1260Mi"}, "limits": {"memory": "2520Mi"}}


@dataclass(frozen=True)
class Launched:
    """A run that a tick asked for, and the job that the cluster got for it."""

    host: Host
    cluster: Cluster
    run: dg.DagsterRun
    job: dict[str, Any]

    @property
    def pod(self) -> dict[str, Any]:
        found: dict[str, Any] = self.job["spec"]["template"]["spec"]
        return found

    @property
    def container(self) -> dict[str, Any]:
        (found,) = self.pod["containers"]
        return dict(found)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("cluster")
    with running_cluster(folder) as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in daemon_environ(folder, cluster).items():
            patch.setenv(name, value)
        with host_with(folder, ["a", "b", "c", "d"], batch_max=4) as host:
            run = launch(host)
            (job,) = cluster.jobs.values()
            yield Launched(host, cluster, run, job)


def daemon_environ(folder: Path, cluster: Cluster) -> dict[str, str]:
    """What the daemon's pod has, with the settings of the deployment led to our cluster."""
    settings = yaml.safe_load((FOLDER / "dagster.yaml").read_text())
    ours = {"load_incluster_config": False, "kubeconfig_file": str(cluster.kubeconfig)}
    settings["run_launcher"]["config"] |= ours
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    named = {each["name"]: each.get("value", NAMESPACE) for each in values()["x-env"]}
    root = {"TRAJGEN_ROOT": str(folder / "root"), "DAGSTER_HOME": str(folder / "root" / "dagster_home")}
    return named | root | {OVERLAY_VARIABLE: str(folder / "dagster.yaml"), "LLM_API_KEY": SECRET}


def launch(host: Host) -> dg.DagsterRun:
    from trajgen_assets.definitions import defs

    (request,) = due_requests(host.instance, host.platform, [])
    pointer = ModuleCodePointer("trajgen_assets.definitions", "defs", working_directory=None)
    origin = JobPythonOrigin(ROLLOUT_JOB, RepositoryPythonOrigin("/usr/bin/python3", pointer))
    run = host.instance.create_run_for_job(
        defs().resolve_job_def(ROLLOUT_JOB), tags=request.tags, run_config=request.run_config, job_code_origin=origin
    )
    host.instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    return run


def test_the_job_is_an_object_of_the_api_and_nothing_else(launched: Launched) -> None:
    check_object(launched.job)
    assert launched.job["metadata"]["name"] == f"dagster-run-{launched.run.run_id}"


def test_the_pod_runs_our_image_with_our_volumes(launched: Launched) -> None:
    container = launched.container
    assert container["image"] == "registry.example.org/trajgen:0.1.0"
    assert container["args"][:5] == ["/usr/bin/python3", "-m", "dagster", "api", "execute_run"]
    assert launched.pod["volumes"] == values()["x-volumes"]
    assert container["volumeMounts"] == values()["x-mounts"]
    assert launched.pod["terminationGracePeriodSeconds"] == 180
    assert launched.job["spec"]["backoffLimit"] == 0


def test_secrets_come_by_name_and_no_value_is_in_the_job(launched: Launched) -> None:
    assert launched.container["envFrom"] == [{"secretRef": {"name": "trajgen-secrets"}}]
    assert SECRET not in json.dumps(launched.job)
    environ = {each["name"]: each.get("value") for each in launched.container["env"]}
    assert environ["DAGSTER_HOME"] == environ["TRAJGEN_ROOT"] + "/dagster_home"
    assert environ["TRAJGEN_CONFIG"] == "/etc/trajgen/config.yaml"
    (address,) = (each for each in launched.container["env"] if each["name"] == "POD_IP")
    assert address["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_the_pod_is_no_root_and_gets_no_token_of_the_cluster(launched: Launched) -> None:
    assert launched.pod["securityContext"] == values()["x-pod-security"]
    assert launched.container["securityContext"] == values()["x-security"]
    assert launched.pod["automountServiceAccountToken"] is False


def test_the_run_asks_for_the_memory_and_cpu_of_its_trials_at_once(launched: Launched) -> None:
    assert launched.container["resources"] == LIMITS  # 4 trials


def test_a_policy_and_a_person_find_the_pod_by_its_labels(launched: Launched) -> None:
    labels = launched.job["spec"]["template"]["metadata"]["labels"]
    assert labels["trajgen/part"] == "run"
    assert (labels["dagster/job"], labels["dagster/run-id"]) == (ROLLOUT_JOB, launched.run.run_id)


def test_run_monitoring_is_told_when_the_pod_is_gone(launched: Launched) -> None:
    instance = launched.host.instance
    launcher = instance.run_launcher
    assert launcher.check_run_worker_health(launched.run).status is WorkerStatus.RUNNING
    launched.cluster.status = {"failed": 1}
    assert launcher.check_run_worker_health(launched.run).status is WorkerStatus.FAILED
    assert launcher.supports_resume_run
