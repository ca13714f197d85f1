"""Git's locks from finding to release: the one way that the gate and ``orxaq locks`` go.

Find, pin, gather the signals, wait, gather them again, judge, release what is dead; a batch of locks at a time, because
each costs a descriptor while it is pinned. One recoverer is at work in a repository at a time: a lock that another one
holds pinned would look as if somebody had it open.
"""

import contextlib
import math
import os
import time

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core import staleness
from ..model import Judgement, Lock, LockState, Recovery, Signals
from ..system import census, resources
from ..system.journal import Severity, Value
from . import lockfiles, memory, quarantine, signals, territory
from .grounds import Grounds
from .lockfiles import Found
from .workers import Surroundings, look_around


SETTLE = 1.0  # seconds between the two gatherings
BATCH = 100  # locks that are pinned at a time, if there are descriptors for so many
RESERVE = 32  # descriptors that are left for everything else
FRESH = 1.0  # seconds for which a look at the processes counts when a lock is checked for the last time
TOO_OFTEN, SPAN = 3, 3600.0  # as often within so many seconds: who leaves the lock is the trouble, not the lock
PATIENCE = 10.0  # for another recoverer


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
        there = self.signals.snapshot is not None or bool(self.signals.oddity)
        return there and not (self.recovery and self.recovery.released)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a look at a repository's locks came to."""

    examined: tuple[Examined, ...] = ()
    operations: tuple[str, ...] = ()  # merges, rebases and their like that were left half done; never touched
    uncovered: tuple[str, ...] = ()  # what could not be looked at
    repaired: tuple[str, ...] = ()  # releases that were cut off, and are finished or undone now
    unexamined: tuple[Lock, ...] = ()  # those for which there was no time

    @property
    def remaining(self) -> tuple[Examined, ...]:
        """The locks that are still there."""
        return tuple(each for each in self.examined if each.remains)

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """What was done."""
        return tuple(each.recovery for each in self.examined if each.recovery is not None)


def survey(grounds: Grounds, *, release: bool, pause: Callable[[float], bool], until: float = math.inf) -> Survey:
    """Judge every lock of a repository, and with ``release`` take the dead ones out of git's way.

    ``pause`` sleeps between the gatherings, and says whether to stop. After ``until`` (CLOCK_MONOTONIC) no lock is
    released and no more are examined; the first batch always is. Raises BusyError where another recoverer is at work
    for long. A repository without a lock costs one walk through git's folders.
    """
    memory.record_clock(grounds.state.common)
    found = lockfiles.find(grounds.places)
    if not found.locks and not quarantine.interrupted(grounds.state.quarantine):
        return Survey(operations=found.operations, uncovered=found.uncovered)
    with quarantine.mutex(grounds.state.common, timeout=min(PATIENCE, max(0.0, until - time.monotonic()))):
        repaired = quarantine.repair(grounds.state.quarantine)
        # Looked for once more: the recoverer that we may have waited for has released what it could.
        found = lockfiles.find(grounds.places)
        examined = _Examination(grounds, found, release=release, pause=pause, until=until).all()
        unexamined = found.locks[len(examined) :]
        _remember(grounds, examined, unexamined)
        if any(each.recovery is not None and each.recovery.released for each in examined):
            quarantine.prune(grounds.state.quarantine, time.time())
    return Survey(
        examined=examined,
        operations=found.operations,
        uncovered=found.uncovered,
        repaired=repaired,
        unexamined=unexamined,
    )


def _remember(grounds: Grounds, examined: Sequence[Examined], unexamined: Sequence[Lock]) -> None:
    """Note since when each lock has been as it is. What was not examined this time stays as it is known."""
    known = memory.recall(grounds.state.common)
    seen = [(each.lock, each.signals.snapshot) for each in examined if each.remains and each.signals.snapshot]
    left = {lock.path: lock for lock in unexamined}
    seen += [(left[row.path], row.snapshot) for row in known.sightings if row.path in left]
    memory.record_sightings(grounds.state.common, seen, known)


# ---------------------------------------------------------------- one lock after the other


