"""Names of files: let two change places in one step, or give one that is free, and never take one from somebody."""

import errno
import os
import sys

from pathlib import Path


class Unsupported(OSError):  # noqa: N818 - the word of the field
    """The kernel or the file system has no such step."""


def exchange(one: Path, other: Path) -> None:
    """Let two names, of files or folders, change places atomically.

    Raises Unsupported, with nothing done, where that is not to be had; OSError for everything else.
    """
    number = _exchange(os.fsencode(one), os.fsencode(other))
    if number in _NOT_TO_BE_HAD:
        raise Unsupported(number, os.strerror(number), str(one), None, str(other))
    if number:
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def give_name(source: Path, name: Path) -> bool:
    """Give a file a name that is free; False, with nothing done, if it is taken.

    The file keeps the name that it had, except where the file system knows one name a file only.
    """
    try:
        os.link(source, name)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(name):
            return False
        os.rename(source, name)
    return True


_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

# An overlay of file systems refuses some folders with EXDEV; what lies beside each other is on one device.
_NOT_TO_BE_HAD = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}

_AT_FDCWD = -100
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def _exchange(one: bytes, other: bytes) -> int:
    """Ask the kernel; an error number, or 0."""
    mac = sys.platform == "darwin"
    words = (one, other, _SWAP) if mac else (_AT_FDCWD, one, _AT_FDCWD, other, _SWAP)
    try:
        import ctypes  # noqa: PLC0415 - costs a start-up's time, and hardly ever is there a lock to release

        done = ctypes.CDLL(None, use_errno=True)["renamex_np" if mac else "renameat2"](*words)
    except (ImportError, OSError, AttributeError):  # a static Python, a C library that is older than the call
        return errno.ENOSYS
    return ctypes.get_errno() if done else 0
