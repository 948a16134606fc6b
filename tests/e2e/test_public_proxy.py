"""A whole job whose agent works inside a sandbox and comes to the proxy by a public address; Docker is elsewhere."""

from pathlib import Path

import pytest

from tests.docker import needs_docker
from tests.e2e.conftest import KEY_ENV, Installation
from tests.e2e.test_scaffolds import job_names, short_model, tasks
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.docker import gateway_address, leftovers_of
from trajgen_assets.core.rollout.host_facts import load_host_facts
from trajgen_assets.core.rollout.reaching import REACH_TRIAL
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = [pytest.mark.e2e, pytest.mark.faults, needs_docker, pytest.mark.timeout(900)]

__all__ = ["short_model", "tasks"]  # fixtures

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    litellm_proxy: {proxy}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: docker, n_concurrent: 2, timeout_multiplier: 1}}
    agent: {{name: mini-swe-agent}}
"""


def test_a_job_begins_only_where_its_sandboxes_reach_its_own_proxy(
    tmp_path: Path, env_dir: Path, tasks: Path, short_model: ScriptedModel
) -> None:
    made = Installation(Root(tmp_path / "root", env_dir))
    made.root.path.mkdir()

    def configure(proxy: str) -> None:
        text = CONFIG.format(base_url=short_model.base_url, key_env=KEY_ENV, tasks=tasks, proxy=proxy)
        made.config.write_text(text)

    configure('{public_url: "http://{host}:1", port: 41999}')  # nobody is there
    made.run("setup", "--skip-environments")
    code, output = made.run("start")
    assert code != 0
    assert "the sandbox cannot connect to the proxy" in output
    with open_ledger(made.root) as ledger:
        (refused,) = ledger.jobs()
        counts = ledger.counts("main")
        assert (counts.pending, counts.done, counts.failed) == (2, 0, 0)
    assert not leftovers_of(refused.name)

    configure(f'{{public_url: "http://{{host}}:{{port}}", host: "{gateway_address()}"}}')
    code, output = made.run("start")
    assert code == 0, output
    with open_ledger(made.root) as ledger:
        assert ledger.counts("main").done == 2
    job = next(name for name in job_names(made) if name != refused.name)
    files = made.root.job(job)
    assert (files.proxy / "ended" / REACH_TRIAL).exists()
    assert any(each.startswith(f"{gateway_address()}:") for each in load_host_facts(files.host).proxy)
    assert not leftovers_of(job)
