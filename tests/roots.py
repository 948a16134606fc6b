"""Roots that were set up, each with a source of tasks beside it that its configuration names."""

from pathlib import Path
from typing import Any

from resources.instance import prepare_instance
from tests.configuration import config_text
from tests.unit.intake.conftest import write_task
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root

DATASET = "py-cc"


def set_up_root(folder: Path, *task_ids: str, **sections: Any) -> Root:
    """Return `folder/root` with a ledger, an instance and a configuration for the local sandbox; no task is registered.

    The tasks lie, and are listed, in `folder/py-cc`; `sections` of `runtime_info.input` are added.
    """
    root, source = Root(folder / "root"), folder / DATASET
    for task_id in task_ids:
        write_task(source / task_id, instruction=f"Mend {task_id}.\n")
    list_tasks(folder, *task_ids)
    create_ledger(root)
    prepare_instance(root, max_jobs=1)
    text = config_text(source, harbor_job={"environment": "local"}, **sections)
    (root.path / "config.yaml").write_text(text)
    return root


def list_tasks(folder: Path, *task_ids: str) -> None:
    """Have the manifest of the source beside a root name these tasks."""
    (folder / DATASET / "verifiable_tasks.txt").write_text("".join(f"{task_id}\n" for task_id in task_ids))


def register_listed(root: Root) -> None:
    """Have the ledger of a root know the tasks that its configured sources list."""
    with open_ledger(root) as ledger:
        for each in load_config(root.path / "config.yaml").sources():
            register_source(ledger, each, MAIN_CAMPAIGN)
