"""The scaffolds of which a runtime can be built: from which packages, with which programs."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType

from trajgen_assets.core.errors import RefusedError

# Where a container finds the runtime of a scaffold. The agents in `guest/harbor` look for it there.
CONTAINER_ROOT = PurePosixPath("/opt/trajgen-runtime")


@dataclass(frozen=True)
class Blueprint:
    """What a runtime is made of.

    Attributes:
        scaffold: as `agent.name` has it.
        programs: what stands in `bin/`, the one that the agent starts first.
        version_argv: a program of `bin/` and its arguments, which print the version.
        root_name: the last part of where the earlier system mounted this scaffold.
    """

    scaffold: str
    programs: tuple[str, ...]
    version_argv: tuple[str, ...]
    root_name: str

    @property
    def mount_point(self) -> PurePosixPath:
        """Where a container finds it."""
        return CONTAINER_ROOT / self.scaffold

    @property
    def earlier_mount_point(self) -> PurePosixPath:
        """Where the earlier system's images expect to be mounted, and where their content lies within them."""
        return PurePosixPath("/opt/custom-agent-runtime", self.root_name)


@dataclass(frozen=True)
class NpmBlueprint(Blueprint):
    """A program that npm delivers as one native executable, a package for each kind of processor.

    Attributes:
        package: name of the package, with npm's name for the processor in place of `{cpu}`.
        executable: path of the program within the package.
    """

    package: str
    executable: str

    @property
    def distribution(self) -> str:
        """The package for this machine's processor.

        Raises:
            RefusedError: there is none.
        """
        cpu = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
        if cpu is None:
            raise RefusedError(f"{self.scaffold} comes for x86_64 and aarch64 only", where=platform.machine())
        return self.package.format(cpu=cpu)


@dataclass(frozen=True)
class PypiBlueprint(Blueprint):
    """Packages of PyPI beside a Python of their own.

    Attributes:
        distribution: the package whose version is the runtime's.
        siblings: packages that have the same version.
        entry_points: program to `module:function`.
    """

    distribution: str
    siblings: tuple[str, ...] = ()
    entry_points: Mapping[str, str] = field(default_factory=dict)


def _version_of(distribution: str) -> tuple[str, ...]:
    """Ask the package's metadata: importing it takes 8 s for some."""
    return ("python", "-c", f"from importlib.metadata import version; print(version({distribution!r}))")


CLAUDE_CODE = NpmBlueprint(
    "claude-code",
    programs=("claude",),
    version_argv=("claude", "--version"),
    root_name="claude-code",
    package="@anthropic-ai/claude-code-linux-{cpu}",
    executable="claude",
)
OPENCODE = NpmBlueprint(
    "opencode",
    programs=("opencode",),
    version_argv=("opencode", "--version"),
    root_name="opencode",
    package="opencode-linux-{cpu}",
    executable="bin/opencode",
)
OPENHANDS_SDK = PypiBlueprint(
    "openhands-sdk",
    programs=("python",),
    version_argv=_version_of("openhands-sdk"),
    root_name="oh-sdk",
    distribution="openhands-sdk",
    siblings=("openhands-tools",),
)
MINI_SWE_AGENT = PypiBlueprint(
    "mini-swe-agent",
    programs=("mini-swe-agent", "mini", "python"),
    version_argv=_version_of("mini-swe-agent"),
    root_name="mini-swe-agent",
    distribution="mini-swe-agent",
    entry_points={"mini-swe-agent": "minisweagent.run.mini:app", "mini": "minisweagent.run.mini:app"},
)

BLUEPRINTS: Mapping[str, NpmBlueprint | PypiBlueprint] = MappingProxyType(
    {each.scaffold: each for each in (CLAUDE_CODE, OPENCODE, OPENHANDS_SDK, MINI_SWE_AGENT)}
)
