"""`trajgen init` refuses before it writes what a second try would stumble over, in words of its options."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from trajgen_assets.cli.init import check_docker
from trajgen_assets.cli.main import app
from trajgen_assets.core.config.write import minimal_config
from trajgen_assets.core.errors import ConfigError, EndpointError, RequirementError

URL = "http://127.0.0.1:9/v1"
GIVEN = {
    "--model": "openai/m",
    "--base-url": URL,
    "--key-env": "SOME_KEY",
    "--environment": "local",
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "k")


def refusal(folder: Path, **options: str) -> BaseException | None:
    """What `init` ends with where some options are others than `GIVEN`; it has written nothing."""
    words = [word for pair in {"--tasks": str(folder), **GIVEN, **options}.items() for word in pair]
    error = CliRunner().invoke(app, ["--root", str(folder / "root"), "init", *words]).exception
    assert list(folder.iterdir()) == []
    return error


@pytest.mark.parametrize(
    ("option", "value"),
    [("--model", "m"), ("--base-url", "nowhere"), ("--key-env", "sk-live 1"), ("--environment", "lcal")],
)
def test_a_wrong_value_is_said_of_its_option_and_of_no_file(tmp_path: Path, option: str, value: str) -> None:
    error = refusal(tmp_path, **{option: value})
    assert isinstance(error, ConfigError)
    assert f"{option}: should be " in str(error)
    assert not any(word in str(error) for word in ("config.yaml", "runtime_info", "line "))


def test_a_key_that_is_not_set_and_an_endpoint_that_is_away_are_said_of_the_options(tmp_path: Path) -> None:
    assert "variable NO_KEY is not set" in str(refusal(tmp_path, **{"--key-env": "NO_KEY"}))
    error = refusal(tmp_path)
    assert isinstance(error, EndpointError)
    assert str(error).endswith("Mend: check --base-url, and that the endpoint is up")


def test_a_configuration_that_says_something_else_is_left_alone_and_a_template_is_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    words = [word for pair in {"--tasks": str(tmp_path), **GIVEN}.items() for word in pair]
    for text, error in (("runtime_info: {input: {llm_api: {model: human}}}\n", EndpointError), ("x", ConfigError)):
        (root / "config.yaml").write_text(text)
        result = CliRunner().invoke(app, ["--root", str(root), "init", *words])
        assert isinstance(result.exception, error)
        assert (root / "config.yaml").read_text() == text


@pytest.mark.parametrize("environment", ["docker", "local"])
def test_where_docker_is_missing_only_what_runs_in_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    _, config = minimal_config(
        tmp_path / "config.yaml",
        tasks=str(tmp_path),
        model="openai/m",
        base_url=URL,
        key_env="SOME_KEY",
        environment=environment,
    )
    if environment == "local":
        check_docker(config)
        return
    with pytest.raises(RequirementError, match=r"docker client is missing.*--environment local"):
        check_docker(config)
