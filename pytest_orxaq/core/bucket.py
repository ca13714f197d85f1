"""The bucket that retries are paid from: what fills it, and what is taken out. Seconds everywhere."""

from typing import NamedTuple


class Terms(NamedTuple):
    """What fills a bucket of retries: a share of all calls, and a trickle that lets a few through where calls are rare."""

    ratio: float = 0.2  # retries that each call earns
    trickle: float = 0.1  # retries that each second earns
    capacity: float = 10.0  # retries that can be saved, and that a new bucket has


class Bucket(NamedTuple):
    """Retries that may be made, as of a moment on a clock that can be set."""

    tokens: float
    at: float


def filled(bucket: Bucket | None, terms: Terms, *, calls: int, now: float) -> Bucket:
    """The bucket at ``now``, with what ``calls`` and the time since have earned; a new one is full.

    A clock that was set back earns nothing, and a bucket that came from somewhere else never holds more than its own capacity.
    """
    if bucket is None:
        return Bucket(terms.capacity, now)
    earned = calls * terms.ratio + max(0.0, now - bucket.at) * terms.trickle
    return Bucket(min(terms.capacity, max(0.0, bucket.tokens) + earned), now)


def taken(bucket: Bucket) -> Bucket | None:
    """The bucket with one retry less, or None if there is not a whole one in it."""
    return bucket._replace(tokens=bucket.tokens - 1) if bucket.tokens >= 1 else None
