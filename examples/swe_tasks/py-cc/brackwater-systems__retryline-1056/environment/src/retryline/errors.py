"""How a call can end without a result."""


class RetryError(Exception):
    """The function failed for good. The last exception is the `__cause__`."""

    def __init__(self, attempts, elapsed_s):
        super().__init__(f"gave up after {attempts} attempts in {elapsed_s:.1f} s")
        self.attempts = attempts
        self.elapsed_s = elapsed_s


class AttemptsExhausted(RetryError):
    """Every attempt that the policy allows was made."""


class DeadlineExceeded(RetryError):
    """There is no time left for another attempt."""
