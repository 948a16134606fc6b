"""Which harness a job has: chosen here, and nowhere else asked for."""

from typing import Any

import yaml

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.inputs import HarborJob
from trajgen_assets.core.config.scaffolds import Harness as Named
from trajgen_assets.core.openhands.driver import OpenHandsHarness
from trajgen_assets.core.openhands.environment import openhands_settings
from trajgen_assets.core.openhands.job_file import read_job
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.addresses import ProxyPlace
from trajgen_assets.core.rollout.harbor_harness import HarborHarness
from trajgen_assets.core.rollout.harness import Harness
from trajgen_assets.core.rollout.plan import LOCAL_ENVIRONMENT


def harness_of(config: Config) -> Harness:
    """The harness of the jobs that `config` begins."""
    inputs = config.runtime_info.input
    if inputs.rollout.harness is Named.OPENHANDS:
        return OpenHandsHarness(openhands_settings(config), inputs.harbor_job)
    return HarborHarness(inputs.harbor_job, ProxyPlace(config))


def harness_of_job(root: Root, job: str) -> Harness:
    """The harness that `job` began with, by what was kept with it; Harbor for one that never came to a trial."""
    facts = read_job(root.job(job))
    if facts is not None:
        return OpenHandsHarness(facts.settings, HarborJob())
    return HarborHarness(HarborJob(environment=environment_of(root, job)))


def environment_of(root: Root, job: str) -> str:
    """The environment that the trials of `job` ran in, likewise."""
    try:
        return str(kept_inputs(root, job)["harbor_job"]["environment"])
    except (KeyError, TypeError):  # it never got so far as to start a trial
        return LOCAL_ENVIRONMENT


def kept_inputs(root: Root, job: str) -> dict[str, Any]:
    """`runtime_info.input` as it was when `job` began; empty for one that never got so far."""
    try:
        kept = yaml.safe_load(root.job(job).config.read_text(encoding="utf-8"))
        inputs = kept["runtime_info"]["input"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return inputs if isinstance(inputs, dict) else {}
