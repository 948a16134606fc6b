"""Follow a running harness until it ends, and see when it, the proxy or its progress has died."""

import time

from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.capture.watch import CaptureWatch
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import HarnessError, ProxyError
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.events import STARTED, TRIAL_ENDS, WAITS, TrialEvent
from trajgen_assets.core.rollout.harness import Run
from trajgen_assets.core.rollout.record import JobRecord
from trajgen_assets.core.rollout.stopping import StopLooks
from trajgen_assets.core.rollout.trial_slots import TrialSlots

POLL_S = 0.2

# The lease is renewed by progress, and no oftener than this: each renewal is a transaction.
RENEW_EVERY_S = 15.0


def follow(
    run: Run,
    proxy: RunningProxy,
    record: JobRecord,
    slots: TrialSlots,
    *,
    stall_s: float,
    margin_s: float = 0.0,
) -> None:
    """Settle each trial as it ends; return when the harness has.

    Args:
        slots: given back one by one when no task is left that would use them.
        stall_s: after this many seconds without any trial event the job counts as stalled.
        margin_s: how much longer than that the lease lasts, so that nobody else takes the job for dead before we do.

    Raises:
        ProxyError: the proxy died, or calls are no longer recorded; nothing that runs on can be captured.
        HarnessError: nothing happened for `stall_s` seconds, or the harness ended while trials were running.
        StoppedError: a person asked for the end of the job.
        StaleLeaseError: somebody else has taken the job over.
    """
    watch = CaptureWatch(proxy.folder)
    progress, stops = _Progress(record, stall_s, lease_s=stall_s + margin_s), StopLooks(record)
    began: set[str] = set()
    over: set[str] = set()  # a cancelled trial is said to have ended, too
    while True:
        ended = run.poll() is not None  # asked before the feed is read, so that its last lines are not missed
        events = run.feed.read()
        for event in events:
            _handle(event, record)
        began |= {event.trial for event in events if event.event == STARTED}
        over |= {event.trial for event in events if event.event in TRIAL_ENDS}
        slots.keep(len(record.tasks) - len(over))
        record.settle_waiting()
        progress.seen(bool(events))
        if ended:
            _refuse_killed(run, began - over)
            return
        if not proxy.alive():
            raise ProxyError("the LiteLLM proxy died while trials were running", where=proxy.log_path)
        _refuse_unrecorded(watch, proxy, record)
        stops.look()
        time.sleep(POLL_S)


def _refuse_killed(run: Run, running: set[str]) -> None:
    """However a harness ends by itself, it ends its trials first and says so."""
    if running:
        raise HarnessError(
            f"{run.title} ended while {count_of(len(running), 'trial was', 'trials were')} running",
            where=run.log_path,
            why=f"exit code {run.poll()}; -9 is a kill, for example for want of memory",
            mend="nothing: their tasks are tried again; give the host more memory or less to do if it comes back",
        )


def _refuse_unrecorded(watch: CaptureWatch, proxy: RunningProxy, record: JobRecord) -> None:
    """What is rolled out without a record is paid for and worth nothing."""
    why = watch.look()
    if why is not None:
        record.cancelled_as = Cause.CAPTURE
        mend = "nothing: the tasks of its running trials are free again; see `broken` and proxy.log if it comes back"
        raise ProxyError("model calls are no longer recorded", where=proxy.folder, why=why, mend=mend)


def _handle(event: TrialEvent, record: JobRecord) -> None:
    if event.event == STARTED and event.task_dir is not None:
        record.listener.trial_started(event.task_dir.name)
    elif event.event == WAITS:
        record.listener.phase(f"{event.trial} waits: less than harbor_job.min_free_gb is free on the disk")
    elif event.event in TRIAL_ENDS:
        record.trial_ended(event.trial)


class _Progress:
    """Renews the lease while there are events, and gives up when there are none for too long."""

    def __init__(self, record: JobRecord, stall_s: float, *, lease_s: float) -> None:
        self._record = record
        self._stall_s = stall_s
        self._lease_s = lease_s
        self._last_event = time.monotonic()
        self._renew()  # the harness has just started; the lease of the claim was for what came before

    def _renew(self) -> None:
        # Events that come within RENEW_EVERY_S of it renew nothing: from the last of them, too, the lease is to last.
        ttl_s = self._lease_s + RENEW_EVERY_S
        self._record.lease = self._record.ledger.renew(self._record.lease, ttl_s=ttl_s)
        self._last_renewal = time.monotonic()

    def seen(self, any_event: bool) -> None:
        moment = time.monotonic()
        if any_event:
            self._last_event = moment
            if moment - self._last_renewal > RENEW_EVERY_S:
                self._renew()
        elif moment - self._last_event > self._stall_s:
            self._record.cancelled_as = Cause.STALLED
            raise HarnessError(
                "the job has stalled",
                where=self._record.lease.job,
                why=f"no trial event for {self._stall_s:.0f} s, longer than any of its tasks may take",
                mend="look at its log in the job's proxy folder; its unfinished tasks are pending again",
            )
