"""What the values of the Helm chart are held to: its own schema where a chart is at hand, else the keys that we use.

The chart is in no package registry that the locks reach, so `TRAJGEN_DAGSTER_CHART` names an unpacked one; the models
below are our own description of the part of its 1.13 values that `deploy/kubernetes/values.yaml` sets, and refuse all
else. What an object of Kubernetes has within is held to the API's schema in either case.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import schema_contents
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from trajgen_assets.core.paths import PROJECT

API_VERSION = "1.34"
FOLDER = PROJECT / "deploy" / "kubernetes"
CHART_ENV = "TRAJGEN_DAGSTER_CHART"
OWN_PREFIX = "x-"

Object = dict[str, Any]


class Part(BaseModel):
    """A section of which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Image(Part):
    repository: str
    tag: str
    pull_policy: Literal["Always", "IfNotPresent", "Never"]


class Service(Part):
    type: str
    port: int


class Pod(Part):
    """What the three kinds of servers share."""

    image: Image
    env: list[Object]
    env_secrets: list[Object]
    volumes: list[Object]
    volume_mounts: list[Object]
    pod_security_context: Object
    security_context: Object
    resources: Object


class Included(Part):
    enabled: bool


class CodeServer(Pod):
    name: str
    dagster_api_grpc_args: list[str]
    port: int
    include_config_in_launched_runs: Included


class CodeServers(Part):
    enabled: bool
    enable_subchart: bool
    deployments: list[CodeServer]


class Webserver(Pod):
    enable_read_only: bool
    service: Service
    readiness_probe: Object


class RunLauncher(Part):
    type: Literal["K8sRunLauncher"]


class DatabasePort(Part):
    port: int


class Database(Part):
    enabled: bool
    postgresql_host: str
    postgresql_username: str
    postgresql_database: str
    service: DatabasePort


class Global(Part):
    postgresql_secret_name: str
    service_account_name: str


class ServiceAccount(Part):
    create: bool
    name: str


class Telemetry(Part):
    enabled: bool


class Values(Part):
    """The whole file, less what is named `x-…`, which the chart passes over."""

    global_: Global = Field(alias="global")
    generate_postgresql_password_secret: bool
    postgresql: Database
    user_deployments: CodeServers = Field(alias="dagster-user-deployments")
    dagster_webserver: Webserver
    dagster_daemon: Pod
    run_launcher: RunLauncher
    service_account: ServiceAccount
    telemetry: Telemetry


def values() -> Object:
    """The values as the chart gets them."""
    read: Object = yaml.safe_load((FOLDER / "values.yaml").read_text())
    return read


def check_keys(given: Mapping[str, Any]) -> None:
    """Raise pydantic's ValidationError where a key is none that is described here, or has another type."""
    Values.model_validate({name: value for name, value in given.items() if not name.startswith(OWN_PREFIX)})


def check_api(given: Mapping[str, Any]) -> None:
    """Raise kubernetes_validate's ValidationError where something within a pod is nothing of the API's."""
    for pod in _servers(given):
        check_object({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "of-values"}, "spec": pod})


def check_object(manifest: Mapping[str, Any]) -> None:
    """Raise ValidationError unless this is an object of the API, without a field that the API does not know."""
    kubernetes_validate.validate(dict(manifest), API_VERSION, strict=True)


def check_chart(given: Mapping[str, Any], chart: Path) -> None:
    """Raise jsonschema's ValidationError where the values, over the chart's own, are not what its schema asks for."""
    own = yaml.safe_load((chart / "values.yaml").read_text())
    schema = yaml.safe_load((chart / "values.schema.json").read_text())
    registry: Registry[Any] = Registry(retrieve=_definitions)
    jsonschema.Draft7Validator(schema, registry=registry).validate(_over(own, given))


def chart_at_hand() -> Path | None:
    """The unpacked chart that the environment names."""
    named = os.environ.get(CHART_ENV)
    return Path(named) if named else None


def _definitions(uri: str) -> Resource[Any]:
    """The chart's schema names the API's on the network: that of our version stands for it."""
    if not uri.partition("#")[0].endswith("/_definitions.json"):
        raise LookupError(uri)
    name = f"kubernetes-json-schema/v{API_VERSION}.0-local/_definitions.json"
    known = schema_contents(name, API_VERSION)["$defs"]
    return Resource(contents={"definitions": known, "$defs": known}, specification=DRAFT7)


def _over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, Mapping):
        return below | {name: _over(below.get(name), value) for name, value in above.items()}
    return above


def _servers(given: Mapping[str, Any]) -> Iterator[Object]:
    """The pods that the chart makes, as far as these values say what is in them."""
    deployments = given["dagster-user-deployments"]["deployments"]
    for section in (*deployments, given["dagsterWebserver"], given["dagsterDaemon"]):
        container = {
            "name": "main",
            "image": f"{section['image']['repository']}:{section['image']['tag']}",
            "env": section["env"],
            "envFrom": [{"secretRef": each} for each in section["envSecrets"]],
            "volumeMounts": section["volumeMounts"],
            "securityContext": section["securityContext"],
            "resources": section["resources"],
            **{name: section[name] for name in ("readinessProbe",) if name in section},
        }
        yield {
            "securityContext": section["podSecurityContext"],
            "volumes": section["volumes"],
            "containers": [container],
        }
