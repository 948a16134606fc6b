"""The Dagster web UI as a person uses it: what it shows, and what a click starts."""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from playwright.sync_api import BrowserContext, FloatRect, Page, expect

from tests.e2e.browser.conftest import (
    N_MANY,
    N_MANY_AT_FIRST,
    UI_TIME_S,
    Served,
    answers,
    grow_many,
    needs_chromium,
)
from tests.e2e.browser.steps import choose_partitions, materialize_dialog, open_job, open_partition, status_counts
from tests.e2e.conftest import SOLVED, UNSOLVED
from tests.ports import free_port
from tests.waiting import wait_until
from trajgen_assets.assets.links import partition_page
from trajgen_assets.core.scripted import Fault
from trajgen_assets.launches import RANGE_END_TAG, RANGE_START_TAG
from trajgen_assets.names import (
    DATA_JOB,
    HARBOR_ENV,
    JOB_RESULT,
    LITELLM_ENV,
    ROLLOUT_JOB,
    SFT_IM,
    SFT_LF,
    TASKS,
    TRAINING_RUN,
    TRAJECTORIES,
    VERIFIED_TASKS,
)
from trajgen_assets.partitions import MAX_TASKS_PER_RUN

pytestmark = [pytest.mark.e2e, needs_chromium]

STANZACONF, LEASETABLE, TABLEFOLD = (f"py-cc/{task_id}" for task_id in SOLVED)
RETRYLINE = f"py-cc/{UNSOLVED}"
RANGE = (STANZACONF, LEASETABLE, TABLEFOLD)
ENVIRONMENTS = {HARBOR_ENV, LITELLM_ENV}
FLOW = (
    "verified_tasks",
    "prepared_tasks",
    "trajectories",
    "job_result",
    "sft_im",
    "sft_lf",
    "sft_data_set",
    "training_run",
)

DAGSTER_LOOKS_BELOW = 100
BACKFILL_TAG = "dagster/backfill"
DEFINITION = """
query($asset: AssetKeyInput!) {
  assetNodes(assetKeys: [$asset]) {
    groupName kinds owners { ... on TeamAssetOwner { team } } dependencyKeys { path }
  }
}
"""
ENVIRONMENT = """
query($asset: AssetKeyInput!) {
  assetNodes(assetKeys: [$asset]) {
    groupName staleStatus dependencyKeys { path } assetMaterializations(limit: 1) { timestamp }
  }
}
"""
STALENESS = """
query($asset: AssetKeyInput!, $partition: String!) {
  assetNodes(assetKeys: [$asset]) { staleStatus(partition: $partition) staleCauses(partition: $partition) { reason } }
}
"""


@pytest.fixture(scope="module")
def range_job(served: Served, browser: BrowserContext) -> str:
    """The job that three ticked partitions made; the model failed one of its tasks."""
    served.model.set_fault(Fault.UNAUTHORIZED, match="leasetable")
    page = browser.new_page()
    open_job(page, served, ROLLOUT_JOB)
    with materialize_dialog(page) as dialog:
        choose_partitions(page, dialog, "py-cc", *RANGE)
    page.close()
    wait_until(lambda: len(jobs_with_data(served)) == 1, limit_s=UI_TIME_S)
    served.model.set_fault(Fault.NONE)
    (job,) = jobs_with_data(served)
    return job


@pytest.fixture(scope="module")
def click_job(served: Served, browser: BrowserContext, range_job: str) -> str:
    """The job that "Materialize" on one partition's page made, later than `range_job`."""
    page = browser.new_page()
    open_partition(page, served, RETRYLINE)
    with materialize_dialog(page) as dialog:
        expect(dialog).to_contain_text(RETRYLINE)
        expect(dialog).to_contain_text(f"a maximum of {MAX_TASKS_PER_RUN} partitions per run")
    page.close()
    wait_until(lambda: len(jobs_with_data(served)) == 2, limit_s=UI_TIME_S)
    (job,) = set(jobs_with_data(served)) - {range_job}
    return job


def jobs_with_data(served: Served) -> set[str]:
    """Jobs whose run for result and data has ended well."""
    with served.instance() as instance:
        done = dg.RunsFilter(job_name=DATA_JOB, statuses=[dg.DagsterRunStatus.SUCCESS])
        return {run.tags["dagster/partition"] for run in instance.get_runs(done)}


def partition_of(served: Served, job: str, asset: dg.AssetKey) -> str:
    return f"{served.url}{partition_page(asset, job)}"


