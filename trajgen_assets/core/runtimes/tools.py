"""The programs that build runtimes: uv for PyPI, npm for npm, with what each may see of the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.command import Outcome, Say, tool_environ, which
from trajgen_assets.core.provision.python import Interpreter
from trajgen_assets.core.provision.setup import HARBOR, Setup, python_for
from trajgen_assets.core.provision.uv import find_uv, install_uv

# npm's settings, the certificates that node trusts, and the variable that an .npmrc usually takes its token from.
NPM_PREFIXES = ("npm_config_", "NPM_CONFIG_")
NPM_PASSED = frozenset({"NODE_EXTRA_CA_CERTS", "NPM_TOKEN"})


@dataclass(frozen=True)
class Tools:
    """What a build calls, each looked for when it is first needed."""

    project: Path
    env_dir: Path
    source_environ: Mapping[str, str]
    say: Say

    @property
    def environ(self) -> dict[str, str]:
        """The environment of uv."""
        return tool_environ(self.source_environ)

    @property
    def npm_environ(self) -> dict[str, str]:
        """The environment of npm."""
        named = {
            name: value
            for name, value in self.source_environ.items()
            if name.startswith(NPM_PREFIXES) or name in NPM_PASSED
        }
        return self.environ | named

    @cached_property
    def uv(self) -> Path:
        """uv, installed into the checkout if there is none."""
        return find_uv(self.project, self.source_environ) or install_uv(self.project, self.source_environ, self.say)

    @cached_property
    def npm(self) -> Path:
        """npm. Raises RequirementError if there is none."""
        if (npm := next(which("npm", self.source_environ), None)) is not None:
            return npm
        mend = "install Node.js with npm, or build on another host and name the folder in agent.runtime_host_path"
        raise RequirementError("there is no npm on PATH, which brings this agent", where="npm", mend=mend)

    @cached_property
    def python(self) -> Interpreter:
        """The Python that is taken along: the one for Harbor, as it must be new enough."""
        return python_for(Setup(self.project, self.env_dir, self.source_environ, self.say), HARBOR, self.uv)


def tools_here(project: Path, env_dir: Path, say: Say, environ: Mapping[str, str] | None = None) -> Tools:
    """The tools of this host."""
    return Tools(project, env_dir, os.environ if environ is None else environ, say)


def complaint_of(outcome: Outcome) -> str:
    """What a program said when it failed, without the word that npm begins each line with."""
    lines = [line.strip().removeprefix("npm error").removeprefix("npm ERR!").strip() for line in outcome.tail]
    told = [line for line in lines if line and "complete log of this run" not in line]
    return " | ".join(told) or outcome.reason
