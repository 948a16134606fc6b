"""A registry of npm with one small package, and a checkout that locks it: all that building a runtime needs."""

import base64
import functools
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.serving import QuietHandler, serving
from tests.unit.provision.twins import script, wheel
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.command import HARBOR_PYTHON_VARIABLE
from trajgen_assets.core.provision.python import find_harbor_python
from trajgen_assets.core.provision.uv import require_uv
from trajgen_assets.core.runtimes.catalogue import NpmBlueprint, PypiBlueprint
from trajgen_assets.core.runtimes.manifest import MANIFEST, RuntimeManifest
from trajgen_assets.core.runtimes.tools import Tools, tools_here
from trajgen_assets.core.runtimes.tree import measure

# Its program is a copy of `echo`, a native one of any Linux, so it "tells its version" when asked to say it.
TOOL = NpmBlueprint(
    "tool", programs=("tool",), version_argv=("tool", "1.0.0"), root_name="tool", package="tool-{cpu}",
    executable="bin/tool",
)  # fmt: skip
TINY = PypiBlueprint(
    "tiny",
    programs=("tiny", "python"),
    version_argv=("tiny",),
    root_name="tiny",
    distribution="tiny",
    entry_points={"tiny": "tiny:main"},
)


@functools.cache
def new_python() -> Path | None:
    """A Python that a runtime can take along, if there is one here."""
    found = find_harbor_python(PROJECT, None, os.environ)
    return None if found is None else found.path


@dataclass
class NpmRegistry:
    """Serves the package of `TOOL` in some versions."""

    url: str = ""
    archives: dict[str, bytes] = field(default_factory=dict)

    def add(self, version: str) -> str:
        """Publish `version`. Returns the digest of its archive, as npm writes it."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            tar.add(os.path.realpath(shutil.which("echo") or "/bin/echo"), "package/bin/tool")
            _add_text(tar, "package/package.json", json.dumps({"name": TOOL.distribution, "version": version}))
        self.archives[version] = archive.getvalue()
        return _integrity(self.archives[version])

    def answer(self, path: str) -> bytes | None:
        """What is served at `path`."""
        version = path.rpartition("/")[2].removesuffix(".tgz")
        if path.endswith(".tgz"):
            return self.archives.get(version)
        if path.strip("/") != TOOL.distribution:
            return None
        versions = {each: self._version(each) for each in self.archives}
        return json.dumps({"name": TOOL.distribution, "versions": versions, "dist-tags": {}}).encode()

    def _version(self, version: str) -> dict[str, object]:
        dist = {"tarball": f"{self.url}/{version}.tgz", "integrity": _integrity(self.archives[version])}
        return {"name": TOOL.distribution, "version": version, "dist": dist}


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    tar.addfile(entry, io.BytesIO(text.encode()))


def _integrity(data: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


@contextmanager
def npm_registry() -> Iterator[NpmRegistry]:
    registry = NpmRegistry()

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802  the name by which it is called
            body = registry.answer(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"{}")

    with serving(Handler) as registry.url:
        yield registry


@dataclass(frozen=True)
class RuntimeSite:
    """A checkout with locks of `TOOL` and `TINY`, an environments folder, and an environment without any index."""

    folder: Path
    registry_url: str = "http://127.0.0.1:9"
    said: list[str] = field(default_factory=list)

    @property
    def env(self) -> Path:
        return self.folder / "env"

    @property
    def project(self) -> Path:
        return self.folder / "checkout"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": f"{require_uv(os.environ).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "UV_FIND_LINKS": str(self.folder / "wheels"),
            "UV_NO_INDEX": "1",
            "UV_OFFLINE": "1",
            HARBOR_PYTHON_VARIABLE: str(new_python()),
            "npm_config_registry": self.registry_url,
            "npm_config_fetch_retries": "0",
        }

    @property
    def tools(self) -> Tools:
        return tools_here(self.project, self.env, self.said.append, self.environ)

    @property
    def homes(self) -> list[str]:
        """What stands in the store, hidden folders too, lock files left out."""
        store = self.env / "store"
        return sorted(path.name for path in store.iterdir() if path.is_dir()) if store.exists() else []

    def lock_tool(self, integrity: str, version: str = "1.0.0") -> None:
        entry = {"version": version, "integrity": integrity}
        top = {"dependencies": {TOOL.distribution: version}}
        packages = {"": top, f"node_modules/{TOOL.distribution}": entry}
        path = self.project / "locks" / "tool" / "package-lock.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"lockfileVersion": 3, "requires": True, "packages": packages}))

    def lock_tiny(self, digest: str | None = None) -> None:
        found = wheel(self.folder / "wheels", "1.0")
        path = self.project / "locks" / "tiny.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"tiny==1.0 \\\n    --hash=sha256:{digest or found}\n")

    def held_npm(self) -> tuple[Path, Path]:
        """A folder for PATH with the real npm, which says `fetching` and waits, and the file that lets it go on."""
        real, release = shutil.which("npm"), self.folder / "release"
        hold = f"echo fetching; while [ ! -e {release} ]; do sleep 0.05; done"
        return script(self.folder / "held" / "npm", f'{hold}\nexec {real} "$@"').parent, release


def plant(folder: Path, scaffold: str = "claude-code", version: str = "1.2.3", *, program: str = "claude") -> Path:
    """A whole runtime at `folder`, whose one program prints its version."""
    script(folder / "bin" / program, f"echo '{version} ({scaffold})'")
    tree = measure(folder, without=MANIFEST)
    RuntimeManifest(
        scaffold=scaffold,
        version=version,
        digest=folder.name.rpartition("-")[2],
        programs=(program,),
        needs="/bin/sh",
        lock_sha256="0" * 64,
        packages={},
        tree_sha256=tree.content,
        listing_sha256=tree.listing,
        n_files=tree.n_files,
        size_bytes=tree.size_bytes,
        built_at=stamp(),
        build_s=0.1,
    ).write(folder)
    return folder