def test_the_graph_reads_from_the_manifest_to_the_sft_block(served: Served, page: Page, click_job: str) -> None:
    page.set_viewport_size({"width": 3000, "height": 1300})  # wide enough for the nodes to be drawn in full
    page.goto(f"{served.url}/asset-groups")
    page.get_by_text("3_rollouts").last.wait_for()
    page.keyboard.press("Alt+e")
    boxes = boxes_of(page, *FLOW)
    expect(page.get_by_text("Loading...")).to_have_count(0)
    served.shoot(page, "graph", clip=around([*boxes, *boxes_of(page, "harbor_env", "litellm_env", "dashboard_site")]))
    places = [box["x"] for box in boxes]
    assert places == sorted(places)


def boxes_of(page: Page, *names: str) -> list[FloatRect]:
    """Where the names of assets stand in the graph."""
    nodes = [page.get_by_text(name, exact=True).last for name in names]
    for node in nodes:
        node.wait_for()
    return [box for node in nodes if (box := node.bounding_box()) is not None]


def around(boxes: list[FloatRect]) -> FloatRect:
    """The part of the page that has all these nodes, whose names stand at their tops, with their groups."""
    left, top = min(box["x"] for box in boxes) - 70, max(108, min(box["y"] for box in boxes) - 90)
    right, bottom = max(box["x"] for box in boxes) + 260, max(box["y"] for box in boxes) + 190
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def test_a_tick_of_the_sensor_says_what_it_found(served: Served, page: Page) -> None:
    page.goto(f"{served.url}/locations/trajgen/sensors/verified_tasks")
    page.get_by_role("button", name="View logs").last.click()  # of the oldest tick
    log = page.get_by_role("dialog")
    expect(log).to_contain_text("py-cc: 6 listed, 6 new, 2 not usable")
    expect(log).to_contain_text("lumenfield__ignorepath-73: lacks tests/test.sh")
    expect(log).to_contain_text(f"many: {N_MANY_AT_FIRST} listed, {N_MANY_AT_FIRST} new")
    expect(log).to_contain_text("automation.enabled is false, so nothing is requested")
    served.shoot(page, "sensor-tick")


def test_a_range_of_partitions_is_one_run_and_each_shows_how_it_ended(
    served: Served, page: Page, range_job: str
) -> None:
    (run,) = served.runs(**{RANGE_START_TAG: STANZACONF, RANGE_END_TAG: TABLEFOLD})
    assert run.status is dg.DagsterRunStatus.FAILURE
    open_partition(page, served, STANZACONF)
    expect(page.get_by_text("Failed (1)")).to_be_visible()
    counts = status_counts(page)
    assert counts["Materialized"] >= 2
    assert counts["Materializing"] == 0


def test_a_failed_trial_is_red_and_says_its_cause(served: Served, page: Page, range_job: str) -> None:
    open_partition(page, served, LEASETABLE)
    expect(page.get_by_text("failed, and did not materialize this asset")).to_be_visible()
    served.shoot(page, "failed-partition")
    page.get_by_role("button", name="View all historical events").click()
    events = page.get_by_role("dialog")
    events.get_by_text(LEASETABLE).last.click()
    expect(events).to_contain_text("model_provider")
    expect(events).to_contain_text("AuthenticationError")
    served.shoot(page, "failed-trial")


def test_a_failed_run_says_which_tasks_failed_and_why(served: Served, page: Page, range_job: str) -> None:
    (run,) = served.runs(**{RANGE_START_TAG: STANZACONF})
    page.goto(f"{served.url}/runs/{run.run_id}")
    failure = page.get_by_text("1 of the batch's tasks have no valid result").first
    expect(failure).to_contain_text(f"{LEASETABLE} (model_provider: AuthenticationError")


def test_one_partition_materializes_by_click_and_shows_its_figures(served: Served, page: Page, click_job: str) -> None:
    open_partition(page, served, RETRYLINE)
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
    # its prepared task was logged, though only it was selected: else it would look out of date
    assert staleness(served, TRAJECTORIES, RETRYLINE) == {"staleStatus": "FRESH", "staleCauses": []}
    table = page.get_by_role("table").first
    for name in ("reward", "tokens", "duration_s", "capture", "trial", "job"):
        expect(table.get_by_text(name, exact=True)).to_be_visible()
    expect(table).to_contain_text(f"{click_job}/brackwater-systems__retryline-10")
    served.shoot(page, "partition")


def test_an_asset_page_says_what_it_is_whose_it_is_and_of_what_kind(served: Served, page: Page, click_job: str) -> None:
    page.goto(f"{served.url}/assets/sft_lf")
    expect(page.get_by_text("One partition is one job's rows as LLaMA-Factory ShareGPT").first).to_be_visible()
    expect(page.get_by_role("link", name="training_run")).to_be_visible()
    (node,) = served.ask(DEFINITION, asset={"path": SFT_LF.path})["assetNodes"]
    assert node == {
        "groupName": "5_datasets",
        "kinds": ["json", "llamafactory"],
        "owners": [{"team": "trajgen"}],
        "dependencyKeys": [{"path": SFT_IM.path}],
    }


