"""What `trajgen clean` removes: an allow-list of what we know that we made and can make again."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trajgen_assets.core.clean.trees import GOING, Size, entries, remove, size_of, why_left
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.dashboard.site import site_folder
from trajgen_assets.core.dashboard.writing import MARK
from trajgen_assets.core.intake.staging import staged_ids, unstage
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import recorded_processes
from trajgen_assets.core.sft.data_sets.receipt import load_data_set
from trajgen_assets.core.sft.superseded import rows_of_data_sets, why_kept
from trajgen_assets.core.sft.versions import VERSIONS, Versions


class Kind(StrEnum):
    """What there is to remove, in this order: the dashboard's site is about the data, and the data about the jobs."""

    DASHBOARD = "dashboard"
    DATA = "training data"
    PROXY = "proxy files"
    LOGS = "logs"
    TASKS = "staged tasks"


@dataclass(frozen=True)
class Output:
    """One path that we made, and what it takes; `left` is why it stays, None if it may go."""

    kind: Kind
    path: Path
    size: Size
    left: str | None = None


def find_outputs(root: Root, config: Config | None, *, data_sets: bool = False) -> list[Output]:
    """List what may go and what of the same kind stays, with the reason. Changes nothing.

    Args:
        root: where to look.
        config: names what people gave; None where there is none that can be read.
        data_sets: also data sets of several jobs, and the training data that they were made of.

    Raises:
        ConversionError: a receipt cannot be read, so that nobody can tell what a data set was made of.
    """
    kept = named_by(config)
    found: list[Output] = []
    for kind, path, reason in _candidates(root, data_sets=data_sets):
        is_ours = kind is Kind.TASKS  # staging records each link that it makes
        why = reason or why_left(path, root_of(kind, root), kept, link_may_lead_out=is_ours)
        found.append(Output(kind, path, size_of(path), why))
    return found


def root_of(kind: Kind, root: Root) -> Path:
    """What a path of this kind has to lie in: the dashboard of a checkout lies beside its artifacts."""
    return root.dashboard.parent if kind is Kind.DASHBOARD else root.path


def remove_output(output: Output) -> None:
    """Remove what `find_outputs` found. Where that is cut short the next call finds the rest."""
    if output.kind is Kind.TASKS and not output.path.name.startswith(GOING):
        unstage(output.path)
    else:
        remove(output.path)


def named_by(config: Config | None) -> tuple[Path, ...]:
    """The files and folders that people gave: tasks, manifests, runtimes and the configuration itself."""
    if config is None:
        return ()
    sources = [path for each in config.sources() for path in (each.folder, each.manifest)]
    runtime = config.runtime_info.input.agent.runtime_host_path
    return (config.path, *sources, *([config.resolve(runtime)] if runtime else []))


def _candidates(root: Root, *, data_sets: bool) -> Iterator[tuple[Kind, Path, str | None]]:
    site = site_folder(root)
    for each in entries(root.dashboard):
        if each == site or each.name.startswith(GOING):
            is_ours = each.is_symlink() or (each / MARK).is_file() or each.name.startswith(GOING)
            yield Kind.DASHBOARD, each, None if is_ours else f"it has no {MARK}, so we did not make it"
    yield from ((Kind.DATA, path, why) for path, why in _data(root, data_sets=data_sets))
    for job in entries(root.litellm):
        alive = [name for name, each in recorded_processes(root.job(job.name).processes).items() if each.find()]
        yield Kind.PROXY, job, f"processes of it run: {', '.join(alive)}" if alive else None
    yield from ((Kind.LOGS, each, None) for each in entries(root.logs))
    for dataset in entries(root.tasks):
        yield from ((Kind.TASKS, dataset / name, None) for name in staged_ids(dataset) if (dataset / name).exists())


def _data(root: Root, *, data_sets: bool) -> Iterator[tuple[Path, str | None]]:
    """Of each job or data set the link, then the versions that it leads to: what is left after a crash is found."""
    in_use = {} if data_sets else rows_of_data_sets(root)
    versions = root.sft_data / VERSIONS
    for name in sorted({each.name for folder in (root.sft_data, versions) for each in entries(folder)} - {VERSIONS}):
        place = root.sft_data / name
        why = None if name.startswith(GOING) else _why_kept(place, in_use.get(name, set()), data_sets=data_sets)
        yield from ((each, why) for each in (place, versions / name) if each.is_symlink() or each.exists())


def _why_kept(place: Path, rows_in_use: set[str], *, data_sets: bool) -> str | None:
    if not data_sets and load_data_set(place) is not None:
        return "it is a data set: --data-sets removes it, too"
    if place.is_symlink() and place.readlink().parts[:1] != (VERSIONS,):
        return None  # it leads elsewhere, and what lies there is not looked into
    versions = [each for each in entries(Versions.of(place).folder) if not each.name.startswith(".")]
    in_place = [place] if place.is_dir() and not place.is_symlink() else []
    return next((why for each in (*in_place, *versions) if (why := why_kept(each, rows_in_use))), None)
