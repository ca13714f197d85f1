"""What became of a call."""

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from .noted import CallAttempt


if TYPE_CHECKING:
    from ..model import Verdict

T = TypeVar("T")


class Outcome(NamedTuple, Generic[T]):
    """What :meth:`Retry.run` gives."""

    value: T
    degraded: bool  # the value is the fallback's
    attempts: tuple[CallAttempt, ...]  # with those of retried calls inside, which count as its own
    verdict: "Verdict"  # of the call itself: passed, flaky, failed, timed-out (deadline) or skipped (open breaker)
