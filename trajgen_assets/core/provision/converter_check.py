"""Run by the Python of the converter's environment: whether the pinned sources can run there.

Prints which converters they have. It ends with 1 and the reason on stderr where a requirement of theirs is not met, or
where they cannot be imported.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

CONVERTERS = (
    "claudecode_opencode.convert_cc_to_im",
    "claudecode_opencode.convert_oc_to_im",
    "openhands.convert_openhands_sdk_to_im",
    "terminus2.convert_terminus2_to_im",
)


def main() -> None:
    """Look at the sources in the environment whose Python runs this."""
    project = tomllib.loads((Path(sys.prefix) / "source" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if unmet := list(_unmet(project)):
        raise SystemExit(f"the pinned sources do not fit the lock: they require {', '.join(unmet)}")
    package = re.sub(r"[-_.]+", "_", project["name"]).lower()
    import_module(package)
    found = [name for name in CONVERTERS if _has(f"{package}.{name}")]
    if not found:
        raise SystemExit(f"{package} has none of the converters {', '.join(CONVERTERS)}")
    sys.stdout.write(f"{package}: {', '.join(found)}\n")


def _unmet(project: dict[str, Any]) -> Iterator[str]:
    for requirement in map(Requirement, project.get("dependencies", ())):
        if requirement.marker is None or requirement.marker.evaluate():
            try:
                is_met = requirement.specifier.contains(version(requirement.name), prereleases=True)
            except PackageNotFoundError:
                is_met = False
            if not is_met:
                yield str(requirement)


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


if __name__ == "__main__":
    main()
