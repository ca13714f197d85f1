"""Gather everything that can be observed of a lock at one moment. What it proves is decided elsewhere."""

import os
import stat
import time

from ..core.lockcontent import LockContent
from ..core.steadiness import before_boot
from ..model import Clock, Lock, OwnDeath, Sight, Signals, Snapshot
from ..system import clocks
from ..system.pinned import born_at
from . import pidfiles
from .memory import Memory
from .sight import gaps
from .suspects import Scene, set_scene, suspects
from .workers import Surroundings


class OddLockError(Exception):
    """Why something of a lock's name is no lock of git's making; a sentence."""


def open_pinned(lock: Lock) -> int | None:
    """A descriptor of the lock, which keeps its inode from being used again until it is closed; ``None``: it is gone.

    Raises OddLockError if it is no plain file or cannot be opened. A pipe or a device is never opened.
    """
    try:
        found = os.lstat(lock.path)
        if not stat.S_ISREG(found.st_mode):
            raise OddLockError(f"it is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}: git makes plain files")
        descriptor = os.open(lock.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        raise OddLockError("another program asks the kernel about it at this moment") from None
    except OSError as error:
        raise OddLockError(f"it cannot be opened: {error.strerror}") from None
    return descriptor


def observe(
    lock: Lock,
    pinned: int | None,
    *,
    oddity: str = "",
    around: Surroundings,
    memory: Memory,
    tenancy: bool = False,
) -> Signals:
    """Everything that is to be seen of a lock now.

    ``pinned`` is what :func:`open_pinned` gave (``None`` with its ``oddity``, if there is one). ``around`` and
    ``memory`` must be of this gathering: the same for all locks of a repository, and new ones for the next gathering.
    """
    try:
        snapshot = None if pinned is None else _snapshot(lock, pinned)
    except OddLockError as error:
        return Signals(lock=lock, snapshot=None, oddity=str(error), tenancy=tenancy)
    except OSError as error:
        return Signals(lock=lock, snapshot=None, oddity=f"it cannot be read: {error.strerror}", tenancy=tenancy)
    if pinned is None or snapshot is None:
        return Signals(lock=lock, snapshot=None, oddity=oddity, tenancy=tenancy)
    scene = set_scene(lock, pinned, snapshot, around=around, memory=memory)
    age = time.time() - scene.changed_at - scene.steadiness.advanced
    if scene.first_seen is not None:
        age = max(age, clocks.since_boot() - scene.first_seen)  # what we watched ourselves needs no wall clock
    return Signals(
        lock=lock,
        snapshot=snapshot,
        age=age,
        first_seen=scene.first_seen,
        suspects=suspects(scene),
        leased=scene.unshared,
        pid_file=scene.pid_file.path if scene.pid_file else "",
        pid_file_dead=_pid_file_dead(scene, pinned),
        own_death=_own_death(scene, memory),
        # By the clock alone: that an earlier run knew this boot by another name proves nothing. Containers get names of
        # their own, and a sandbox may hide the kernel's.
        before_boot=scene.mount.local and before_boot(scene.changed_at, memory.anchors, offset=memory.offset),
        tenancy=tenancy,
        sight=Sight(processes=len(around.census.processes), gaps=gaps(scene), clock=scene.steadiness.clock),
    )


def _pid_file_dead(scene: Scene, pinned: int) -> bool:
    if scene.pid_file is None or not scene.mount.local:
        return False
    return pidfiles.proves_death(
        scene.pid_file, scene.lock, lock_born_at=born_at(pinned), owner=scene.owner, census=scene.census
    )


def _own_death(scene: Scene, memory: Memory) -> OwnDeath | None:
    """The death of ours in whose time the lock was made, if the times can be compared and the lock is of our user."""
    if scene.steadiness.clock is Clock.SET or scene.owner != os.geteuid():
        return None
    return memory.death_of(scene.lock.path, scene.snapshot)


# ---------------------------------------------------------------- the lock itself


_KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
LARGEST = 1 << 30  # bytes; an index of ten million files fits
_PIECE = 1 << 20
_TOO_LARGE = "it is larger than any lock of git's"


def _snapshot(lock: Lock, pinned: int) -> Snapshot | None:
    """The lock as it is; ``None`` if its name leads elsewhere or nowhere by now."""
    try:
        named = os.lstat(lock.path)
    except FileNotFoundError:
        return None
    found = os.fstat(pinned)
    if not os.path.samestat(found, named) or not stat.S_ISREG(found.st_mode):
        return None
    if found.st_size > LARGEST:
        raise OddLockError(_TOO_LARGE)
    content = _read(pinned)
    return Snapshot(
        device=found.st_dev,
        inode=found.st_ino,
        modified_at=found.st_mtime_ns,
        changed_at=found.st_ctime_ns,
        size=found.st_size,
        digest=content.digest,
        content=content.kind,
    )


def _read(descriptor: int) -> LockContent:
    """Raises OddLockError if there is too much of it."""
    content = LockContent()
    while piece := os.pread(descriptor, _PIECE, content.size):
        content.add(piece)
        if content.size > LARGEST:  # it grew since it was measured
            raise OddLockError(_TOO_LARGE)
    return content
