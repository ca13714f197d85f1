"""What a test is given of a lock: what it is, whether it still stands, and the way to be rid of it."""

import os
import threading

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .holders import Holder
from .identity import Identity
from .recipes import LockKind


class Grip:
    """What keeps a lock in its place, and knows whether it is still the same."""

    def __init__(self, paths: Sequence[Path], holder: Holder | None, take_back: Callable[[], None]) -> None:
        """``take_back`` ends the operation that was begun for the lock."""
        self.damage = ""  # what was done to a live lock, for the one who has to read it
        self._made = {path: Identity.of(path) for path in paths}
        self._holder = holder
        self._take_back = take_back
        self._timer: threading.Timer | None = None
        self._mutex = threading.Lock()  # the timer's thread and the test's may release at once
        self._released = False

    @property
    def holds(self) -> bool:
        """Whether all of it still is what was made, and the holder of a live one lives."""
        return not self._released and not self._changed() and (self._holder is None or self._holder.alive)

    def release_after(self, seconds: float) -> None:
        """Let go in a while."""
        self._timer = threading.Timer(seconds, self._let_go)
        self._timer.start()

    def release(self) -> None:
        """Let go; when this returns, it is done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        self._let_go()

    def _let_go(self) -> None:
        with self._mutex:
            if self._released:
                return
            self._released = True
            if self._holder is not None:
                self.damage = _accusation(self._holder, self._changed())
                self._holder.release()
            # pid files first: one that outlives its lock speaks ill of the next holder.
            for path, identity in sorted(self._made.items(), key=lambda item: "~pid" not in item[0].name):
                if Identity.of(path) == identity is not None:
                    path.unlink()
            self._take_back()

    def _changed(self) -> list[Path]:
        return [path for path, identity in self._made.items() if Identity.of(path) != identity]


def _accusation(holder: Holder, changed: Iterable[Path]) -> str:
    """What was done to a lock under its holder, as sentences; empty if nothing was."""
    deeds = [f"The live lock {path} was {'replaced' if os.path.lexists(path) else 'removed'}." for path in changed]
    if not deeds:
        return ""
    fate = "was alive all the time" if holder.alive else "was ended from outside"
    return (
        f"{' '.join(deeds)} Its holder, {holder.command!r} (process {holder.pid}), {fate}. "
        "Done in earnest, this corrupts or loses somebody's work; if it is meant, say allow_removal=True."
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GitLock:
    """A lock that stands in git's way, until :meth:`release` or the end of the test."""

    kind: LockKind
    path: Path  # the lock that the kind is named after
    paths: tuple[Path, ...]  # all that stands in the way, `path` first
    live: bool
    organic: bool  # made by a real git; not written by hand
    where: Path  # the work tree in which git was started
    command: str = ""  # of that git
    pid: int | None = None  # of the holder, of a live one
    dead_pid: int | None = None  # of the maker, of a stale one
    grip: Grip = field(repr=False)

    @property
    def held(self) -> bool:
        """Whether all of it still is what was made, and the holder of a live one lives."""
        return self.grip.holds

    def release(self) -> None:
        """Have the holder give up, or take the stale lock away; git has changed nothing. More than once does no harm.

        What somebody else has put in its place stays.
        """
        self.grip.release()
