"""Transitions of breakers, told to a listener and written to the repository's journal; neither can change anything."""

import os

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..core.breaker import State


if TYPE_CHECKING:
    from ..system.journal import Journal


class Transition(NamedTuple):
    """A breaker changed its state, or its store was lost."""

    name: str
    before: State
    after: State
    why: str
    wait: float = 0.0  # seconds that it will be open, or its probe out
    alone: bool = False  # the store was lost: from here on the breaker is this process's alone


Listener: TypeAlias = Callable[[Transition], object]


def announce(transition: Transition, listener: Listener | None, events: str) -> None:
    """Tell the listener, and write an event into the journal in that folder, unless it is empty."""
    if events:
        _write(transition, events)
    if listener is not None:
        with suppress(Exception):  # the whole promise
            listener(transition)


def _write(transition: Transition, events: str) -> None:
    from ..system.journal import Severity  # noqa: PLC0415 - most processes never get here

    worse = transition.alone or transition.after in {State.OPEN, State.FORCED_OPEN}
    _journal(events).emit(
        "orxaq.breaker.alone" if transition.alone else f"orxaq.breaker.{transition.after}",
        transition.why,
        severity=Severity.WARN if worse else Severity.INFO,
        attributes={
            "orxaq.breaker.name": transition.name,
            "orxaq.breaker.before": str(transition.before),
            "orxaq.breaker.after": str(transition.after),
            "orxaq.breaker.wait": transition.wait,
        },
    )


_journals: "dict[str, Journal]" = {}


def _journal(events: str) -> "Journal":
    """The journal of this process in a folder."""
    if events not in _journals:
        from pathlib import Path  # noqa: PLC0415 - as above

        from ..system.journal import Journal, make_trace, read_traceparent  # noqa: PLC0415 - as above

        trace = make_trace(read_traceparent(os.environ.get("TRACEPARENT", "")), random=os.urandom(24))
        run = os.environ.get("ORXAQ_RUN_ID", "") or "breaker"
        _journals[events] = Journal(Path(events), run=run, trace=trace, resource={"service.name": "orxaq"})
    return _journals[events]
