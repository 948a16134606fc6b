"""Runtimes, built of small packages by the real npm and the real uv: whole, or not there."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.provision.test_environments import read_until
from tests.unit.runtimes.twins import TINY, TOOL, NpmRegistry, RuntimeSite, new_python, npm_registry
from trajgen_assets.core.errors import (
    ConfigError,
    EnvironmentBuildError,
    RefusedError,
    RequirementError,
    UnknownNameError,
)
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.runtimes.build import blueprint_of, build_runtime, link_of, standing_runtimes
from trajgen_assets.core.runtimes.catalogue import BLUEPRINTS
from trajgen_assets.core.runtimes.locks import lock_name, pinned_version
from trajgen_assets.core.runtimes.manifest import MANIFEST, RuntimeManifest
from trajgen_assets.core.runtimes.tree import listing_of, measure

needs_python = pytest.mark.skipif(new_python() is None, reason="no Python 3.12 or newer")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm")

BUILD = """
import os, sys
from pathlib import Path
from tests.unit.runtimes.twins import TOOL
from trajgen_assets.core.runtimes.build import build_runtime
from trajgen_assets.core.runtimes.tools import tools_here
done = build_runtime(TOOL, tools_here(Path(sys.argv[1]), Path(sys.argv[2]), print), rebuild=len(sys.argv) > 3)
print("built" if done.built else "found")
"""


@pytest.fixture
def registry() -> Iterator[NpmRegistry]:
    with npm_registry() as registry:
        yield registry


@pytest.fixture
def site(tmp_path: Path, registry: NpmRegistry) -> RuntimeSite:
    site = RuntimeSite(tmp_path, registry.url)
    site.lock_tool(registry.add("1.0.0"))
    return site


def builder(site: RuntimeSite, npm: Path, *, rebuild: bool = False) -> subprocess.Popen[str]:
    """Another process that builds `TOOL` with the npm in the folder `npm`."""
    argv = [sys.executable, "-u", "-c", BUILD, site.project, site.env, *(["rebuild"] if rebuild else [])]
    return subprocess.Popen(
        [str(each) for each in argv],
        cwd=PROJECT,
        env=site.environ | {"PATH": f"{npm}:{site.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def output_of(*argv: str | Path, **options: object) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30, **options).stdout  # type: ignore[call-overload,no-any-return]


@needs_npm
def test_a_package_that_is_not_the_locked_one_leaves_nothing(site: RuntimeSite) -> None:
    site.lock_tool(f"sha512-{'A' * 86}==")
    with pytest.raises(EnvironmentBuildError, match=r"npm could not install tool.*Integrity checksum failed"):
        build_runtime(TOOL, site.tools)
    assert site.homes == []
    assert not link_of(site.env, "tool").is_symlink()


@needs_npm
def test_a_registry_that_does_not_answer_leaves_what_stands(site: RuntimeSite) -> None:
    before = build_runtime(TOOL, site.tools)
    away = RuntimeSite(site.folder)
    with pytest.raises(EnvironmentBuildError, match=r"ECONNREFUSED"):
        build_runtime(TOOL, away.tools, rebuild=True)
    assert [runtime.path for runtime in standing_runtimes(site.env, "tool")] == [before.path]
    assert not build_runtime(TOOL, away.tools).built


def test_without_npm_it_is_refused_with_the_mend(site: RuntimeSite) -> None:
    tools = type(site.tools)(site.project, site.env, site.environ | {"PATH": "/nowhere"}, print)
    with pytest.raises(RequirementError, match=r"no npm on PATH.*Mend: install Node"):
        build_runtime(TOOL, tools)
    assert site.homes == []


def test_a_scaffold_that_runs_on_the_host_has_no_runtime() -> None:
    with pytest.raises(RefusedError, match=r"no runtime of 'terminus-2'.*claude-code, opencode"):
        blueprint_of("terminus-2")


def test_a_scaffold_is_known_under_its_earlier_name_too() -> None:
    assert blueprint_of("custom-claude-code") is blueprint_of("claude-code")


def test_a_name_that_is_no_scaffold_is_not_called_one_of_the_host() -> None:
    with pytest.raises(UnknownNameError, match=r"^there is no scaffold 'claud-code'. Mend: name one of claude-code"):
        blueprint_of("claud-code")


@pytest.mark.parametrize("version", ["", "1 2", "../1", "-1", "latest\n"])
def test_what_can_be_no_version_is_refused_before_a_registry_is_asked(site: RuntimeSite, version: str) -> None:
    with pytest.raises(ConfigError, match=r"no version of tool.*such as 1\.2\.3"):
        build_runtime(TOOL, site.tools, version=version)
    assert site.homes == []


@needs_npm
def test_a_build_says_what_it_holds_and_is_not_made_twice(site: RuntimeSite) -> None:
    runtime = build_runtime(TOOL, site.tools)
    assert runtime.built
    assert output_of(link_of(site.env, "tool") / "bin" / "tool", "hello") == "hello\n"
    manifest = RuntimeManifest.read(runtime.path)
    assert manifest == runtime.manifest
    assert (manifest.version, manifest.programs) == ("1.0.0", ("tool",))
    assert manifest.packages[TOOL.distribution].digest.startswith("sha512-")
    assert manifest.needs.startswith("glibc 2.")
    tree = measure(runtime.path, without=MANIFEST)
    assert (manifest.tree_sha256, manifest.listing_sha256) == (tree.content, tree.listing)
    assert not (runtime.path / "npm").exists()
    assert not build_runtime(TOOL, site.tools).built


@needs_npm
def test_another_version_is_resolved_once_and_then_kept(site: RuntimeSite, registry: NpmRegistry) -> None:
    registry.add("2.0.0")
    tool_2 = type(TOOL)(**{**vars(TOOL), "version_argv": ("tool", "2.0.0")})
    first = build_runtime(TOOL, site.tools)
    other = build_runtime(tool_2, site.tools, version="2.0.0")
    assert (other.built, other.manifest.version) == (True, "2.0.0")
    assert [each.manifest.version for each in standing_runtimes(site.env, "tool")] == ["2.0.0", "1.0.0"]
    kept = (site.env / "runtime-locks" / "tool-2.0.0" / "package-lock.json").read_text()
    assert registry.url not in kept
    away = RuntimeSite(site.folder)
    assert not build_runtime(tool_2, away.tools, version="2.0.0").built
    assert build_runtime(TOOL, away.tools, version="1.0.0").path == first.path
    assert [each.manifest.version for each in standing_runtimes(site.env, "tool")] == ["1.0.0", "2.0.0"]


@needs_npm
def test_a_version_that_the_registry_lacks_leaves_no_lock(site: RuntimeSite) -> None:
    with pytest.raises(EnvironmentBuildError, match=r"tool 9\.9\.9 cannot be resolved"):
        build_runtime(TOOL, site.tools, version="9.9.9")
    assert list((site.env / "runtime-locks").iterdir()) == []
    assert site.homes == []


@needs_npm
def test_a_builder_that_was_killed_leaves_nothing_that_is_taken_for_whole(site: RuntimeSite) -> None:
    process = builder(site, site.held_npm()[0])
    read_until(process, "fetching")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert [name[:10] for name in site.homes] == [".building-"]
    assert list(standing_runtimes(site.env, "tool")) == []
    assert build_runtime(TOOL, site.tools).built
    assert [name[:13] for name in site.homes] == ["runtime-tool-"]


@needs_npm
def test_a_rebuild_that_is_killed_or_interrupted_leaves_the_one_that_stands(site: RuntimeSite) -> None:
    before = build_runtime(TOOL, site.tools).path.stat().st_ino
    for ending in (signal.SIGKILL, signal.SIGINT):
        process = builder(site, site.held_npm()[0], rebuild=True)
        read_until(process, "fetching")
        os.killpg(process.pid, ending)
        process.communicate(timeout=10)
        assert link_of(site.env, "tool").resolve().stat().st_ino == before
    assert [name[:13] for name in site.homes] == ["runtime-tool-"]  # who is interrupted clears away
    assert build_runtime(TOOL, site.tools, rebuild=True).path.stat().st_ino != before


@needs_npm
def test_two_builders_at_once_build_once(site: RuntimeSite) -> None:
    npm, release = site.held_npm()
    first = builder(site, npm)
    read_until(first, "fetching")
    second = builder(site, npm)
    read_until(second, "another set-up is at work here; waiting for it")
    release.touch()
    assert first.communicate(timeout=60)[0].splitlines()[-1] == "built"
    assert second.communicate(timeout=60)[0].splitlines() == ["found"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> RuntimeSite:
    """Where `TINY` is built, with a Python taken along; the tests of it read only."""
    site = RuntimeSite(tmp_path_factory.mktemp("tiny"))
    site.lock_tiny()
    build_runtime(TINY, site.tools)
    return site


@needs_python
def test_a_wheel_that_is_not_the_locked_one_leaves_nothing(tmp_path: Path) -> None:
    site = RuntimeSite(tmp_path)
    site.lock_tiny("0" * 64)
    with pytest.raises(EnvironmentBuildError, match=r"(?i)hash mismatch"):
        build_runtime(TINY, site.tools)
    assert site.homes == []


@needs_python
def test_a_python_that_was_taken_along_uses_nothing_of_the_host_and_may_lie_anywhere(
    tiny: RuntimeSite, tmp_path: Path
) -> None:
    home = tmp_path / "elsewhere"
    shutil.copytree(link_of(tiny.env, "tiny"), home, symlinks=True)
    assert output_of(home / "bin" / "tiny") == "tiny 1.0\n"
    ask = "import sys, ssl, sqlite3, lzma, ctypes; print(sys.executable, sys.prefix, *sys.path, sep='\\n')"
    told = output_of(home / "bin" / "python", "-c", ask).splitlines()
    assert [line for line in told if not line.startswith(str(home))] == []
    maps = output_of(home / "bin" / "python", "-c", "import ssl; print(open('/proc/self/maps').read())")
    loaded = {line.split()[-1] for line in maps.splitlines() if ".so" in line}
    assert [path for path in loaded if not path.startswith(str(home))] == []


@needs_python
def test_what_the_image_sets_for_its_own_python_is_none_of_the_agents(tiny: RuntimeSite, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text("def main(): print('shadowed')")
    program = link_of(tiny.env, "tiny") / "bin" / "tiny"
    env = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PATH": os.environ["PATH"]}
    assert output_of(program, cwd=tmp_path, env=env) == "tiny 1.0\n"
    ask = "import os, subprocess; subprocess.run(['sh', '-c', 'echo $PYTHONPATH $LD_LIBRARY_PATH'], check=True)"
    assert output_of(program.with_name("python"), "-c", ask, env=env) == f"{tmp_path}\n"


@needs_python
def test_every_user_may_read_a_runtime_whatever_the_umask_was(tiny: RuntimeSite) -> None:
    paths = [path for path in link_of(tiny.env, "tiny").rglob("*") if not path.is_symlink()]
    assert [path for path in paths if path.stat().st_mode & 0o444 != 0o444] == []


def test_the_listing_tells_what_was_changed_but_the_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("abc")
    before = measure(tmp_path, without=MANIFEST)
    (tmp_path / MANIFEST).write_text("{}")
    assert measure(tmp_path, without=MANIFEST) == before
    (tmp_path / "f").write_text("xyz")
    assert listing_of(tmp_path, without=MANIFEST) == before.listing
    assert measure(tmp_path, without=MANIFEST).content != before.content
    (tmp_path / "f").write_text("xy")
    assert listing_of(tmp_path, without=MANIFEST) != before.listing


@pytest.mark.parametrize("scaffold", BLUEPRINTS)
def test_each_scaffold_is_locked_in_full_and_no_lock_names_a_host(scaffold: str) -> None:
    blueprint = BLUEPRINTS[scaffold]
    path = PROJECT / "locks" / lock_name(blueprint)
    assert pinned_version(blueprint, path)
    text = path.read_text()
    assert "://" not in text
    if path.suffix == ".json":
        packages = json.loads(text)["packages"]
        assert all("integrity" in each for name, each in packages.items() if name)
