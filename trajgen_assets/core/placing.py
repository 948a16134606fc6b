"""Where the folders of jobs and of their data lie: under the root, or where the configuration says, with a link there.

Everything reads `<root>/jobs/<job>` and `<root>/sft_data/<job>`, also after the configuration was changed: a folder
stays where it was made. Files lie in the place that was asked for, because whoever mounts or copies that place would
find nothing behind links.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.place import has_ledger
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.sft.versions import Versions


def place_job(root: Root, config: Config, files: JobPaths) -> None:
    """Make the folder of a job.

    Raises:
        ConfigError: the place that was asked for cannot be used, or is gone.
    """
    _place(files.dir, _usable(root, config.jobs_folder), lambda place: place)


def place_data(root: Root, config: Config, files: JobPaths) -> None:
    """Make the folder for the versions of a job's training data. Raises as `place_job` does."""
    if config.data_folder is not None:
        _refuse_among_jobs(root, files, config.data_folder)
    _place(files.sft, _usable(root, config.data_folder), lambda place: Versions.of(place).folder)


def data_in(root: Root, files: JobPaths, folder: Path) -> JobPaths:
    """Return the files of a job with its training data in `folder`, wherever its own lie.

    Raises:
        ConfigError: the folder is in another root, which would take the data for its own; or jobs lie there, or it
            is none.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError("a file is in the place of a folder", where=folder, mend="name another folder")
    _refuse_among_jobs(root, files, folder)
    if _usable(root, folder) is None:
        where, mend = f"{folder}, of the root {_root_of(folder)}", "choose a folder outside of it"
        raise ConfigError("the folder belongs to another root", where=where, mend=mend)
    return files if folder.resolve() == root.sft_data.resolve() else replace(files, sft=folder / files.sft.name)


def placing_notices(root: Root, config: Config) -> list[str]:
    """A line for each place of the configuration that is not used, because it is another root's."""
    return [
        f"{what} lie under {own} and not in {folder}, which belongs to the root {_root_of(folder)}"
        for what, own, folder in (
            ("jobs", root.jobs, config.jobs_folder),
            ("data sets", root.sft_data, config.data_folder),
        )
        if folder is not None and _usable(root, folder) is None
    ]


def _refuse_among_jobs(root: Root, files: JobPaths, folder: Path) -> None:
    """See that the data of a job would not take the place of its rollouts, or look like a job of their own."""
    place = (folder / files.sft.name).resolve()
    if place == files.dir.resolve() or place.is_relative_to(root.jobs.resolve()):
        mend = "choose another folder"
        raise ConfigError("training data cannot lie where jobs lie", where=folder, mend=mend)


def _usable(root: Root, folder: Path | None) -> Path | None:
    """`folder`, unless it is in another root: that one would take our jobs for its own, and count their tasks."""
    if folder is None or _root_of(folder) in (None, root.path.resolve()):
        return folder
    return None


def _root_of(folder: Path) -> Path | None:
    """The root that a folder lies in, if any."""
    resolved = folder.resolve()
    return next((each for each in (resolved, *resolved.parents) if has_ledger(Root(each))), None)


def _place(link: Path, folder: Path | None, made_for: Callable[[Path], Path]) -> None:
    """Make the folder that belongs to `link`, or to its namesake in `folder` and then the link to that one."""
    if link.is_symlink() and not link.exists() and not made_for(link).is_dir():
        mend = "mount or restore it, or remove the link if its content is given up"
        raise ConfigError("the folder that it was placed in is gone", where=f"{link} -> {link.readlink()}", mend=mend)
    try:
        if link.is_symlink() or link.exists() or folder is None or folder.resolve() == link.parent.resolve():
            made_for(link).mkdir(parents=True, exist_ok=True)
            return
        target = folder / link.name
        made_for(target).mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    except FileExistsError:  # another process placed it meanwhile
        if not link.is_symlink() and not link.is_dir():
            raise ConfigError("a file is in the place of a folder", where=link, mend="move it away") from None
    except OSError as error:
        mend = "correct jobs_dir, out_dir or the output's path, or leave them out"
        where = folder or link
        raise ConfigError("a folder cannot be made", where=where, why=error.strerror, mend=mend) from error
