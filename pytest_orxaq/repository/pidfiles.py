"""The files in which git (from 2.54 on, where core.lockfilePid is set) notes who holds a lock: ``index~pid.lock``.

A number in such a file is a hint. It may be that of a container's process, of another git whose file stayed when
only its lock was taken away, or of a parent that left its lock to a child.
"""

import os
import re
import stat

from dataclasses import dataclass

from ..model import Lock, LockKind
from ..system.census import Census, Seen
from ..system.pinned import born_at


TOGETHER = 2.0  # seconds within which git makes a lock and then the file beside it, however busy the machine is

# Their holder may be a child that git left behind, while the file still names the parent.
_INHERITED = frozenset({LockKind.MAINTENANCE, LockKind.SCHEDULE, LockKind.GC})

_CONTENT = re.compile(rb"pid ([1-9][0-9]{0,9})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """What git noted of the holder of a lock."""

    path: str
    pid: int = 0  # 0: it says nothing that makes sense
    owner: int = -1  # the user to whom the file belongs
    born_at: int | None = None  # nanoseconds of Unix time


def path_beside(lock: Lock) -> str:
    """Where git notes the holder of a lock."""
    return f"{lock.path.removesuffix('.lock')}~pid.lock"


def read(lock: Lock) -> PidFile | None:
    """What stands beside a lock; ``None`` if nothing does."""
    path = path_beside(lock)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return PidFile(path=path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return PidFile(path=path)
    try:
        found = _CONTENT.fullmatch(os.read(descriptor, 64))
        owner = os.fstat(descriptor).st_uid
        return PidFile(path=path, pid=int(found[1]) if found else 0, owner=owner, born_at=born_at(descriptor))
    finally:
        os.close(descriptor)


def named_by(file: PidFile, census: Census) -> tuple[Seen, ...]:
    """The living that the number may mean, in whichever PID namespace it was given, whatever they are called.

    A git may have another name. One who has got the number since then makes a dead lock look alive, which is harmless.
    """
    return tuple(seen for seen in census.processes.values() if file.pid in seen.pids)


def proves_death(file: PidFile, lock: Lock, *, lock_born_at: int | None, owner: int, census: Census) -> bool:
    """Whether git noted a process for this very lock, and it is gone.

    So it must have been made with the lock, right after it: one that is older was left by another git, and kept
    the holder of this lock from writing its own. And no number of it may be alive in any container,
    which only he can tell who sees them all.
    """
    if lock.kind in _INHERITED or not census.alone or census.gaps:
        return False
    if not file.pid or file.owner != owner or file.born_at is None or lock_born_at is None:
        return False
    together = 0 <= file.born_at - lock_born_at <= TOGETHER * 1e9
    return together and not named_by(file, census)
