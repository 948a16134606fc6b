"""Two drivers on one ledger: together they roll out every task once, and a second campaign rolls each out once more."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY_ENV, SECRET, SOLVED, TASKS, UNSOLVED, Installation, files_with
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.ledger.models import TaskFilter
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = pytest.mark.e2e

N_TASKS = 200
DRIVER_TIME_S = 280.0

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}", staging: in_place}}
    harbor_job: {{environment: local, n_concurrent: 2, timeout_multiplier: 1}}
    campaigns: {{one: {{agent: {{name: oracle}}}}, two: {{agent: {{name: oracle}}}}}}
"""


@pytest.fixture
def many(tmp_path: Path, env_dir: Path, model: ScriptedModel) -> Iterator[Installation]:
    """Two hundred copies of the bundled tasks; the reference solution as the agent makes short work of each."""
    folder = tmp_path / "copies"
    names = [f"{(*SOLVED, UNSOLVED)[n % 4]}-{n:03}" for n in range(N_TASKS)]
    for name in names:
        shutil.copytree(TASKS / name.rpartition("-")[0], folder / name)
    (folder / "verifiable_tasks.txt").write_text("".join(f"{name}\n" for name in names))
    installation = Installation(Root(tmp_path / "root", env_dir))
    installation.root.path.mkdir()
    installation.config.write_text(CONFIG.format(base_url=model.base_url, key_env=KEY_ENV, tasks=folder))
    assert installation.run("setup", "--skip-environments")[0] == 0
    with open_ledger(installation.root) as ledger:  # a check would register only what it rolls out itself
        source = load_config(installation.config).source("copies")
        register_source(ledger, source, "one")
    yield installation
    assert installation.processes() == []
    assert files_with(SECRET, installation.root.path) == []


def accepted(installation: Installation) -> Counter[str]:
    """How often each task has an accepted trial, by what lies on disk."""
    entries = [entry for path in installation.root.jobs.glob("*/trials.json") for entry in load_trials(path).trials]
    return Counter(entry.task_key for entry in entries if entry.accepted)


@pytest.mark.timeout(600)
def test_two_drivers_at_once_accept_each_task_once_and_a_second_campaign_once_more(many: Installation) -> None:
    drivers = [many.begin("start", "--campaign", "one", "--limit", str(N_TASKS // 2)) for _ in range(2)]
    outputs = [driver.communicate(timeout=DRIVER_TIME_S)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs

    code, output = many.run("start", "--campaign", "two", "--limit", "20", timeout_s=DRIVER_TIME_S)
    assert code == 0, output

    with open_ledger(many.root) as ledger:
        ledger.check_balance()
        assert (ledger.counts("one").done, ledger.counts("two").done) == (N_TASKS, 20)
        rows = ledger.rows(TaskFilter(campaign="one"))
        assert {row.n_attempts for row in rows} == {1}
        assert len({row.last_job for row in rows}) == 2
    in_one = {key: n for key, n in accepted(many).items() if key.endswith("@one")}
    assert (len(in_one), set(in_one.values())) == (N_TASKS, {1})
    assert len([key for key in accepted(many) if key.endswith("@two")]) == 20
