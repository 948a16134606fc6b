"""The web UI on a root of its own, with the daemon and the scripted model, and a headless Chromium before it."""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, sync_playwright

from resources.instance import open_instance
from scripts.chromium import PROGRAMS
from tests.e2e.conftest import KEY_ENV, SECRET, SOLVED, TASKS, Installation, files_with
from tests.ports import free_port
from tests.waiting import wait_until
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.scripted import ScriptedModel
from trajgen_assets.names import TASKS as TASK_PARTITIONS

CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: `make browser` installs it")

N_MANY_AT_FIRST, N_MANY = 80, 100
VIEWPORT = {"width": 1440, "height": 900}
UI_TIME_S = 120.0
PAGE_TIME_MS = 60_000

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_sources:
      - {{dataset_name: "{tasks}"}}
      - {{dataset_name: "{many}", staging: in_place}}
    harbor_job: {{environment: local, n_concurrent: 2, timeout_multiplier: 1}}
    sft_conversion: {{enabled: true, instance_status: all}}
"""


@dataclass(frozen=True)
class Served:
    """A running web UI, and what stands behind it."""

    installation: Installation
    model: ScriptedModel
    url: str
    screenshots: Path

    def ledger(self) -> Ledger:
        return open_ledger(self.installation.root)

    def instance(self) -> dg.DagsterInstance:
        return open_instance(self.installation.root)

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(tags=tags)))

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the web server's GraphQL interface, as the pages do."""
        reply = httpx.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30, trust_env=False
        )
        answer: dict[str, Any] = reply.raise_for_status().json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def shoot(self, page: Page, name: str, clip: FloatRect | None = None) -> None:
        """Keep what a person would see now, or a part of it; a moment is left for what fades in."""
        page.wait_for_timeout(700)
        page.screenshot(path=self.screenshots / f"{name}.png", clip=clip)


def list_many(folder: Path, numbers: range) -> None:
    """Add tasks to a data set that is large enough for many partitions."""
    names = [f"copy__many-{number:03}" for number in numbers]
    for name in names:
        shutil.copytree(TASKS / SOLVED[0], folder / name)
    with (folder / "verifiable_tasks.txt").open("a") as manifest:
        manifest.writelines(f"{name}\n" for name in names)


def grow_many(ui: Served) -> None:
    """Let the large data set grow, and wait until the sensor has seen it."""
    list_many(ui.installation.root.path.parent / "many", range(N_MANY_AT_FIRST, N_MANY))
    wait_until(lambda: n_partitions(ui) == N_MANY + len(SOLVED) + 1, limit_s=UI_TIME_S)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, env_dir: Path, model: ScriptedModel) -> Iterator[Served]:
    """`trajgen ui` on a fresh root, once its sensor has read the manifests."""
    folder = tmp_path_factory.mktemp("web-ui")
    list_many(folder / "many", range(N_MANY_AT_FIRST))
    installation = Installation(Root(folder / "root", env_dir))
    installation.root.path.mkdir()
    config = CONFIG.format(base_url=model.base_url, key_env=KEY_ENV, tasks=TASKS, many=folder / "many")
    installation.config.write_text(config)
    screenshots = Path(os.environ.get("TRAJGEN_SCREENSHOTS") or folder / "screenshots").absolute()
    port = free_port()
    child = installation.begin("ui", "--port", str(port))
    try:
        ui = Served(installation, model, f"http://127.0.0.1:{port}", screenshots)
        wait_until(lambda: answers(ui), limit_s=UI_TIME_S, alive=lambda: child.poll() is None)
        wait_until(lambda: n_partitions(ui) == N_MANY_AT_FIRST + len(SOLVED) + 1, limit_s=UI_TIME_S)
        yield ui
    finally:
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=UI_TIME_S)
    assert child.returncode == 0, output
    assert installation.processes() == []
    assert files_with(SECRET, installation.root.path) == []


def answers(ui: Served) -> bool:
    try:
        return httpx.get(f"{ui.url}/server_info", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def n_partitions(ui: Served) -> int:
    with ui.instance() as instance:
        return len(instance.get_dynamic_partitions(TASK_PARTITIONS))


# As root, as in CI, Chromium runs only without its own sandbox; it sees nothing but our own pages.
CHROMIUM_ARGS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A Chromium that finds no host but loopback."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def browser(chromium: Browser) -> Iterator[BrowserContext]:
    """A window in whose pages no script fails."""
    failures: list[str] = []
    context = chromium.new_context(viewport=VIEWPORT)
    context.set_default_timeout(PAGE_TIME_MS)
    context.on("weberror", lambda error: failures.append(str(error.error)))
    yield context
    context.close()
    assert failures == []


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    opened = browser.new_page()
    yield opened
    opened.close()
