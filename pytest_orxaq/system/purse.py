"""Retries that all levels of a run share: a file that whoever retries makes longer by one byte.

Tests can reach the file, so it is advice: where it is missing or cannot be written to it bounds nobody, and what the
gate itself may spend is counted in the gate too.
"""

import os
import stat

from contextlib import suppress
from pathlib import Path

from ..core import environment


def spend(handed: str) -> bool:
    """Whether each budget that ORXAQ_RETRIES names has a retry left, which then is taken out of each."""
    return all(_spend(path, limit) for limit, path in environment.read_retries(handed))


class Purse:
    """The retries that a run may spend, and what it hands down of that."""

    def __init__(self, path: Path, limit: int, *, outer: str = "") -> None:
        """Begin with all ``limit`` retries; ``outer`` are the budgets of what is around this run."""
        self._limit = limit
        self._own = 0  # spent, or asked for in vain, by this process
        self.handed = outer  # ORXAQ_RETRIES for what runs below
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self.handed = environment.hand_retries(outer, limit, str(path))

    def spend(self) -> bool:
        """Whether a retry was left, here and in everything around, which then is taken."""
        self._own += 1
        return self._own <= self._limit and spend(self.handed)

    def overdrawn(self) -> int | None:
        """How many retries there were, if somebody has asked for one more than that."""
        if self._own > self._limit:
            return self._limit
        return next((limit for limit, path in environment.read_retries(self.handed) if _size(path) > limit), None)


def _spend(path: str, limit: int) -> bool:
    try:
        # Without O_CREAT: whoever outlives the run must not leave a file where it was.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return True
        if status.st_size > limit:  # somebody was refused before, and has left the mark of it
            return False
        os.write(descriptor, b".")
        # The kernel puts each byte behind all others: of two who come at once each has a place of its own.
        return os.lseek(descriptor, 0, os.SEEK_CUR) <= limit
    except OSError:  # a full disk
        return True
    finally:
        os.close(descriptor)


def _size(path: str) -> int:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
