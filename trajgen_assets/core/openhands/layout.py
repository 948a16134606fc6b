"""Where OpenHands' `run_infer` puts what it makes, and where evaluators leave their reports beside it.

Source: OpenHands 0.62.0, `evaluation/utils/shared.py`, by its outputs. The folder of a run is
`<eval-output-dir>/<data set>-<split>/<agent>/<model>_maxiter_<n>[_N_<note>]`. There is no level `outputs` but in the
harness's own default of `--eval-output-dir`, which is `evaluation/evaluation_outputs/outputs`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OUTPUT_NAME = "output.jsonl"
COMPLETIONS_NAME = "llm_completions"

# Beside a trial's record of calls, where that has the text of mocked function calling: the same in tool-call form.
TOOL_CALLS_NAME = "tool-calls.jsonl"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run of `run_infer`."""

    path: Path

    @property
    def output(self) -> Path:
        """One row for each instance, in the order in which they ended; made empty when the run starts."""
        return self.path / OUTPUT_NAME

    @property
    def metadata(self) -> Path:
        """Written anew at each start, so that `start_time` is of the last one."""
        return self.path / "metadata.json"

    @property
    def gave_up(self) -> Path:
        """Instances that failed in each of their tries."""
        return self.path / "maximum_retries_exceeded.jsonl"

    def completions(self, instance_id: str) -> Path:
        """The model calls of an instance, one file each, of all of its tries."""
        return self.path / COMPLETIONS_NAME / instance_id

    def log(self, instance_id: str) -> Path:
        """There only if the run had more than one worker."""
        return self.path / "infer_logs" / f"instance_{instance_id}.log"


def run_folder(output_dir: Path, dataset: str, split: str, agent: str, model: str, limit: int, note: str = "") -> Path:
    """Return the folder that `run_infer` makes under `--eval-output-dir`.

    Args:
        output_dir: as given to it.
        dataset: as given to it; an absolute path begins with two underscores then.
        split: as given to it.
        agent: class of the agent.
        model: as the section of `config.toml` has it.
        limit: iterations at most.
        note: `--eval-note`.
    """
    name = model.rsplit("/", 1)[-1].replace(":", "_").replace("@", "-")
    suffix = f"_N_{note}" if note else ""
    return output_dir / f"{dataset.replace('/', '__')}-{split}" / agent / f"{name}_maxiter_{limit}{suffix}"


def find_runs(folder: Path) -> Iterator[RunFolder]:
    """Yield every run at or below `folder`, in the order of their paths."""
    for path in sorted(folder.rglob(OUTPUT_NAME)):
        if path.is_file():
            yield RunFolder(path.parent)