def test_a_job_shows_at_a_glance_how_its_trials_ended(served: Served, page: Page, range_job: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 1300})
    page.goto(partition_of(served, range_job, JOB_RESULT))
    summary = page.get_by_role("table").filter(has_text="resolved").last
    expect(summary).to_contain_text("█")
    expect(summary).to_contain_text("model_provider")
    served.shoot(page, "job-result")


def test_the_checks_of_a_job_are_shown_with_what_they_found(served: Served, page: Page, range_job: str) -> None:
    page.goto(f"{served.url}/assets/job_result?view=checks")
    for name in ("has_valid_result", "error_share", "capture_complete", "ledger_balances", "disk_is_left"):
        expect(page.get_by_text(name).first).to_be_visible()
    page.get_by_text("error_share").first.click()
    expect(page.get_by_text("ended without a valid result (").first).to_be_visible()
    served.shoot(page, "checks")
    with served.instance() as instance:
        key = dg.AssetCheckKey(JOB_RESULT, "error_share")
        history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    (found,) = [each.evaluation for each in history if each.partition == range_job]
    assert isinstance(found, dg.AssetCheckEvaluation)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "1 of 3 trials ended without a valid result (33%): model_provider"


def test_a_check_is_made_by_a_click_and_says_what_it_looked_at(served: Served, page: Page, range_job: str) -> None:
    page.goto(f"{served.url}/assets/prepared_tasks?view=checks&checkDetail=staged_digests_hold")
    page.get_by_role("button", name="Execute").first.click()
    expect(page.get_by_text("staged tasks are as recorded").first).to_be_visible(timeout=UI_TIME_S * 1000)


def test_a_tick_of_the_alerts_says_that_nothing_is_wrong(served: Served, page: Page, click_job: str) -> None:
    page.goto(f"{served.url}/locations/trajgen/sensors/alerts")
    expect(page.get_by_text("Tells of failed jobs, runs and checks").first).to_be_visible()
    expect(page.get_by_text("0 runs requested").first).to_be_visible()
    served.shoot(page, "alerts")
    sensor = {"repositoryLocationName": "trajgen", "repositoryName": "__repository__", "sensorName": "alerts"}
    ticks = served.ask(TICKS, sensor=sensor)["sensorOrError"]["sensorState"]["ticks"]
    assert "nothing new is wrong" in {tick["skipReason"] for tick in ticks}


TICKS = """
query($sensor: SensorSelector!) {
  sensorOrError(sensorSelector: $sensor) { ... on Sensor { sensorState { ticks(limit: 50) { skipReason } } } }
}
"""
LAUNCH = """
mutation($job: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $job}) { __typename }
}
"""


def test_read_only_shows_everything_and_starts_nothing(served: Served, page: Page, range_job: str) -> None:
    installation, port = served.installation, free_port()
    child = installation.begin("ui", "--port", str(port), "--read-only")
    viewers = Served(installation, served.model, f"http://127.0.0.1:{port}", served.screenshots)
    try:
        wait_until(lambda: answers(viewers), limit_s=UI_TIME_S, alive=lambda: child.poll() is None)
        job = {
            "repositoryLocationName": "trajgen",
            "repositoryName": "__repository__",
            "pipelineName": "pause_rollouts",
        }
        assert viewers.ask(LAUNCH, job=job) == {"launchRun": {"__typename": "UnauthorizedError"}}
        page.goto(partition_of(viewers, range_job, JOB_RESULT))
        expect(page.get_by_text("mean_reward").first).to_be_visible()
        expect(page.get_by_role("button", name="Materialize")).to_be_disabled()
        assert len(installation.processes()) > 1  # those of the other UI, which runs on
    finally:
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=UI_TIME_S)
    assert child.returncode == 0, output


def test_lineage_leads_from_the_sft_block_back_to_the_manifest(served: Served) -> None:
    key, upstream = TRAINING_RUN, [TRAINING_RUN]
    while key != VERIFIED_TASKS:
        (node,) = served.ask(DEFINITION, asset={"path": key.path})["assetNodes"]
        above = {dg.AssetKey(each["path"]) for each in node["dependencyKeys"]}
        if key == TRAJECTORIES:
            assert above >= ENVIRONMENTS
            above -= ENVIRONMENTS
        if key == TRAINING_RUN:  # the trainer may also take one job's rows as they are
            assert SFT_LF in above
            above.remove(SFT_LF)
        (key,) = above
        upstream.append(key)
    assert [each.path[-1] for each in reversed(upstream)] == list(FLOW)


