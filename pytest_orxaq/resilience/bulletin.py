"""What happens to breakers, told to listeners and written to the repository's journal; neither can change anything."""

import os

from typing import TYPE_CHECKING

from ..core.breaker import State
from .events import Event, Kind, Listener, tell


if TYPE_CHECKING:
    from ..system.journal import Journal


def announce(
    name: str, before: State, after: State, *, why: str, wait: float, own: tuple[Listener, ...], events: str
) -> None:
    """A breaker changed its state: tell the listeners, and the journal in that folder, unless it is empty."""
    if events:
        from ..system.journal import Severity  # noqa: PLC0415 - most processes never get here

        _journal(events).emit(
            f"orxaq.breaker.{after}",
            why,
            severity=Severity.WARN if after in {State.OPEN, State.FORCED_OPEN} else Severity.INFO,
            attributes={
                "orxaq.breaker.name": name,
                "orxaq.breaker.before": str(before),
                "orxaq.breaker.after": str(after),
                "orxaq.breaker.wait": wait,
            },
        )
    tell(Event(kind=Kind(f"breaker-{after}"), name=name, delay=wait, why=why), own)


def announce_loss(name: str, why: str, *, own: tuple[Listener, ...], events: str) -> None:
    """The store of a breaker cannot be used."""
    if events:
        from ..system.journal import Severity  # noqa: PLC0415 - as above

        _journal(events).emit(
            "orxaq.breaker.store-lost", why, severity=Severity.WARN, attributes={"orxaq.breaker.name": name}
        )
    tell(Event(kind=Kind.STORE_LOST, name=name, why=why), own)


_journals: "dict[str, Journal]" = {}


def _journal(events: str) -> "Journal":
    """The journal of this process in a folder."""
    if events not in _journals:
        from pathlib import Path  # noqa: PLC0415 - as above

        from ..system.journal import Journal, make_trace, read_traceparent  # noqa: PLC0415

        trace = make_trace(read_traceparent(os.environ.get("TRACEPARENT", "")), random=os.urandom(24))
        run = os.environ.get("ORXAQ_RUN_ID", "") or "breaker"
        _journals[events] = Journal(Path(events), run=run, trace=trace, resource={"service.name": "orxaq"})
    return _journals[events]
