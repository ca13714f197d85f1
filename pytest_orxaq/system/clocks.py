"""The wall clock against the clock that nobody can set, now and at boot."""

import os
import time

from collections.abc import Iterator
from pathlib import Path


DEVICES = Path("/dev")
NAMESPACE = Path("/proc/self/ns/time")


_LASTING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # also counts while the machine sleeps, where it can


def since_boot() -> float:
    """Seconds since this machine was started."""
    return time.clock_gettime(_LASTING)


def is_shared() -> bool:
    """Whether the time since boot is told to us as to everybody: not in a time namespace of our own, which may shift it.

    The number of another namespace would say little: it is given anew once that is gone.
    """
    try:
        return NAMESPACE.stat().st_ino == _INITIAL_NAMESPACE
    except OSError:
        return True  # a kernel without such namespaces


_INITIAL_NAMESPACE = 0xEFFFFFFA  # the number that the kernel gives to its first time namespace, always


def offset_now() -> float:
    """Unix time at which this machine was started, by the clock as it is now: another value means that it was set."""
    return min(_readings())[1]


def _readings() -> Iterator[tuple[float, float]]:
    """How long reading both clocks took, which is by how much it may be wrong, and the difference."""
    for _ in range(5):
        before, now, after = since_boot(), time.time(), since_boot()
        yield after - before, now - before


def offset_at_boot() -> float | None:
    """The same by the clock as it was then, a few seconds late; ``None`` where nothing remembers it.

    The kernel makes its device files in the first second, before there is anybody who could set the clock, and
    their change times stay, those of some of them at least. A machine that was put to sleep as an image and woken
    days later shows itself here, and so does a board without a battery that started in 1970.
    """
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
        kinds = [words[2] for words in map(str.split, mounts) if words[1] == str(DEVICES)]
        if kinds[-1:] != ["devtmpfs"]:
            return None
        return min(entry.stat(follow_symlinks=False).st_ctime for entry in os.scandir(DEVICES))
    except (OSError, ValueError):
        return None
