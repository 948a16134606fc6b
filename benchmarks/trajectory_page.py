"""How long the page of a long trajectory takes: to be made, and in Chromium to be used, from disk.

    .venv/bin/python benchmarks/trajectory_page.py [--turns 2000] [--words 20] [--folder FOLDER]

One conversation of so many turns, each request with all that was said before it: the file grows with the square of the
turns, 2,000 of 20 words are 0.9 GB. Usable means that the first turns are drawn and a key leads to the next.
"""

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from scripts.chromium import PROGRAMS
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.ledger import create_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import AgentRecord, TaskRecord, TrialEntry, TrialsFile, write_trials

JOB, TRIAL = "long-job", "owner__repo-1__0000001"
PAGE = f"jobs/{JOB}/{TRIAL}.html"
WORDS = ("parser", "buffer", "index", "offset", "cache", "token", "node", "edge", "graph", "schema", "field", "value")
RARE_WORD = "needle-in-the-last-turn"
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"]


def make_long_root(folder: Path, n_turns: int, n_words: int = 20, n_per_conversation: int | None = None) -> Root:
    """Make a root with one trial of `n_turns`, in one conversation or in several one after another.

    Each turn says and observes `n_words`, the last one also a word of its own.
    """
    root = Root(folder)
    create_ledger(root)
    files = root.job(JOB)
    path = files.trajectory(TRIAL)
    path.parent.mkdir(parents=True)
    digest = sha256()
    with path.open("wb") as file:
        for line in _records(n_turns, n_words, n_per_conversation or n_turns):
            digest.update(line)
            file.write(line)
    entry = TrialEntry(
        task_id="owner__repo-1",
        task_key="bench/owner__repo-1",
        trial_name=TRIAL,
        attempt=1,
        accepted=True,
        status="done",
        reward=1.0,
        capture="complete",
        trajectory=str(path.relative_to(files.dir)),
        trajectory_sha256=digest.hexdigest(),
        task=TaskRecord(digest="0", instruction="Mend it."),
    )
    agent = AgentRecord(name="openhands-sdk")
    made = TrialsFile(
        job=JOB, dataset="bench", campaign="main", scaffold="openhands_sdk", agent=agent, model="m", trials=(entry,)
    )
    write_trials(files.trials, made)
    return root


def _records(n_turns: int, n_words: int, n_per_conversation: int) -> Iterator[bytes]:
    dice = random.Random(7)
    said: list[bytes] = []
    for turn in range(1, n_turns + 1):
        number = (turn - 1) // n_per_conversation
        if (turn - 1) % n_per_conversation == 0:
            said = [json.dumps({"role": "user", "content": f"Mend it, part {number + 1}."}).encode()]
        words = " ".join(dice.choices(WORDS, k=n_words)) + (f" {RARE_WORD}" if turn == n_turns else "")
        call = {"id": f"c{turn}", "type": "function", "function": {"name": "terminal", "arguments": '{"command":"ls"}'}}
        answer = json.dumps({"role": "assistant", "content": words, "tool_calls": [call]}).encode()
        head = {
            "success": True,
            "request_time": 1772438400000 + 9000 * turn,
            "duration_ms": 6000,
            "client_session_id": f"s{number}",
        }
        usage_ = {"prompt_tokens": 50 * turn, "completion_tokens": 50, "cost": 0.001}
        yield b"".join([
            json.dumps(head | {"usage": usage_}).encode()[:-1],
            b',"request_body":{"messages":[', b",".join(said),
            b']},"response_body":{"model":"m","choices":[{"finish_reason":"tool_calls","message":', answer, b"}]}}\n",
        ])  # fmt: skip
        said += [answer, json.dumps({"role": "tool", "tool_call_id": f"c{turn}", "content": words}).encode()]


def usable_after_s(browser: Browser, page_file: Path) -> dict[str, float]:
    """Seconds from opening a page until it is usable, and for a jump to its end and a search of all of it."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    began_at = time.perf_counter()
    page.goto(page_file.as_uri(), wait_until="commit")
    page.locator("#t1").wait_for()
    page.wait_for_selector("[data-ready]")
    page.keyboard.press("j")
    page.locator("#t1[aria-current]").wait_for()
    usable_at = time.perf_counter()
    page.keyboard.press("Shift+G")
    page.locator("article[aria-current]:not(#t1)").wait_for()
    at_end_at = time.perf_counter()
    page.keyboard.press("/")
    page.keyboard.type(RARE_WORD)
    page.keyboard.press("Enter")
    page.get_by_text("1 of 1 turns that have it").wait_for()
    found_at = time.perf_counter()
    page.close()
    return {"usable": usable_at - began_at, "to_the_end": at_end_at - usable_at, "search_all": found_at - at_end_at}


def measure(folder: Path, n_turns: int, n_words: int) -> dict[str, float]:
    """Make the root and its site below `folder`, and open the page three times; the slowest counts."""
    root = make_long_root(folder / "root", n_turns, n_words)
    began_at = time.perf_counter()
    site = build_site(root, folder / "site").folder
    build_s = time.perf_counter() - began_at
    peak_mb = _peak_mb()
    with sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        runs = [usable_after_s(browser, site / PAGE) for _ in range(3)]
        browser.close()
    slowest = {name: round(max(run[name] for run in runs), 3) for name in runs[0]}
    size_mb = root.job(JOB).trajectory(TRIAL).stat().st_size / 1e6
    return {"trajectory_mb": round(size_mb), "build_s": round(build_s, 2), "peak_mb": round(peak_mb), **slowest}


def _peak_mb() -> float:
    """Memory that this process has had at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--turns", type=int, default=2000)
    parser.add_argument("--words", type=int, default=20, help="of each turn and of each observation")
    parser.add_argument("--folder", type=Path, help="where to make it; a temporary folder if left out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps({"turns": args.turns} | measure(args.folder or Path(temporary), args.turns, args.words)))


if __name__ == "__main__":
    main()
