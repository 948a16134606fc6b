"""The verdicts on many trials, found by several processes and given in the order of the trials.

Each process takes every n-th trial and writes its verdicts to a pipe, which is read in turns. A pipe holds less than
most verdicts: a process is at most a trial ahead, so that memory does not grow with their number. It ends when nobody
reads any more. Its interpreter is a fresh one: a fork would copy locks that threads of the caller hold, and
`multiprocessing` would import the caller's program again, which may be all of Dagster.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle, islice
from typing import IO

from trajgen_assets.core.capture.stored import content_size_bytes
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.process import child_env
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.rows import TrialRows, convert_trial

# A process is there after some 0.3 s, in which one alone converts about this much; and it takes 40 MB and more.
BYTES_WORTH_A_WORKER = 64 << 20
MAX_WORKERS = 4


def n_workers_for(plan: Plan, *, n_cores: int, bytes_worth_a_worker: int = BYTES_WORTH_A_WORKER) -> int:
    """How many processes are worth their start on so many cores: none where this one is as quick by itself."""
    size_bytes = sum(content_size_bytes(plan.job.dir / str(trial.trajectory)) or 0 for trial in plan.trials.trials)
    n_useful = min(MAX_WORKERS, n_cores, size_bytes // bytes_worth_a_worker)
    return n_useful if n_useful > 1 else 0


def n_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def verdicts_on(plan: Plan, *, n_workers: int) -> Iterator[Iterator[TrialRows]]:
    """Yield the verdict on each trial of `plan`, in its order; without workers each when it is asked for.

    Raises:
        ConversionError: while they are read: a process died. No trial is ever passed over.
    """
    if not n_workers:
        yield (convert_trial(plan, trial) for trial in plan.trials.trials)
        return
    with ExitStack() as stack:
        shares = [plan.restricted_to(plan.trials.trials[at::n_workers]) for at in range(n_workers)]
        workers = [stack.enter_context(_worker(share)) for share in shares]
        yield (_verdict_of(worker) for worker in islice(cycle(workers), len(plan.trials.trials)))


@contextmanager
def _worker(share: Plan) -> Iterator[subprocess.Popen[bytes]]:
    argv, pipe = [sys.executable, "-m", __name__], subprocess.PIPE
    with subprocess.Popen(
        argv, env=child_env(), cwd=PROJECT, stdin=pipe, stdout=pipe, start_new_session=True
    ) as worker:
        try:
            with suppress(BrokenPipeError), _pipe(worker.stdin) as its_input:  # a dead one is told of when it is read
                pickle.dump(share, its_input)
            yield worker
        finally:
            worker.kill()  # it has written all that was asked for, or nobody wants it any more


def _verdict_of(worker: subprocess.Popen[bytes]) -> TrialRows:
    try:
        verdict = pickle.load(_pipe(worker.stdout))  # noqa: S301 - written by our own process
    except (EOFError, pickle.UnpicklingError) as error:
        raise ConversionError(
            f"a process that converts trials ended with {worker.wait()}",
            why="killed from outside or for want of memory, if no error of its own is shown above",
            mend="convert the job again; what stood before is as it was",
        ) from error
    assert isinstance(verdict, TrialRows)
    return verdict


def _pipe(file: IO[bytes] | None) -> IO[bytes]:
    assert file is not None
    return file


def _write_verdicts(plan: Plan, out: IO[bytes]) -> None:
    for trial in plan.trials.trials:
        verdict = convert_trial(plan, trial)
        reached("trial_converted")
        pickle.dump(verdict, out)
        out.flush()


def _work() -> None:
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # what anything prints is no verdict
    try:
        _write_verdicts(pickle.load(sys.stdin.buffer), out)  # noqa: S301 - written by our own process
    except BrokenPipeError:
        os._exit(1)  # nobody reads any more: no flush at exit, which would only fail again


if __name__ == "__main__":
    _work()
