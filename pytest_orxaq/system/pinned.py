"""What the kernel tells of an open file: whether others have it open, when it was made."""

import errno
import fcntl
import os
import signal
import struct

from ctypes import CDLL, create_string_buffer


def is_unshared(descriptor: int) -> bool | None:
    """Whether nobody else has the file open, in whatever PID namespace of this kernel; ``None``: it does not tell.

    Asks for a lease and gives it back. The kernel grants one for writing only if the file is open nowhere but
    here, whatever for. ``descriptor`` may be open for reading only; the file must belong to us, or we be root.
    Whoever opens the file while we have the lease waits for the microseconds until it is given back. He who only
    waits for a hook without having the lock open is *not* noticed.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        _take_lease(descriptor)
    except OSError as error:
        return False if error.errno == errno.EAGAIN else None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


def _take_lease(descriptor: int) -> None:
    # The kernel says by signal that somebody waits for the lease. The usual one, SIGIO, would kill us; and it is the
    # usual one again after each lease.
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)


def born_at(descriptor: int) -> int | None:
    """Nanoseconds of Unix time at which the file was made; ``None`` where that is not kept."""
    kept: float | None = getattr(os.fstat(descriptor), "st_birthtime", None)  # not on Linux
    if kept is not None:
        return round(kept * 1e9)
    statx = getattr(CDLL(None), "statx", None)
    if statx is None:
        return None
    answer = create_string_buffer(256)
    if statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, answer) != 0:
        return None
    mask: int = struct.unpack_from("=I", answer, 0)[0]
    seconds: int = struct.unpack_from("=q", answer, 80)[0]
    nanoseconds: int = struct.unpack_from("=I", answer, 88)[0]
    return seconds * 10**9 + nanoseconds if mask & _STATX_BTIME else None


_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
