"""One run of the converter: in a folder of its own, without a network or a key, and never left behind."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.process import child_env, spawn, stop_group
from trajgen_assets.core.provision.environments import Environment

# A job of 1 GB takes it under a minute. Whatever is at it for so long hangs.
TIMEOUT_S = 4 * 3600.0
GRACE_S = 3.0
TAIL_BYTES = 2000
N_LINES = 4

# The tokenizer lies on this machine, so nothing is fetched; and nothing may be written beside pinned sources.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


def run_converter(
    environment: Environment, module: str, arguments: Sequence[str], folder: Path, *, timeout_s: float = TIMEOUT_S
) -> None:
    """Run `module` with `arguments` in `folder` to its end.

    Raises:
        ConversionError: it ended with another code than 0, by a signal, or not in time.
    """
    log = folder / "converter.log"
    argv: list[str | Path] = [environment.python, "-P", "-m", module, *arguments]
    with log.open("wb") as output:
        process = spawn(argv, env=child_env(QUIET), cwd=folder, log=output)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            stop_group(process, grace_s=GRACE_S)
    reached("converter_ended")
    if code != 0:
        mend = "see what it says; sft_conversion.engine: builtin converts without it"
        raise ConversionError("swe_data_process failed", where=module, why=_why(code, timeout_s, log), mend=mend)


def _why(code: int | None, timeout_s: float, log: Path) -> str:
    """How it ended, and the last that it said."""
    if code is None:
        ended = f"it did not end within {timeout_s:.0f} s"
    else:
        ended = f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"
    lines = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").splitlines()
    said = " | ".join(line.strip() for line in lines[-N_LINES:] if line.strip())
    return f"{ended}: {said}" if said else ended
