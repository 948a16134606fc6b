"""What `trajgen start` tells while a job goes on, of a job of this process or of any other."""

from tests.unit.report.conftest import DATASET
from trajgen_assets.cli.progress import JobView
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger import Batch
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.archive import archived
from trajgen_assets.core.report.archive.session import steps_in
from trajgen_assets.core.rollout.record import SilentListener
from trajgen_assets.core.rollout.slots import job_slot


def test_each_step_of_a_job_is_told_once_and_first_what_it_waits_for(platform: Platform) -> None:
    platform.ledger.assign("j", Batch(MAIN_CAMPAIGN, DATASET, limit=1))
    view = JobView(platform.root, "j", 1, platform.ledger)
    with job_slot(platform.root.locks, 1, holder="another"):
        assert view.look().steps == ["waiting for room on this host, beside another"]
        assert view.look().steps == []
    with archived(platform, job="j", owner="r", listener=SilentListener()) as entry:
        entry.listener.phase("staging 1 task")
        entry.listener.phase("starting the LiteLLM proxy")
        look = view.look()
        assert (look.line, look.steps) == ("starting the LiteLLM proxy", ["staging 1 task", look.line])
        assert view.look().steps == []
        entry.listener.phase("asking the model for one reply")
        assert view.look().steps == ["asking the model for one reply"]
        platform.ledger.withdraw("j", note="enough")
    assert view.look().steps == []


def test_a_step_that_is_half_written_is_none_yet() -> None:
    assert steps_in("T step: one\nT staged a\nT step: tw") == ["one"]
