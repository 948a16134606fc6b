"""The code that runs inside other programs: laid out flat beside a job, where those programs import it by name."""

import shutil
from pathlib import Path

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import RequirementError

PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = ("guest/trial_keys.py", "guest/spending.py", "guest/keeper_container.py", "core/intake/digest.py")
FOLDERS = ("guest/litellm", "guest/harbor")


def guest_modules() -> dict[str, Path]:
    """File name to source of every guest module.

    Raises:
        RequirementError: one is missing from the installation, or two have the same name.
    """
    sources = [PACKAGE / name for name in SOURCES]
    for folder in FOLDERS:
        sources += sorted(path for path in (PACKAGE / folder).glob("*.py") if path.name != "__init__.py")
    modules: dict[str, Path] = {}
    for source in sources:
        if not source.is_file():
            raise RequirementError("a guest module is missing", where=source, mend="install trajgen-assets anew")
        if source.name in modules:
            raise RequirementError("two guest modules have one name", where=source, why=modules[source.name])
        modules[source.name] = source
    return modules


def guest_bundle(folder: Path) -> Path:
    """Copy every guest module flat into `folder/guest`, over what lies there by those names, and return that folder."""
    target = folder / "guest"
    for name, source in guest_modules().items():
        with source.open("rb") as read, open_atomic(target / name) as write:
            shutil.copyfileobj(read, write)
    return target
