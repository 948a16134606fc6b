"""Configurations of both eras of the earlier system, through the command line as a user types it."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import yaml

from trajgen_assets.cli.main import main
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.paths import PROJECT, Root

EXAMPLES = PROJECT / "examples"
KEY = "sk-an-invented-key-0123456789"
EXIT_USAGE = 2


@pytest.fixture
def block(tmp_path: Path) -> Path:
    """A folder as the earlier system had it, with the tasks beside it."""
    shutil.copytree(EXAMPLES / "old_configs", tmp_path / "block")
    (tmp_path / "swe_tasks").symlink_to(EXAMPLES / "swe_tasks")
    return tmp_path / "block"


class CommandLine:
    """`trajgen` in this process, with the arguments, the folder and the environment that a user gives it."""

    def __init__(self, block: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(block)
        for name in [name for name in os.environ if name.startswith(("TRAJGEN_", "HARBOR_", "LLM_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("TRAJGEN_ROOT", str(block / "artifacts"))

    def __call__(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Exit code, output and messages of `trajgen ARGUMENTS`."""
        on_term = signal.getsignal(signal.SIGTERM)
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["trajgen", *arguments])
            for name, value in environ.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        signal.signal(signal.SIGTERM, on_term)
        output, said = self._capsys.readouterr()
        return int(ended.value.code or 0), output, said


@pytest.fixture
def trajgen(block: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(block, monkeypatch, capsys)


def test_a_variant_is_chosen_by_option_or_environment_and_says_what_it_means_here(
    block: Path, trajgen: CommandLine
) -> None:
    code, output, _ = trajgen("--config", "config.trajgen.yaml", "config", "validate")
    assert code == 0
    assert "valid: " in output
    assert "harbor.commit is not checked out: Harbor 0.25.0" in output
    code, output, _ = trajgen("config", "show", "--json", TRAJGEN_CONFIG="config.tracer.yaml")
    rows = {row["key"]: row for row in json.loads(output)}
    assert code == 0
    assert rows["runtime_info.input.litellm_proxy.port"]["value"] == 4003
    assert rows["runtime_info.input.llm_api.api_key"]["note"].endswith("which is NOT set")


def test_a_migrated_file_is_valid_holds_no_key_and_is_never_written_over(block: Path, trajgen: CommandLine) -> None:
    before = (block / "config.trajgen.yaml").read_bytes()
    arguments = ("config", "migrate", "config.trajgen.yaml", "-o", "config.yaml")
    code, output, said = trajgen(*arguments)
    assert code == 0
    assert "set LLM_API_KEY in the environment" in said
    assert "litellm_proxy.port: changed:" in output
    written = (block / "config.yaml").read_text()
    assert KEY not in written + output + said
    assert trajgen("config", "validate", "config.yaml", LLM_API_KEY=KEY)[0] == 0
    code, _, said = trajgen(*arguments)
    assert (code, "there is a file already" in said) == (EXIT_USAGE, True)
    assert trajgen(*arguments, "--force")[0] == 0
    assert (block / "config.yaml").read_text() == written
    code, _, said = trajgen(*arguments[:-1], "./config.trajgen.yaml", "--force")
    assert (code, "the old configuration is never written" in said) == (EXIT_USAGE, True)
    assert (block / "config.trajgen.yaml").read_bytes() == before


def test_an_unknown_agent_and_an_untested_harbor_are_refused_together_with_what_is_supported(
    block: Path, trajgen: CommandLine
) -> None:
    old = yaml.safe_load((block / "config.tracer.yaml").read_text())
    old["runtime_info"]["input"]["agent"] |= {"name": "custom-codex", "version": "1.2.3"}
    old["meta_info"]["repositories"]["harbor"]["commit"] = "1" * 40
    (block / "config.other.yaml").write_text(yaml.safe_dump(old))
    for command in (("config", "validate"), ("config", "migrate", "config.other.yaml", "-o", "new.yaml")):
        code, _, said = trajgen("--config", "config.other.yaml", *command)
        assert code == EXIT_USAGE
        assert "'custom-codex' is no known agent; supported now: terminus-2, claude-code, opencode" in said
        assert f"harbor.commit {'1' * 40} was never tested with this platform; tested: ff04349, 3062421," in said
    assert not (block / "new.yaml").exists()


def test_an_agent_of_the_earlier_system_keeps_its_version_and_says_its_name_here(
    block: Path, trajgen: CommandLine
) -> None:
    old = yaml.safe_load((block / "config.tracer.yaml").read_text())
    old["runtime_info"]["input"]["agent"] |= {"name": "custom-claude-code", "version": "2.1.118"}
    old["runtime_info"]["input"]["sft_conversion"]["scaffold"] = "auto"
    (block / "config.claude.yaml").write_text(yaml.safe_dump(old))
    code, _, said = trajgen("config", "migrate", "config.claude.yaml", "-o", "new.yaml")
    assert code == 0, said
    agent = yaml.safe_load((block / "new.yaml").read_text())["runtime_info"]["input"]["agent"]
    assert (agent["name"], agent["version"]) == ("claude-code", "2.1.118")


def test_the_list_of_exclusions_joins_files_environment_and_ledger_and_a_broken_one_is_an_error(
    block: Path, trajgen: CommandLine
) -> None:
    config = ("--config", "config.tracer.yaml")
    code, output, said = trajgen(*config, "exclude-list", HARBOR_EXCLUDE_TASKS="a-1")
    assert (code, output.split()) == (0, ["lumenfield__ignorepath-73", "ostrava-labs__dagweave-19", "a-1"])
    assert "nothing was consumed" in said
    create_ledger(Root(block / "artifacts"))
    code, output, _ = trajgen(*config, "exclude-list", "--why")
    assert code == 0
    assert "processed_tasks.yaml of runtime_info.input.env_extra.HARBOR_EXCLUDE_TASKS: done" in output
    (block / "processed_tasks.yaml").write_text("runs: [{task_id: a-1, status: finished}]\n")
    for command in ("exclude-list", "config validate"):
        code, output, said = trajgen(*config, *command.split())
        assert (code, output) == (EXIT_USAGE, "")
        assert "status 'finished' is not known" in said
    (block / "processed_tasks.yaml").unlink()
    assert trajgen(*config, "exclude-list")[0] == EXIT_USAGE
