"""Retries with backoff and a deadline."""

from retryline.backoff import Constant, Exponential
from retryline.clock import ManualClock, SystemClock
from retryline.errors import AttemptsExhausted, DeadlineExceeded, RetryError
from retryline.policy import Policy
from retryline.retrier import Retrier

__all__ = [
    "AttemptsExhausted",
    "Constant",
    "DeadlineExceeded",
    "Exponential",
    "ManualClock",
    "Policy",
    "Retrier",
    "RetryError",
    "SystemClock",
]
