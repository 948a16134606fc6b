"""A job's clean-up is begun by the first signal and broken off by none, unless it is too slow or a person insists."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

# A job that works until it is interrupted, or to its end at a line on stdin, and then cleans up for a second.
DRIVER = """
    import signal, sys, time
    from contextlib import ExitStack
    from dagster import DagsterExecutionInterruptedError
    from dagster._core.errors import raise_execution_interrupts
    from dagster._utils.interrupts import capture_interrupts
    from trajgen_assets.core.rollout.interrupts import Interrupts

    def say(word):
        print(word, flush=True)

    def clean_up():
        say("cleaning")
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            time.sleep(0.01)
        say("clean")

    interrupts = Interrupts("job-1", limit_s={limit_s})
    try:
        with capture_interrupts(), raise_execution_interrupts(), interrupts.watched(), ExitStack() as stack:
            stack.callback(clean_up)
            with interrupts.closing():
                say("working")
                {work}
    except DagsterExecutionInterruptedError:
        say("interrupted")
"""
UNTIL_INTERRUPTED = "time.sleep(60)"


@pytest.fixture
def terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def begin(
    work: str = UNTIL_INTERRUPTED, *, limit_s: float = 60, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    code = textwrap.dedent(DRIVER).format(limit_s=limit_s, work=work)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=stdin, stdout=pipe, stderr=pipe, text=True)


def wait_for(child: subprocess.Popen[str], word: str) -> None:
    assert child.stdout is not None
    assert child.stdout.readline().strip() == word


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_and_a_third_interrupt_leave_the_clean_up_alone(first: signal.Signals) -> None:
    child = begin()
    wait_for(child, "working")
    child.send_signal(first)
    wait_for(child, "cleaning")
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate(timeout=30)
    assert (child.returncode, output.split()) == (0, ["clean", "interrupted"])
    assert "job-1: the job is being cleaned up, which an interrupt does not break off" in errors


def test_an_interrupt_within_the_clean_up_of_a_job_that_has_ended_is_told_afterwards() -> None:
    child = begin("pass")
    wait_for(child, "working")
    wait_for(child, "cleaning")
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=30)
    assert (child.returncode, output.split()) == (0, ["clean", "interrupted"])


def test_a_third_interrupt_from_a_terminal_ends_the_process_at_once(terminal: int) -> None:
    child = begin(stdin=terminal)
    wait_for(child, "working")
    child.send_signal(signal.SIGINT)
    wait_for(child, "cleaning")
    child.send_signal(signal.SIGINT)
    assert child.stderr is not None
    assert any("once more, and it is left to recovery" in child.stderr.readline() for _ in range(2))
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate(timeout=30)
    assert (child.returncode, output) == (-signal.SIGINT, "")
    assert "the next tick or command settles the job" in errors


def test_a_clean_up_that_takes_too_long_can_be_broken_off() -> None:
    child = begin(limit_s=0)
    wait_for(child, "working")
    child.send_signal(signal.SIGTERM)
    wait_for(child, "cleaning")
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=30)
    assert (child.returncode, output) == (-signal.SIGTERM, "")
