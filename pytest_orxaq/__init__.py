"""pytest-orxaq keeps unattended work in a git repository alive and honest."""

from typing import TYPE_CHECKING

from .version import __version__


if TYPE_CHECKING:
    from .resilience import (
        Breaker,
        BreakerOpenError,
        Budget,
        DeadlineError,
        Event,
        Outcome,
        Retry,
        deadline,
        subscribe,
        transient,
    )

__all__ = [
    "Breaker",
    "BreakerOpenError",
    "Budget",
    "DeadlineError",
    "Event",
    "Outcome",
    "Retry",
    "__version__",
    "deadline",
    "subscribe",
    "transient",
]


def __getattr__(name: str) -> object:
    """The library, imported when it is first asked for: the gate's own start must not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import resilience  # noqa: PLC0415

    found: object = getattr(resilience, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
