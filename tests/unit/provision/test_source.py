"""An environment whose main package is built from a pinned checkout, by real uv and git, without a network."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.checkouts.origins import Origin, anatomy
from tests.unit.provision.twins import Workshop
from trajgen_assets.core.checkouts.harbor import source_of
from trajgen_assets.core.checkouts.pin import Pin
from trajgen_assets.core.checkouts.update import update
from trajgen_assets.core.errors import EnvironmentBuildError, RefusedError
from trajgen_assets.core.provision.environments import Environment, ensure_environment

PROJECT_TOML = """
[project]
name = "tiny"
version = "{version}"
dependencies = [{requires}]
[project.scripts]
tiny = "tiny:main"
[build-system]
requires = ["{backend}>=0.8,<0.9"]
build-backend = "{backend}"
"""


class Sources:
    """A repository of `tiny`, its checkout, and a workshop that builds from it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.origin, self.workshop = folder, Origin(folder, "tiny"), Workshop(folder)
        self.checkout = folder / "repos" / "tiny"

    def have(self, version: str, *, requires: str = "", backend: str = "uv_build") -> str:
        text = PROJECT_TOML.format(version=version, requires=requires, backend=backend)
        (self.origin.work / "pyproject.toml").write_text(text)
        commit = self.origin.commit(f"def main():\n    print('tiny {version}')\n", path="src/tiny/__init__.py")
        update(self.pin(), print)
        return commit

    def pin(self) -> Pin:
        return self.origin.pin(self.checkout)

    def build(self) -> Environment:
        spec = replace(self.workshop.spec("1.0"), source=source_of(self.pin()))
        return ensure_environment(spec, self.workshop.store, self.workshop.link, print, environ=self.workshop.environ)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def said_by(environment: Environment) -> str:
    program = environment.path / "bin" / "tiny"
    return subprocess.run([program], capture_output=True, text=True, check=True, timeout=20).stdout


def test_what_the_checkout_has_runs_once_built_and_the_checkout_stays_as_it_was(sources: Sources) -> None:
    first = sources.have("2.0")
    before = anatomy(sources.checkout)
    built = sources.build()
    assert (built.built, built.record.source, said_by(built)) == (True, first, "tiny 2.0\n")
    assert not (built.path / "source").exists()
    assert anatomy(sources.checkout) == before
    assert sources.build().built is False
    sources.have("3.0")
    newer = sources.build()
    assert (newer.built, said_by(newer), said_by(built)) == (True, "tiny 3.0\n", "tiny 2.0\n")
    assert sources.workshop.link.resolve() == newer.path.resolve()


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ({"requires": '"absent>=1"'}, r"do not fit the lock .*requires `absent>=1`.*make locks"),
        ({"backend": "hatchling.build"}, r"they are built by hatchling\.build, which no lock pins"),
    ],
)
def test_sources_that_the_lock_does_not_meet_are_refused_and_leave_nothing(
    sources: Sources, project: dict[str, str], said: str
) -> None:
    sources.have("2.0", **project)
    with pytest.raises(EnvironmentBuildError, match=said):
        sources.build()
    assert sources.workshop.homes == []


def test_a_checkout_that_is_missing_or_was_changed_is_not_built(sources: Sources) -> None:
    with pytest.raises(RefusedError, match=r"not checked out.*update-repos --repo harbor"):
        sources.build()
    sources.have("2.0")
    (sources.checkout / "src" / "tiny" / "mine.py").touch()
    with pytest.raises(RefusedError, match=r"not built from this checkout .*mine\.py"):
        sources.build()


def test_sources_that_are_not_built_are_imported_where_they_lie_also_after_a_move(sources: Sources) -> None:
    sources.have("2.0", backend="setuptools.build_meta")
    commit = sources.origin.commit("NAME = 'pinned'\n", path="src/pinned/__init__.py")
    update(sources.pin(), print)
    smoke = ("python", "-c", "import pinned; print(pinned.NAME)")
    spec = replace(sources.workshop.spec("1.0"), source=source_of(sources.pin(), is_built=False), smoke=smoke)
    built = ensure_environment(
        spec, sources.workshop.store, sources.workshop.link, print, environ=sources.workshop.environ
    )
    assert built.record.source == commit
    moved = built.path.rename(sources.folder / "moved")
    done = subprocess.run([moved / "bin" / "python", "-I", *smoke[1:]], capture_output=True, text=True, check=True)
    assert done.stdout == "pinned\n"
