"""An agent that used up its trial's budget has ended by it, as one does by its turns: its trial is graded.

The proxy notes in `over_budget/<trial>` why it refused a call. What the agent then raises is left alone where the
budget was not its own: that end is none of its doing, and is not graded.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def ended_by_budget(trial: str) -> Iterator[None]:
    """Let an agent end in good order where it failed because the budget of `trial` was used up."""
    try:
        yield
    except Exception as error:
        why = _own_budget(trial)
        if why is None:
            raise
        log.warning("%s: %s; the agent ended with %s", trial, why, type(error).__name__)


def _own_budget(trial: str) -> str | None:
    """Why calls of the trial were refused for a budget of its own; None if none was."""
    proxy_dir = os.environ.get("TRAJGEN_PROXY_DIR")
    note = Path(proxy_dir, "over_budget", trial) if proxy_dir else None
    if note is None or not note.exists():
        return None
    said = json.loads(note.read_text())
    return said["text"] if said["scope"] == "trial" else None
