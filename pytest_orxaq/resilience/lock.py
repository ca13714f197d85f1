"""A lock that hangs nobody: neither a forked child, whose parent's other threads are gone, nor a signal handler."""

import os
import threading

from contextlib import suppress
from types import TracebackType
from weakref import WeakSet


class Lock:
    """To be held for a moment, with ``with``. A signal handler that interrupts its own thread is let in."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Nobody has it but the thread that forked, for there is no other."""
        if not self._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition asks it
            self._lock = threading.RLock()


_locks: WeakSet[Lock] = WeakSet()


def _after_fork_in_child() -> None:
    for lock in _locks:
        lock.after_fork_in_child()


with suppress(AttributeError):  # Windows knows no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
