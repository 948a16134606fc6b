"""What deploy/kubernetes promises, read from its files: the chart's keys, the API's objects, secrets by name alone."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import sqlalchemy as sa
import yaml
from pydantic import ValidationError

from resources.instance import read_overlay
from tests.chart_values import (
    CHART_ENV,
    FOLDER,
    Object,
    chart_at_hand,
    check_api,
    check_chart,
    check_keys,
    check_object,
    values,
)
from trajgen_assets.core.paths import DAGSTER_URL_ENV, LEDGER_URL_ENV, PROJECT
from trajgen_assets.core.rollout.trial_slots import HOST_ENV

MANIFESTS = sorted((FOLDER / "manifests").glob("*.yaml"))
SECRETS = {"trajgen-secrets", "trajgen-postgres"}
SECRET_REFERENCES = {"secretRef", "envSecrets", "env_secrets", "imagePullSecrets", "postgresqlSecretName"}
LOCKED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def manifests() -> list[Object]:
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]


def overlay() -> Object:
    """The settings of Dagster as the setup of a cluster fills them in."""
    named = {each["name"]: each.get("value", "trajgen") for each in values()["x-env"]}
    return read_overlay(FOLDER / "dagster.yaml", named)


def texts() -> Iterator[tuple[Path, str]]:
    for path in (FOLDER / "values.yaml", FOLDER / "dagster.yaml", *MANIFESTS):
        yield path, path.read_text()


def changed(tree: Any, *path: str | int, value: Any) -> Any:
    """A copy of `tree` with another value at `path`."""
    made = copy.deepcopy(tree)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return made


def inside(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a tree with its value."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield name, value
            yield from inside(value)
    if isinstance(tree, list):
        for each in tree:
            yield from inside(each)


def test_every_key_of_the_values_is_one_that_the_chart_has() -> None:
    check_keys(values())
    check_api(values())


@pytest.mark.parametrize("path", [("dagsterDaemon", "imagePullPolicy"), ("runLauncher", "kind"), ("dagsterWebServer",)])
def test_a_key_that_the_chart_does_not_have_is_found(path: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match=path[-1]):
        check_keys(changed(values(), *path, value="x"))


def test_a_field_that_a_pod_does_not_have_is_found() -> None:
    wrong = changed(values(), "dagsterDaemon", "securityContext", "privilegeEscalation", value=False)
    with pytest.raises(kubernetes_validate.ValidationError, match="privilegeEscalation"):
        check_api(wrong)


def test_the_chart_takes_the_values() -> None:
    if (chart := chart_at_hand()) is None:
        pytest.skip(f"{CHART_ENV} names no unpacked chart")
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["version"]
    assert version == "1.13.27"
    check_chart(values(), chart)


def test_a_chart_at_hand_is_asked_by_its_own_schema(tmp_path: Path) -> None:
    api = "https://example.org/v1.18.0/_definitions.json#/definitions/io.k8s.api.core.v1.ResourceRequirements"
    daemon = {"required": ["heartbeatTolerance"], "properties": {"resources": {"$ref": api}}}
    (tmp_path / "values.schema.json").write_text(json.dumps({"properties": {"dagsterDaemon": daemon}}))
    (tmp_path / "values.yaml").write_text("dagsterDaemon: {heartbeatTolerance: 1800}")
    check_chart(values(), tmp_path)
    with pytest.raises(jsonschema.ValidationError, match="'much' is not of type"):
        check_chart(changed(values(), "dagsterDaemon", "resources", "limits", value="much"), tmp_path)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_manifest_is_an_object_of_the_api(path: Path) -> None:
    for each in yaml.safe_load_all(path.read_text()):
        check_object(each)
        with pytest.raises(kubernetes_validate.ValidationError, match="unknownField"):
            check_object(changed(each, "spec", "unknownField", value=1))


def test_secrets_are_named_and_none_has_a_value_here() -> None:
    assert not [each for each in manifests() if each["kind"] == "Secret"]
    trees = [values(), overlay(), *manifests()]
    referred = [(name, value) for tree in trees for name, value in inside(tree) if name in SECRET_REFERENCES]
    assert {name for _, value in referred for name in names_in(value)} == SECRETS
    documented = (PROJECT / "docs" / "kubernetes.md").read_text()
    assert all(f"create secret generic {name}" in documented for name in SECRETS)


def test_the_two_addresses_that_are_shown_lead_to_the_server_and_to_a_database_each() -> None:
    shown = re.findall(r"^ *(\w+_URL)=(postgresql\S+)$", (PROJECT / "docs" / "kubernetes.md").read_text(), re.MULTILINE)
    url = {name: sa.make_url(address) for name, address in shown}
    given = values()["postgresql"]
    assert url.keys() == {DAGSTER_URL_ENV, LEDGER_URL_ENV}
    assert {each.host for each in url.values()} == {given["postgresqlHost"]}
    assert url[DAGSTER_URL_ENV].database == given["postgresqlDatabase"] != url[LEDGER_URL_ENV].database


def names_in(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for each in value for name in names_in(each)]
    return [value["name"] if isinstance(value, dict) else value]


def test_what_servers_runs_and_setup_share_is_said_alike() -> None:
    given, launcher = values(), overlay()["run_launcher"]["config"]
    (setup,) = (each for each in manifests() if each["kind"] == "Job")
    pod = setup["spec"]["template"]["spec"]
    image = f"{given['x-image']['repository']}:{given['x-image']['tag']}"
    assert {launcher["job_image"], pod["containers"][0]["image"]} == {image}
    assert launcher["volumes"] == pod["volumes"] == given["x-volumes"]
    assert launcher["volume_mounts"] == pod["containers"][0]["volumeMounts"] == given["x-mounts"]
    assert pod["containers"][0]["env"] == given["x-env"]
    assert launcher["run_k8s_config"]["pod_spec_config"]["securityContext"] == given["x-pod-security"]
    assert pod["securityContext"] == given["x-pod-security"]
    assert launcher["service_account_name"] == given["serviceAccount"]["name"] == given["global"]["serviceAccountName"]


def test_every_pod_counts_trial_slots_under_one_name() -> None:
    (name,) = (each["value"] for each in values()["x-env"] if each["name"] == HOST_ENV)
    assert name
    for part in ("dagsterDaemon", "dagsterWebserver"):
        assert values()[part]["env"] == values()["x-env"]
    assert values()["dagster-user-deployments"]["deployments"][0]["env"] == values()["x-env"]
    assert HOST_ENV in overlay()["run_launcher"]["config"]["env_vars"]


def test_no_pod_is_root_or_may_become_it() -> None:
    given, launcher = values(), overlay()["run_launcher"]["config"]
    (setup,) = (each for each in manifests() if each["kind"] == "Job")
    containers = [given["x-security"], launcher["security_context"]]
    containers += [each["securityContext"] for each in setup["spec"]["template"]["spec"]["containers"]]
    assert all(each == LOCKED for each in containers)
    assert given["x-pod-security"]["runAsNonRoot"] is True


def test_the_volume_is_one_that_all_nodes_share() -> None:
    (claim,) = (each for each in manifests() if each["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["name"] == values()["x-volumes"][0]["persistentVolumeClaim"]["claimName"]


def test_nothing_comes_in_but_by_a_policy_that_says_from_where() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in manifests() if each["kind"] == "NetworkPolicy"}
    closed = policies.pop("trajgen-nothing-comes-in")
    assert (closed["podSelector"], closed["policyTypes"], "ingress" in closed) == ({}, ["Ingress"], False)
    assert all(rule["from"] and rule["ports"] for spec in policies.values() for rule in spec["ingress"])
    assert policies["trajgen-proxies"]["podSelector"]["matchLabels"] == overlay()["run_launcher"]["config"]["labels"]
    (web,) = policies["trajgen-web-server"]["ingress"]
    assert web["ports"] == [{"port": values()["dagsterWebserver"]["service"]["port"]}]