class _Watched:
    """A lock whose inode is pinned, so that no other file can come to have its number."""

    def __init__(self, lock: Lock, pins: contextlib.ExitStack) -> None:
        self.lock = lock
        self.pinned: int | None = None
        self.oddity = ""
        try:
            self.pinned = signals.open_pinned(lock)
        except signals.OddLockError as why:
            self.oddity = str(why)
        if self.pinned is not None:
            pins.callback(os.close, self.pinned)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """The processes of one moment, and what was remembered then."""

    at: float  # CLOCK_MONOTONIC of its beginning: who was looked at first is as old as that
    locks: Sequence[Lock]
    around: Surroundings
    known: memory.Memory


class _Examination:
    """One way through the locks of a repository, a batch at a time."""

    def __init__(
        self, grounds: Grounds, found: Found, *, release: bool, pause: Callable[[float], bool], until: float
    ) -> None:
        self._grounds = grounds
        self._found = found
        self._pause = pause
        self._until = until
        self._releases = release
        self._often = quarantine.recent(grounds.state.quarantine, time.time() - SPAN) if release else {}

    def all(self) -> tuple[Examined, ...]:
        """Examine the locks from the first one on, as many as there is time for."""
        locks = self._found.locks
        examined: list[Examined] = []
        stopped = False
        while len(examined) < len(locks) and not stopped:
            # At least one: if not even that can be opened, it is said of the lock.
            size = max(1, min(BATCH, resources.spare_descriptors() - RESERVE))
            batch, stopped = self._batch(locks[len(examined) : len(examined) + size])
            examined += batch
            stopped = stopped or self._is_over()
        if len(examined) < len(locks):
            _tell_unexamined(self._grounds, len(locks) - len(examined))
        return tuple(examined)

    def _is_over(self) -> bool:
        return time.monotonic() >= self._until

    def _batch(self, locks: Sequence[Lock]) -> tuple[list[Examined], bool]:
        """Examine locks together; and whether it was asked to stop meanwhile."""
        with contextlib.ExitStack() as pins:
            watched = tuple(_Watched(lock, pins) for lock in locks)
            for each in watched:
                _tell(self._grounds, "detected", each.lock, f"{each.lock.path} is there")
            first = self._gather(watched, self._look(locks))
            stopped = self._pause(SETTLE)
            # Without the time in between, two gatherings are worth no more than one.
            self._releases = self._releases and not stopped
            second = self._gather(watched, self._look(locks))
            return [self._settle(*row) for row in zip(watched, first, second, strict=True)], stopped

    # ---------------------------------------------------------------- looking

    def _look(self, locks: Sequence[Lock]) -> _Look:
        """Take a look at the processes, and at what ties them to the names of some locks."""
        began_at = time.monotonic()
        known = memory.recall(self._grounds.state.common)
        around = look_around(territory.survey(self._found.folders), census.take(known.offset), locks)
        self._last = _Look(at=began_at, locks=locks, around=around, known=known)
        return self._last

    def _fresh_look(self) -> _Look:
        """The last look, as long as it is fresh; after that another one at the same locks."""
        return self._last if time.monotonic() - self._last.at <= FRESH else self._look(self._last.locks)

    def _gather(self, watched: Sequence[_Watched], look: _Look) -> tuple[Signals, ...]:
        """The signals of several locks; their files are asked at this moment, the processes are those of the look."""
        return tuple(
            signals.observe(
                each.lock,
                each.pinned,
                oddity=each.oddity,
                around=look.around,
                memory=look.known,
                tenancy=self._grounds.terms.tenancy,
            )
            for each in watched
        )

    # ---------------------------------------------------------------- judging and releasing

    def _settle(self, watched: _Watched, first: Signals, second: Signals) -> Examined:
        """Judge one lock, and do what is to be done about it."""
        judgement = staleness.judge(first, second, floor=self._grounds.terms.floor)
        _tell_judgement(self._grounds, second, judgement)
        recovery = None
        if self._releases and watched.pinned is not None and judgement.state is LockState.DEAD:
            recovery = self._release(watched, watched.pinned, second, judgement)
            _tell_recovery(self._grounds, recovery)
        return Examined(lock=watched.lock, signals=second, judgement=judgement, recovery=recovery)

    def _release(self, watched: _Watched, pinned: int, seen: Signals, judgement: Judgement) -> Recovery:
        """Release a dead lock, unless the policy, its history or the time forbids it."""
        why_not = self._why_not(watched.lock, judgement)
        if why_not:
            return Recovery(
                lock=watched.lock,
                judgement=judgement,
                released=False,
                why_not=why_not,
                age=seen.age,
                processes=seen.sight.processes,
            )
        return quarantine.release(
            watched.lock,
            seen,
            judgement,
            pinned=pinned,
            quarantine=self._grounds.state.quarantine,
            recheck=lambda: self._is_still_dead(watched, seen),
            now=time.time(),
        )

    def _why_not(self, lock: Lock, judgement: Judgement) -> str:
        terms, often = self._grounds.terms, self._often.get(lock.path, 0)
        if not staleness.may_release(judgement, terms.policy):
            return f'the policy (release = "{terms.policy.value}") does not allow it'
        if often >= TOO_OFTEN and not terms.insisted:
            return (
                f"it was released {often} times within an hour: find out who leaves it (orxaq locks --assume-exclusive)"
            )
        return "there was no time left for it" if self._is_over() else ""

    def _is_still_dead(self, watched: _Watched, seen: Signals) -> bool:
        """Whether a lock is, right before it is touched, as it was when it was judged.

        The lock itself is asked anew each time: that its name is that of the pinned file, its content and times, its
        pid file, and by the lease whether anybody has it open. The processes may be those of up to :data:`FRESH`
        seconds ago, because that is enough for whoever may hold it *without* having it open. Such a holder made the
        lock, or is the hook or the editor of one that did. So it was there, or its parent was, before the lock was
        last changed, which is before the first gathering: both gatherings have looked for it. Who came since then can
        come to hold a lock of this name only by making one or by renaming another into its place, and that would not
        be the pinned file. A look takes a good part of that second itself on a busy machine, so that even one for
        each lock would leave a gap of this order.
        """
        (again,) = self._gather([watched], self._fresh_look())
        terms = self._grounds.terms
        return staleness.may_release(staleness.judge(seen, again, floor=terms.floor), terms.policy)


