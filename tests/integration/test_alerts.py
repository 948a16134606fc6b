"""The sensor `alerts`: each thing that goes wrong is one message, whoever looks how often."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from resources.platform import PlatformResource
from sensors.alerts import alerts
from tests.integration.site import DATASET, JOB, Site, site
from tests.serving import QuietHandler, serving
from tests.unit.ledger.twins import batch, key
from trajgen_assets.core.ledger import open_ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.report.alerts import read_alerts
from trajgen_assets.definitions import defs

__all__ = ["site"]

WEBHOOK_ENV, SECRET = "ALERTS_OF_THIS_TEST", "planted-webhook-address"
ALERTS = {"alerts": {"webhook": f"${{{WEBHOOK_ENV}}}"}}


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The ids that the webhook was sent."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    ids: list[str] = []

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802  as the library calls it
            ids.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["id"])
            self.send_response(204)
            self.end_headers()

    with serving(Handler) as origin:
        monkeypatch.setenv(WEBHOOK_ENV, f"{origin}/{SECRET}")
        yield ids


def tick(site: Site) -> str:
    """What a tick says, with nothing kept from the one before."""
    context = dg.build_sensor_context(
        instance=site.instance, resources={"platform": PlatformResource()}, definitions=defs()
    )
    said = alerts(context)
    assert isinstance(said, dg.SkipReason)
    return said.skip_message or ""


def kinds(site: Site) -> list[str]:
    return [each.kind for each in read_alerts(site.root)]


def break_record(site: Site) -> None:
    site.root.job(JOB).trajectory("b__1").write_bytes(b"{}\n")


def test_where_nothing_is_wrong_nothing_is_said(site: Site) -> None:
    site.sum_up()
    assert tick(site) == "nothing new is wrong"
    assert kinds(site) == []


def test_whatever_goes_wrong_is_one_message_in_the_file_and_at_the_webhook(site: Site, got: list[str]) -> None:
    site.configure(harbor_job={"min_free_gb": 1e9}, budget={"day": {"tokens": 5}}, **ALERTS)
    site.root.spend.mkdir()
    (site.root.spend / f"{datetime.now(UTC):%Y-%m-%d}.jsonl").write_text('{"trial": "t", "tokens": 9, "cost_usd": 0}\n')
    site.root.job(JOB).budget_stop.parent.mkdir(parents=True)
    site.root.job(JOB).budget_stop.write_text('{"scope": "job", "text": "its budget of 5 tokens is used up"}')
    with open_ledger(site.root) as ledger:
        ledger.trip(DATASET, "model_provider")
    break_record(site)
    site.sum_up()
    site.root.job(JOB).trials.unlink()
    assert not site.make_data().success
    said = tick(site)
    assert sorted(kinds(site)) == ["budget", "budget", "check", "check", "disk", "outage", "run"]
    for words in (
        "no trial begins",
        "the day's budget of 5 tokens is used up",
        f"job {JOB} was stopped: its budget of 5 tokens",
        f"launches of {DATASET} are paused: the last job found the model_provider not working",
        f"check job_result capture_complete {JOB} failed: on disk is not what was recorded: b__1 (changed)",
        "check job_result disk_is_left failed",
        "of data_job failed: the job has no trials.json",
    ):
        assert words in said
    for _ in range(2):
        assert tick(site) == "nothing new is wrong"
    assert sorted(got) == sorted(each.id for each in read_alerts(site.root))
    assert SECRET not in site.root.alerts.read_text() + site.root.alerts_sent.read_text() + said


def test_a_check_that_was_right_again_is_told_of_anew(site: Site) -> None:
    record = site.root.job(JOB).trajectory("b__1")
    whole = record.read_bytes()
    for expected in (1, 2):
        break_record(site)
        site.sum_up()
        tick(site)
        assert kinds(site) == ["check"] * expected
        record.write_bytes(whole)
        site.sum_up()
        assert tick(site) == "nothing new is wrong"


def test_what_is_yellow_is_no_message(site: Site) -> None:
    ended = {"accepted": False, "status": "failed", "cause": "capture", "reward": None, "capture": "gap"}
    site.on_disk.add("c__1", None, task_id="c", task_key="py-cc/c", **ended)
    assert not site.sum_up()["capture_complete"].passed
    assert tick(site) == "nothing new is wrong"


def test_a_job_that_failed_is_told_of_with_its_reason_and_one_that_a_person_ended_is_not(site: Site) -> None:
    with open_ledger(site.root) as ledger:
        for name, state in (("failed", JobState.FAILED), ("ended", JobState.INTERRUPTED)):
            ledger.reset(key("a"), force=True)
            ledger.assign(name, batch())
            ledger.release(ledger.claim(name, "run", ttl_s=60), state, note="Harbor ended with status 3")
    assert tick(site) == "job failed failed: Harbor ended with status 3"
    assert kinds(site) == ["job"]


def test_a_ledger_that_cannot_be_read_is_told_of_and_sent(site: Site, got: list[str]) -> None:
    site.configure(**ALERTS)
    site.root.ledger.write_bytes(b"no database" * 999)
    for _ in range(2):
        tick(site)
    assert kinds(site) == ["ledger"]
    assert len(got) == 1


def test_without_the_variable_of_the_webhook_the_rest_goes_on_and_it_is_sent_when_it_is_set(
    site: Site, got: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.configure(harbor_job={"min_free_gb": 1e9}, **ALERTS)
    with monkeypatch.context() as without:
        without.delenv(WEBHOOK_ENV)
        assert f"the environment variable {WEBHOOK_ENV} is not set" in tick(site)
    assert (kinds(site), got) == (["disk"], [])
    tick(site)
    assert got == [each.id for each in read_alerts(site.root)]


def test_a_configuration_that_is_broken_is_one_message_and_none_of_its_own_faults(site: Site) -> None:
    site.config.write_text("runtime_info: [")
    for _ in range(2):
        assert "not sent until the configuration is mended" in tick(site)
    assert kinds(site) == ["configuration"]
