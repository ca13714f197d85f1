"""Whether and when to try again."""

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.retry import (
    BACKOFFS,
    Backoff,
    Pauses,
    bound,
    fits,
    next_delay,
    with_hint,
)
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


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause.environmental and cause is not Cause.ENVIRONMENT])
def test_the_machine_is_retried(cause: Cause) -> None:
    """Every environmental cause is tried again at least once, but the one that stays until somebody mends it."""
    assert delay(cause) == 1.0


@pytest.mark.parametrize("cause", [Cause.TIMED_OUT, Cause.OUT_OF_MEMORY, Cause.OVERLOADED])
def test_what_is_costly_is_retried_once(cause: Cause) -> None:
    """A time-out, an OOM or too much at once is tried once more only, counted for each alone."""
    assert delay(cause, attempts=(cause,), retries=100) is None
    assert delay(cause, attempts=(Cause.TRANSIENT, Cause.KILLED), retries=100) is not None


def test_what_stays_is_never_retried() -> None:
    """A full disk is as full a moment later, whatever is left."""
    assert delay(Cause.ENVIRONMENT, retries=100) is None


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


# ---------------------------------------------------------------- calls


FRACTION = some.floats(0, 1)
SECONDS = some.floats(0, 1e6)


def test_bounds_double_up_to_the_cap() -> None:
    """Each bound is twice the last, and none is above the cap, however many there were."""
    assert [bound(number, base=0.5, cap=3.0) for number in (1, 2, 3, 4, 5000)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert bound(1, base=5.0, cap=3.0) == 3.0


@pytest.mark.parametrize(
    ("backoff", "least", "most"), [("full", 0.0, 4.0), ("equal", 2.0, 4.0), ("decorrelated", 1.0, 6.0)]
)
def test_each_jitter_has_its_range(backoff: Backoff, least: float, most: float) -> None:
    """Full jitter goes down to nothing, equal to the half, decorrelated from the base to three times the last pause."""
    bounds = [Pauses(backoff, base=1.0, cap=10.0).after(3, previous=2.0, jitter=jitter) for jitter in (0.0, 0.5, 1.0)]
    assert bounds == [least, (least + most) / 2, most]


def test_the_first_decorrelated_pause_is_the_base() -> None:
    """Without a pause before, there is nothing to stretch; a cap below the base wins."""
    assert Pauses("decorrelated", base=1.0, cap=10.0).after(1, previous=0.0, jitter=1.0) == 1.0
    assert Pauses("decorrelated", base=9.0, cap=2.0).after(1, previous=0.0, jitter=0.5) == 2.0


@given(number=some.integers(1, 5000), base=SECONDS, cap=SECONDS)
def test_bounds_at_hand_are_the_bounds(number: int, base: float, cap: float) -> None:
    """What is looked up for an attempt is what would be counted for it, also past the last that is kept."""
    pauses = Pauses("full", base=base, cap=cap)
    assert pauses.after(number, previous=0.0, jitter=1.0) == bound(number, base=base, cap=cap)
    assert len(pauses.bounds) <= 65


@pytest.mark.parametrize("backoff", BACKOFFS)
@given(number=some.integers(1, 5000), previous=SECONDS, base=SECONDS, cap=SECONDS, jitter=FRACTION)
def test_every_pause_is_bounded(
    backoff: Backoff, number: int, previous: float, base: float, cap: float, jitter: float
) -> None:
    """Whatever the values, a pause is between nothing and the cap."""
    assert 0 <= Pauses(backoff, base=base, cap=cap).after(number, previous=previous, jitter=jitter) <= cap


@pytest.mark.parametrize("backoff", BACKOFFS)
@given(cap=some.floats(0.1, 1e6), number=some.integers(40, 5000))
def test_pauses_differ_at_the_cap(backoff: Backoff, cap: float, number: int) -> None:
    """At the cap, jitter still spreads pauses over at least the upper half: those who failed together do not return together."""
    ends = [Pauses(backoff, base=0.1, cap=cap).after(number, previous=cap, jitter=jitter) for jitter in (0.0, 1.0)]
    assert ends[1] == pytest.approx(cap)
    assert ends[0] <= max(cap / 2, 0.1)


@given(paused=SECONDS, hint=SECONDS, jitter=FRACTION)
def test_hints_lengthen_pauses(paused: float, hint: float, jitter: float) -> None:
    """No pause is shorter than the hint, of which 60 seconds count, nor much longer than both."""
    found = with_hint(paused, hint, jitter=jitter)
    assert found >= max(paused, min(hint, 60.0))
    assert found <= max(paused, 1.1 * min(hint, 60.0))


def test_a_hint_is_spread() -> None:
    """Those who got the same hint come back spread over a tenth of it; without a hint, the pause stays."""
    assert [with_hint(1.0, 10.0, jitter=jitter) for jitter in (0.0, 1.0)] == [10.0, 11.0]
    assert with_hint(1.0, None, jitter=1.0) == 1.0
    assert with_hint(1.0, -5.0, jitter=1.0) == 1.0


@pytest.mark.parametrize(
    ("paused", "hint", "remaining", "expected"),
    [
        (1.0, None, None, True),
        (1.0, 5000.0, None, True),
        (1.0, None, 1.01, True),
        (1.0, None, 1.0, False),
        (60.0, 61.0, 61.0, False),
        (60.0, 60.5, 61.0, True),
        (0.0, None, 0.0, False),
        (0.0, None, 0.5, True),
    ],
)
def test_pauses_end_before_the_deadline(
    paused: float, hint: float | None, remaining: float | None, expected: bool
) -> None:
    """A pause or a hint that ends with the time or after it leaves no attempt; also one that is cut to 60 seconds."""
    assert fits(paused, hint, remaining) is expected
