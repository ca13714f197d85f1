"""The circuit breaker of a checkpoint at one content.

What the machine has spoiled three times in a row, each time after all its attempts, is not run at once again: the gate
says so and comes back with no pass. Another content has another breaker, so it never waits for what befell the old one.
"""

import os
import re
import time

from contextlib import suppress
from math import isinf
from typing import Self

from .core.breaker import LONGEST, State, forgettable
from .model import Checkpoint, Outcome, Verdict
from .resilience.breaker import Breaker, BreakerOpenError, Permit
from .resilience.events import Event, Kind
from .resilience.premises import BREAKERS
from .system import state as states
from .system.breakers import Shared, StoreError, store_at
from .system.journal import Journal, Severity


THRESHOLD = 3
COOLDOWN = 60.0
COOLDOWN_MAX = 1800.0
_WINDOW = 3600.0  # seconds between two failures in a row, on top of what a run may take
_GRACE = 60.0  # seconds on top of what the checkpoint may take, to stop it and to judge it
_FORGOTTEN = 48 * COOLDOWN_MAX  # a day after which nobody asks for an old content any more
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}@[0-9a-f]{16}")
_LONGEST_WHY = 120  # characters of why it failed


def name_of(checkpoint: Checkpoint, key: str) -> str:
    """The breaker's name for a checkpoint at the content of a key."""
    return f"{checkpoint.name}@{key[:16]}"


class Circuit:
    """A checkpoint's way through its breaker: ask, and run within it, and settle it."""

    def __init__(self, name: str, state: states.State, journal: Journal, *, bound: float) -> None:
        """``bound``: seconds that the checkpoint may take with all its attempts."""
        self.name = name
        self._journal = journal
        self._path = str(state.common / BREAKERS)
        self._probe = state.own / "probe"  # the name and lease of a probe that a gate in this work tree began last
        self._breaker = Breaker(
            name,
            threshold=THRESHOLD,
            window=_WINDOW + max(bound, 0.0),
            cooldown=COOLDOWN,
            cooldown_max=COOLDOWN_MAX,
            probe_timeout=min(LONGEST, max(bound, 0.0) + _GRACE),
            store=self._path,
            on_event=self._tell,
        )
        self._permit: Permit | None = None

    def ask(self) -> str:
        """Why the checkpoint must not run now, in words; empty if it may."""
        if not self._known():
            return ""
        self._bury()
        try:
            self._permit = self._breaker.acquire()
        except BreakerOpenError as refusal:
            return self._words(refusal)
        if self._permit.probe:
            with suppress(OSError):
                states.write_atomically(self._probe, f"{self.name} {self._permit.token}".encode())
        return ""

    def settle(self, outcome: Outcome) -> None:
        """Tell the breaker how it went: only what the machine spoiled is a failure, and what was cancelled says nothing."""
        if outcome.verdict is Verdict.CANCELLED:
            return
        if outcome.verdict is Verdict.INFRASTRUCTURE:
            with suppress(BreakerOpenError):  # it ran all the same, by --fresh, or somebody was faster
                permit = self._permit or self._breaker.acquire()
                found = outcome.attempts[-1].diagnosis
                permit.failure(_shortened(found.line or found.why))
            self._prune()
        elif self._permit is not None:
            self._permit.success()
        elif self._known() and self._breaker.snapshot().state in {State.OPEN, State.HALF_OPEN}:
            self._breaker.reset()  # --fresh has shown that it answers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What was not settled was cut off: nobody knows how it would have ended."""
        if self._permit is not None:
            self._permit.cancel()

    def _known(self) -> bool:
        """Whether there is such a breaker: what has never failed leaves no trace in the store."""
        try:
            return os.path.exists(self._path) and self._store().knows(self.name)
        except StoreError:
            return False  # the breaker tells that itself, once it has something to keep

    def _store(self) -> Shared:
        return store_at(self._path)

    def _bury(self) -> None:
        """Return the lease of a gate in this work tree that was killed: since the work tree is ours, it is gone."""
        with suppress(OSError, ValueError):
            name, token = self._probe.read_text(encoding="ascii").split(" ")
            if name == self.name:
                self._probe.unlink()
                left = Permit(self._breaker, 0)
                left.token = token
                left.cancel()

    def _words(self, refusal: BreakerOpenError) -> str:
        # The time comes first: what failed may be long, and be cut.
        if isinf(refusal.retry_after):
            return f"not run until `orxaq breaker reset {self.name}`: {refusal.why}"
        at = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + refusal.retry_after))
        due = f"{at} (in {refusal.retry_after:.0f} s)"
        if self._breaker.snapshot().state is State.HALF_OPEN:
            return (
                f"not run: another gate is trying it right now; if that is killed, the next may at {due}: {refusal.why}"
            )
        return f"not run before {due}: {refusal.why}"

    def _prune(self) -> None:
        """Forget the breakers of contents that nobody has asked for in a long time."""
        now = time.time()
        with suppress(StoreError):
            self._store().forget(lambda name, row: bool(_NAME.fullmatch(name)) and forgettable(row, now, _FORGOTTEN))

    def _tell(self, event: Event) -> None:
        self._journal.emit(
            f"orxaq.{event.kind.replace('-', '.', 1)}"
            if event.kind is not Kind.STORE_LOST
            else "orxaq.breaker.store-lost",
            event.why,
            severity=Severity.INFO if event.kind is Kind.CLOSED else Severity.WARN,
            attributes={"orxaq.breaker.name": self.name, "orxaq.breaker.wait": event.delay or 0.0},
        )


def _shortened(why: str) -> str:
    why = why.strip()
    return why if len(why) <= _LONGEST_WHY else f"{why[: _LONGEST_WHY - 1]}…"
