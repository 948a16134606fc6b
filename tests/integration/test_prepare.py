"""What registering from the command line says."""

import os
import time
from pathlib import Path

import pytest

from tests.integration.host_in_time import DATA_SET, host_with
from trajgen_assets.cli.prepare import register_all
from trajgen_assets.core.intake.manifest import AT_REST_AFTER_S
from trajgen_assets.core.keys import MAIN_CAMPAIGN


def test_a_last_line_that_waits_for_its_writer_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with host_with(tmp_path, []) as host:
        manifest = tmp_path / DATA_SET / "verifiable_tasks.txt"
        manifest.write_text("a-1\na-2")
        register_all(host.platform, MAIN_CAMPAIGN, host.instance)
        said = capsys.readouterr().out
        assert "d: 1 listed, 1 new" in said
        assert "line 2 has no newline yet" in said

        written_s = time.time() - AT_REST_AFTER_S
        os.utime(manifest, (written_s, written_s))
        register_all(host.platform, MAIN_CAMPAIGN, host.instance)
        said = capsys.readouterr().out
        assert "d: 2 listed, 1 new" in said
        assert "no newline" not in said
