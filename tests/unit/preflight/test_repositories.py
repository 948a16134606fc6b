import subprocess
from pathlib import Path

import pytest

from tests.unit.preflight.twins import root_at, write_config, write_tasks
from trajgen_assets.core.preflight.findings import Finding, Level, looked_at
from trajgen_assets.core.preflight.repositories import checkouts, normal_url

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
    return folder


def test_a_clean_checkout_at_its_pin_is_in_order_however_its_address_is_written(tmp_path: Path, checkout: Path) -> None:
    (line,) = found(tmp_path, git(checkout, "rev-parse", "HEAD"))
    assert (line.level, line.subject) == (Level.OK, "converter")


def test_another_commit_address_and_changes_are_told_each(tmp_path: Path, checkout: Path) -> None:
    git(checkout, "remote", "set-url", "origin", "https://git.example/other/converter")
    (checkout / "a").write_text("b\n")
    index = checkout / ".git" / "index"
    before = index.read_bytes()
    lines = found(tmp_path, "0" * 40)
    assert [line.level for line in lines] == [Level.WARN] * 3
    assert [word for word in ("origin", "HEAD", "not committed") if any(word in line.text for line in lines)] == [
        "origin", "HEAD", "not committed",
    ]  # fmt: skip
    assert index.read_bytes() == before


def test_no_checkout_is_no_trouble(tmp_path: Path) -> None:
    (line,) = found(tmp_path, "0" * 40)
    assert line.level is Level.OK


def test_an_address_is_the_same_in_each_of_its_forms() -> None:
    forms = (
        "https://u@git.example/t/h.git",
        "git@git.example:t/h",
        "ssh://git@git.example/t/h",
        "https://git.example/t/h/",
    )
    assert {normal_url(form) for form in forms} == {"git.example/t/h"}
