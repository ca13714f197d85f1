"""Git's locks from finding to release: the one way that the gate and ``orxaq locks`` go.

Find, pin, gather the signals, wait, gather them again, judge, release what is dead. One recoverer is at work in a
repository at a time: a lock that another one holds pinned would look as if somebody had it open.
"""

import contextlib
import os
import time

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core import staleness
from ..model import Judgement, Lock, LockState, Recovery, Signals
from ..system import census
from ..system.journal import Severity, Value
from . import lockfiles, memory, quarantine, signals, territory
from .grounds import Grounds
from .lockfiles import GitFolder
from .workers import look_around


SETTLE = 1.0  # seconds between the two gatherings
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

    ``pause`` sleeps between the gatherings. Raises BusyError where another recoverer is at work for long. A
    repository without a lock costs one walk through git's folders.
    """
    memory.record_clock(grounds.state.common)
    found = lockfiles.find(grounds.places)
    if not found.locks and not quarantine.interrupted(grounds.state.quarantine):
        return Survey(operations=found.operations, uncovered=found.uncovered)
    with quarantine.mutex(grounds.state.common, timeout=PATIENCE):
        repaired = quarantine.repair(grounds.state.quarantine)
        # Looked for once more: the recoverer that we may have waited for has released what it could.
        found = lockfiles.find(grounds.places)
        with contextlib.ExitStack() as pins:
            watched = tuple(_Watched(lock, pins) for lock in found.locks)
            for each in watched:
                _tell(grounds, "detected", each.lock, f"{each.lock.path} is there")
            first = _gather(grounds, watched, found.folders)
            pause(SETTLE)
            second = _gather(grounds, watched, found.folders)
            memory.record_sightings(
                grounds.state.common,
                [(s.lock, s.snapshot) for s in second if s.snapshot],
                memory.recall(grounds.state.common),
            )
            examined = tuple(
                _settle(grounds, *row, found.folders, release=release)
                for row in zip(watched, first, second, strict=True)
            )
    return Survey(examined=examined, operations=found.operations, uncovered=found.uncovered, repaired=repaired)


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


def _gather(grounds: Grounds, watched: Sequence[_Watched], folders: Sequence[GitFolder]) -> tuple[Signals, ...]:
    """The signals of all locks at one moment."""
    known = memory.recall(grounds.state.common)
    around = look_around(territory.survey(folders), census.take(known.offset), [each.lock for each in watched])
    return tuple(
        signals.observe(
            each.lock,
            each.pinned,
            oddity=each.oddity,
            around=around,
            memory=known,
            tenancy=grounds.terms.tenancy,
        )
        for each in watched
    )


def _settle(
    grounds: Grounds,
    watched: _Watched,
    first: Signals,
    second: Signals,
    folders: Sequence[GitFolder],
    *,
    release: bool,
) -> Examined:
    """Judge one lock, and do what is to be done about it."""
    judgement = staleness.judge(first, second, floor=grounds.terms.floor)
    _tell(
        grounds,
        "judged",
        watched.lock,
        f"{judgement.state.value}: {judgement.why}",
        {
            "orxaq.lock.state": judgement.state.value,
            "orxaq.lock.proof": judgement.proof.name.lower() if judgement.proof else "",
            "orxaq.lock.age": second.age,
            "orxaq.lock.suspects": len(second.suspects),
            "orxaq.lock.processes": second.sight.processes,
            "orxaq.lock.unseen": [*second.sight.gaps[:8]],
        },
    )
    recovery = None
    if release and watched.pinned is not None and judgement.state is LockState.DEAD:
        recovery = _release(grounds, watched, second, judgement, folders)
        _tell_recovery(grounds, recovery)
    return Examined(lock=watched.lock, signals=second, judgement=judgement, recovery=recovery)


def _release(
    grounds: Grounds, watched: _Watched, seen: Signals, judgement: Judgement, folders: Sequence[GitFolder]
) -> Recovery:
    """Release a dead lock, unless the policy or its history forbids it."""
    kept = Recovery(
        lock=watched.lock, judgement=judgement, released=False, age=seen.age, processes=seen.sight.processes
    )
    policy = grounds.terms.policy
    if not staleness.may_release(judgement, policy):
        return replace(kept, why_not=f'the policy (release = "{policy.value}") does not allow it')
    now = time.time()
    often = quarantine.recent(grounds.state.quarantine, watched.lock.path, now - SPAN)
    if often >= TOO_OFTEN and not grounds.terms.tenancy:
        words = f"it was released {often} times within an hour: find out who leaves it (orxaq locks --assume-exclusive)"
        return replace(kept, why_not=words)

    def still_dead() -> bool:
        (again,) = _gather(grounds, [watched], folders)
        return staleness.may_release(staleness.judge(seen, again, floor=grounds.terms.floor), policy)

    return quarantine.release(
        watched.lock,
        seen,
        judgement,
        pinned=watched.pinned if watched.pinned is not None else -1,
        quarantine=grounds.state.quarantine,
        recheck=still_dead,
        now=now,
    )


# ---------------------------------------------------------------- events


def _tell_recovery(grounds: Grounds, recovery: Recovery) -> None:
    words = "released" if recovery.released else "kept"
    _tell(
        grounds,
        words,
        recovery.lock,
        recovery.why_not or f"{recovery.lock.path} was released: {recovery.judgement.why}",
        {"orxaq.lock.quarantine": recovery.id, "orxaq.lock.age": recovery.age},
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
