"""A cluster's API as far as Dagster's run launcher asks it: it keeps the jobs that it gets, and tells how they do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.serving import JsonHandler, serving


@dataclass
class Cluster:
    """What it was given, and the file that leads to it."""

    kubeconfig: Path
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=lambda: {"active": 1})


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster on loopback."""
    cluster = Cluster(folder / "kubeconfig.yaml")

    class Handler(JsonHandler):
        def do_POST(self) -> None:  # noqa: N802  the name by which it is called
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            cluster.jobs[job["metadata"]["name"]] = job
            self.answer(201, job)

        def do_GET(self) -> None:  # noqa: N802
            job = cluster.jobs.get(self.path.split("/")[-2 if self.path.endswith("/status") else -1])
            self.answer(200, job | {"status": cluster.status}) if job else self.answer(404, {"kind": "Status"})

    with serving(Handler) as url:
        named = [{"name": "twin", "cluster": {"server": url}}]
        context = [{"name": "twin", "context": {"cluster": "twin", "user": "twin"}}]
        config = {"clusters": named, "contexts": context, "users": [{"name": "twin", "user": {}}]}
        cluster.kubeconfig.write_text(
            yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "twin", **config})
        )
        yield cluster
