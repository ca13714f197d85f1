"""The bucket that retries are paid from."""

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.bucket import Bucket, Terms, filled, taken


TERMS = Terms(ratio=0.5, trickle=0.25, capacity=4.0)


def test_a_new_bucket_is_full() -> None:
    """It can be used at once."""
    assert filled(None, TERMS, calls=7, now=5.0) == Bucket(4.0, 5.0)


def test_calls_and_time_fill_a_bucket() -> None:
    """Each call earns the ratio and each second the trickle, up to the capacity."""
    assert filled(Bucket(1.0, 5.0), TERMS, calls=2, now=9.0) == Bucket(3.0, 9.0)
    assert filled(Bucket(1.0, 5.0), TERMS, calls=2, now=500.0) == Bucket(4.0, 500.0)


def test_a_clock_set_back_earns_nothing() -> None:
    """It costs nothing either, and time counts from the new moment on."""
    assert filled(Bucket(1.0, 5.0), TERMS, calls=0, now=2.0) == Bucket(1.0, 2.0)
    assert filled(Bucket(-50.0, 5.0), TERMS, calls=0, now=5.0) == Bucket(0.0, 5.0)


def test_only_whole_retries_are_taken() -> None:
    """A retry costs one; less than one buys none."""
    assert taken(Bucket(1.0, 5.0)) == Bucket(0.0, 5.0)
    assert taken(Bucket(1.5, 5.0)) == Bucket(0.5, 5.0)
    assert taken(Bucket(0.99, 5.0)) is None


@given(
    terms=some.builds(
        Terms, ratio=some.floats(0, 1), trickle=some.floats(0, 10), capacity=some.integers(1, 50).map(float)
    ),
    steps=some.lists(some.tuples(some.integers(0, 20), some.floats(-100, 100)), max_size=60),
)
def test_retries_stay_within_the_budget(terms: Terms, steps: list[tuple[int, float]]) -> None:
    """From any moment on, no more retries are had than a full bucket, the calls and the time since have earned."""
    bucket: Bucket | None = None
    now = 0.0
    had, earned = 0, terms.capacity
    for calls, elapsed in steps:
        now += elapsed
        earned += calls * terms.ratio + max(0.0, elapsed) * terms.trickle
        bucket = filled(bucket, terms, calls=calls, now=now)
        less = taken(bucket)
        had += less is not None
        bucket = less or bucket
        assert 0 <= bucket.tokens <= terms.capacity
        assert had <= earned + 1e-6
