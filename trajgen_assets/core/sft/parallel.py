"""The verdicts on many trials, found by several processes and given in the order of the trials.

Each process is given one trial after the other, and writes the verdict on each to a pipe. Trials are of very unequal
length, so whichever process is free takes the next one; only so many are ahead of what is asked for that memory does
not grow with their number. A process ends when nobody gives it trials any more. Its interpreter is a fresh one: a fork
would copy locks that threads of the caller hold, and `multiprocessing` would import the caller's program again, which
may be all of Dagster.
"""

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from typing import IO

from trajgen_assets.core.capture.stored import content_size_bytes
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.process import child_env
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.rows import TrialRows, convert_trial

# A process is there after some 0.3 s, in which one alone converts about this much; and it takes 40 MB and more.
BYTES_WORTH_A_WORKER = 64 << 20
MAX_WORKERS = 4
TRIALS_AHEAD = 4  # of each process

Worker = subprocess.Popen[bytes]


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
    bare, n_threads = plan.restricted_to(()), max(1, n_cores() // n_workers)
    with ThreadPoolExecutor(n_workers) as pool, ExitStack() as stack:
        workers = [stack.enter_context(_worker(bare, n_threads)) for _ in range(n_workers)]
        yield _in_order(pool, workers, plan.trials.trials)


def _in_order(pool: ThreadPoolExecutor, workers: list[Worker], trials: Iterable[TrialEntry]) -> Iterator[TrialRows]:
    """Yield verdicts in the order of `trials`. Each thread of `pool` waits for a process that is free, then for it."""
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def verdict_on(trial: TrialEntry) -> TrialRows:
        worker = free.get()
        try:
            return _verdict_of(worker, trial)
        finally:
            free.put(worker)

    ahead: deque[Future[TrialRows]] = deque()
    for trial in trials:
        ahead.append(pool.submit(verdict_on, trial))
        if len(ahead) > TRIALS_AHEAD * len(workers):
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


@contextmanager
def _worker(plan: Plan, n_threads: int) -> Iterator[Worker]:
    """Start a process; a tokenizer in it encodes on `n_threads`, so that all processes together fill the cores."""
    argv, pipe = [sys.executable, "-m", __name__], subprocess.PIPE
    env = child_env({"RAYON_NUM_THREADS": str(n_threads)})
    with subprocess.Popen(argv, env=env, cwd=PROJECT, stdin=pipe, stdout=pipe, start_new_session=True) as worker:
        try:
            with suppress(BrokenPipeError):  # a dead one is told of when it is given a trial
                _send(plan, _pipe(worker.stdin))
            yield worker
        finally:
            worker.kill()  # it has written all that was asked for, or nobody wants it any more
            with suppress(BrokenPipeError):
                _pipe(worker.stdin).close()


def _verdict_of(worker: Worker, trial: TrialEntry) -> TrialRows:
    try:
        _send(trial, _pipe(worker.stdin))
        verdict = pickle.load(_pipe(worker.stdout))  # noqa: S301 - written by our own process
    except (BrokenPipeError, EOFError, pickle.UnpicklingError) as error:
        raise ConversionError(
            f"a process that converts trials ended with {worker.wait()}",
            why="killed from outside or for want of memory, if no error of its own is shown above",
            mend="convert the job again; what stood before is as it was",
        ) from error
    assert isinstance(verdict, TrialRows)
    return verdict


def _send(value: object, pipe: IO[bytes]) -> None:
    pickle.dump(value, pipe)
    pipe.flush()


def _pipe(file: IO[bytes] | None) -> IO[bytes]:
    assert file is not None
    return file


def _write_verdicts(trials: IO[bytes], out: IO[bytes]) -> None:
    plan = pickle.load(trials)  # noqa: S301 - written by our own process, as what follows
    with suppress(EOFError):  # no more trials
        while True:
            verdict = convert_trial(plan, pickle.load(trials))  # noqa: S301
            reached("trial_converted")
            _send(verdict, out)


def _work() -> None:
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # what anything prints is no verdict
    try:
        _write_verdicts(sys.stdin.buffer, out)
    except BrokenPipeError:
        os._exit(1)  # nobody reads any more: no flush at exit, which would only fail again


if __name__ == "__main__":
    _work()
