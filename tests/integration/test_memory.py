"""Harbor's own parser reads the larger memory from what a retry rolls out, and nothing else of it is another."""

import json
import subprocess
from typing import Any

import pytest

from tests.integration.harbor_runs import TASK_TOML, harbor_env
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.rollout.memory import raised_memory

BUNDLED = (PROJECT / "examples/swe_tasks/py-cc/fernhollow__stanzaconf-87/task.toml").read_text()
READ = """
import json, sys
from harbor.models.task.config import TaskConfig
print(json.dumps([TaskConfig.model_validate_toml(text).model_dump(mode="json") for text in json.load(sys.stdin)]))
"""


def read_by_harbor(*texts: str) -> list[dict[str, Any]]:
    argv = [harbor_env() / "bin" / "python", "-W", "ignore", "-c", READ]
    done = subprocess.run(argv, input=json.dumps(texts), stdout=subprocess.PIPE, text=True, check=True)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("text", [BUNDLED, f"{TASK_TOML}memory_mb = 1024\n", f'{TASK_TOML}memory = "1G"\n'])
def test_harbor_reads_twice_the_memory_and_else_the_same(text: str) -> None:
    raised = raised_memory(text, 2)
    assert raised is not None
    before, after = read_by_harbor(text, raised[0])
    assert (before["environment"].pop("memory_mb"), after["environment"].pop("memory_mb")) == (1024, 2048)
    assert after == before
