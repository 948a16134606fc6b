"""What OpenHands' harness needs, where it is the one that rolls out: each thing by which a run of it was seen to fail.

Most of these cost nothing to look at, and a run that fails by them fails after minutes, in words about something else.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from trajgen_assets.core.checkouts.faults import commit_at_pin
from trajgen_assets.core.checkouts.looking import has_checkout
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.model_list import max_output_tokens
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.config.scaffolds import Harness
from trajgen_assets.core.counting import count_of, some_of
from trajgen_assets.core.errors import ManifestError, RefusedError, RequirementError, TrajgenError
from trajgen_assets.core.intake.rows import Row, read_row
from trajgen_assets.core.openhands.checkout import (
    build_faults,
    endpoint_faults,
    evaluator_faults,
    openhands_pin,
    selection_faults,
    server_faults,
)
from trajgen_assets.core.openhands.environment import NAME, named_environment
from trajgen_assets.core.openhands.images import LIST_TIMEOUT_S, image_of, missing_error, plan_images
from trajgen_assets.core.preflight.demand import usable_tasks
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, fail, ok, warn
from trajgen_assets.core.provision.command import run, tool_environ
from trajgen_assets.core.rollout.images import full_name, stored_images

Fault = tuple[str, str]

PROBE_TIMEOUT_S = 20.0
LOOK_S = 2.0
MANY_ROWS = 1000
BUILT_OVER = "ghcr.io/openhands/runtime"

# How a row of VeloraHarness may spell a language that LANGUAGE spells otherwise.
SPELLINGS: Mapping[str, str] = MappingProxyType(
    {"c++": "cpp", "golang": "go", "js": "javascript", "ts": "typescript", "py": "python", "rs": "rust"}
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
    if _chosen(subject) is None:
        return []
    commit = commit_at_pin(openhands_pin(subject.config), "OpenHands is not run from this checkout")
    return _judged(subject, build_faults(_folder(subject)), f"a full checkout at {commit[:12]}")


def server(subject: Subject) -> Iterable[Finding]:
    """The server that each container runs. Without it a run ends with `Container has exited`."""
    if _chosen(subject) is None:
        return []
    return _judged(subject, server_faults(_folder(subject)), "there, and takes --no-enable-browser")


def endpoint(subject: Subject) -> Iterable[Finding]:
    """The server's endpoint. Without it a run ends with `404 Not Found for /update_mcp_server`."""
    if _chosen(subject) is None:
        return []
    return _judged(subject, endpoint_faults(_folder(subject)), "/update_mcp_server is answered")


def selection(subject: Subject) -> Iterable[Finding]:
    """Nothing in the checkout selects rows before SKIP_IDS does, in silence."""
    if _chosen(subject) is None:
        return []
    return _judged(subject, selection_faults(_folder(subject)), "the checkout selects no rows by itself")


def output_limit(subject: Subject) -> Iterator[Finding]:
    """The model writes as many tokens as it is asked for; else each call ends with `max_tokens is too large`."""
    if (chosen := _chosen(subject)) is None:
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
    chosen = _chosen(subject)
    return [ok(f"--split {chosen.split} is passed, and only it is accepted")] if chosen else []


def browser(subject: Subject) -> Iterable[Finding]:
    """What an error of the browser means."""
    chosen = _chosen(subject)
    if chosen is None:
        return []
    if chosen.run_with_browsing:
        return [
            warn("the agent is told never to browse, and a browser that does not start is an error", "leave it out")
        ]
    return [ok("off: a browser that does not start in a container is no error")]


def llm_section(subject: Subject) -> Iterator[Finding]:
    """The section of config.toml that is named exists; without it a run ends with an AttributeError about None."""
    if (chosen := _chosen(subject)) is None:
        return
    for name in subject.campaigns:
        model = subject.config.campaign(name).llm_api.model
        yield ok(f"[{chosen.llm_config}] is written for each process, with {model} at the job's proxy", subject=name)


def packages(subject: Subject) -> Iterator[Finding]:
    """Python 3.12 or 3.13, with what run_infer and the evaluator import and OpenHands does not require."""
    if (chosen := _chosen(subject)) is None:
        return
    python = _python(subject, chosen)
    own = chosen.evaluator == "msb" and chosen.evaluator_python is None
    yield from _modules(python, ["datasets", *(["multi_swe_bench.harness.run_evaluation"] if own else [])])
    if chosen.evaluator == "msb" and chosen.evaluator_python is not None:
        other = subject.config.resolve(chosen.evaluator_python)
        yield from _modules(other, ["multi_swe_bench.harness.run_evaluation"])


