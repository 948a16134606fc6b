import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.preflight.twins import root_at, write_config, write_tasks
from trajgen_assets.core.checkouts.pin import chosen_pins
from trajgen_assets.core.config.pins import HARBOR_VERSION
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.preflight.findings import Finding, Level, looked_at
from trajgen_assets.core.preflight.repositories import checkouts

URL = "https://git.example/team/converter.git"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def found(tmp_path: Path, commit: str) -> list[Finding]:
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t-1"))
    pin = f"meta_info: {{repositories: {{converter: {{url: '{URL}', commit: '{commit}'}}}}}}\n"
    config.write_text(pin + config.read_text())
    with looked_at(root_at(tmp_path / "root"), config) as subject:
        return list(checkouts(subject))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "repos" / "converter"
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", "git@git.example:team/converter")
    (folder / "a").write_text("a\n")
    git(folder, "add", "a")
    git(folder, "commit", "--quiet", "-m", "one")
    (folder / "a").chmod(0o444)
    return folder


def test_a_clean_checkout_at_its_pin_is_in_order_however_its_address_is_written(tmp_path: Path, checkout: Path) -> None:
    (line,) = found(tmp_path, git(checkout, "rev-parse", "HEAD"))
    assert (line.level, line.subject) == (Level.OK, "converter")


def test_another_commit_address_and_changes_are_told_each(tmp_path: Path, checkout: Path) -> None:
    git(checkout, "remote", "set-url", "origin", "https://git.example/other/converter")
    (checkout / "a").chmod(0o664)
    (checkout / "a").write_text("b\n")
    index = checkout / ".git" / "index"
    before = index.read_bytes()
    lines = found(tmp_path, "0" * 40)
    assert [line.level for line in lines] == [Level.WARN] * 4
    for said in ("origin is git.example/other", "its HEAD ", "not committed: a", "can be written, a for one"):
        assert [line for line in lines if said in line.text], said
    assert index.read_bytes() == before


def test_a_checkout_that_is_missing_has_the_command_that_makes_it(tmp_path: Path) -> None:
    (line,) = found(tmp_path, "0" * 40)
    assert (line.level, line.mend) == (Level.WARN, "run `trajgen update-repos --repo converter`")


def test_a_package_of_the_index_is_the_one_of_its_lock_and_is_not_checked_out(tmp_path: Path) -> None:
    lock = (PROJECT / "locks" / "harbor.txt").read_text()
    hashes = re.findall(r"sha256:[0-9a-f]{64}", lock[lock.index("\nharbor==") :])[:1]
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t-1"))
    pin = json.dumps({"harbor": {"name": "harbor", "version": HARBOR_VERSION, "hashes": hashes}})
    config.write_text(f"meta_info: {{repositories: {pin}}}\n" + config.read_text())
    with looked_at(root_at(tmp_path / "root"), config) as subject:
        (line,) = checkouts(subject)
        assert (line.level, line.subject) == (Level.OK, "harbor")
        with pytest.raises(ConfigError, match="of the package index, and is not checked out"):
            list(chosen_pins(subject.config, name="harbor", ref=None))


def test_something_else_in_the_place_of_a_checkout_is_to_be_moved_away(tmp_path: Path) -> None:
    (tmp_path / "repos" / "converter").mkdir(parents=True)
    (tmp_path / "repos" / "converter" / "file").touch()
    (line,) = found(tmp_path, "0" * 40)
    assert "is no git checkout" in line.text
