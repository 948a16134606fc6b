"""What OpenHands' harness needs, where it is the one that rolls out: each thing by which a run of it was seen to fail.

Most of these cost nothing to look at, and a run that fails by them fails after minutes, in words about something else.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from platform import machine
from types import MappingProxyType

from trajgen_assets.core.checkouts.faults import commit_at_pin
from trajgen_assets.core.checkouts.looking import has_checkout
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.model_list import max_output_tokens
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.config.scaffolds import Harness
from trajgen_assets.core.errors import RefusedError, RequirementError
from trajgen_assets.core.openhands.checkout import (
    asked_platform,
    build_faults,
    endpoint_faults,
    openhands_pin,
    selection_faults,
    server_faults,
)
from trajgen_assets.core.openhands.environment import NAME, named_environment
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, fail, ok, warn
from trajgen_assets.core.provision.command import run, tool_environ

PROBE_TIMEOUT_S = 20.0
PLATFORMS: Mapping[str, str] = MappingProxyType(
    {"x86_64": "linux/amd64", "AMD64": "linux/amd64", "aarch64": "linux/arm64", "arm64": "linux/arm64"}
)

# Finds each module without running it; prints the version of Python, and the names of modules that are not there.
FIND_MODULES = """
import sys
from importlib.util import find_spec
def is_there(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(sys.version.split()[0], *(name for name in sys.argv[1:] if not is_there(name)))
"""


def checkout(subject: Subject) -> Iterable[Finding]:
    """The checkout is at its pin, clean, and a full one."""
    if chosen_in(subject) is None:
        return []
    commit = commit_at_pin(openhands_pin(subject.config), "OpenHands is not run from this checkout")
    return judged(subject, build_faults(checkout_folder(subject)), f"a full checkout at {commit[:12]}")


def server(subject: Subject) -> Iterable[Finding]:
    """The server that each container runs. Without it a run ends with `Container has exited`."""
    if chosen_in(subject) is None:
        return []
    return judged(subject, server_faults(checkout_folder(subject)), "there, and takes --no-enable-browser")


def endpoint(subject: Subject) -> Iterable[Finding]:
    """The server's endpoint. Without it a run ends with `404 Not Found for /update_mcp_server`."""
    if chosen_in(subject) is None:
        return []
    return judged(subject, endpoint_faults(checkout_folder(subject)), "/update_mcp_server is answered")


def selection(subject: Subject) -> Iterable[Finding]:
    """Nothing in the checkout selects rows before SKIP_IDS does, in silence."""
    if chosen_in(subject) is None:
        return []
    return judged(subject, selection_faults(checkout_folder(subject)), "the checkout selects no rows by itself")


def output_limit(subject: Subject) -> Iterator[Finding]:
    """The model writes as many tokens as it is asked for; else each call ends with `max_tokens is too large`."""
    if (chosen := chosen_in(subject)) is None:
        return
    for name in subject.campaigns:
        model, asked = subject.config.campaign(name).llm_api.model, chosen.max_output_tokens
        limit = max_output_tokens(model)
        if asked is not None and limit is None:
            mend = "see its provider's documentation, or leave openhands.max_output_tokens out"
            yield warn(f"{asked} are asked for, and what {model} writes at most is not known", mend, subject=name)
        else:  # more than that is refused with the configuration
            said = "left to OpenHands" if asked is None else str(asked)
            yield ok(f"{said}; {model} writes {limit or 'an unknown number'} at most", subject=name)


def split(subject: Subject) -> Iterable[Finding]:
    """The split that rows of a file have; with another a run ends with `KeyError: 'test'`."""
    chosen = chosen_in(subject)
    return [ok(f"--split {chosen.split} is passed, and only it is accepted")] if chosen else []


def browser(subject: Subject) -> Iterable[Finding]:
    """What an error of the browser means."""
    chosen = chosen_in(subject)
    if chosen is None:
        return []
    if chosen.run_with_browsing:
        return [
            warn("the agent is told never to browse, and a browser that does not start is an error", "leave it out")
        ]
    return [ok("off: a browser that does not start in a container is no error")]


def llm_section(subject: Subject) -> Iterator[Finding]:
    """The section of config.toml that is named exists; without it a run ends with an AttributeError about None."""
    if (chosen := chosen_in(subject)) is None:
        return
    for name in subject.campaigns:
        model = subject.config.campaign(name).llm_api.model
        yield ok(f"[{chosen.llm_config}] is written for each process, with {model} at the job's proxy", subject=name)


def packages(subject: Subject) -> Iterator[Finding]:
    """Python 3.12 or 3.13, with what run_infer and the evaluator import and OpenHands does not require."""
    if (chosen := chosen_in(subject)) is None:
        return
    python = _python(subject, chosen)
    own = chosen.evaluator == "msb" and chosen.evaluator_python is None
    yield from _modules(python, ["datasets", *(["multi_swe_bench.harness.run_evaluation"] if own else [])])
    if chosen.evaluator == "msb" and chosen.evaluator_python is not None:
        other = subject.config.resolve(chosen.evaluator_python)
        yield from _modules(other, ["multi_swe_bench.harness.run_evaluation"])


def platform(subject: Subject) -> Iterator[Finding]:
    """Containers are asked for of this machine's kind: VeloraHarness asks for another than OpenHands."""
    if chosen_in(subject) is None:
        return
    asked, own = asked_platform(checkout_folder(subject)), PLATFORMS.get(machine())
    if asked is not None and own is not None and asked != own:
        text = f"run_infer asks for containers of {asked} on {own}: they are emulated, or do not start"
        yield warn(text, f"pin a commit that asks for {own}")
    else:
        yield ok(f"containers of {asked or 'the kind that the engine has'}")


def chosen_in(subject: Subject) -> OpenHands | None:
    """The settings, if OpenHands is what rolls out; of a configuration that cannot be read nothing is known."""
    if not isinstance(subject.config_or_error, Config):
        return None
    inputs = subject.config.runtime_info.input
    return inputs.openhands if inputs.rollout.harness is Harness.OPENHANDS else None


def checkout_folder(subject: Subject) -> Path:
    """Where the checkout is. Raises NotLookedError if it is not there."""
    folder = openhands_pin(subject.config).folder
    if not has_checkout(folder):
        raise NotLookedError("OpenHands is not checked out")
    return folder


def judged(subject: Subject, faults: Iterable[tuple[str, str]], good: str) -> list[Finding]:
    """A failure for each of `faults`, which are those of the checkout; `good` if there is none."""
    folder = checkout_folder(subject)
    found = [fail(RefusedError(fault, where=folder, mend=mend)) for fault, mend in faults]
    return found or [ok(good)]


def _python(subject: Subject, chosen: OpenHands) -> Path:
    if chosen.lock is None:
        return named_environment(subject.config, os.environ).python
    made = subject.root.env / NAME / "bin" / "python"
    if not made.exists():
        raise NotLookedError(f"the environment is made of {chosen.lock} by the first job")
    return made


def _modules(python: Path, names: list[str]) -> Iterator[Finding]:
    outcome = run([python, "-c", FIND_MODULES, *names], env=tool_environ(os.environ), timeout_s=PROBE_TIMEOUT_S)
    if not (outcome.ok and outcome.tail):
        mend = "name an interpreter that runs in openhands.python, or in evaluator_python"
        yield fail(RequirementError("the Python does not run", where=python, why=outcome.reason, mend=mend))
        return
    version, *missing = outcome.tail[-1].split()
    if missing:
        mend = "install what is missing there, or add it to openhands.lock"
        what = f"{' and '.join(missing)} cannot be imported"
        yield fail(RequirementError(what, where=python, why="OpenHands does not bring it along", mend=mend))
    else:
        yield ok(f"Python {version} at {python} has {' and '.join(names) or 'what it needs'}")
