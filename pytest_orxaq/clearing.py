"""What the gate does about git's locks: release the dead before an attempt, wait for the others after one they stopped.

Most repositories have no lock most of the time, so that what judges them is imported when there is one.
"""

import contextlib
import os
import re
import time

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .errors import BusyError
from .model import Diagnosis, Lock, LockState, Recovery
from .repository import lockfiles
from .repository.grounds import Grounds


if TYPE_CHECKING:
    from .repository.locks import Examined


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What came of clearing the way for an attempt."""

    recoveries: tuple[Recovery, ...] = ()
    present: frozenset[str] = frozenset()  # paths of the locks that are still there


def clear(grounds: Grounds, *, seconds: float, pause: Callable[[float], bool]) -> Cleared:
    """Release every dead lock that can be released in so many ``seconds``; the others stay.

    ``pause`` sleeps, and says whether to stop. That another recoverer is at work is no reason to fail: it does the same.
    """
    until = time.monotonic() + seconds
    present = _present(grounds)
    if not present or seconds <= 0:
        return Cleared(present=present)
    from .repository import locks  # noqa: PLC0415 - see above

    try:
        survey = locks.survey(grounds, release=True, pause=pause, until=until)
    except BusyError:
        return Cleared(present=present)
    # Looked for anew: with many locks that took a while, and what came meanwhile is not of the attempt either.
    return Cleared(recoveries=survey.recoveries, present=_present(grounds))


def bury(grounds: Grounds, actor: str, *, began_at: float, ended_at: float, present: frozenset[str]) -> None:
    """Remember the end of a command that is gone with everything it started, if it left locks behind.

    ``ended_at`` is when that was found, in Unix time: what is locked later is somebody else's. ``present`` are the
    paths of the locks that were there when it began.
    """
    if _present(grounds) - present:
        from .repository import memory  # noqa: PLC0415 - see above

        memory.record_death(grounds.state.common, actor=actor, began_at=began_at, ended_at=ended_at, present=present)


def _present(grounds: Grounds) -> frozenset[str]:
    return frozenset(lock.path for lock in lockfiles.find(grounds.places).locks)


# ---------------------------------------------------------------- waiting


_LONGER_THAN_THE_FLOOR = 30.0  # seconds: what is going to be dead by its age is worth waiting for
_PAUSE = 5.0  # at most between two looks, at least half of it
_ONE_LOOK = 5.0  # seconds for finding out what is in the way, even where there is no patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """What came of waiting for a lock."""

    recoveries: tuple[Recovery, ...] = ()
    in_the_way: str = ""  # what is left, in a sentence; empty: the way is free
    advice: str = ""


def wait_for(
    grounds: Grounds,
    complaint: str,
    *,
    patience: float,
    pause: Callable[[float], bool],
    waiting: Callable[[str], None],
) -> Waited:
    """Wait until the lock that git complained of is released or gone, as long as that is worth it.

    ``complaint`` is git's own line; ``patience`` the seconds that may be spent, and ``waiting`` hears what is waited
    for, again when that changes.
    """
    from .repository import locks  # noqa: PLC0415 - see above

    until = time.monotonic() + min(patience, grounds.terms.floor + _LONGER_THAN_THE_FLOOR)
    recoveries: tuple[Recovery, ...] = ()
    told: object = ()
    while True:
        left, words = None, "another recovery is at work"
        with contextlib.suppress(BusyError):  # the other one does what we would do
            survey = locks.survey(grounds, release=True, pause=pause, until=max(until, time.monotonic() + _ONE_LOOK))
            recoveries += tuple(each for each in survey.recoveries if each.released)
            left = next((each for each in survey.remaining if _is_meant(each.lock, complaint)), None)
            unexamined = [lock for lock in survey.unexamined if _is_meant(lock, complaint)]
            if left is None and not unexamined:
                return Waited(recoveries=recoveries)
            words = f"{unexamined[0].path} was not examined: there are too many" if left is None else _sentence(left)
        seconds = min(until - time.monotonic(), _PAUSE * (0.5 + os.urandom(1)[0] / 510))
        if seconds > 0 and told != (now := _what_matters(left)):
            waiting(words)
            told = now
        if seconds <= 0 or pause(seconds):
            return Waited(recoveries=recoveries, in_the_way=words, advice="" if left is None else _advice(left))


def explained(diagnosis: Diagnosis, waited: Waited) -> Diagnosis:
    """Why git is locked, in words that name what was seen, what could not be seen, and what an operator may do."""
    return replace(diagnosis, why=f"{diagnosis.why}: {waited.in_the_way}", advice=waited.advice or diagnosis.advice)


def _what_matters(left: "Examined | None") -> object:
    """What is worth being told again when it changes; the age in the words changes all the time."""
    return left and (left.lock.path, left.judgement.state, left.judgement.holder and left.judgement.holder.pid)


def _sentence(left: "Examined") -> str:
    unseen = f" (not seen: {'; '.join(left.judgement.unseen)})" if left.judgement.unseen else ""
    return f"{left.lock.path} is {left.judgement.state.value}: {left.judgement.why}{unseen}"


def _advice(left: "Examined") -> str:
    if left.judgement.state is LockState.LIVE:
        return "wait for that process or end it: no lock is taken away from the living"
    if left.recovery is not None:
        return f"the lock is dead, but stays: {left.recovery.why_not}"
    return "if you know that no other git works in this repository: orxaq locks --recover --assume-exclusive"


_NAMED = re.compile(r"'([^']+)': File exists")


def _is_meant(lock: Lock, complaint: str) -> bool:
    """Whether git named this lock; every one may be meant where it named none."""
    found = _NAMED.search(complaint)
    return found is None or os.path.realpath(lock.path) == os.path.realpath(found[1])
