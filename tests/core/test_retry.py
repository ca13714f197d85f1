"""Whether and when to try again."""

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.retry import next_delay
from pytest_orxaq.model import Cause


def delay(cause: Cause = Cause.TRANSIENT, **changed: object) -> float | None:
    """The delay in a usual case, but for what is changed."""
    usual: dict[str, object] = {
        "attempts": (),
        "retries": 2,
        "first_delay": 1.0,
        "longest_delay": 30.0,
        "jitter": 1.0,
        "remaining": 100.0,
    }
    return next_delay(cause, **usual | changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("cause", [cause for cause in Cause if not cause.environmental])
def test_the_code_is_never_retried(cause: Cause) -> None:
    """What is not the machine's fault is not tried again, whatever is left."""
    assert delay(cause, retries=100) is None


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause.environmental])
def test_the_machine_is_retried(cause: Cause) -> None:
    """Every environmental cause is tried again at least once."""
    assert delay(cause) == 1.0


@pytest.mark.parametrize("cause", [Cause.TIMED_OUT, Cause.OUT_OF_MEMORY, Cause.OVERLOADED])
def test_what_is_costly_is_retried_once(cause: Cause) -> None:
    """A time-out, an OOM or too much at once is tried once more only, counted for each alone."""
    assert delay(cause, attempts=(cause,), retries=100) is None
    assert delay(cause, attempts=(Cause.TRANSIENT, Cause.KILLED), retries=100) is not None


def test_delays_double() -> None:
    """Each bound is twice the last, until the longest."""
    delays = [delay(attempts=(Cause.TRANSIENT,) * number, retries=10) for number in range(7)]
    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_the_deadline_wins() -> None:
    """A delay that ends with the time or after it is not waited for."""
    assert delay(remaining=1.0) is None
    assert delay(remaining=1.01) == 1.0
    assert delay(jitter=0.0, remaining=0.0) is None


@given(
    cause=some.sampled_from(Cause),
    attempts=some.lists(some.sampled_from(Cause), max_size=2000).map(tuple),
    retries=some.integers(0, 2000),
    first_delay=some.floats(0, 1e9),
    longest_delay=some.floats(0, 1e9),
    jitter=some.floats(0, 1),
    remaining=some.floats(-1e9, 1e9),
)
def test_every_delay_is_bounded(
    cause: Cause,
    attempts: tuple[Cause, ...],
    retries: int,
    first_delay: float,
    longest_delay: float,
    jitter: float,
    remaining: float,
) -> None:
    """Whatever the values, a delay fits its bounds, and there is none for the code's fault or past the retries."""
    found = next_delay(
        cause,
        attempts=attempts,
        retries=retries,
        first_delay=first_delay,
        longest_delay=longest_delay,
        jitter=jitter,
        remaining=remaining,
    )
    if found is not None:
        assert cause.environmental
        assert len(attempts) < retries
        assert 0 <= found <= longest_delay
        assert found < remaining
