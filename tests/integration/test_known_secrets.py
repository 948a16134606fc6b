"""A long-lived process knows the secrets of now, and those of before."""

import subprocess
from pathlib import Path

import pytest

from resources.redaction import KnownSecrets
from tests.canaries import FIELDS, UPSTREAM_KEY, plant
from tests.waiting import wait_until


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return plant(tmp_path, base_url="http://127.0.0.1:9/v1", tasks=tmp_path / "tasks")


def test_every_secret_field_is_known(config: Path) -> None:
    assert not any(value in KnownSecrets(config).text(" ".join(FIELDS.values())) for value in FIELDS.values())


def test_a_key_that_was_rotated_is_known_beside_the_one_before(config: Path) -> None:
    known = KnownSecrets(config)
    assert UPSTREAM_KEY not in known.text(UPSTREAM_KEY)
    secrets = config.with_name("secrets.env")
    secrets.write_text("CANARY_UPSTREAM_KEY=canary-rotated-08\n")
    clean = known.text(f"{UPSTREAM_KEY} canary-rotated-08")
    assert UPSTREAM_KEY not in clean
    assert "rotated" not in clean


def test_a_configuration_that_broke_takes_nothing_back(config: Path) -> None:
    known = KnownSecrets(config)
    known.redactor()
    config.write_text("nonsense: true\n")
    assert not any(value in known.text(value) for value in FIELDS.values())


def test_of_a_configuration_that_never_worked_its_secrets_file_and_the_environment_are_known(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("nonsense: true\n")
    monkeypatch.setenv("SOME_API_KEY", "canary-environ-09")
    clean = KnownSecrets(config).text(f"{UPSTREAM_KEY} canary-environ-09")
    assert clean == "<redacted:CANARY_UPSTREAM_KEY> <redacted:SOME_API_KEY>"


def test_what_git_refuses_is_known_all_the_same_and_the_rest_as_soon_as_git_ignores_it(config: Path) -> None:
    subprocess.run(["git", "init", "--quiet", config.parent], check=True)
    known = KnownSecrets(config, retry_s=0)
    assert known.text(UPSTREAM_KEY) == "<redacted:CANARY_UPSTREAM_KEY>"
    assert any(value in known.text(value) for value in FIELDS.values())
    (config.parent / ".git" / "info" / "exclude").write_text("secrets.env\n")
    # the pause is as long as the last trial
    wait_until(lambda: not any(value in known.text(value) for value in FIELDS.values()), limit_s=10)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_what_stands_in_a_file_that_cannot_be_used_is_known_line_by_line(config: Path, mode: int) -> None:
    secrets = config.with_name("secrets.env")
    lines = ["# A=canary-comment-10", "nonsense", "B='canary-whole-11' # why", 'C="canary-open-12', "B=canary-again-13"]
    secrets.write_text("\n".join(lines))
    secrets.chmod(mode)
    clean = KnownSecrets(config).text("canary-comment-10 canary-whole-11 canary-open-12 canary-again-13")
    assert [word for word in clean.split() if "canary" in word] == ["canary-comment-10"]


def test_a_configuration_that_cannot_be_read_is_asked_for_again_only_after_a_pause(config: Path) -> None:
    subprocess.run(["git", "init", "--quiet", config.parent], check=True)
    known = KnownSecrets(config, retry_s=600)
    assert known.redactor() is known.redactor()
    config.write_text(config.read_text())  # what did change is read at once
    (config.parent / ".git" / "info" / "exclude").write_text("secrets.env\n")
    assert UPSTREAM_KEY not in known.text(UPSTREAM_KEY)
