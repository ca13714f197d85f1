"""What happens to calls, told to whoever listens; a listener can never change the outcome."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from .judgement import complain


class Kind(StrEnum):
    """What happened."""

    START = "start"  # of an attempt
    SUCCESS = "success"  # of the call
    RETRY = "retry"  # is scheduled
    GAVE_UP = "gave-up"
    CLOSED = "breaker-closed"  # a circuit breaker changed its state to this
    OPEN = "breaker-open"
    HALF_OPEN = "breaker-half-open"  # and a probe is out
    FORCED_OPEN = "breaker-forced-open"
    DISABLED = "breaker-disabled"
    STORE_LOST = "store-lost"  # shared state cannot be used: each process is on its own from here


class Event(NamedTuple):  # as all records here: dataclasses would cost a third of the import
    """One thing that happened to a call."""

    kind: Kind
    name: str  # of the call, or the breaker
    attempt: int = 0  # its number, from 1
    delay: float | None = None  # seconds until the next attempt, or for which a breaker is open
    error: BaseException | None = None
    why: str = ""  # a word for why no further attempt is made; words for a breaker, a sentence for a lost store


Listener: TypeAlias = Callable[[Event], object]
listeners: list[Listener] = []


def subscribe(listener: Listener) -> Callable[[], None]:
    """Let ``listener`` hear all events of this process; gives a function that ends it."""
    listeners.append(listener)

    def unsubscribe() -> None:
        if listener in listeners:
            listeners.remove(listener)

    return unsubscribe


def tell(event: Event, own: tuple[Listener, ...] = ()) -> None:
    """Tell the call's own listeners, then all others; what they raise is logged, and goes no further."""
    for listener in (*own, *listeners):
        try:
            listener(event)
        except Exception:  # noqa: BLE001 - the whole promise
            complain("a listener of retry events failed: %r", listener)
