"""The bundled tasks are true: 0 as they are, 1 with their solution, by Harbor's own agents in every environment."""

from pathlib import Path

import pytest

from tests.docker import needs_docker
from tests.e2e.conftest import SOLVED, TASKS, UNSOLVED
from tests.e2e.harbor_alone import run_harbor_alone
from trajgen_assets.core.paths import Root

pytestmark = pytest.mark.e2e

UNLISTED = "ostrava-labs__dagweave-19"
SOUND = (*SOLVED, UNSOLVED, UNLISTED)
ENVIRONMENTS = ("local", pytest.param("docker", marks=needs_docker))


@pytest.mark.parametrize(("agent", "reward"), [("nop", 0.0), ("oracle", 1.0)])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_sound_task_gives_0_untouched_and_1_with_its_solution(
    environment: str, agent: str, reward: float, tmp_path: Path, env_dir: Path
) -> None:
    root = Root(tmp_path / "root", env_dir)
    results = run_harbor_alone(root, environment, {"name": agent}, [TASKS / task_id for task_id in SOUND])
    assert {task_id: (result.note, result.reward) for task_id, result in results.items()} == dict.fromkeys(
        SOUND, (None, reward)
    )