# ---------------------------------------------------------------- events


def _tell_judgement(grounds: Grounds, seen: Signals, judgement: Judgement) -> None:
    _tell(
        grounds,
        "judged",
        seen.lock,
        f"{judgement.state.value}: {judgement.why}",
        {
            "orxaq.lock.state": judgement.state.value,
            "orxaq.lock.proof": _proof(judgement),
            "orxaq.lock.age": seen.age,
            "orxaq.lock.suspects": len(seen.suspects),
            "orxaq.lock.processes": seen.sight.processes,
            "orxaq.lock.unseen": [*seen.sight.gaps[:8]],
        },
    )


def _proof(judgement: Judgement) -> str:
    return judgement.proof.name.lower() if judgement.proof else ""


def _tell_unexamined(grounds: Grounds, number: int) -> None:
    words = f"{number} locks were not examined: the time for it is over"
    grounds.journal.emit(
        "orxaq.lock.unexamined", words, severity=Severity.WARN, attributes={"orxaq.lock.count": number}
    )


def _tell_recovery(grounds: Grounds, recovery: Recovery) -> None:
    words = "released" if recovery.released else "kept"
    _tell(
        grounds,
        words,
        recovery.lock,
        recovery.why_not or f"{recovery.lock.path} was released: {recovery.judgement.why}",
        {
            "orxaq.lock.quarantine": recovery.id,
            "orxaq.lock.proof": _proof(recovery.judgement),
            "orxaq.lock.age": recovery.age,
        },
        severity=Severity.WARN,
    )


def _tell(
    grounds: Grounds,
    what: str,
    lock: Lock,
    body: str,
    attributes: Mapping[str, Value] | None = None,
    *,
    severity: Severity = Severity.INFO,
) -> None:
    names: dict[str, Value] = {"orxaq.lock.path": lock.path, "orxaq.lock.kind": lock.kind.value}
    grounds.journal.emit(f"orxaq.lock.{what}", body, severity=severity, attributes=names | dict(attributes or {}))
