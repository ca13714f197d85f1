"""Stop a process between two system calls, at the first one after which something is so.

Some of git's locks stand for a few system calls only, and no hook runs meanwhile. Here the kernel's tracer lets git
take one call at a time and looks in between; at the right moment git is left behind, stopped and not traced. That is
what a machine that swaps, or a debugger, does to it; there is no luck in it.
"""

import ctypes
import os
import signal
import sys
import time

from collections.abc import Callable


_SEIZE, _INTERRUPT, _SYSCALL, _DETACH = 0x4206, 0x4207, 24, 17  # PTRACE_*, of Linux
_TRACESYSGOOD = 1  # stops at system calls can be told from those of a real SIGTRAP
_AT_SYSCALL = signal.SIGTRAP | 0x80


class Untraceable(Exception):  # noqa: N818 - a fact about the machine
    """This system lets nobody trace its own children; the reason is the message."""


def stop_when(pid: int, reached: Callable[[], bool], *, go: Callable[[], object], until: float) -> bool:
    """Stop a child of ours when ``reached`` is so; whether it came to that before it ended, or ``until``.

    ``go`` is called once the child is watched: it should wait for that. Raises Untraceable.
    """
    _trace(_SEIZE, pid, _TRACESYSGOOD)
    _trace(_INTERRUPT, pid)
    if _next_stop(pid, until) is None:
        return False
    go()
    passed_on = 0
    while True:
        _trace(_SYSCALL, pid, passed_on)
        status = _next_stop(pid, until)
        if status is None:
            return False
        if reached():
            _trace(_DETACH, pid, signal.SIGSTOP)
            return _next_stop(pid, until) is not None
        # A signal of its own goes on to it; stops of the tracer's making do not.
        passed_on = 0 if status == _AT_SYSCALL or status >> 8 else status


def _next_stop(pid: int, until: float) -> int | None:
    """Why it has stopped; None if it has ended (it stays unreaped), or the time is over."""
    while time.monotonic() < until:
        seen = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if seen is None:
            os.sched_yield()
        elif seen.si_code in {os.CLD_TRAPPED, os.CLD_STOPPED}:
            return seen.si_status
        else:
            return None
    return None


def _trace(request: int, pid: int, data: int = 0) -> None:
    if not sys.platform.startswith("linux"):
        raise Untraceable(f"a process cannot be stopped between two system calls on {sys.platform}")
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    call.restype = ctypes.c_long
    if call(request, pid, None, data) == -1 and request == _SEIZE:
        raise Untraceable(f"a child process cannot be traced here: {os.strerror(ctypes.get_errno())}")
