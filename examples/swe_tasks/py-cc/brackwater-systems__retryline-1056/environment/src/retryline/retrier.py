"""Call functions under a policy."""

from itertools import count

from retryline.clock import SystemClock
from retryline.errors import AttemptsExhausted, DeadlineExceeded
from retryline.policy import Policy


class Retrier:
    """Calls functions until they succeed or the policy says stop."""

    def __init__(self, policy=None, clock=None, on_retry=None):
        self._policy = policy or Policy()
        self._clock = clock or SystemClock()
        self._on_retry = on_retry

    def call(self, function, *args, **kwargs):
        """Return the result of `function`.

        Raises:
            AttemptsExhausted: the last attempt that is allowed has failed.
            DeadlineExceeded: the next attempt could not start before the deadline.
        """
        started = self._clock.now()
        for attempt in count(1):
            try:
                return function(*args, **kwargs)
            except self._policy.retry_on as error:
                pause_s = self._pause_or_raise(attempt, error, self._clock.now() - started)
                if self._on_retry is not None:
                    self._on_retry(attempt, error, pause_s)
            self._clock.sleep(pause_s)

    def wrap(self, function):
        """Return `function` as one that retries."""

        def retrying(*args, **kwargs):
            return self.call(function, *args, **kwargs)

        return retrying

    def _pause_or_raise(self, attempt, error, elapsed_s):
        if attempt >= self._policy.max_attempts:
            raise AttemptsExhausted(attempt, elapsed_s) from error
        pause_s = self._policy.pause_after(attempt, error)
        deadline_s = self._policy.deadline_s
        if deadline_s is not None and elapsed_s + pause_s >= deadline_s:
            raise DeadlineExceeded(attempt, elapsed_s) from error
        return pause_s
