"""Trajectories in Harbor's own form (ATIF 1.8) and layout, for `harbor view DIR` and whatever else reads them.

They are made of the proxy's record, so they hold what was on the wire: reasoning, tools' results and the system prompt,
which the conversions of some agents' own logs lose. The longest of the agent's conversations is the trajectory; the
others, and those of subagents, are embedded in it.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trajgen_assets.core.capture.stored import stored
from trajgen_assets.core.dashboard.facts.models import JobFacts, Trial
from trajgen_assets.core.dashboard.facts.scene import looking_at
from trajgen_assets.core.dashboard.places import slug
from trajgen_assets.core.dashboard.render import SiteFile
from trajgen_assets.core.dashboard.site import code_digest
from trajgen_assets.core.dashboard.trajectory.model import Kind, Message, Opening, Turn
from trajgen_assets.core.dashboard.trajectory.reading import Reader
from trajgen_assets.core.dashboard.writing import Part, SiteReport, write_site
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.redact import Redactor

VERSION = "ATIF-v1.8"
UNKNOWN = "unknown"
HARBOR_FILES = ("config.json", "result.json", "lock.json")  # of a job and of a trial: what its viewer lists them by

Json = dict[str, Any]


@dataclass(frozen=True)
class _TrialFiles:
    """Makes the files of a trial. Known secrets are taken out of each."""

    files: JobPaths
    job: JobFacts
    trial: Trial
    redactor: Redactor

    @property
    def inputs(self) -> str:
        """A digest of what they are made from."""
        told = (self.trial, self.job.scaffold, self.job.agent, self.job.model, _stamps(self._folder))
        return hashlib.sha256(repr(told).encode("utf-8", "backslashreplace")).hexdigest()

    def __call__(self) -> Iterator[SiteFile]:
        """Yield the trajectory, where a call is on record, and what Harbor itself wrote of the trial."""
        place = f"{slug(self.job.name)}/{slug(self.trial.name)}"
        yield from _harbor_files(self._folder, place, self.redactor)
        trajectory = self.files.trajectory(self.trial.name)
        if stored(trajectory) is not None and (document := trajectory_of(self.job, self.trial, trajectory)) is not None:
            text = self.redactor.text(json.dumps(document, indent=1))
            yield SiteFile(f"{place}/agent/trajectory.json", text.encode("ascii", "backslashreplace"))

    @property
    def _folder(self) -> Path:
        return self.files.trial(self.trial.name)


def write_atif(root: Root, folder: Path, redactor: Redactor) -> SiteReport:
    """Write all trials of `root` into `folder` as Harbor's jobs; what has not changed is left as it is.

    Raises:
        DashboardError: `folder` holds something that this did not write.
        OSError: it cannot be written.
    """
    with looking_at(root) as scene:
        jobs = (scene.job(summary.name) for summary in scene.jobs)
        return write_site(folder, (part for job in jobs for part in _parts_of(root, job, redactor)))


def _parts_of(root: Root, job: JobFacts, redactor: Redactor) -> Iterator[Part]:
    files, code = root.job(job.name), code_digest()
    stamps = repr(_stamps(files.dir))
    yield Part(f"job/{job.name}", stamps, lambda: _harbor_files(files.dir, slug(job.name), redactor))
    for trial in job.trials:
        made = _TrialFiles(files, job, trial, redactor)
        yield Part(f"trial/{job.name}/{trial.name}", f"{code} {made.inputs}", made)


def trajectory_of(job: JobFacts, trial: Trial, trajectory: Path) -> Json | None:
    """A trial's trajectory as ATIF; None where no call of it was answered."""
    reader = Reader(job.scaffold or "")
    turns: dict[int, list[Turn]] = defaultdict(list)
    for entry in reader.entries(trajectory):
        if isinstance(entry, Turn):
            turns[entry.conversation].append(entry)
    shown = [opening for opening in reader.openings if opening.kind is not Kind.SIDE and turns[opening.conversation]]
    if not shown:
        return None
    own = [opening for opening in shown if opening.kind is Kind.MAIN] or shown
    main = max(own, key=lambda opening: len(turns[opening.conversation]))
    others = [opening for opening in shown if opening is not main]
    document = _document(job, trial, main, turns[main.conversation])
    embedded = [_document(job, trial, each, turns[each.conversation]) for each in others]
    return document | ({"subagent_trajectories": embedded} if embedded else {}) | {"final_metrics": _total(trial)}


def _document(job: JobFacts, trial: Trial, opening: Opening, turns: Sequence[Turn]) -> Json:
    name, _, version = (job.agent or job.scaffold or UNKNOWN).partition(" ")
    bodies = [*map(_said, opening.messages), *(body for turn in turns for body in _of_turn(turn))]
    return {
        "schema_version": VERSION,
        "session_id": trial.name,
        "trajectory_id": f"conversation-{opening.conversation}",
        "agent": _known({"name": name, "version": version or UNKNOWN, "model_name": job.model}),
        "steps": [{"step_id": number, **body} for number, body in enumerate(bodies, 1)],
    }


def _said(message: Message) -> Json:
    source = {"system": "system", "assistant": "agent"}.get(message.role, "user")
    return {"source": source, "message": message.text}


def _of_turn(turn: Turn) -> Iterator[Json]:
    """The answer with what came back, and a step of the user's for each word of theirs."""
    calls = [
        {"tool_call_id": f"call-{number}", "function_name": call.name, "arguments": _arguments(call.arguments)}
        for number, call in enumerate(turn.calls, 1)
    ]
    results = [
        {"source_call_id": f"call-{number}", "content": call.result.text}
        for number, call in enumerate(turn.calls, 1)
        if call.result is not None
    ]
    yield _known(
        {
            "timestamp": _moment(turn.figures.began_at_ms),
            "source": "agent",
            "model_name": turn.model,
            "message": turn.text,
            "reasoning_content": turn.reasoning or None,
            "tool_calls": calls or None,
            "observation": {"results": results} if results else None,
            "metrics": _metrics(turn),
            "extra": None if turn.is_taken else {"taken": False},
        }
    )
    yield from map(_said, turn.following)


def _metrics(turn: Turn) -> Json | None:
    figures = turn.figures
    known = {
        "prompt_tokens": figures.n_input_tokens,
        "completion_tokens": figures.n_output_tokens,
        "cached_tokens": figures.n_cached_tokens,
        "cost_usd": figures.cost_usd,
    }
    return _known(known) or None


def _total(trial: Trial) -> Json:
    known = {
        "total_prompt_tokens": trial.n_input_tokens,
        "total_completion_tokens": trial.n_output_tokens,
        "total_cached_tokens": trial.n_cache_tokens,
        "total_cost_usd": trial.cost_usd,
    }
    return _known(known)


def _arguments(text: str) -> Json:
    """What a call was given; where that is no JSON object, as it was written."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {"as_written": text}
    return found if isinstance(found, dict) else {"as_written": text}


def _moment(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None


def _known(fields: Mapping[str, Any]) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _harbor_files(folder: Path, place: str, redactor: Redactor) -> Iterable[SiteFile]:
    for name in HARBOR_FILES:
        if (folder / name).is_file() and not (folder / name).is_symlink():
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            yield SiteFile(f"{place}/{name}", redactor.text(text).encode())


def _stamps(folder: Path) -> list[tuple[int, int]]:
    found = [folder / name for name in HARBOR_FILES if (folder / name).is_file()]
    return [(path.stat().st_mtime_ns, path.stat().st_size) for path in found]
