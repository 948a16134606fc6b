import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trajgen_assets.core.config import load_config
from trajgen_assets.core.config.secrets_file import SecretsFile
from trajgen_assets.core.errors import ConfigError

VALUE = "sk-only-in-the-file-4711"
CONFIG = """\
runtime_info:
  input:
    llm_api: {model: openai/m, api_base_url: "http://upstream.test/v1", api_key: "${FILE_KEY}"}
    task_source: {dataset_name: tasks}
    env_extra: {HF_TOKEN: "${FILE_TOKEN}"}
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `secrets.env` beside a configuration, whose path is returned."""
    monkeypatch.delenv("FILE_KEY", raising=False)
    monkeypatch.delenv("FILE_TOKEN", raising=False)

    def write(text: str) -> Path:
        secrets = tmp_path / "secrets.env"
        secrets.write_text(text)
        secrets.chmod(0o600)
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG)
        return config

    return write


def refusal(config: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(config)
    return str(refused.value)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"FILE_KEY={VALUE}", VALUE),
        (f"export FILE_KEY={VALUE}  # of the endpoint", VALUE),
        (f"FILE_KEY = {VALUE}\r", VALUE),
        ("FILE_KEY='a#b \"c\" ${d}'  # quoted", 'a#b "c" ${d}'),
        (r'FILE_KEY="a \"b\" \\ #c"', r'a "b" \ #c'),
        ("FILE_KEY=a#b=c", "a#b=c"),
    ],
)
def test_a_line_is_read_as_it_is_meant(write: Write, line: str, value: str) -> None:
    config = load_config(write(f"# keys\n\n{line}\n"))
    assert config.campaign().llm_api.api_key.reveal() == value


def test_a_reference_is_filled_in_wherever_the_configuration_has_one(write: Write) -> None:
    config = load_config(write(f"FILE_KEY={VALUE}\nFILE_TOKEN=hf-4711-token\n"))
    assert config.campaign().llm_api.api_key.reveal() == VALUE
    assert config.child_env()["HF_TOKEN"] == "hf-4711-token"


def test_the_environment_goes_before_the_file_and_both_are_known(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(write(f"FILE_KEY={VALUE}\n"))
    monkeypatch.setenv("FILE_KEY", "sk-of-the-environment")
    assert config.campaign().llm_api.api_key.reveal() == "sk-of-the-environment"
    assert set(config.secret_values().values()) >= {"sk-of-the-environment", VALUE}


def test_an_empty_variable_and_an_empty_line_count_as_not_set(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILE_KEY", "")
    assert load_config(write(f"FILE_KEY={VALUE}\n")).campaign().llm_api.api_key.reveal() == VALUE
    with pytest.raises(ConfigError, match=r"FILE_KEY is not set.*secrets\.env"):
        load_config(write("FILE_KEY=\n")).campaign().llm_api.api_key.reveal()


def test_every_value_of_the_file_is_known_as_a_secret_also_one_that_nothing_names(write: Write) -> None:
    config = load_config(write("NOBODY_NAMES_ME=some-other-value\n"))
    assert "some-other-value" in config.secret_values().values()


def test_an_edited_file_counts_from_the_next_reading_on(write: Write) -> None:
    config = write(f"FILE_KEY={VALUE}\n")
    assert load_config(config).campaign().llm_api.api_key.reveal() == VALUE
    assert load_config(write("FILE_KEY=sk-rotated-4711\n")).campaign().llm_api.api_key.reveal() == "sk-rotated-4711"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_can_open_is_refused_with_its_mend(write: Write, mode: int) -> None:
    config = write(f"FILE_KEY={VALUE}\n")
    config.with_name("secrets.env").chmod(mode)
    text = refusal(config)
    assert f"its mode is {mode:04o}" in text
    assert f"Mend: chmod 600 {config.with_name('secrets.env')}" in text


@pytest.mark.parametrize(
    "wrong",
    [
        f"sk-{VALUE}",
        f"FILE-KEY={VALUE}",
        f"FILE_KEY='{VALUE}",
        f'FILE_KEY="{VALUE}" and more',
        f"FILE_KEY={VALUE}${{OTHER}}",
        f"FILE_KEY={VALUE}\x07",
        f"OTHER={VALUE}",
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_its_number_and_never_with_its_value(write: Write, wrong: str) -> None:
    text = refusal(write(f"OTHER=1\n# more\n{wrong}\n"))
    assert "secrets.env, line 3" in text
    assert VALUE not in text


def test_a_file_that_is_not_utf_8_is_refused_by_its_line(write: Write) -> None:
    config = write("")
    config.with_name("secrets.env").write_bytes(b"A=1\nB=\xff\n")
    assert "secrets.env, line 2" in refusal(config)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        SecretsFile.beside(tmp_path / "config.yaml")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_in_a_checkout_the_file_has_to_be_ignored_and_never_tracked(write: Write, tmp_path: Path) -> None:
    config = write(f"FILE_KEY={VALUE}\n")
    git(tmp_path, "init")
    assert "Mend: put a line secrets.env into .gitignore" in refusal(config)
    (tmp_path / ".gitignore").write_text("secrets.env\n")
    assert load_config(config).campaign().llm_api.api_key.reveal() == VALUE
    git(tmp_path, "add", "--force", "secrets.env")
    assert "git keeps the secrets" in refusal(config)
    assert "Mend: git rm --cached" in refusal(config)


def test_a_link_is_judged_by_where_it_leads(write: Write, tmp_path: Path) -> None:
    config = write("")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keys").write_text(f"FILE_KEY={VALUE}\n")
    (elsewhere / "keys").chmod(0o600)
    config.with_name("secrets.env").unlink()
    config.with_name("secrets.env").symlink_to(elsewhere / "keys")
    assert load_config(config).campaign().llm_api.api_key.reveal() == VALUE
    git(elsewhere, "init")
    assert "git would add the secrets" in refusal(config)
