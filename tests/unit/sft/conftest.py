from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.tiny_tokenizer import trained
from trajgen_assets.core.sft.tokens.source import TokenizerFiles, find_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return trained()


@pytest.fixture
def tokenizer_folder(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def tokenizer_files(tokenizer_folder: Path) -> TokenizerFiles:
    return find_tokenizer(str(tokenizer_folder))
