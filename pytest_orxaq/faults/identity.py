"""Tell whether a file is still the same file, without holding it open: that would look like a holder of it.

An inode's number does not tell, it is given to the next file at once. Its time of birth does, and nobody can set it.
"""

import ctypes
import os
import sys

from dataclasses import dataclass
from pathlib import Path
from typing import Self


_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME = -100, 0x100, 0x800
_BORN_AT = 80  # where in struct statx the time of birth stands


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes a file this one."""

    device: int
    inode: int
    born_at: int  # nanoseconds; where the file system does not tell, the last change of the content instead

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """The file's identity, of a link that of the link itself; None if there is no such file."""
        try:
            found = path.lstat()
        except OSError:
            return None
        born_at = _born_at(path) or getattr(found, "st_birthtime_ns", 0) or found.st_mtime_ns
        return cls(device=found.st_dev, inode=found.st_ino, born_at=born_at)


def _born_at(path: Path) -> int:
    """By statx(2), which Python 3.11 does not have; 0 where there is none, or no answer."""
    buffer = ctypes.create_string_buffer(256)
    statx = getattr(ctypes.CDLL(None), "statx", lambda *_: -1)
    failed = statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer)
    if failed or not int.from_bytes(buffer.raw[:4], sys.byteorder) & _STATX_BTIME:
        return 0
    seconds = int.from_bytes(buffer.raw[_BORN_AT : _BORN_AT + 8], sys.byteorder, signed=True)
    return seconds * 10**9 + int.from_bytes(buffer.raw[_BORN_AT + 8 : _BORN_AT + 12], sys.byteorder)
