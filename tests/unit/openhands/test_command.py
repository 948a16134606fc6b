"""One process of run_infer is told everything that matters, in its own words, and its key in a file of its own."""

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ledger.twins import batch, key, register
from tests.unit.openhands.checkouts import Place
from trajgen_assets.core.config import Config
from trajgen_assets.core.ledger import Ledger
from trajgen_assets.core.openhands.command import MAX_SKIP_IDS_BYTES, arguments, environment, skip_ids
from trajgen_assets.core.openhands.config_toml import llm_section, write_config
from trajgen_assets.core.openhands.environment import openhands_settings


def configured(tmp_path: Path, **openhands: Any) -> Config:
    return Place.under(tmp_path).config(**openhands)


def flags(config: Config) -> dict[str, str]:
    chosen = openhands_settings(config)
    words = arguments(
        Path("python"), config.campaign("main"), chosen, dataset="data/t__1.jsonl", outputs=Path("/jobs/j/openhands")
    )
    assert [str(word) for word in words[:3]] == ["python", "-m", "evaluation.benchmarks.multi_swe_bench.run_infer"]
    told = [str(word) for word in words[3:]]
    return dict(zip(told[::2], told[1::2], strict=True))


def test_each_flag_is_passed_whatever_its_default(tmp_path: Path) -> None:
    assert flags(configured(tmp_path, max_iterations=50)) == {
        "--agent-cls": "CodeActAgent",
        "--llm-config": "llm.trajgen",
        "--max-iterations": "50",
        "--dataset": "data/t__1.jsonl",
        "--split": "train",
        "--eval-num-workers": "1",
        "--eval-output-dir": "/jobs/j/openhands",
    }


def test_a_limit_of_rows_is_never_passed_since_it_counts_finished_ones(tmp_path: Path) -> None:
    assert not {"--eval-n-limit", "--eval-ids"} & flags(configured(tmp_path, eval_note="v1")).keys()


def test_the_environment_says_what_the_guide_s_variables_say_and_that_one_bad_row_ends_nothing(tmp_path: Path) -> None:
    chosen = openhands_settings(configured(tmp_path, language="go", run_with_browsing=True))
    told = environment(chosen, Path("/tree"), ["a", "b"])
    assert (
        told.items()
        >= {
            "LANGUAGE": "go",
            "USE_HINT_TEXT": "false",
            "USE_INSTANCE_IMAGE": "true",
            "RUN_WITH_BROWSING": "true",
            "EVAL_DOCKER_IMAGE_PREFIX": "mswebench",
            "EVAL_SKIP_MAXIMUM_RETRIES_EXCEEDED": "true",
            "SKIP_IDS": "a,b",
            "PYTHONPATH": "/tree",
        }.items()
    )
    assert "RUNTIME_CONTAINER_IMAGE" not in told
    assert "SANDBOX_ENV_GITHUB_TOKEN" not in told


def test_a_list_of_ids_that_no_variable_can_hold_is_cut_between_two(tmp_path: Path) -> None:
    ids = [f"acme__greeter-{number}" for number in range(20_000)]
    told = environment(openhands_settings(configured(tmp_path)), Path("/tree"), ids)["SKIP_IDS"]
    assert len(told) <= MAX_SKIP_IDS_BYTES
    assert set(told.split(",")) <= set(ids)


def test_all_ids_but_its_own_are_skipped_and_its_own_as_soon_as_its_job_lost_it(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    assert ledger.assign("j", batch(task_ids=["a", "b"]))
    ledger.claim("j", "run", ttl_s=60)
    rows = ledger.tasks_of_job("j")
    assert skip_ids(rows, "j", "a") == ["b"]
    assert skip_ids(rows, "another", "a") == ["a", "b"]
    assert key("a") in {row.key for row in rows}


def test_the_section_of_the_model_is_at_the_proxy_with_the_trial_s_key(tmp_path: Path) -> None:
    config = configured(tmp_path, max_output_tokens=16384, native_tool_calling=False)
    campaign, chosen = config.campaign("main"), openhands_settings(config)
    section = llm_section(campaign, chosen, base_url="http://127.0.0.1:4000", api_key='k"\n')
    (tmp_path / "config.toml").write_text("[llm.other]\nmodel = 'of the checkout'\n")
    write_config(tmp_path, "llm.trajgen", section)
    assert tomllib.loads((tmp_path / "config.toml").read_text()) == {
        "llm": {
            "trajgen": {
                "model": "openai/m",
                "base_url": "http://127.0.0.1:4000/v1",
                "api_key": 'k"\n',
                "temperature": pytest.approx(campaign.agent.temperature),
                "timeout": int(campaign.llm_api.timeout_s),
                "max_output_tokens": 16384,
                "native_tool_calling": False,
                "log_completions": True,
            }
        }
    }
    assert stat.S_IMODE((tmp_path / "config.toml").stat().st_mode) == 0o600
