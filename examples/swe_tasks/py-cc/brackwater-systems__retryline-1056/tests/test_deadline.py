import unittest

from retryline import AttemptsExhausted, Constant, DeadlineExceeded, Exponential, ManualClock, Policy, Retrier


class Busy(Exception):
    def __init__(self, retry_after_s):
        super().__init__("busy")
        self.retry_after_s = retry_after_s


class Deadline(unittest.TestCase):
    def setUp(self):
        self.clock = ManualClock()
        self.calls = 0
        self.retries = []

    def retrier(self, **policy):
        return Retrier(Policy(**policy), self.clock, on_retry=lambda *what: self.retries.append(what))

    def failing(self, error=None, takes_s=0.0):
        def function():
            self.calls += 1
            self.clock.advance(takes_s)
            raise error or OSError(f"failure {self.calls}")

        return function

    def give_up(self, expected, retrier, function):
        with self.assertRaises(expected) as caught:
            retrier.call(function)
        return caught.exception

    def test_gives_up_before_a_pause_that_ends_too_late(self):
        error = self.give_up(
            DeadlineExceeded, self.retrier(backoff=Exponential(4.0), max_attempts=10, deadline_s=10.0), self.failing()
        )
        self.assertEqual((error.attempts, error.elapsed_s), (2, 4.0))
        self.assertEqual((self.calls, self.clock.pauses), (2, [4.0]))

    def test_a_pause_that_ends_exactly_at_the_deadline_is_too_late(self):
        error = self.give_up(
            DeadlineExceeded, self.retrier(backoff=Constant(5.0), max_attempts=10, deadline_s=10.0), self.failing()
        )
        self.assertEqual((error.attempts, self.clock.pauses), (2, [5.0]))

    def test_a_long_wish_of_the_server_is_not_waited_for(self):
        retrier = self.retrier(backoff=Constant(1.0), max_attempts=10, deadline_s=10.0)
        self.give_up(DeadlineExceeded, retrier, self.failing(Busy(300.0)))
        self.assertEqual((self.calls, self.clock.pauses), (1, []))

    def test_time_spent_in_the_function_counts(self):
        retrier = self.retrier(backoff=Constant(1.0), max_attempts=10, deadline_s=10.0)
        error = self.give_up(DeadlineExceeded, retrier, self.failing(takes_s=4.5))
        self.assertEqual((error.attempts, error.elapsed_s), (2, 10.0))
        self.assertEqual(self.clock.pauses, [1.0])

    def test_on_retry_only_before_a_retry(self):
        retrier = self.retrier(backoff=Constant(6.0), max_attempts=10, deadline_s=10.0)
        self.give_up(DeadlineExceeded, retrier, self.failing())
        self.assertEqual([(attempt, pause_s) for attempt, _, pause_s in self.retries], [(1, 6.0)])

    def test_the_last_exception_is_the_cause(self):
        retrier = self.retrier(backoff=Constant(6.0), max_attempts=10, deadline_s=10.0)
        self.assertEqual(str(self.give_up(DeadlineExceeded, retrier, self.failing()).__cause__), "failure 2")

    def test_last_attempt_is_exhausted_whatever_the_deadline(self):
        retrier = self.retrier(backoff=Constant(60.0), max_attempts=1, deadline_s=10.0)
        self.give_up(AttemptsExhausted, retrier, self.failing(takes_s=20.0))

    def test_a_late_success_is_returned(self):
        def slow():
            self.clock.advance(99.0)
            return "late"

        self.assertEqual(self.retrier(deadline_s=10.0).call(slow), "late")

    def test_without_a_deadline_nothing_changes(self):
        retrier = self.retrier(backoff=Constant(100.0), max_attempts=3)
        self.give_up(AttemptsExhausted, retrier, self.failing())
        self.assertEqual(self.clock.pauses, [100.0, 100.0])


if __name__ == "__main__":
    unittest.main()
