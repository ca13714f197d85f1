"""Retries, circuit breakers, deadlines and budgets: the public library, each part imported when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from .breaker import Breaker
    from .budget import Budget
    from .events import Event, Kind, subscribe
    from .judgement import transient
    from .noted import CallAttempt
    from .outcome import Outcome
    from .permit import BreakerOpenError, Permit
    from .plan import End
    from .retry import Retry
    from .scope import DeadlineError, deadline

__all__ = [
    "Breaker",
    "BreakerOpenError",
    "Budget",
    "CallAttempt",
    "DeadlineError",
    "End",
    "Event",
    "Kind",
    "Outcome",
    "Permit",
    "Retry",
    "deadline",
    "subscribe",
    "transient",
]

_HOMES: Final = {
    "Breaker": "breaker",
    "BreakerOpenError": "permit",
    "Budget": "budget",
    "CallAttempt": "noted",
    "DeadlineError": "scope",
    "End": "plan",
    "Event": "events",
    "Kind": "events",
    "Outcome": "outcome",
    "Permit": "permit",
    "Retry": "retry",
    "deadline": "scope",
    "subscribe": "events",
    "transient": "judgement",
}


def __getattr__(name: str) -> object:
    """A public name, from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