def test_the_environments_are_reported_before_anything_was_rolled_out_in_them(served: Served) -> None:
    for key in ENVIRONMENTS:
        (node,) = served.ask(ENVIRONMENT, asset={"path": key.path})["assetNodes"]
        assert (node["groupName"], node["staleStatus"], node["dependencyKeys"]) == ("2_environments", "FRESH", [])
        assert node["assetMaterializations"]


def test_a_job_and_its_data_set_materialize_by_click(served: Served, page: Page, range_job: str) -> None:
    files = served.installation.root.job(range_job).sft
    n_events = count_events(served, SFT_LF, range_job)
    shutil.rmtree(files.resolve())
    open_job(page, served, DATA_JOB)
    with materialize_dialog(page) as dialog:
        choose_partitions(page, dialog, range_job, range_job)
    wait_until((files / "receipt.json").exists, limit_s=UI_TIME_S)
    wait_until(lambda: all(run.is_finished for run in data_runs(served, range_job)), limit_s=UI_TIME_S)
    assert [run.status for run in data_runs(served, range_job)] == [dg.DagsterRunStatus.SUCCESS] * 2
    assert len(json.loads((files / "lf.json").read_bytes())) == 2
    assert count_events(served, SFT_LF, range_job) == n_events == 1  # the same data again is no news


def data_runs(served: Served, job: str) -> list[dg.DagsterRun]:
    return [run for run in served.runs(**{"dagster/partition": job}) if run.job_name != ROLLOUT_JOB]


def count_events(served: Served, asset: dg.AssetKey, partition: str) -> int:
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    with served.instance() as instance:
        return len(instance.fetch_materializations(wanted, limit=10).records)


def test_exactly_the_tasks_of_a_job_are_reached_from_its_data_set(served: Served, page: Page, range_job: str) -> None:
    page.goto(partition_of(served, range_job, SFT_LF))
    links = page.get_by_role("table").first.get_by_role("link").filter(has_text="py-cc/")
    expect(links.first).to_be_visible()
    shown = [link.inner_text() for link in links.all()]
    with served.ledger() as ledger:
        assert sorted(shown) == sorted(row.key.partition for row in ledger.tasks_of_job(range_job)) == sorted(RANGE)
    links.filter(has_text=STANZACONF).click()
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
    way_back = page.get_by_role("table").first.get_by_role("link", name=range_job)
    assert way_back.get_attribute("href") == partition_page(JOB_RESULT, range_job)


def test_a_new_trajectory_leaves_the_results_of_earlier_jobs_current(
    served: Served, range_job: str, click_job: str
) -> None:
    for asset in (JOB_RESULT, SFT_LF):
        assert staleness(served, asset, range_job) == {"staleStatus": "FRESH", "staleCauses": []}
    with served.instance() as instance:  # from a hundred on Dagster looks at no partition, and calls everything fresh
        assert len(instance.get_dynamic_partitions(TASKS)) < DAGSTER_LOOKS_BELOW


def staleness(served: Served, asset: dg.AssetKey, partition: str) -> dict[str, Any]:
    (node,) = served.ask(STALENESS, asset={"path": asset.path}, partition=partition)["assetNodes"]
    found: dict[str, Any] = node
    return found


@pytest.fixture
def backfill(served: Served, page: Page) -> Iterator[list[dg.DagsterRun]]:
    """The runs that a click on a hundred partitions made; the model refuses them all, because nobody wants results."""
    grow_many(served)
    served.model.set_fault(Fault.UNAUTHORIZED)
    open_job(page, served, ROLLOUT_JOB)
    with materialize_dialog(page) as dialog:
        choose_partitions(page, dialog, "many")
        expect(dialog).to_contain_text(f"{N_MANY} partitions")
    wait_until(lambda: len(runs_over_many(served)) >= N_MANY / MAX_TASKS_PER_RUN, limit_s=UI_TIME_S)
    yield runs_over_many(served)
    wait_until(lambda: all(run.is_finished for run in runs_over_many(served)), limit_s=UI_TIME_S)
    served.model.set_fault(Fault.NONE)


def runs_over_many(served: Served) -> list[dg.DagsterRun]:
    """What the click made, and nothing that a sensor asked for."""
    of_backfills = (run for run in served.runs() if BACKFILL_TAG in run.tags)
    return [run for run in of_backfills if run.tags.get(RANGE_START_TAG, "").startswith("many/")]


def test_a_click_on_a_hundred_partitions_makes_a_few_runs(served: Served, backfill: list[dg.DagsterRun]) -> None:
    with served.instance() as instance:
        place = {key: n for n, key in enumerate(instance.get_dynamic_partitions(TASKS))}
    sizes = Counter(place[run.tags[RANGE_END_TAG]] - place[run.tags[RANGE_START_TAG]] + 1 for run in backfill)
    assert sizes == {MAX_TASKS_PER_RUN: 3, N_MANY % MAX_TASKS_PER_RUN: 1}
