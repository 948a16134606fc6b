"""Walk a tree and leave out what is ignored."""

import os


def kept_files(top, rules):
    """Yield the paths of all files below `top` that are not ignored, relative to it, sorted within each folder."""
    yield from _kept(os.fspath(top), "", rules)


def _kept(top, prefix, rules):
    for entry in sorted(os.scandir(os.path.join(top, prefix)), key=lambda each: each.name):
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if rules.is_ignored(path, is_folder):
            continue
        if is_folder:
            yield from _kept(top, path, rules)
        else:
            yield path
