"""The pinned converter from its repository to training data: checked out, its environment built, and run, for real."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from typer.testing import CliRunner

from resources.instance import open_instance
from tests.configuration import config_text
from tests.integration.finished_job import ALL, JOB, Host, finished_host
from tests.staleness import n_events
from tests.swe_data_process_checkout import origin, pins
from tests.tiny_tokenizer import trained
from tests.unit.checkouts.origins import anatomy
from trajgen_assets.cli.main import app
from trajgen_assets.core.paths import Root
from trajgen_assets.core.preflight.findings import looked_at
from trajgen_assets.core.preflight.run import CHECKS, look
from trajgen_assets.core.sft.receipt import load_receipt
from trajgen_assets.definitions import defs
from trajgen_assets.names import SWE_DATA_PROCESS_ENV

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(600)]

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHATML}
ENV = "swe-data-process-uv"


@dataclass(frozen=True)
class Site:
    """A root with a job that is over, and a configuration that pins and chooses the stand-in."""

    host: Host
    folder: Path

    @property
    def config(self) -> Path:
        return self.host.root.path / "config.yaml"

    def run(self, *arguments: str) -> tuple[int, str]:
        root = ["--root", str(self.host.root.path), "--config", str(self.config)]
        done = CliRunner().invoke(app, [*root, *arguments])
        return done.exit_code, done.output

    def findings(self) -> dict[str, str]:
        """What the preflight says of what the converter takes, by its check."""
        asked = {"training data", "locks", "programs", "checkouts"}
        with looked_at(Root.from_environ(self.host.root.path), self.config) as subject:
            lines = [*look(subject, [check for check in CHECKS if check.name in asked])]
        return {line.check: f"{line.level.value}: {line.text}" for line in lines}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("TRAJGEN_ENV_DIR", str(tmp_path / "env"))
    tokenizer = tmp_path / "tiny"
    tokenizer.mkdir()
    trained().save(str(tokenizer / "tokenizer.json"))
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    with finished_host(tmp_path, monkeypatch) as host:
        made = Site(host, tmp_path)
        made.config.write_text(_configuration(host.root.path / "py-cc", tokenizer, pins(origin(tmp_path))))
        yield made


def _configuration(source: Path, tokenizer: Path, repositories: dict[str, Any]) -> str:
    conversion = {
        "enabled": True,
        "engine": "swe_data_process",
        "instance_status": "all",
        "tokenizer_name": str(tokenizer),
        "leaks": "keep",
        "first_turn": "keep",
    }
    text = yaml.safe_load(config_text(source, sft_conversion=conversion, harbor_job={"environment": "local"}))
    text["runtime_info"]["output"] = {"sft_data_dir": {"format": "llamafactory_lf_v0.1"}}
    return yaml.safe_dump(text | {"meta_info": {"repositories": repositories}})


def test_from_a_pin_to_both_assets(site: Site) -> None:
    assert site.findings()["training data"].startswith("fail: swe_data_process is not built from this checkout")
    assert site.run("convert", JOB)[0] != 0
    assert site.run("update-repos")[0] == 0
    checkout = site.config.parent / "repos" / "swe_data_process"
    before = anatomy(checkout)
    assert site.findings()[f"locks {ENV}"].endswith("is not set up; the next conversion builds it first")

    code, said = site.run("setup-envs", "--env", "swe_data_process")
    assert (code, "swe_data_process: built in " in said) == (0, True), said
    assert anatomy(checkout) == before  # nothing is built in it, and nothing was written beside its sources
    found = site.findings()
    assert found[f"programs {ENV}"].startswith("ok: swe_data_process: claudecode_opencode.convert_cc_to_im")
    assert " by swe_data_process at " in found["training data"]

    write_what_terminus_wrote(site)
    assert site.host.materialize(ALL).success
    receipt = load_receipt(site.host.root.job(JOB).sft)
    assert receipt is not None
    assert (receipt.engine.name, receipt.engine.exit_code, receipt.n_rows > 0) == ("swe_data_process", 0, True)
    assert receipt.is_whole
    stats = json.loads((receipt.folder / "lf.stats.json").read_bytes())
    assert stats["total_tokens"] > receipt.n_rows  # as transformers counted them, by the tokenizer that was given
    assert n_events(site.host.instance, SWE_DATA_PROCESS_ENV) == 1
    job = defs().get_repository_def().get_job("__ASSET_JOB").get_subset(asset_selection={SWE_DATA_PROCESS_ENV})
    with open_instance(site.host.root) as instance:
        assert job.execute_in_process(instance=instance).success
    assert n_events(site.host.instance, SWE_DATA_PROCESS_ENV) == 1  # what stands is no news


def write_what_terminus_wrote(site: Site) -> None:
    files = site.host.root.job(JOB)
    for trial in json.loads(files.trials.read_bytes())["trials"]:
        if trial["trial_name"]:
            steps = [{"source": "user", "message": trial["task_id"]}, {"source": "agent", "message": "Done."}]
            path = files.trial(trial["trial_name"]) / "agent" / "trajectory.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"steps": steps}))


def test_without_a_pin_a_click_builds_nothing(site: Site) -> None:
    text = yaml.safe_load(site.config.read_text())
    del text["meta_info"]
    site.config.write_text(yaml.safe_dump(text))
    job = defs().get_repository_def().get_job("__ASSET_JOB").get_subset(asset_selection={SWE_DATA_PROCESS_ENV})
    done: dg.ExecuteInProcessResult = job.execute_in_process(instance=site.host.instance)
    assert (done.success, n_events(site.host.instance, SWE_DATA_PROCESS_ENV)) == (True, 0)
    assert site.findings()["training data"].startswith("fail: no converter is pinned")
