from collections.abc import Iterator
from pathlib import Path

import pytest

from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform

DATASET = "py-cc"

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/m, api_base_url: "http://127.0.0.1:9/v1", api_key: "literal-key-4711"}}
    task_source: {{dataset_name: {source}}}
    harbor_job: {{environment: local}}
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A root with the registered tasks a, b, c, and a configuration that holds a literal key."""
    source = tmp_path / DATASET
    for task_id in ("a", "b", "c"):
        for name, text in (
            ("task.toml", 'version = "1.0"\n'),
            ("instruction.md", f"Mend {task_id}.\n"),
            ("environment/Dockerfile", "FROM scratch\n"),
            ("tests/test.sh", "true\n"),
        ):
            path = source / task_id / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (source / "verifiable_tasks.txt").write_text("a\nb\nc\n")
    root = Root(tmp_path / "root", tmp_path / "env")
    create_ledger(root)
    config = root.path / "config.yaml"
    config.write_text(CONFIG.format(source=source))
    with open_ledger(root) as ledger:
        made = Platform(root, load_config(config), ledger)
        for each in made.config.sources():
            register_source(ledger, each, MAIN_CAMPAIGN)
        yield made
