"""The pinned checkout that `run_infer` is run from, and what it must hold.

The runtime image is built from the files beside the package `openhands`, so that nothing but a full checkout will do:
the wheel of openhands-ai 0.62.0 has no `evaluation/`, and neither `microagents/` nor `poetry.lock`.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.checkouts.faults import commit_at_pin
from trajgen_assets.core.checkouts.pin import Pin, pins_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.errors import RefusedError

ENTRY = "openhands"
MODULE = "evaluation.benchmarks.multi_swe_bench.run_infer"
BENCHMARK = Path("evaluation", "benchmarks", "multi_swe_bench")
SERVER = Path("openhands", "runtime", "action_execution_server.py")

# What the server is told by a flag, and what it is asked for.
MARKERS = ("--no-enable-browser", "/update_mcp_server")
TAG = "0.62.0"
FROM_TAG = f"take the file from tag {TAG} of OpenHands (not from 0.33), commit it, and pin that commit"

# What the image builder copies from beside the package.
BUILT_FROM = ("microagents", "pyproject.toml", "poetry.lock")


@dataclass(frozen=True)
class OpenHandsCheckout:
    """The checkout, at its pin and whole.

    Attributes:
        folder: of the checkout itself, which no process runs in: each has a worktree.
        commit: of its HEAD.
    """

    folder: Path
    commit: str


def openhands_pin(config: Config) -> Pin:
    """The entry `openhands` of the pinned repositories."""
    return pins_of(config)[ENTRY]


def whole_checkout(config: Config) -> OpenHandsCheckout:
    """The checkout that the configuration pins.

    Raises:
        RefusedError: it is not checked out, not at its pin, changed, or lacks something.
        CheckoutError: git cannot read it.
    """
    pin = openhands_pin(config)
    commit = commit_at_pin(pin, "OpenHands is not run from this checkout")
    for fault, mend in faults_in(pin.folder, config):
        raise RefusedError("OpenHands is not run from this checkout", where=pin.folder, why=fault, mend=mend)
    return OpenHandsCheckout(pin.folder, commit)


def faults_in(folder: Path, config: Config) -> Iterator[tuple[str, str]]:
    """What the files of a checkout lack, each with its mend."""
    yield from server_faults(folder)
    yield from endpoint_faults(folder)
    yield from build_faults(folder)
    yield from selection_faults(folder)
    if (chosen := config.runtime_info.input.openhands) is not None:
        yield from evaluator_faults(folder, chosen)


def server_faults(folder: Path) -> Iterator[tuple[str, str]]:
    """The server that each container runs is there, and takes the flag that it is started with.

    Without it a run ends with `Container has exited`.
    """
    if not (folder / SERVER).is_file():
        yield f"it has no {SERVER}, so that no container would start", FROM_TAG
    elif MARKERS[0] not in _text(folder / SERVER):
        yield f"{SERVER} does not know {MARKERS[0]}, with which it is started", FROM_TAG


def endpoint_faults(folder: Path) -> Iterator[tuple[str, str]]:
    """The server answers at the path that its client posts to; without it a run ends with a 404."""
    if (folder / SERVER).is_file() and MARKERS[1] not in _text(folder / SERVER):
        yield f"{SERVER} has no endpoint {MARKERS[1]}", FROM_TAG


def build_faults(folder: Path) -> Iterator[tuple[str, str]]:
    """The benchmark is there, and what the runtime image is built from."""
    if not (folder / BENCHMARK / "run_infer.py").is_file():
        yield f"it has no {BENCHMARK}/run_infer.py", f"pin OpenHands {TAG} or VeloraHarness, as a full checkout"
    if missing := [name for name in BUILT_FROM if not (folder / name).exists()]:
        why = f"it lacks {', '.join(missing)}, of which the runtime image is built"
        yield why, "pin a full checkout: an unpacked wheel has none of it"


def selection_faults(folder: Path) -> Iterator[tuple[str, str]]:
    """Nothing selects rows behind our back: `selected_ids` counts before SKIP_IDS, and says nothing."""
    path = folder / BENCHMARK / "config.toml"
    if not path.is_file():
        return
    try:
        selected = tomllib.loads(_text(path)).get("selected_ids")
    except tomllib.TOMLDecodeError as error:
        yield f"{BENCHMARK}/config.toml is not TOML: {error}", "remove it, commit, and pin that commit"
        return
    if selected is not None:
        why = f"{BENCHMARK}/config.toml has selected_ids, which silently decides what runs"
        yield why, "remove it, commit, and pin that commit"


def asked_platform(folder: Path) -> str | None:
    """The kind of machine that run_infer asks containers for, such as `linux/amd64`; None where it names none."""
    path = folder / BENCHMARK / "run_infer.py"
    found = re.search(r"linux/(?:amd64|arm64)", _text(path)) if path.is_file() else None
    return found[0] if found else None


def evaluator_faults(folder: Path, chosen: OpenHands) -> Iterator[tuple[str, str]]:
    """The evaluator of the checkout is there, where it is that one."""
    if chosen.evaluator == "velora" and not (folder / chosen.evaluator_script).is_file():
        mend = "pin a commit of VeloraHarness that has it, or name another in openhands.evaluator_script"
        yield f"it has no {chosen.evaluator_script}", mend


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
