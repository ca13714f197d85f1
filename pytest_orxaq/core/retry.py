"""Whether and when to try again: checkpoints of the gate, and calls of the library.

Seconds everywhere. ``jitter`` is a random number from 0 to 1 that is handed in.
"""

from typing import TYPE_CHECKING, Final, Literal


if TYPE_CHECKING:  # the library is imported where every millisecond counts, and the words cost some
    from ..model import Cause


Backoff = Literal["full", "equal", "decorrelated"]
BACKOFFS: Final[tuple[Backoff, ...]] = ("full", "equal", "decorrelated")
LONGEST_HINT: Final = 60.0  # of a server that says when to come back: it must not park us for hours


# ---------------------------------------------------------------- checkpoints


def next_delay(
    cause: "Cause",
    *,
    attempts: "tuple[Cause, ...]",
    retries: int,
    first_delay: float,
    longest_delay: float,
    jitter: float,
    remaining: float,
) -> float | None:
    """Seconds to wait before the next attempt, or None if there must be none.

    ``attempts`` are the causes of the attempts *before* the one that ended with ``cause``. The delay is
    exponential with full jitter: anything between nothing and the doubled bound, as ``jitter`` says, so that
    machines which failed together do not come back together.
    """
    if not cause.environmental or len(attempts) >= retries:
        return None
    if cause.retries_at_most is not None and attempts.count(cause) >= cause.retries_at_most:
        return None
    delay = jitter * bound(len(attempts) + 1, base=first_delay, cap=longest_delay)
    # An attempt that could only begin as the time runs out would end as "timed out", which hides its reason.
    return delay if delay < remaining else None


# ---------------------------------------------------------------- calls


def bound(number: int, base: float, cap: float) -> float:
    """The most to wait after the attempt of that number, counted from 1: doubled each time, up to the cap."""
    # A float power overflows where the doubled delay is long past the cap: 2.0 ** 1024 raises.
    doubled = base * 2.0 ** (number - 1 if number < 65 else 64)
    return min(cap, doubled)


class Pauses:
    """How long to wait between attempts. Made once, with the bounds of all of them: to read one is cheaper than to count."""

    __slots__ = ("backoff", "base", "bounds", "cap")

    def __init__(self, backoff: Backoff, base: float, cap: float) -> None:
        self.backoff = backoff
        self.base = base
        self.cap = cap
        self.bounds = [bound(1, base, cap)]
        while (doubled := bound(len(self.bounds) + 1, base, cap)) > self.bounds[-1]:
            self.bounds.append(doubled)

    def after(self, number: int, previous: float, jitter: float) -> float:
        """Seconds to wait after the attempt of that number; ``previous`` is what was waited before it, 0 for the first.

        The cap comes first and the jitter after it: capped the other way round, all who are at the cap wait for
        exactly the same time, and come back together.
        """
        backoff, bounds = self.backoff, self.bounds
        most = bounds[number - 1] if number < len(bounds) else bounds[-1]
        if backoff == "full":
            return most * jitter
        if backoff == "equal":
            return most * (1 + jitter) / 2
        least = min(self.base, self.cap)
        return least + jitter * (min(self.cap, max(self.base, 3 * previous)) - least)


def with_hint(paused: float, hint: float | None, *, jitter: float) -> float:
    """The pause, lengthened to what the other side asked for, and up to a tenth more: it told others the same."""
    if hint is None:
        return paused
    return max(paused, min(max(hint, 0.0), LONGEST_HINT) * (1 + jitter / 10))


def fits(paused: float, hint: float | None, remaining: float | None) -> bool:
    """Whether an attempt after the pause begins before the time is up, and not before the other side wants it."""
    return remaining is None or max(paused, hint or 0.0) < remaining
