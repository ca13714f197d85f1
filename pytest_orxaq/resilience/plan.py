"""The rules by which a call goes on after a failure: whether that may pass, what forbids another attempt, and the pause.

They ask what has to be asked, and keep nothing: :class:`.Call` and :class:`.Second` do, each as much as it needs.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from ..core import retry
from .clock import clocks
from .judgement import complain, hint_in
from .scope import running_task


if TYPE_CHECKING:
    from .policy import Policy


class End(StrEnum):
    """Why there is no other attempt."""

    PERMANENT = "it is not transient"
    ATTEMPTS = "no attempt is left"
    DEADLINE = "the next would begin after the deadline"
    BUDGET = "the retry budget is spent"
    BREAKER = "the circuit breaker is open"
    STOPPED = "the stop event is set"
    CANCELLED = "the task is being cancelled"


def judged(policy: "Policy", error: Exception) -> bool:
    """Whether the policy takes an exception for one that may pass."""
    try:
        return policy.retryable(error)
    except Exception:  # noqa: BLE001 - it must not hide what it was to judge
        complain("judging an exception failed: %r", policy.retryable)
        return False


def forbidden(policy: "Policy", left: int) -> End | None:
    """Why there must be no other attempt, whatever the pause before it; None if there may be one."""
    task = running_task()
    if task is not None and task.cancelling():
        # It swallowed its cancellation, or it cleans up after it: whoever cancelled waits for its end.
        return End.CANCELLED
    if left < 1:
        return End.ATTEMPTS
    if policy.stop is not None and policy.stop.is_set():
        return End.STOPPED
    return None


def pause(policy: "Policy", answer: object, number: int, waited: float, until: float | None) -> float | None:
    """Seconds to wait after the attempt of that number, which gave ``answer``; None if that does not fit before ``until``."""
    clock = clocks.current
    jitter = clock.jitter()
    delay = policy.pauses.after(number, waited, jitter)
    hint = hint_in(answer, policy.hint)
    if hint is not None:
        delay = retry.with_hint(delay, hint, jitter=jitter)
    return delay if until is None or retry.fits(delay, hint, until - clock.now()) else None
