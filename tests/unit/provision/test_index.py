from pathlib import Path

import pytest

from trajgen_assets.core.provision.command import tool_environ
from trajgen_assets.core.provision.index import index_settings

MIRROR = "https://mirror.example/simple"


def configured(home: Path, text: str) -> dict[str, str]:
    path = home / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return {"HOME": str(home), "XDG_CONFIG_DIRS": str(home / "none")}


def test_uv_is_told_the_index_of_pips_file(tmp_path: Path) -> None:
    environ = configured(tmp_path, f"[global]\nindex-url = {MIRROR}\ncert = /ca.pem\n")
    assert index_settings(environ)["UV_DEFAULT_INDEX"] == MIRROR
    assert index_settings(environ)["SSL_CERT_FILE"] == "/ca.pem"


def test_pips_variable_wins_over_its_file(tmp_path: Path) -> None:
    environ = configured(tmp_path, "[install]\nindex-url = https://old.example/simple\n") | {"PIP_INDEX_URL": MIRROR}
    assert index_settings(environ)["UV_DEFAULT_INDEX"] == MIRROR


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_is_set_for_uv_wins_over_pip(tmp_path: Path, name: str) -> None:
    environ = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://old.example/simple", name: MIRROR}
    assert "UV_DEFAULT_INDEX" not in index_settings(environ)
    assert tool_environ(environ)[name] == MIRROR


@pytest.mark.parametrize("text", ['[[index]]\nurl = "https://a.example"\n', '[pip]\nindex-url = "https://a.example"\n'])
def test_an_index_in_uvs_own_file_wins_over_pip(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".config" / "uv" / "uv.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert "UV_DEFAULT_INDEX" not in index_settings({"HOME": str(tmp_path), "PIP_INDEX_URL": MIRROR})


def test_a_file_that_pip_could_not_read_either_is_left_to_pip(tmp_path: Path) -> None:
    environ = configured(tmp_path, "index-url = without a section\n")
    assert "UV_DEFAULT_INDEX" not in index_settings(environ | {"PIP_CONFIG_FILE": "/dev/null"})
    assert "UV_DEFAULT_INDEX" not in index_settings(environ)


def test_certificates_that_are_named_already_stay() -> None:
    assert "SSL_CERT_FILE" not in index_settings({"SSL_CERT_FILE": "/mine.pem", "PIP_CERT": "/other.pem"})


def test_an_installing_program_gets_no_api_key_and_no_foreign_target() -> None:
    environ = {"PATH": "/bin", "OPENAI_API_KEY": "sk-x", "PYTHONPATH": "/x", "VIRTUAL_ENV": "/v", "PIP_TARGET": "/t",
               "UV_SYSTEM_PYTHON": "1", "UV_CACHE_DIR": "/c", "https_proxy": "http://p"}  # fmt: skip
    passed = tool_environ(environ)
    assert {"PATH", "UV_CACHE_DIR", "https_proxy"} <= passed.keys()
    assert not {"OPENAI_API_KEY", "PYTHONPATH", "VIRTUAL_ENV", "PIP_TARGET", "UV_SYSTEM_PYTHON"} & passed.keys()
