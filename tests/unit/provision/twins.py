"""Programs that play Python, uv and a package manager, and a package small enough to install in a test."""

import base64
import hashlib
import os
import stat
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.environments import EnvironmentSpec
from trajgen_assets.core.provision.uv import require_uv

BASE_PYTHON = Path(os.path.realpath(sys.executable))


def script(path: Path, body: str) -> Path:
    """An executable shell script at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def python_twin(path: Path, version: str, *, usable: bool = True) -> Path:
    """A Python that answers the probe with `version`."""
    parts = ", ".join(version.split("."))
    return script(path, f"""echo '["{path}", [{parts}], {str(usable).lower()}]'""")


def failing_shim(path: Path) -> Path:
    """What pyenv leaves on PATH for a version that is not selected."""
    return script(path, f"echo 'pyenv: {path.name}: command not found' >&2; exit 127")


def wheel(folder: Path, version: str) -> str:
    """A wheel `tiny-<version>` with a program `tiny` that prints its version. Returns its sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    dist = f"tiny-{version}.dist-info"
    files = {
        "tiny.py": f"def main():\n    print('tiny {version}')\n",
        f"{dist}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{dist}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{dist}/entry_points.txt": "[console_scripts]\ntiny = tiny:main\n",
    }
    rows = "".join(f"{name},sha256={_record_hash(text)},{len(text)}\n" for name, text in files.items())
    path = folder / f"tiny-{version}-py3-none-any.whl"
    if path.exists():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (files | {f"{dist}/RECORD": f"{rows}{dist}/RECORD,,\n"}).items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Workshop:
    """A folder with a wheel, a lock, a store and an index-free environment: all that one build needs."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "env" / "store"

    @property
    def link(self) -> Path:
        return self.folder / "env" / "tiny-uv"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "UV_FIND_LINKS": str(self.folder / "wheels"),
            "UV_NO_INDEX": "1",
            "UV_OFFLINE": "1",
        }

    @property
    def homes(self) -> list[str]:
        """What stands in the store, hidden folders too, lock files left out."""
        return sorted(path.name for path in self.store.iterdir() if path.is_dir()) if self.store.exists() else []

    def spec(
        self, version: str = "1.0", *, digest: str | None = None, smoke: tuple[str, ...] = ("tiny",)
    ) -> EnvironmentSpec:
        found = wheel(self.folder / "wheels", version)
        lock = self.folder / f"tiny-{version}-{(digest or found)[:8]}.txt"
        if not lock.exists():
            lock.write_text(f"tiny=={version} \\\n    --hash=sha256:{digest or found}\n", encoding="utf-8")
        return EnvironmentSpec("tiny-uv", BASE_PYTHON, lock, "tiny", smoke)

    def held_uv(self) -> tuple[Path, Path]:
        """The real uv, which says `syncing` and waits at each `pip sync`, and the file that lets it go on."""
        real, release = require_uv(os.environ, PROJECT), self.folder / "release"
        hold = f'case "$*" in *"pip sync"*) echo syncing; while [ ! -e {release} ]; do sleep 0.05; done;; esac'
        return script(self.folder / "held" / "uv", f'{hold}\nexec {real} "$@"'), release