def evaluator(subject: Subject) -> Iterable[Finding]:
    """What grades a patch is there; without a verdict no task is done."""
    chosen = _chosen(subject)
    if chosen is None:
        return []
    if chosen.evaluator == "none":
        return [warn("none: no patch gets a reward", "set openhands.evaluator to msb or velora")]
    if chosen.evaluator == "velora":
        return _judged(subject, evaluator_faults(_folder(subject), chosen), f"velora: {chosen.evaluator_script}")
    rows = chosen.evaluator_dataset and subject.config.resolve(chosen.evaluator_dataset)
    if rows and not rows.is_file():
        mend = "correct openhands.evaluator_dataset"
        return [fail(RefusedError("the rows to grade by are not there", where=rows, mend=mend))]
    return [ok(f"msb, by {rows or 'the rows of the task source, which must be those of Multi-SWE-bench itself'}")]


def language(subject: Subject) -> Iterator[Finding]:
    """What rows say of their language is what LANGUAGE says, which decides how images are called."""
    if (chosen := _chosen(subject)) is None:
        return
    for dataset, rows in _rows(subject):
        others = [row["instance_id"] for row in rows if _language_of(row) not in (None, chosen.language)]
        if others:
            mend = "set openhands.language to theirs, or give each language a file and a configuration of its own"
            why = f"{some_of(others)}: their rows say another"
            error = RefusedError(
                f"{count_of(len(others), 'task')} not of language {chosen.language}", why=why, mend=mend
            )
            yield fail(error, subject=dataset)
        else:
            n_silent = sum(_language_of(row) is None for row in rows)
            said = f", {n_silent} of which do not say" if n_silent else ""
            yield ok(f"{chosen.language} for {count_of(len(rows), 'task')}{said}", subject=dataset)


def images(subject: Subject) -> Iterator[Finding]:
    """Each task's image is in the engine, or in a tar file. The engine is asked once, and nothing is loaded."""
    if (chosen := _chosen(subject)) is None or not chosen.use_instance_image:
        return
    subject.need_engine()
    here = stored_images(timeout_s=LIST_TIMEOUT_S)
    folder = subject.config.resolve(chosen.images_dir) if chosen.images_dir else None
    for dataset, rows in _rows(subject):
        try:
            plan = plan_images([image_of(row, chosen) for row in rows], here, folder)
        except TrajgenError as error:
            yield fail(error, subject=dataset)
            continue
        if plan.missing:
            yield fail(missing_error(plan.missing, folder), subject=dataset)
        else:
            n_loaded = sum(map(len, plan.to_load.values()))
            yield ok(f"{len(rows) - n_loaded} here, {n_loaded} in tar files", subject=dataset)


def runtime_image(subject: Subject) -> Iterable[Finding]:
    """The image that OpenHands builds over each task's, or the one that is named for it."""
    chosen = _chosen(subject)
    if chosen is None:
        return []
    subject.need_engine()
    here = stored_images(timeout_s=LIST_TIMEOUT_S)
    named = chosen.runtime_container_image
    if named and full_name(named) not in here:
        mend = "load it, or leave openhands.runtime_container_image out"
        raise RequirementError("the runtime image that is named is not here", where=named, mend=mend)
    if named:
        return [ok(f"{named} is here, for VeloraHarness; OpenHands itself builds its own all the same")]
    n = sum(name.startswith(f"{BUILT_OVER}:") for name in here)
    built = f"{n} are here; " if n else ""
    return [ok(f"{built}one that is not here is built over the task's image, which takes the network")]


def _chosen(subject: Subject) -> OpenHands | None:
    """The settings, if OpenHands is what rolls out; of a configuration that cannot be read nothing is known."""
    if not isinstance(subject.config_or_error, Config):
        return None
    inputs = subject.config.runtime_info.input
    return inputs.openhands if inputs.rollout.harness is Harness.OPENHANDS else None


def _folder(subject: Subject) -> Path:
    folder = openhands_pin(subject.config).folder
    if not has_checkout(folder):
        raise NotLookedError("OpenHands is not checked out")
    return folder


def _judged(subject: Subject, faults: Iterable[Fault], good: str) -> list[Finding]:
    folder = _folder(subject)
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


def _rows(subject: Subject) -> Iterator[tuple[str, list[Row]]]:
    """The first usable rows of each data set. One that cannot be read has a line of its own."""
    for source in subject.config.sources():
        try:
            tasks = zip(range(MANY_ROWS), usable_tasks(source, within_s=LOOK_S), strict=False)
            yield source.dataset, [read_row(task.folder) for _, task in tasks]
        except (ManifestError, OSError):
            continue


def _language_of(row: Row) -> str | None:
    said = row.get("language") or row.get("lang")
    if not isinstance(said, str) or not re.fullmatch(r"[\w+#]+", said.strip()):
        return None
    plain = said.strip().lower()
    return SPELLINGS.get(plain, plain)
