"""Fault points do nothing until a test asks, and then stop one process, once."""

import threading
from pathlib import Path

import pytest

from tests.faults import Points
from trajgen_assets.core.faults import FAULTS_ENV, reached
from trajgen_assets.core.process import child_env


def test_a_point_is_nothing_where_no_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FAULTS_ENV, raising=False)
    reached("before_commit")
    assert FAULTS_ENV not in child_env()


def test_a_point_that_is_not_armed_lets_everybody_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FAULTS_ENV, str(tmp_path))
    reached("before_commit")
    assert child_env()[FAULTS_ENV] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_armed_point_stops_the_first_that_comes_until_it_is_released(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    points = Points(tmp_path)
    monkeypatch.setenv(FAULTS_ENV, str(tmp_path))
    points.arm("before_commit")
    first = threading.Thread(target=reached, args=("before_commit",), daemon=True)
    first.start()
    points.wait("before_commit")
    reached("before_commit")  # the second one passes
    assert first.is_alive()
    points.release("before_commit")
    first.join(10)
    assert not first.is_alive()
