"""Says what an environment of Harbor's lacks on this host: packages, settings, and what Harbor's own preflight refuses.

    python environment_check.py ENVIRONMENT OPTIONS

OPTIONS is a JSON object. It runs in Harbor's own environment, with the variables that a job's Harbor would have, and
prints one JSON object. Nothing is started, and no account is asked.
"""

import inspect
import json
import sys
from importlib import metadata

from harbor.environments import factory
from harbor.environments.factory import EnvironmentFactory
from harbor.models.environment_type import EnvironmentType
from packaging.requirements import Requirement

# What a trial gives each environment itself.
GIVEN = {"self", "environment_dir", "environment_name", "session_id", "trial_paths", "task_env_config", "logger"}


def missing_packages(extra: str | None) -> list[str]:
    """What the extra of Harbor asks for and this environment has not, or has in another version."""
    if extra is None:
        return []
    listed = [Requirement(each) for each in metadata.requires("harbor") or ()]
    of_extra = [each for each in listed if each.marker and each.marker.evaluate({"extra": extra})]
    needed = [each for each in of_extra if each.marker and not each.marker.evaluate({"extra": ""})]
    return [f"{each.name}{each.specifier}" for each in needed if not _is_met(each)]


def _is_met(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def missing_options(kind: EnvironmentType, given: set[str]) -> list[str]:
    """The settings without which an environment of this kind cannot be made."""
    made = factory._load_environment_class(kind).__init__
    parameters = inspect.signature(made).parameters.values()
    needed = [
        each.name for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    return [name for name in needed if name not in GIVEN | given]


def refusal(kind: EnvironmentType) -> str | None:
    """What Harbor itself says against it, before a job begins."""
    try:
        EnvironmentFactory.run_preflight(kind)
    except (SystemExit, Exception) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def main() -> None:
    """See the module."""
    kind, options = EnvironmentType(sys.argv[1]), json.loads(sys.argv[2])
    extra = factory._ENVIRONMENT_REGISTRY[kind].pip_extra
    found = {"extra": extra, "packages": missing_packages(extra), "options": [], "refusal": None}
    try:
        if not found["packages"]:
            found |= {"options": missing_options(kind, set(options)), "refusal": refusal(kind)}
    except ImportError as error:  # of an environment whose package belongs to the extra of another
        found["packages"] = [error.name or str(error)]
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
