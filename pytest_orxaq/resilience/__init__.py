"""Retries, deadlines and budgets: the public library."""

from .call import End
from .events import Event, Kind, subscribe
from .judgement import transient
from .outcome import CallAttempt, Outcome
from .retry import Retry
from .scope import DeadlineError, deadline


__all__ = [
    "CallAttempt",
    "DeadlineError",
    "End",
    "Event",
    "Kind",
    "Outcome",
    "Retry",
    "deadline",
    "subscribe",
    "transient",
]
