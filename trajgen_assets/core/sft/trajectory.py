"""A trial's trajectory, read once from its first line to its last: its digest, its answers, and its conversations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.capture.stored import opened, stored
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.answers import Answers
from trajgen_assets.core.sft.branches import CallTree, End, Taken, prefix_keys, root_key
from trajgen_assets.core.sft.reasons import Reason, TrialRejectedError
from trajgen_assets.core.sft.records import Exchange, Lines, exchange_of, read_records, reread, session_of

# Says in a word or two what a call is that is no part of the agent's work; None for its work.
SideCall = Callable[[Exchange], str | None]


@dataclass(frozen=True)
class Trajectory:
    """What one pass over a trajectory found; `sha256` is that of its content."""

    path: Path
    sha256: str
    answers: Answers
    calls: CallTree

    def ends(self) -> Iterator[tuple[End, Taken]]:
        """Yield the last call of each conversation, and each side call, as recorded.

        The latest of each session is at hand, which is nearly always all there is; others are read again.
        """
        ends = list(self.calls.ends())
        again = reread(self.path, (end.place for end in ends if self.calls.at_hand(end.place) is None))
        for end in ends:
            yield end, self.calls.at_hand(end.place) or _taken(end, next(again))


def read_trajectory(path: Path, trial: TrialEntry, side_call: SideCall) -> Trajectory:
    """Read the trajectory of a trial, which may be compressed.

    Raises:
        TrialRejectedError: it is missing, it is not the recorded one, a line is not JSON, a successful record does not
            have the shape of one, or there is none.
    """
    if stored(path) is None:
        raise TrialRejectedError(Reason.MISSING_TRAJECTORY)
    with opened(path) as file:
        return _read(path, Lines(file), side_call, torn_tail_ok=trial.capture == "cut", sha256=trial.trajectory_sha256)


def read_beside(trajectory: Trajectory, name: str, side_call: SideCall) -> Trajectory | None:
    """Read a file of the same form beside a trajectory, of which no digest is recorded; None where there is none.

    Raises:
        TrialRejectedError: as `read_trajectory`.
    """
    path = trajectory.path.with_name(name)
    if stored(path) is None:
        return None
    with opened(path) as file:
        return _read(path, Lines(file), side_call, torn_tail_ok=False, sha256=None)


def _read(path: Path, lines: Lines, side_call: SideCall, *, torn_tail_ok: bool, sha256: str | None) -> Trajectory:
    answers, calls = Answers(), CallTree()
    try:
        for place, record in read_records(lines, torn_tail_ok=torn_tail_ok):
            if isinstance(response := record.get("response_body"), dict):
                answers.add(response)
            latest = calls.latest(session_of(record))
            exchange = exchange_of(record, place, latest.exchange.history if latest else None)
            if exchange is not None:
                calls.add(place, exchange, side=side_call(exchange))
    finally:  # a file that is not the recorded one is nothing else, whatever is wrong with it
        if sha256 is not None and sha256 != lines.sha256():
            raise TrialRejectedError(Reason.TRAJECTORY_CHANGED, why="its digest is not the recorded one")
    if not calls:
        raise TrialRejectedError(Reason.NO_SUCCESSFUL_RECORD)
    return Trajectory(path, lines.sha256(), answers, calls)


def _taken(end: End, exchange: Exchange) -> Taken:
    return Taken(end.place, exchange, list(prefix_keys(exchange.history, root_key(exchange.session))))
