"""Jobs and data lie where the configuration says, and are found under the root as ever."""

from pathlib import Path

import pytest

from resources.config_file import config_path
from tests.configuration import config_text
from trajgen_assets.cli.demo import demo_state
from trajgen_assets.cli.state import State
from trajgen_assets.core.config import Config, parse_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.placing import data_in, place_data, place_job, placing_notices
from trajgen_assets.core.report.found_jobs import find_jobs
from trajgen_assets.core.sft.versions import Versions


def config_at(folder: Path, *, jobs_dir: str = "", out_dir: str = "") -> Config:
    text = config_text(Path("tasks"), harbor_job={"jobs_dir": jobs_dir}, sft_conversion={"out_dir": out_dir})
    return parse_config(text, folder / "config.yaml")


def a_result_at(place: Path) -> None:
    """A version of a job's data that holds only lf.json."""
    versions = Versions.of(place)
    with versions.making() as folder:
        (folder / "lf.json").write_text("[]")
        versions.publish(folder, "made")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "root")


def test_without_a_word_both_lie_under_the_root(root: Root, tmp_path: Path) -> None:
    files, config = root.job("job-1"), config_at(tmp_path)
    place_job(root, config, files)
    place_data(root, config, files)
    assert files.dir.is_dir()
    assert not files.dir.is_symlink()
    assert Versions.of(files.sft).folder.is_dir()
    assert Versions.of(files.sft).folder.is_relative_to(root.path)


def test_the_files_lie_in_the_place_that_was_asked_for_and_the_root_leads_there(root: Root, tmp_path: Path) -> None:
    config = config_at(tmp_path / "block", jobs_dir="artifacts/jobs", out_dir=str(tmp_path / "big disk"))
    files = root.job("job-1")
    for _ in range(2):  # a second time changes nothing
        place_job(root, config, files)
        place_data(root, config, files)
    files.trials.write_text("{}")
    a_result_at(files.sft)
    assert (tmp_path / "block" / "artifacts" / "jobs" / "job-1" / "trials.json").read_text() == "{}"
    assert not (tmp_path / "big disk" / "job-1").readlink().is_absolute()
    assert (tmp_path / "big disk" / "job-1" / "lf.json").read_text() == "[]"
    assert placing_notices(root, config) == []


def test_the_root_s_own_folder_by_name_is_no_link(tmp_path: Path) -> None:
    root, config = Root(tmp_path / "artifacts"), config_at(tmp_path, jobs_dir="artifacts/jobs")
    root.path.mkdir()
    root.ledger.touch()
    place_job(root, config, root.job("job-1"))
    assert not root.job("job-1").dir.is_symlink()


def test_what_was_placed_stays_where_it_is_when_the_configuration_changes(root: Root, tmp_path: Path) -> None:
    files = root.job("job-1")
    place_data(root, config_at(tmp_path, out_dir="first"), files)
    a_result_at(files.sft)
    for later in ("second", ""):
        place_data(root, config_at(tmp_path, out_dir=later), files)
        assert (files.sft / "lf.json").read_text() == "[]"
    assert not (tmp_path / "second").exists()


def test_a_place_within_another_root_is_not_used_and_a_notice_says_so(root: Root, tmp_path: Path) -> None:
    other = Root(tmp_path / "artifacts")
    other.path.mkdir()
    other.ledger.touch()
    config = config_at(tmp_path, jobs_dir="artifacts/jobs", out_dir="artifacts/sft_data")
    place_job(root, config, root.job("job-1"))
    assert not root.job("job-1").dir.is_symlink()
    assert not other.jobs.exists()
    assert [line.split()[0] for line in placing_notices(root, config)] == ["jobs", "data"]
    assert str(other.path) in placing_notices(root, config)[0]


def test_a_place_that_cannot_be_made_or_is_gone_is_an_error_with_its_name(root: Root, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"a folder cannot be made .*/file/inner"):
        place_data(root, config_at(tmp_path, out_dir="file/inner"), root.job("job-1"))
    place_data(root, config_at(tmp_path, out_dir="there"), root.job("job-2"))
    (tmp_path / "there").rename(tmp_path / "unmounted")
    with pytest.raises(ConfigError, match="is gone"):
        place_data(root, config_at(tmp_path, out_dir="there"), root.job("job-2"))


def test_a_place_among_the_jobs_of_the_root_is_not_taken_for_a_job_of_the_earlier_system(tmp_path: Path) -> None:
    root = Root(tmp_path / "artifacts")
    place_job(root, config_at(tmp_path, jobs_dir="artifacts/jobs/py"), root.job("job-1"))
    (root.job("job-1").dir / "result.json").write_text("{}")  # Harbor's, of the job and not of a trial
    found = find_jobs(root, lambda task_id, _: TaskKey("main", "py-cc", task_id))
    assert (found.jobs, found.left, found.unreadable) == ([], {}, {})


def test_a_bare_name_of_a_variant_is_looked_for_here_and_then_beside_the_checkout_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_path("config.yaml") == PROJECT / "config.yaml"
    assert config_path("./gone/config.yaml") == tmp_path / "gone" / "config.yaml"
    (tmp_path / "config.yaml").write_text("")
    monkeypatch.setenv("TRAJGEN_CONFIG", "config.yaml")
    assert config_path() == tmp_path / "config.yaml"


def test_a_configuration_is_the_one_named_then_that_of_the_root_then_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(root: Path, given: Path | None = None) -> Path:
        return State.of(root, given, verbose=False).with_own_config().config

    monkeypatch.delenv("TRAJGEN_CONFIG", raising=False)
    own = tmp_path / "config.yaml"
    own.write_text("")
    assert State.of(tmp_path / "new", None, verbose=False).config == PROJECT / "config.yaml"
    assert chosen(tmp_path) == own
    monkeypatch.setenv("TRAJGEN_CONFIG", str(tmp_path / "named.yaml"))
    assert chosen(tmp_path) == tmp_path / "named.yaml"  # and it is not there: nothing else is taken instead
    assert chosen(tmp_path, tmp_path / "given.yaml") == tmp_path / "given.yaml"
    assert demo_state(State.of(tmp_path, None, verbose=False)).config == own
    with pytest.raises(ConfigError, match=r"no configuration .*named\.yaml.*TRAJGEN_CONFIG"):
        State.of(tmp_path, None, verbose=False).load()


def test_data_never_takes_the_place_of_the_rollouts_it_is_made_of(root: Root, tmp_path: Path) -> None:
    files, config = root.job("job-1"), config_at(tmp_path, jobs_dir="artifacts/jobs", out_dir=str(root.jobs))
    place_job(root, config, files)
    with pytest.raises(ConfigError, match="training data cannot lie where jobs lie"):
        place_data(root, config, files)
    for folder in (root.jobs, tmp_path / "artifacts" / "jobs"):  # that of the link, and that of the job
        with pytest.raises(ConfigError, match="training data cannot lie where jobs lie"):
            data_in(root, files, folder)
    assert not files.sft.is_symlink()
