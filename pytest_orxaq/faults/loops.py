"""Event loops of asyncio on a clock that skips: where nothing but a timer can happen, its moment has come at once.

A loop that waits for anything real waits in real time: sockets and pipes, other than those at which it listens, work that
was given to an executor, child processes. A jump there would make a timeout fire on an answer that is on its way; it is the
trap of clocks that jump whenever all tasks are blocked.
"""

import asyncio
import asyncio.base_events
import contextlib
import socket
import threading
import weakref

from collections.abc import Iterator
from typing import Any

import pytest

from .clock import SkipClock


# The names of threads that wait for a child process on behalf of a loop, of Python 3.11.
_WAITERS = ("asyncio-waitpid-", "waitpid-")
_Loop = asyncio.base_events.BaseEventLoop


@contextlib.contextmanager
def skipping(clock: SkipClock) -> Iterator[None]:
    """While this lasts, loops jump, running ones and those to come."""
    run_once, call_later, run_in_executor = _Loop._run_once, _Loop.call_later, _Loop.run_in_executor  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    asked: weakref.WeakKeyDictionary[Any, dict[float, float]] = weakref.WeakKeyDictionary()
    given: weakref.WeakSet[asyncio.Future[Any]] = weakref.WeakSet()

    def later(loop: Any, delay: float, *rest: Any, **options: Any) -> asyncio.TimerHandle:
        timer: asyncio.TimerHandle = call_later(loop, delay, *rest, **options)
        asked.setdefault(loop, {})[timer.when()] = delay
        return timer

    def in_executor(loop: Any, *rest: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = run_in_executor(loop, *rest)
        given.add(future)
        return future

    def once(loop: Any) -> None:
        _jump(clock, loop, asked.setdefault(loop, {}), given)
        run_once(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Loop, "_run_once", once)
        patch.setattr(_Loop, "call_later", later)
        patch.setattr(_Loop, "run_in_executor", in_executor)
        yield


def _jump(clock: SkipClock, loop: Any, asked: dict[float, float], given: Any) -> None:
    """Skip to the next timer, if nothing else can come."""
    if loop._ready or loop._stopping:  # noqa: SLF001 - as in what follows: a loop has no other way to be asked
        return
    when = min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=None)  # noqa: SLF001
    ahead = 0 if when is None else when - loop.time()
    if when is None or ahead <= 0 or _expects(loop, given):
        return
    delay = asked.pop(when, ahead)
    for past in [moment for moment in asked if moment < when]:
        del asked[past]
    clock.skip(ahead, delay)


def _expects(loop: Any, given: Any) -> bool:
    """Whether something real may come: it has come already, or somebody works on it."""
    if loop._selector.select(0) or loop._executor_shutdown_called:  # noqa: SLF001
        return True
    if any(future.get_loop() is loop and not future.done() for future in list(given)):
        return True
    ours = loop._ssock.fileno()  # noqa: SLF001 - by which other threads wake it
    if any(key.fd != ours and not _listens(key.fd) for key in loop._selector.get_map().values()):  # noqa: SLF001
        return True
    return any(thread.name.startswith(_WAITERS) or _works(thread) for thread in threading.enumerate())


def _listens(descriptor: int) -> bool:
    """Whether it is a socket at which connections are waited for: that can be for ever."""
    try:
        one = socket.socket(fileno=descriptor)
    except OSError:  # a pipe
        return False
    try:
        return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        one.detach()


def _works(thread: threading.Thread) -> bool:
    """Whether it is one of anyio's that has something to do: those are in no executor."""
    return type(thread).__module__.startswith("anyio.") and bool(getattr(thread, "queue").unfinished_tasks)  # noqa: B009 - of a class that we may not have
