"""Where data sets are found below a source."""

from pathlib import Path

import pytest

from trajgen_assets.core.config import parse_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.source import MANIFEST_NAME, TaskSource, data_sets_of


def source(folder: Path, manifest: Path | None = None) -> TaskSource:
    return TaskSource(folder.name, folder, manifest or folder / MANIFEST_NAME)


def with_manifest(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST_NAME).write_text("a-1\n")
    return folder


def test_a_folder_with_a_manifest_is_one_data_set_whatever_lies_below_it(tmp_path: Path) -> None:
    folder = with_manifest(tmp_path / "py-cc")
    with_manifest(folder / "nested")
    assert [each.dataset for each in data_sets_of(source(folder))] == ["py-cc"]


def test_a_root_with_a_folder_for_each_language_is_a_data_set_for_each_that_has_a_manifest(tmp_path: Path) -> None:
    for name in ("go-cc", "py-cc"):
        with_manifest(tmp_path / name)
    (tmp_path / "rust-cc").mkdir()
    assert [each.dataset for each in data_sets_of(source(tmp_path))] == ["go-cc", "py-cc"]
    with_manifest(tmp_path / "rust-cc" / "late").rename(tmp_path / "ts-cc")
    assert [each.dataset for each in data_sets_of(source(tmp_path))] == ["go-cc", "py-cc", "ts-cc"]


def test_a_flat_root_takes_its_manifest_from_the_path_that_was_given(tmp_path: Path) -> None:
    manifest = tmp_path / "elsewhere" / "merged.txt"
    assert data_sets_of(source(tmp_path / "outputs", manifest)) == [source(tmp_path / "outputs", manifest)]


def test_a_source_without_any_manifest_stays_so_that_its_reader_can_say_so(tmp_path: Path) -> None:
    assert data_sets_of(source(tmp_path)) == [source(tmp_path)]


def config_text(*folders: Path) -> str:
    listed = ", ".join(f"{{dataset_name: {folder}}}" for folder in folders)
    api = '{model: openai/m, api_base_url: "http://127.0.0.1:9/v1", api_key: "${K}"}'
    return f"runtime_info: {{input: {{llm_api: {api}, task_sources: [{listed}]}}}}"


def test_two_roots_with_a_data_set_of_one_name_are_refused(tmp_path: Path) -> None:
    for root in ("a", "b"):
        with_manifest(tmp_path / root / "py-cc")
    config = parse_config(config_text(tmp_path / "a", tmp_path / "b"), tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="2 data sets are named py-cc"):
        config.sources()


@pytest.mark.parametrize("name", ["py cc;rm", ".backup"])
def test_a_folder_whose_name_is_no_name_is_left_out_by_name(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with_manifest(tmp_path / "root" / name)
    with_manifest(tmp_path / "root" / "py-cc")
    assert [each.dataset for each in data_sets_of(source(tmp_path / "root"))] == ["py-cc"]
    assert name in caplog.text
