"""What the tasks of OpenHands' harness need: images in the engine, one language, and an evaluator that can grade."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.counting import count_of, some_of
from trajgen_assets.core.errors import ManifestError, RefusedError, RequirementError, TrajgenError
from trajgen_assets.core.intake.rows import ID, Row, read_row
from trajgen_assets.core.openhands.checkout import evaluator_faults
from trajgen_assets.core.openhands.evaluation import msb_id
from trajgen_assets.core.openhands.images import LIST_TIMEOUT_S, image_of, missing_error, plan_images
from trajgen_assets.core.openhands.rows import listed_tests
from trajgen_assets.core.preflight.demand import usable_tasks
from trajgen_assets.core.preflight.findings import Finding, Subject, fail, ok, warn
from trajgen_assets.core.preflight.openhands import checkout_folder, chosen_in, judged
from trajgen_assets.core.rollout.images import full_name, stored_images

# So many rows of each data set are looked at, in the order of its manifest, and no longer than this.
LOOK_S = 2.0
MANY_ROWS = 1000
BUILT_OVER = "ghcr.io/openhands/runtime"

# How a row of VeloraHarness may spell a language that LANGUAGE spells otherwise.
SPELLINGS: Mapping[str, str] = MappingProxyType(
    {"c++": "cpp", "golang": "go", "js": "javascript", "ts": "typescript", "py": "python", "rs": "rust"}
)


def evaluator(subject: Subject) -> Iterator[Finding]:
    """What grades a patch is there, and can grade these tasks; without a verdict no task is done."""
    if (chosen := chosen_in(subject)) is None:
        return
    if chosen.evaluator == "none":
        text = "none: no patch gets a reward, and each task ends as failed for it, with its trajectory kept"
        yield warn(text, "set openhands.evaluator to msb or velora")
        return
    if chosen.evaluator == "velora":
        yield from judged(
            subject, evaluator_faults(checkout_folder(subject), chosen), f"velora: {chosen.evaluator_script}"
        )
    else:
        yield _rows_to_grade_by(subject, chosen)
    for dataset, rows in _rows(subject):
        yield from _ungradable(chosen, dataset, rows)


def _rows_to_grade_by(subject: Subject, chosen: OpenHands) -> Finding:
    path = subject.config.resolve(chosen.evaluator_dataset) if chosen.evaluator_dataset else None
    if path is not None and not path.is_file():
        mend = "correct openhands.evaluator_dataset"
        return fail(RefusedError("the rows to grade by are not there", where=path, mend=mend))
    return ok(f"msb, by {path or 'the rows of the task source, which must be those of Multi-SWE-bench itself'}")


def _ungradable(chosen: OpenHands, dataset: str, rows: list[Row]) -> Iterator[Finding]:
    """Tasks that would be paid for and get no verdict, whatever becomes of them."""
    is_msb = chosen.evaluator == "msb"
    why = "their ids are not owner__name-number" if is_msb else "they name no test in FAIL_TO_PASS"
    left = [row[ID] for row in rows if (msb_id(row[ID]) is None if is_msb else not _has_failing_test(row))]
    if left:
        text = f"{count_of(len(left), 'task')} cannot be graded by {chosen.evaluator}: {some_of(left)}, since {why}"
        mend = "exclude them in excluded_tasks.txt, or choose the other evaluator"
        none_left = fail(RefusedError(text, mend=mend), subject=dataset)
        yield none_left if len(left) == len(rows) else warn(text, mend, subject=dataset)


def _has_failing_test(row: Row) -> bool:
    try:
        return bool(listed_tests(row.get("FAIL_TO_PASS")))
    except ValueError:
        return False


def language(subject: Subject) -> Iterator[Finding]:
    """What rows say of their language is what LANGUAGE says, which decides how images are called."""
    if (chosen := chosen_in(subject)) is None:
        return
    for dataset, rows in _rows(subject):
        others = [row[ID] for row in rows if _language_of(row) not in (None, chosen.language)]
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
    if (chosen := chosen_in(subject)) is None or not chosen.use_instance_image:
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
    chosen = chosen_in(subject)
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
