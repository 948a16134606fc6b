"""A Python that runs in any image: interpreter, standard library, and the C library that it was linked against.

A program of one glibc does not run on an older one, nor on musl. So the loader and all shared libraries come along,
and `bin/python` is a shell script that starts the one with the others. What such a Python starts in turn, a shell of
the image for example, is not touched by this: the path of the libraries is an argument and not in the environment.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import EnvironmentBuildError
from trajgen_assets.core.provision.command import run, tool_environ
from trajgen_assets.core.runtimes.libraries import libraries_of

PROBE_TIMEOUT_S = 20.0
# Where the interpreter has its parts; `packages` is asked again of the copy, as some systems rename it.
PROBE = """
import json, sys, sysconfig
print(json.dumps({
    "stdlib": sysconfig.get_path("stdlib"),
    "extensions": next((path for path in sys.path if path.endswith("lib-dynload")), ""),
    "folder": f"{sys.platlibdir}/python{sys.version_info.major}.{sys.version_info.minor}",
    "packages": sysconfig.get_path("purelib"),
}))
"""
# Packages of the host, and parts that no agent uses: tests, editors, windows, what builds other Pythons.
LEFT_OUT = (
    "site-packages", "dist-packages", "test", "idlelib", "tkinter", "_tkinter*", "turtledemo", "turtle.py", "lib2to3",
    "ensurepip", "config-*", "EXTERNALLY-MANAGED", "sitecustomize.py", "*.a",
)  # fmt: skip

STARTER = """\
#!/bin/sh
# Starts the Python of this folder with the C library of this folder. -I: what the image sets for its own Python, and
# what lies in the working folder, is none of the agent's.
home=$(CDPATH= cd -- "${{0%/*}}/.." && pwd -P) || exit
exec "$home/libexec/{loader}" --inhibit-cache --library-path "$home/libexec/lib" --argv0 "$home/bin/python" \\
    "$home/libexec/python" -I "$@"
"""
PROGRAM = """\
#!/bin/sh
bin=$(CDPATH= cd -- "${{0%/*}}" && pwd -P) || exit
exec "$bin/python" -c 'import sys; from {module} import {function}; sys.argv[0] = "{name}"; sys.exit({function}())' "$@"
"""


@dataclass(frozen=True)
class PythonHome:
    """A Python in a folder of its own, while it is being made.

    Attributes:
        interpreter: the Python of the host that is taken along.
    """

    home: Path
    interpreter: Path
    environ: Mapping[str, str]

    @property
    def program(self) -> Path:
        return self.home / "bin" / "python"

    def copy(self) -> None:
        """Take the interpreter along: its program, its standard library, and a starter."""
        parts = _ask(self.interpreter, self.environ)
        library = self.home / parts["folder"]
        ignore = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(parts["stdlib"], library, ignore=ignore, ignore_dangling_symlinks=True)
        if parts["extensions"] and not (library / "lib-dynload").exists():
            shutil.copytree(parts["extensions"], library / "lib-dynload", ignore=ignore)
        (self.home / "libexec").mkdir()
        shutil.copy2(self.interpreter, self.home / "libexec" / "python")
        loader = self.take_libraries()
        self._script("python", STARTER.format(loader=loader))

    def take_libraries(self) -> str:
        """Take along what the program and all extension modules need and is not here. Returns the loader's name.

        The interpreter is asked where it lies, since it may look for its libraries beside itself.
        """
        libexec = self.home / "libexec"
        extensions = [path for path in self.home.rglob("*.so*") if libexec not in path.parents and path.is_file()]
        found = libraries_of([self.interpreter, *extensions], self.environ)
        target = libexec / "lib"
        target.mkdir(exist_ok=True)
        for name, place in found.items():
            if not place.resolve().is_relative_to(self.home.resolve()):
                shutil.copyfile(place, (target.parent if name.startswith("ld-linux") else target) / name)
        (loader,) = target.parent.glob("ld-linux*")
        loader.chmod(0o755)
        return loader.name

    def packages(self) -> Path:
        """Where this Python looks for packages."""
        return Path(_ask(self.program, self.environ)["packages"])

    def add_program(self, name: str, entry_point: str) -> None:
        """A program `name` that calls `module:function`."""
        module, _, function = entry_point.partition(":")
        self._script(name, PROGRAM.format(name=name, module=module, function=function))

    def _script(self, name: str, text: str) -> None:
        path = self.home / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)


def _ask(program: Path, environ: Mapping[str, str]) -> dict[str, str]:
    outcome = run([program, "-I", "-c", PROBE], env=tool_environ(environ), timeout_s=PROBE_TIMEOUT_S)
    if not (outcome.ok and outcome.tail):
        raise EnvironmentBuildError("the Python of a runtime does not run", where=program, why=outcome.complaint)
    parts: dict[str, str] = json.loads(outcome.tail[-1])
    return parts
