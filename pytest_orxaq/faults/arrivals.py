"""Hear of it when a file comes to be, also one that is gone at once."""

import ctypes
import os
import struct

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self


_CREATED, _MOVED_HERE = 0x100, 0x80  # IN_*, of Linux
_HEAD = struct.Struct("iIII")  # of struct inotify_event: watch, what, cookie, length of the name behind it


class Arrival:
    """The coming of a file; its folder may have to come first.

    By inotify(7): ``descriptor`` is readable when it is worth looking. Where there is none it is -1, and who asks often hears.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = -1
        self._watches: dict[int, Path] = {}
        self._happened = False

    def __enter__(self) -> Self:
        if hasattr(self._libc, "inotify_init1"):
            self.descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            self._stack.callback(os.close, self.descriptor)
        self._look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def happened(self) -> bool:
        """Whether it has come, now or since we began."""
        while self._named():
            self._look()
        self._look()
        return self._happened

    def _look(self) -> None:
        """Watch the folder in which the next part of the path will come, then see what is there already.

        What comes between the two steps is seen at the next look, unless it is gone again.
        """
        folder = self._path.parent
        while not folder.is_dir():
            folder = folder.parent
        if self.descriptor != -1 and folder not in self._watches.values():
            number = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), _CREATED | _MOVED_HERE)
            self._watches[number] = folder
        self._happened = self._happened or os.path.lexists(self._path)

    def _named(self) -> bool:
        """Take in what the kernel tells; whether there was anything."""
        if self.descriptor == -1:
            return False
        try:
            told = os.read(self.descriptor, 65536)
        except BlockingIOError:
            return False
        while told:
            watch, _, _, length = _HEAD.unpack_from(told)
            name = told[_HEAD.size : _HEAD.size + length].rstrip(b"\0")
            told = told[_HEAD.size + length :]
            folder = self._watches.get(watch)
            self._happened = self._happened or (folder is not None and folder / os.fsdecode(name) == self._path)
        return True
