"""`trajgen init` refuses before it writes what a second try would stumble over."""

from pathlib import Path

import pytest

from trajgen_assets.cli.init import check_docker
from trajgen_assets.core.config.write import write_minimal_config
from trajgen_assets.core.errors import RequirementError


@pytest.mark.parametrize("environment", ["docker", "local"])
def test_where_docker_is_missing_only_what_runs_in_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SOME_KEY", "k")
    config = write_minimal_config(
        tmp_path / "config.yaml",
        tasks=str(tmp_path),
        model="openai/m",
        base_url="http://127.0.0.1:9/v1",
        key_env="SOME_KEY",
        environment=environment,
        replace=True,
    )
    if environment == "local":
        check_docker(config)
        return
    with pytest.raises(RequirementError, match=r"docker client is missing.*--environment local"):
        check_docker(config)
