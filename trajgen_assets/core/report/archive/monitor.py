"""`monitor.md`: an account of a run for people: how far it came, what failed and why, and what to do next."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.report.archive.models import RunMetadata
from trajgen_assets.core.report.archive.session import one_line
from trajgen_assets.core.rollout.trials import NOT_BEGUN, TrialEntry, was_begun

N_SHOWN = 10
NOTE_LENGTH = 200

# What each cause means, and where to look first.
MEANINGS = {
    "sandbox": "the sandbox could not be built, or broke: see `exception.txt` and `job.log` in the trial's folder",
    "model_provider": "the model's endpoint failed: see `proxy.log`, and ask it by hand",
    "harness": "the harness broke, or left no result: see `harbor.log`, or `agent/run_infer.log` of the trial",
    "verifier": "the verifier gave no reward: see `verifier/` in the trial's folder",
    "agent_budget": "the agent ran out of time or turns and was not graded: see `timeout_multiplier`, `max_turns`",
    "agent_refusal": "the model refused the task",
    "cancelled": "the run ended before the trial did; it counts towards no cap",
    NOT_BEGUN: "the job was stopped before this began; it counts towards no cap",
    "budget": "the budget of the job or of the day was used up while it ran; it counts towards no cap",
    "stalled": "nothing happened for longer than any task may take: see `harbor.log`",
    "capture": "model calls are missing on record: see `agent/capture.json` in the trial's folder",
    "ungraded": "it was not to be graded (`openhands.evaluator`): its trajectory is kept, and it is not tried again",
    "unclassified": "nothing that is known: see `result.json` in the trial's folder",
}


@dataclass(frozen=True)
class Install:
    """The root of a run, and the configuration that it was made with where that is known."""

    root: Root
    config: str | None

    def command(self, words: str) -> str:
        """A command line for it, to be copied: root and configuration are named where they are not found without."""
        options = [] if self.root.path == PROJECT / "artifacts" else ["--root", str(self.root.path)]
        if self.config is not None and self.config != str(self._default_config):
            options += ["--config", self.config]
        return " ".join(["trajgen", *map(shlex.quote, options), words])

    @property
    def _default_config(self) -> Path:
        own = self.root.path / "config.yaml"
        return own if own.exists() else PROJECT / "config.yaml"


def monitor_text(install: Install, run: RunMetadata, trials: Sequence[TrialEntry], *, has_data: bool) -> str:
    """The whole account, as Markdown; `has_data` says whether training data can be made of the job."""
    steps = _next_steps(install, run, trials, has_data=has_data)
    parts = [_head(run), _progress(run, trials), *_failures(run, trials), steps, _places(install.root, run)]
    return "\n\n".join(parts) + "\n"


def took(run: RunMetadata) -> str:
    """How long it took, as people say it."""
    return span(run.started_at, run.completed_at)


def span(started_at: str, completed_at: str) -> str:
    """The time between two stamps: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = int((datetime.fromisoformat(completed_at) - datetime.fromisoformat(started_at)).total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _head(run: RunMetadata) -> str:
    words = [f"# {run.id}: {run.status}", "", f"Job `{run.job}`"]
    if run.dataset is not None:
        words[-1] += f", data set `{run.dataset}`, campaign `{run.campaign}`"
    if run.upstream is not None:
        n_more = len(run.upstream.endpoints or ()) - 1
        words[-1] += f", model `{run.upstream.model}` at `{run.upstream.api_base_url}`"
        words[-1] += f" and {n_more} more" if n_more > 0 else ""
    words[-1] += f". It began at {run.started_at} and took {took(run)}."
    if run.n_runs is not None and run.n_runs > 1:
        words += ["", f"One outage refused {run.n_runs} runs; this is about the last of them."]
    if run.notes:
        words += ["", "What was said at its end:", "", f"> {_plain(run.notes)}"]
    return "\n".join(words)


def _progress(run: RunMetadata, trials: Sequence[TrialEntry]) -> str:
    if run.n_trials is None:
        return "## Progress\n\nNo trial is on record, and no task was consumed."
    n_left = sum(not was_begun(entry.note) for entry in trials)
    left = f"; {NOT_BEGUN}: {n_left}" if n_left else ""
    lines = [
        f"- tasks: {run.n_tasks}; trials that ended: {run.n_trials - n_left}{left}",
        f"- valid results: {run.n_accepted}, of these solved: {run.n_resolved}",
        f"- mean reward: {'none' if run.mean_reward is None else f'{run.mean_reward:g}'}",
        f"- tokens: {run.n_tokens or 0:,}; cost: {cost_words(run.cost_usd)}",
    ]
    if run.stopped_for == "budget":
        lines.append("- stopped before its end, because a budget was used up: what is left is pending again")
    elif run.stopped_for:
        lines.append(f"- stopped before its end, because trials failed again and again from `{run.stopped_for}`")
    return "\n".join(["## Progress", "", *lines])


def cost_words(cost_usd: float | None) -> str:
    """A price, or that there is none."""
    return "unknown" if cost_usd is None else f"{cost_usd:.2f} US dollars"


def _failures(run: RunMetadata, trials: Sequence[TrialEntry]) -> Iterator[str]:
    by_cause: dict[str, list[TrialEntry]] = defaultdict(list)
    for entry in trials:
        if entry.cause is not None:
            by_cause[entry.cause if was_begun(entry.note) else NOT_BEGUN].append(entry)
    if not by_cause:
        return
    lines = ["## Without a valid result, by cause"]
    for cause, entries in sorted(by_cause.items(), key=lambda item: -len(item[1])):
        lines += ["", f"### {cause}: {len(entries)} of {run.n_trials}", "", f"{_meaning(cause)}.", ""]
        lines += [_failed(entry) for entry in entries[:N_SHOWN]]
        lines += [f"- and {len(entries) - N_SHOWN} more"] if len(entries) > N_SHOWN else []
    yield "\n".join(lines)


def _meaning(cause: str) -> str:
    meaning = MEANINGS.get(cause, "see the trial's folder")
    return meaning[0].upper() + meaning[1:]


def _failed(entry: TrialEntry) -> str:
    note = f": {_plain(entry.note)[:NOTE_LENGTH]}" if entry.note and was_begun(entry.note) else ""
    return f"- `{entry.task_id}` (attempt {entry.attempt}, now {entry.status}){note}"


def _plain(text: str) -> str:
    """Foreign text that shows as it is, whatever Markdown or HTML is in it."""
    return "".join(f"\\{each}" if each in "\\`*_[]<>#|!" else each for each in one_line(text))


def _next_steps(install: Install, run: RunMetadata, trials: Sequence[TrialEntry], *, has_data: bool) -> str:
    commands = _commands(run, trials, has_data=has_data)
    steps = [f"- `{install.command(words)}`: {what}" for words, what in commands]
    return "\n".join(["## What to do next", "", *steps])


def _commands(run: RunMetadata, trials: Sequence[TrialEntry], *, has_data: bool) -> Iterator[tuple[str, str]]:
    start = "start" if run.campaign in (None, MAIN_CAMPAIGN) else f"start --campaign {run.campaign}"
    if run.status == "refused":
        yield "dryrun", "see that what refused the run is mended"
        yield start, "try again by hand; with automation on, a probe goes by itself when the pause is over"
        return
    yield f"ledger show --job {run.job}", "where each of its tasks stands now, and why"
    n_failed = (run.n_trials or 0) - (run.n_accepted or 0)
    if run.status == "interrupted" or n_failed or run.status == "failed":
        yield start, "roll out what is pending again, as a new job; what ended is kept"
    for entry in [entry for entry in trials if entry.status == "failed"][:N_SHOWN]:
        yield f"ledger retry {entry.task_key}", "its retries are used up; this lets it be tried again"
    if run.n_accepted and has_data:
        yield f"convert --job {run.job}", "make its training data again, for example after a change of settings"
    elif not run.n_accepted and not n_failed and run.status == "completed":
        yield start, "take the next free tasks"


def _places(root: Root, run: RunMetadata) -> str:
    files = root.job(run.job)
    places = {
        files.dir: "results, `trials.json`, one folder for each trial",
        files.proxy: "`proxy.log`, `harbor.log`, the events of the job",
        files.sft: "training data",
    }
    lines = [f"- `{path.relative_to(root.path)}/`: {what}" for path, what in places.items() if path.exists()]
    here = f"- `{run.archive}/`: this folder; `session.log` tells all in order, `scripts/` has what was executed"
    return "\n".join(["## Where it lies, under the root", "", *lines, here])
