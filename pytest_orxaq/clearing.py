"""What the gate does about git's locks: release the dead before an attempt, wait for the others after one they stopped."""

import os
import re
import time

from collections.abc import Callable, Iterable
from dataclasses import replace

from .errors import BusyError
from .model import Diagnosis, LockState
from .repository import lockfiles, locks, memory
from .repository.locks import Examined, Grounds


_LONGER_THAN_THE_FLOOR = 30.0  # seconds: what is going to be dead by its age is worth waiting for
_PAUSE = 5.0  # at most between two looks, at least half of it


def clear(grounds: Grounds, *, pause: Callable[[float], bool]) -> locks.Survey:
    """Release every dead lock; what there was, and what was done. ``pause`` sleeps, and says whether to stop.

    That another recoverer is at work is no reason to fail: it does the same.
    """
    try:
        return locks.survey(grounds, release=True, pause=pause)
    except BusyError:
        return locks.Survey()


def bury(grounds: Grounds, actor: str, *, began_at: float, present: Iterable[str]) -> None:
    """Remember the death of a command that is gone with everything it started, if it left locks behind.

    ``present`` are the paths of the locks that were there when it began.
    """
    before = frozenset(present)
    if {lock.path for lock in lockfiles.find(grounds.places).locks} - before:
        memory.record_death(grounds.state.common, actor=actor, began_at=began_at, ended_at=time.time(), present=before)


def wait_for(
    grounds: Grounds,
    complaint: str,
    *,
    patience: float,
    pause: Callable[[float], bool],
    waiting: Callable[[str], None],
) -> locks.Survey:
    """Wait until the lock that git complained of is released or gone, as long as that is worth it.

    ``complaint`` is git's own line; ``patience`` the seconds that may be spent, and ``waiting`` hears what is waited
    for. In the survey that is returned ``remaining`` says what is still in the way.
    """
    patience = min(patience, grounds.terms.floor + _LONGER_THAN_THE_FLOOR)
    recoveries: tuple[Examined, ...] = ()
    told = ""
    while True:
        survey = _concerning(clear(grounds, pause=pause), complaint)
        recoveries += tuple(each for each in survey.examined if each.recovery and not each.remains)
        left = survey.remaining
        if not left or patience <= 0:
            return replace(survey, examined=(*recoveries, *left))
        if (words := _sentence(left[0])) != told:
            waiting(words)
            told = words
        seconds = min(patience, _PAUSE * (0.5 + os.urandom(1)[0] / 510))
        patience -= seconds + locks.SETTLE
        if pause(seconds):
            return replace(survey, examined=(*recoveries, *left))


def explained(diagnosis: Diagnosis, left: Examined) -> Diagnosis:
    """Why git is locked, in words that name what was seen, what could not be seen, and what an operator may do."""
    command = "orxaq locks --recover --assume-exclusive"
    unseen = f"; not seen: {'; '.join(left.judgement.unseen)}" if left.judgement.unseen else ""
    if left.judgement.state is LockState.LIVE:
        advice = "wait for that process or end it; the gate takes no lock away from the living"
    elif left.recovery is not None:
        advice = f"the lock is dead, but stays: {left.recovery.why_not}"
    else:
        advice = f"if you know that no other git is at work in this repository: `{command}`"
    return replace(diagnosis, why=f"{diagnosis.why}: {_sentence(left)}{unseen}", advice=advice)


def _sentence(left: Examined) -> str:
    return f"{left.lock.path} is {left.judgement.state.value}: {left.judgement.why}"


_NAMED = re.compile(r"'([^']+)': File exists")


def _concerning(survey: locks.Survey, complaint: str) -> locks.Survey:
    """The survey of the one lock that git named, if it named one of this repository; else of all."""
    found = _NAMED.search(complaint)
    named = tuple(
        each for each in survey.examined if found and os.path.realpath(each.lock.path) == os.path.realpath(found[1])
    )
    return replace(survey, examined=named) if found else survey
