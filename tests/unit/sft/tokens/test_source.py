"""Where tokenizers come from: a path, what the hub's client has, and nothing that is not pinned."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.tokens.source import find_tokenizer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIND = """
import sys
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.tokens.source import find_tokenizer
try:
    found = find_tokenizer(sys.argv[1])
    print(found.name, found.tokenizer.name, found.config and found.config.name, found.template)
except ConversionError as error:
    print(error)
"""


def found_in(home: Path, name: str) -> str:
    """What a process of its own says, whose hub's client asks for nothing over the network."""
    environ = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", FIND, name], env=environ, capture_output=True, text=True, check=True
    ).stdout


def cached(home: Path, tokenizer_folder: Path) -> Path:
    """A model as the hub's client keeps it. Returns the folder of its one version."""
    model = home / "hub" / "models--maker--model"
    version = model / "snapshots" / COMMIT
    version.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    (version / "tokenizer.json").write_bytes((tokenizer_folder / "tokenizer.json").read_bytes())
    (version / "tokenizer_config.json").write_text("{}")
    (absent := model / ".no_exist" / COMMIT).mkdir(parents=True)
    (absent / "chat_template.jinja").touch()
    return version


def test_a_folder_and_its_file_are_the_same_tokenizer(tokenizer_folder: Path) -> None:
    (tokenizer_folder / "tokenizer_config.json").write_text("{}")
    by_folder = find_tokenizer(str(tokenizer_folder))
    assert by_folder == find_tokenizer(str(tokenizer_folder / "tokenizer.json"))
    assert by_folder.stated == {"name": "tiny", "sha256": by_folder.sha256}


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_each_file_is_part_of_the_digest(tokenizer_folder: Path, name: str) -> None:
    before = find_tokenizer(str(tokenizer_folder)).sha256
    with (tokenizer_folder / name).open("a") as file:
        file.write(" ")
    assert find_tokenizer(str(tokenizer_folder)).sha256 != before


def test_what_is_no_tokenizer_is_refused_and_says_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"has no tokenizer\.json.*Mend"):
        find_tokenizer(str(tmp_path))
    with pytest.raises(ConversionError, match=r"no such tokenizer.*owner/name@commit"):
        find_tokenizer(str(tmp_path / "missing"))


@pytest.mark.parametrize("name", ["maker/model", f"maker/model@{COMMIT}", "maker/model@main"])
def test_what_the_hubs_client_has_is_taken_without_a_connection(
    tmp_path: Path, tokenizer_folder: Path, name: str
) -> None:
    cached(tmp_path, tokenizer_folder)
    assert found_in(tmp_path, name) == f"{name} tokenizer.json tokenizer_config.json None\n"


@pytest.mark.parametrize("name", ["maker/model", "maker/model@main"])
def test_nothing_unpinned_is_fetched(tmp_path: Path, name: str) -> None:
    said = found_in(tmp_path, name)
    assert "not on this machine" in said
    assert "add @ and the commit" in said


def test_a_pinned_one_without_a_connection_says_so(tmp_path: Path) -> None:
    said = found_in(tmp_path, f"maker/model@{COMMIT}")
    assert f"could not be fetched (tokenizer.json of maker/model@{COMMIT})" in said
    assert "try again with a connection" in said
