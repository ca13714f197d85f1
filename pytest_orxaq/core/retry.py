"""Whether and when to try again."""

from ..model import Cause


def next_delay(
    cause: Cause,
    *,
    attempts: tuple[Cause, ...],
    retries: int,
    first_delay: float,
    longest_delay: float,
    jitter: float,
    remaining: float,
) -> float | None:
    """Seconds to wait before the next attempt, or None if there must be none.

    ``attempts`` are the causes of the attempts *before* the one that ended with ``cause``. The delay is
    exponential with full jitter: anything between nothing and the doubled bound, as ``jitter`` (0 to 1) says,
    so that machines which failed together do not come back together.
    """
    if not cause.environmental or len(attempts) >= retries:
        return None
    if cause.retries_at_most is not None and attempts.count(cause) >= cause.retries_at_most:
        return None
    # A float power overflows where the doubled delay is long past the bound: 2.0 ** 1024 raises.
    delay = jitter * min(longest_delay, first_delay * 2.0 ** min(len(attempts), 64))
    # An attempt that could only begin as the time runs out would end as "timed out", which hides its reason.
    return delay if delay < remaining else None
