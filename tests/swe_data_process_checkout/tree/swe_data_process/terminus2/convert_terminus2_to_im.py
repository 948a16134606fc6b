import json
from pathlib import Path
from typing import Any

from swe_data_process.command import main


def steps(folder: Path) -> list[dict[str, Any]]:
    """The steps that Terminus-2 wrote: what it was told, and what it answered."""
    found = json.loads((folder / "agent" / "trajectory.json").read_text())["steps"]
    return [_turn(step) for step in found]


def _turn(step: dict[str, Any]) -> dict[str, Any]:
    if step["source"] == "user":
        return {"role": "user", "content": step["message"]}
    return {"role": "assistant", "content": step["message"], "reasoning_content": ""}


if __name__ == "__main__":
    main(steps, has_reasoning_options=False, has_quiet=False)
