"""How `run_infer` is called: flags and environment of one process, which has one row."""

from collections.abc import Collection, Iterable
from pathlib import Path

from trajgen_assets.core.config.config import Campaign
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.ledger.models import TaskRow, TaskStatus
from trajgen_assets.core.openhands.checkout import MODULE

# Linux takes no single variable of 128 KiB or more.
MAX_SKIP_IDS_BYTES = 96 << 10

# The harness's own word for "go on with the other rows", without which one bad row ends the process with all of them.
GO_ON = "EVAL_SKIP_MAXIMUM_RETRIES_EXCEEDED"

# No telemetry, and nothing fetched: LiteLLM loads a price list, and `datasets` asks its hub.
QUIET_ENV = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


def arguments(python: Path, campaign: Campaign, chosen: OpenHands, *, dataset: str, outputs: Path) -> list[str | Path]:
    """The command. Every flag is given that has a default of another meaning; unknown ones would be passed over.

    Args:
        dataset: the row's file, relative to the working directory: it names the folder of the outputs.
        outputs: `--eval-output-dir`.
    """
    told: dict[str, str | Path] = {
        "--agent-cls": chosen.agent_cls,
        "--llm-config": chosen.llm_config,
        "--max-iterations": str(campaign.agent.max_turns),
        "--dataset": dataset,
        "--split": chosen.split,
        "--eval-num-workers": str(chosen.eval_num_workers),
        "--eval-output-dir": outputs,
    }
    if chosen.eval_note:
        told["--eval-note"] = chosen.eval_note
    return [python, "-m", MODULE, *(word for pair in told.items() for word in pair)]


def environment(chosen: OpenHands, folder: Path, skipped: Collection[str]) -> dict[str, str]:
    """What the process is given beyond the allow-list; nothing of it is secret.

    Args:
        folder: its working directory, where `openhands` and `evaluation` are imported from.
        skipped: ids that it must not run.
    """
    told = {
        "LANGUAGE": chosen.language,
        "USE_HINT_TEXT": _word(chosen.use_hint_text),
        "USE_INSTANCE_IMAGE": _word(chosen.use_instance_image),
        "RUN_WITH_BROWSING": _word(chosen.run_with_browsing),
        "EVAL_DOCKER_IMAGE_PREFIX": chosen.eval_docker_image_prefix,
        "RUNTIME": "docker",
        GO_ON: "true",
        "SKIP_IDS": _joined(skipped),
        "PYTHONPATH": str(folder),
        "HF_HOME": str(folder / ".hf"),
    }
    if chosen.runtime_container_image:
        told["RUNTIME_CONTAINER_IMAGE"] = chosen.runtime_container_image
    return {**QUIET_ENV, **told}


def skip_ids(rows: Iterable[TaskRow], job: str, task_id: str) -> list[str]:
    """The tasks of a job that the process of `task_id` must not run: all others, and its own if the job lost it.

    The row's file says the same. This holds if `run_infer` were ever given another file. Its own id comes first.
    """
    mine = [row for row in rows if row.task_id == task_id]
    is_held = any(row.status is TaskStatus.RUNNING and row.job == job for row in mine)
    return [*([] if is_held else [task_id]), *(row.task_id for row in rows if row.task_id != task_id)]


def _joined(ids: Collection[str]) -> str:
    """The list as `run_infer` splits it, without blanks; cut between two ids where it would be too long."""
    text = ",".join(ids)
    return text if len(text) <= MAX_SKIP_IDS_BYTES else text[:MAX_SKIP_IDS_BYTES].rpartition(",")[0]


def _word(holds: bool) -> str:
    return "true" if holds else "false"
