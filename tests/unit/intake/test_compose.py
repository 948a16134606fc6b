"""A task's compose file is filled in from Harbor's environment, in which the key of all trial keys stands."""

from pathlib import Path

import pytest

from tests.unit.intake.conftest import TASK_TOML, write_task
from trajgen_assets.core.intake.task import inspect_task


def refused(task: Path, compose: str) -> str:
    (task / "environment" / "docker-compose.yaml").write_text(compose)
    return "; ".join(inspect_task(task).refused)


@pytest.mark.parametrize(
    "compose",
    [
        "services: {main: {command: 'echo ${TRAJGEN_TRIAL_SUBKEY}'}}",
        "services: {main: {command: [echo, $TRAJGEN_TRIAL_SUBKEY]}}",
        "services: {main: {command: 'echo ${A:-${TRAJGEN_TRIAL_SUBKEY:-x}}'}}",
        "services: {main: {command: 'echo $$$TRAJGEN_TRIAL_SUBKEY'}}",
        "services: {main: {environment: {A: '${TRAJGEN_TRIAL_SUBKEY}'}}}",
        "services: {main: {environment: {TRAJGEN_TRIAL_SUBKEY: }}}",
        "services: {main: {environment: [TRAJGEN_TRIAL_SUBKEY]}}",
        "services: {main: {environment: !override [TRAJGEN_TRIAL_SUBKEY]}}",
        "services: {main: {build: {args: [TRAJGEN_TRIAL_SUBKEY]}}}",
        "services: {main: {build: {args: {TRAJGEN_TRIAL_SUBKEY: null}}}}",
        "secrets: {one: {environment: TRAJGEN_TRIAL_SUBKEY}}",
        "configs: {one: {environment: TRAJGEN_TRIAL_SUBKEY}}",
        "x-base: &base {image: $TRAJGEN_TRIAL_SUBKEY}\nservices: {main: {<<: *base}}",
    ],
)
def test_every_way_to_the_host_s_environment_is_refused_by_name(task: Path, compose: str) -> None:
    assert "asks for the host's TRAJGEN_TRIAL_SUBKEY" in refused(task, compose)


@pytest.mark.parametrize(
    ("compose", "what"),
    [
        ("include: [other.yaml]", "include draws in another file"),
        ("services: {main: {extends: {file: other.yaml, service: main}}}", "extends draws in another file"),
        ("services: {main: {env_file: some.env}}", "env_file draws in another file"),
        ("services: [", "is not YAML"),
    ],
)
def test_what_cannot_be_looked_into_is_refused(task: Path, compose: str, what: str) -> None:
    assert what in refused(task, compose)


@pytest.mark.parametrize(
    "compose",
    [
        "services: {main: {image: '${MAIN_IMAGE_NAME}', volumes: ['${HOST_AGENT_LOGS_PATH}:${ENV_AGENT_LOGS_PATH}']}}",
        "services: {main: {command: 'echo $${HOME} costs 5$$'}}",
        "services: {main: {environment: [A=1, B=]}, db: {environment: {C: 1, D: ''}, extends: {service: main}}}",
        "# ${TRAJGEN_TRIAL_SUBKEY}\nservices: {main: &again {ports: ['80', 90], x-of: *again}}",
        "services: {main: {networks: {default: }, depends_on: [db]}, db: {image: 'db:1'}}",
    ],
)
def test_what_the_task_or_harbor_says_itself_is_let_through(task: Path, compose: str) -> None:
    assert refused(task, compose) == ""


def test_a_variable_that_the_task_sets_is_its_own(tmp_path: Path) -> None:
    task = write_task(tmp_path / "one", toml=TASK_TOML + '[environment.env]\nPORT = "80"\n')
    assert refused(task, "services: {main: {ports: ['${PORT}:${PORT}']}}") == ""
    assert "the host's PORTS" in refused(task, "services: {main: {ports: ['${PORTS}:${PORT}']}}")
