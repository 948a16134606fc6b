from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.configuration import NO_MODEL, config_text
from tests.unit.intake.conftest import write_task
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform

DATASET = "py-cc"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A root with the registered tasks a, b, c, and a configuration that holds a literal key."""
    source = tmp_path / DATASET
    for task_id in ("a", "b", "c"):
        write_task(source / task_id, instruction=f"Mend {task_id}.\n")
    (source / "verifiable_tasks.txt").write_text("a\nb\nc\n")
    root = Root(tmp_path / "root", tmp_path / "env")
    create_ledger(root)
    config = root.path / "config.yaml"
    literal = NO_MODEL | {"api_key": "literal-key-4711"}
    config.write_text(config_text(source, llm_api=literal, harbor_job={"environment": "local"}))
    with open_ledger(root) as ledger:
        made = Platform(root, load_config(config), ledger)
        for each in made.config.sources():
            register_source(ledger, each, MAIN_CAMPAIGN)
        yield made
