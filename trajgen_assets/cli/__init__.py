"""The `trajgen` command."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from trajgen_assets.core.exit_codes import EXIT_INTERRUPTED


def _end_at_once(_signal: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)


def unwind_on_interrupt() -> None:
    """From now on an interruption is an exception again: there is something to put away."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# The commands' imports take a second, in which nothing has been begun: Ctrl-C needs no traceback. Only in `trajgen`
# itself, which imports `main` next, and only where interruptions are not ignored already.
if Path(sys.argv[0]).name == "trajgen" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end_at_once)
