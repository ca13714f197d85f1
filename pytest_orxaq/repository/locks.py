"""Git's locks from finding to release: the one way that the gate and ``orxaq locks`` go.

Find, pin, gather the signals, wait, gather them again, judge, release what is dead. One recoverer is at work in a
repository at a time: a lock that another one holds pinned would look as if somebody had it open.
"""

import contextlib
import time

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..core import staleness
from ..model import Judgement, Lock, LockState, Recovery, ReleasePolicy, Signals
from ..system.journal import Journal, Severity, Value
from ..system.state import State
from . import lockfiles, quarantine, signals
from .places import Places


SETTLE = 1.0  # seconds between the two gatherings
TOO_OFTEN, SPAN = 3, 3600.0  # as often within so many seconds: who leaves the lock is the trouble, not the lock
PATIENCE = 10.0  # for another recoverer


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms locks are judged and released."""

    policy: ReleasePolicy = ReleasePolicy.ELIMINATION
    floor: float = 300.0  # seconds without a change, before a lock may be dead by elimination
    tenancy: bool = False  # the operator declares that nobody else works in this repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where locks are looked for, on what terms, and where it is written down."""

    places: Places
    state: State
    terms: Terms
    journal: Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A lock with what was seen of it, what that proves, and what was done."""

    lock: Lock
    signals: Signals
    judgement: Judgement
    recovery: Recovery | None = None  # None: there was nothing to be done, or it was not asked for

    @property
    def remains(self) -> bool:
        """Whether git still trips over it."""
        return self.signals.snapshot is not None and not (self.recovery and self.recovery.released)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a look at a repository's locks came to."""

    examined: tuple[Examined, ...] = ()
    operations: tuple[str, ...] = ()  # merges, rebases and their like that were left half done; never touched
    uncovered: tuple[str, ...] = ()  # what could not be looked at
    repaired: tuple[str, ...] = ()  # releases that were cut off, and are finished or undone now

    @property
    def remaining(self) -> tuple[Examined, ...]:
        """The locks that are still there."""
        return tuple(each for each in self.examined if each.remains)

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """What was done."""
        return tuple(each.recovery for each in self.examined if each.recovery is not None)


def survey(grounds: Grounds, *, release: bool, pause: Callable[[float], bool]) -> Survey:
    """Judge every lock of a repository, and with ``release`` take the dead ones out of git's way.

    ``pause`` sleeps between the gatherings and says whether to stop early; what was not gathered twice is unknown.
    Raises BusyError where another recoverer is at work for long. A repository without a lock costs one walk through
    git's folders.
    """
    found = lockfiles.find(grounds.places)
    if not found.locks:
        return Survey(operations=found.operations, uncovered=found.uncovered)
    with quarantine.mutex(grounds.state.common, timeout=PATIENCE):
        repaired = quarantine.repair(grounds.state.quarantine)
        # Looked for once more: the recoverer that we may have waited for has released what it could.
        found = lockfiles.find(grounds.places)
        for lock in found.locks:
            _tell(grounds, "detected", lock, f"{lock.path} is there")
        with contextlib.ExitStack() as pins:
            examined = tuple(_examine(grounds, found.locks, pins, release=release, pause=pause))
    return Survey(examined=examined, operations=found.operations, uncovered=found.uncovered, repaired=repaired)
