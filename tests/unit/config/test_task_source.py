"""Task sources of each provider: what they have to say, and where their tasks lie then."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.configuration import config_text
from trajgen_assets.core.config.config import Config, redacted
from trajgen_assets.core.config.load import parse_config
from trajgen_assets.core.errors import ConfigError

REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB = {"provider": "huggingface", "dataset_name": "acme/py-cc", "download": {"revision": REVISION}}
REGISTRY = {"provider": "harbor_registry", "dataset_name": "acme-bench@1.0"}


def parsed(root: Path, source: dict[str, Any]) -> Config:
    return parse_config(config_text(root, task_source=source), root / "config.yaml")


@pytest.mark.parametrize("source", [HUB, REGISTRY])
def test_a_source_elsewhere_is_a_folder_of_its_own_for_each_content(tmp_path: Path, source: dict[str, Any]) -> None:
    config = parsed(tmp_path, source)
    (remote,) = config.remotes()
    (found,) = config.sources()
    assert found.folder == remote.folder / "tasks"
    assert found.manifest == found.folder / "verifiable_tasks.txt"
    assert remote.folder.is_relative_to(tmp_path / "artifacts" / "sources" / found.dataset)
    download = {**source.get("download", {}), "subfolder": "tasks/easy"}
    (other,) = parsed(tmp_path, {**source, "download": download}).remotes()
    assert other.folder != remote.folder


def test_a_local_source_is_not_downloaded(tmp_path: Path) -> None:
    assert parsed(tmp_path, {"dataset_name": "somewhere/py-cc"}).remotes() == []


def test_every_complete_task_of_a_download_is_verified_only_if_that_is_said(tmp_path: Path) -> None:
    config = parsed(tmp_path, {**HUB, "manifest": "none"})
    assert config.sources()[0].manifest == config.remotes()[0].every_task
    named = parsed(tmp_path, {**HUB, "manifest": "mine.txt"})
    assert named.sources()[0].manifest == tmp_path / "mine.txt"


def test_the_hubs_token_is_named_and_never_shown(tmp_path: Path) -> None:
    literal = parsed(tmp_path, {**HUB, "download": {"revision": REVISION, "token": "hf_literal"}})
    assert "hf_literal" not in yaml.safe_dump(redacted(literal))
    assert "hf_literal" not in repr(literal)
    assert literal.remotes()[0].token is not None
    assert "hf_literal" in literal.literal_secrets().values()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"provider": "huggingface", "dataset_name": "acme/py-cc"}, "download.revision is missing"),
        ({**HUB, "download": {"revision": "main"}}, "should be a commit of 40 hex digits"),
        ({**HUB, "dataset_name": "../py-cc"}, "should be owner/name"),
        ({**HUB, "download": {"revision": REVISION, "archive": "../a.zip"}}, "a path within what is downloaded"),
        ({**HUB, "download": {"revision": REVISION, "archive": "a.rar"}}, "one of .tar, .tar.gz"),
        ({**HUB, "download": {"revision": REVISION, "archive": "a.zip", "allow_patterns": ["a/*"]}}, "leave"),
        ({**HUB, "download": {"revision": REVISION, "registry": "r.json"}}, "not used for huggingface"),
        ({"provider": "harbor_registry", "dataset_name": "acme-bench"}, "should be name@version"),
        ({"provider": "harbor_registry", "dataset_name": "acme-bench@head"}, "another content tomorrow"),
        ({"provider": "harbor_registry", "dataset_name": "org/acme@latest"}, "another content tomorrow"),
        ({**REGISTRY, "download": {"revision": REVISION}}, "not used for harbor_registry"),
        ({"dataset_name": "py-cc", "download": {"revision": REVISION}}, "nothing is downloaded for local"),
        ({"dataset_name": "py-cc", "manifest": "none"}, "manifest can be none only"),
    ],
)
def test_what_a_source_lacks_is_said_with_its_key(tmp_path: Path, source: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parsed(tmp_path, source)
