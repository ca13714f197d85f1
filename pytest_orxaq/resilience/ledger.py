"""The row of one breaker: how it is read without asking, how it changes, and what becomes of it when the store is lost."""

import os

from collections.abc import Callable
from typing import Any

from ..core.breaker import Answer, Event, Report, Row, Rules, State, Verdict, step
from ..system.breakers import Change, Private, Shared, Store, StoreError, store_at
from .bulletin import announce, announce_loss
from .clock import clocks
from .events import Listener


_LOOKED = Answer(verdict=Verdict.DONE)


class Ledger:
    """One breaker's row; changes never fail, for without a store they are made in this process alone.

    ``store``: the path of a database, "memory", or nothing for the repository's.
    """

    def __init__(
        self, name: str, rules: Rules, store: str | os.PathLike[str] | None, listeners: tuple[Listener, ...]
    ) -> None:
        self.view: tuple[Any, int] = ((0,), 0)  # the hints, and which of them is ours; one attribute: threads
        self._name = name
        self._rules = rules
        self._listeners = listeners
        self._events = ""  # the folder of the journal
        self._asked = store
        self._store: Store | None = Private() if store == "memory" else None
        self._alone: dict[str, Private] = {}

    @property
    def shared(self) -> bool:
        """Whether other processes see it."""
        return isinstance(self._store, Shared)

    def look(self) -> Row:
        """The row as it is."""
        return self._apply(lambda row: (row, _LOOKED)).after

    def change(self, event: Event) -> Change:
        """Let something happen, and tell what became of it."""

        def decide(row: Row) -> tuple[Row, Answer]:
            # The time is taken when we are alone with the row: who waited for that would bring one from before.
            after, answer = step(row, event, clocks.current.wall(), self._rules)
            return (after if after.why in {"", row.why} else after._replace(why=_redacted(after.why))), answer

        change = self._apply(decide, event)
        before, after = change.before, change.after
        if before.state is not after.state or (before.epoch != after.epoch and after.state is State.HALF_OPEN):
            announce(
                *(self._name, before.state, after.state),
                why=after.why,
                wait=after.wait,
                own=self._listeners,
                events=self._events,
            )
        return change

    def _apply(self, decide: Callable[[Row], tuple[Row, Answer]], event: Event | None = None) -> Change:
        store = self._store
        try:
            store = store or self._found()
            change = store.change(self._name, decide)
        except StoreError as error:
            change = self._lonely(str(error), event).change(self._name, decide)
        self.view = (change.words, change.slot)
        return change

    def _found(self) -> Store:
        """The store, looked for when it is first needed."""
        if self._asked is not None:
            self._store = store_at(os.fspath(self._asked))
            return self._store
        try:
            from ..errors import MachineError  # noqa: PLC0415 - dear, and so is what follows
            from .premises import BREAKERS, state_at  # noqa: PLC0415
        except ImportError as error:
            raise StoreError(f"there is no state to share on this system ({error})") from error
        try:
            state = state_at(os.environ)
        except MachineError as error:
            raise StoreError(error.what) from error
        self._events = str(state.events)
        self._store = store_at(str(state.common / BREAKERS))
        return self._store

    def _lonely(self, why: str, event: Event | None) -> Private:
        """A store in this process alone, from here on; told once."""
        epoch = event.epoch if isinstance(event, Report) else 0
        mine = Private(Row(epoch=epoch))
        private = self._alone.setdefault(self._name, mine)
        self._store = private
        if private is mine:
            words = f"{why}; the breaker {self._name!r} goes on in this process alone"
            announce_loss(self._name, words, own=self._listeners, events=self._events)
        return private


def _redacted(why: str) -> str:
    """Without secrets: addresses have passwords in them, and the row is read by others. And without lone surrogates.

    Those are in the names of files that are no UTF-8, and no database takes them.
    """
    from ..core.redaction import redact, secrets_of  # noqa: PLC0415 - dear, and breakers seldom open

    return redact(why, secrets_of(os.environ)).encode("utf-8", "backslashreplace").decode("utf-8")
