"""Retries of statements: for, with, and the ways to use them wrongly."""

import pytest

from pytest_orxaq import Retry, deadline
from pytest_orxaq.resilience import DeadlineError
from pytest_orxaq.testing import FakeClock, instant


def test_statements_are_retried() -> None:
    """The loop goes on until the statements pass; each attempt knows its number."""
    numbers = []
    with instant() as clock:
        for attempt in Retry(attempts=5, base=1.0).block("clone"):
            with attempt:
                numbers.append(attempt.number)
                if len(numbers) < 3:
                    raise ConnectionResetError
    assert numbers == [1, 2, 3]
    assert clock.slept == [1.0, 2.0]


def test_what_is_permanent_leaves_the_block() -> None:
    """At once, as it is."""
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught:  # noqa: PT012 - a block is what is tested
        for attempt in Retry().block():
            with attempt:
                raise error
    assert caught.value is error


def test_a_loop_can_be_left() -> None:
    """break, return and continue do what they say."""
    seen = []
    for attempt in Retry().block():
        with attempt:
            seen.append(1)
            break
    for attempt in Retry().block():
        with attempt:
            seen.append(2)
            continue
    assert seen == [1, 2]


def test_an_attempt_that_is_not_entered_is_a_mistake() -> None:
    """Without ``with``, nothing would ever be retried, nor would the loop end."""
    with pytest.raises(RuntimeError, match="with attempt"):
        for _ in Retry().block():
            pass


def test_a_deadline_ends_a_block() -> None:
    """No attempt begins after it: the first is refused, and after a failure that failure is raised."""
    clock = FakeClock()
    begun = []

    def block() -> None:
        for attempt in Retry(attempts=9, base=1.0).block("clone"):
            with attempt:
                begun.append(clock.now())
                clock.advance(2.0)
                raise ConnectionResetError

    with instant(clock), deadline(10):
        with pytest.raises(ConnectionResetError):
            block()
        clock.advance(60)
        with pytest.raises(DeadlineError, match="clone"):
            block()
    assert len(begun) == 3


class LateClock(FakeClock):
    """It sleeps longer than it was asked to, as a busy machine does."""

    def advance(self, seconds: float) -> None:
        """See FakeClock."""
        super().advance(seconds + 5)


def test_a_pause_that_takes_too_long_ends_a_block() -> None:
    """If the time is over only after the pause, the last exception is raised, not one about the deadline."""
    error = ConnectionResetError()
    begun = []
    with instant(LateClock()), deadline(3), pytest.raises(ConnectionResetError) as caught:  # noqa: PT012 - see above
        for attempt in Retry(base=1.0).block():
            with attempt:
                begun.append(attempt.number)
                raise error
    assert caught.value is error
    assert begun == [1]
    assert "after the deadline" in error.__notes__[0]


def test_statements_are_not_judged_by_a_result() -> None:
    """A block returns nothing, so ``on_result`` cannot make it run again what has passed."""
    ran: list[int] = []
    for attempt in Retry(on_result=lambda value: value is None).block():
        with attempt:
            ran.append(attempt.number)
    assert ran == [1]
