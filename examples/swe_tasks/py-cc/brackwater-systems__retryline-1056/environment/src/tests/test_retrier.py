import unittest

from retryline import AttemptsExhausted, Constant, DeadlineExceeded, Exponential, ManualClock, Policy, Retrier


def failing(times, result="done"):
    """A function that fails `times` times before it returns."""
    calls = []

    def function():
        calls.append(1)
        if len(calls) <= times:
            raise OSError(f"failure {len(calls)}")
        return result

    function.calls = calls
    return function


class RetrierTest(unittest.TestCase):
    def setUp(self):
        self.clock = ManualClock()

    def test_result_of_the_first_success(self):
        retrier = Retrier(Policy(Constant(1.0)), self.clock)
        self.assertEqual(retrier.call(failing(2)), "done")
        self.assertEqual(self.clock.pauses, [1.0, 1.0])

    def test_pauses_grow_up_to_the_cap(self):
        retrier = Retrier(Policy(Exponential(1.0, cap_s=3.0), max_attempts=5), self.clock)
        with self.assertRaises(AttemptsExhausted):
            retrier.call(failing(9))
        self.assertEqual(self.clock.pauses, [1.0, 2.0, 3.0, 3.0])

    def test_an_endless_failure_ends_at_the_deadline(self):
        retrier = Retrier(Policy(Constant(4.0), max_attempts=100, deadline_s=10.0), self.clock)
        with self.assertRaises(DeadlineExceeded):
            retrier.call(failing(200))

    def test_other_exceptions_pass_through(self):
        retrier = Retrier(Policy(Constant(1.0), retry_on=(OSError,)), self.clock)
        with self.assertRaises(ZeroDivisionError):
            retrier.call(lambda: 1 / 0)


if __name__ == "__main__":
    unittest.main()
