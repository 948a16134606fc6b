"""Images that killed trials have left, in a real engine."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.docker import needs_docker
from tests.integration.finished_job import JOB
from tests.unit.clean.conftest import Place
from trajgen_assets.core.clean.images import project_of, trial_images
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.ledger import open_ledger

pytestmark = needs_docker


def docker(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@contextmanager
def image(project: str) -> Iterator[str]:
    """An image of nothing, labelled as compose labels what it builds."""
    name = f"trajgen-test-gc:{uuid.uuid4().hex[:12]}"
    text = f'FROM scratch\nLABEL com.docker.compose.project="{project}" made="{name}"\n'
    docker("build", "--quiet", "--tag", name, "-", text=text)
    try:
        yield docker("image", "inspect", "--format", "{{.Id}}", name)
    finally:
        docker("image", "rm", name)


@pytest.mark.parametrize(("trial", "project"), [("Fix__aB1", "fix__ab1__env"), ("_x.y__aB", "0_x-y__ab__env")])
def test_a_trials_project_is_called_as_harbor_calls_it(trial: str, project: str) -> None:
    assert project_of(trial) == project


def test_the_image_of_a_trial_that_is_over_goes_and_no_other(place: Place) -> None:
    with ExitStack() as made:
        ours = made.enter_context(image(project_of(f"a__{JOB}")))
        others = made.enter_context(image(project_of("somebody__elses")))
        assert ours
        assert place.run("gc", "--images", "--dry-run").output.endswith("would be removed\n")
        assert docker("image", "ls", "--quiet", "--no-trunc").count(ours) == 1
        told = place.run("gc", "--images")
        assert (told.exit_code, f"a__{JOB}: {ours[7:19]} of 0.00 MB removed\n") == (EXIT_OK, told.output)
        left = docker("image", "ls", "--quiet", "--no-trunc")
        assert (ours in left, others in left) == (False, True)
        assert place.run("gc", "--images").output == "no trial has left an image\n"


def test_an_image_that_a_container_uses_stays_and_says_why(place: Place) -> None:
    with image(project_of(f"a__{JOB}")) as ours:
        container = docker("create", ours, "none")
        try:
            assert "stays: " in place.run("gc", "--images").output
            with open_ledger(place.root) as ledger:
                assert [each.image for each in trial_images(place.root, ledger)] == [ours]
        finally:
            docker("rm", container)
