"""A port at which every connection is refused, and that nobody else can come to listen at."""

import contextlib
import errno
import socket

from ..errors import MachineError


_TRIES = 50
_LOOPBACK = "127.0.0.1"


def hold_refusing(stack: contextlib.ExitStack) -> int:
    """A port of 127.0.0.1 that is bound and at which nobody listens, until the stack is undone.

    Where there is IPv6, the same port of ::1 is held too: who connects to ``localhost`` may try that first.
    """
    for _ in range(_TRIES):
        with contextlib.ExitStack() as held:
            port = bound(held)
            if _hold_sixth(held, port):
                stack.push(held.pop_all())
                return port
    raise MachineError("No port is free in 127.0.0.1 and ::1 alike.")  # pragma: no cover - fifty times in a row


def bound(stack: contextlib.ExitStack, port: int = 0) -> int:
    """The number of a port of 127.0.0.1 that is bound until the stack is undone."""
    held = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    # Without SO_REUSEADDR: with it, somebody else who has it too could bind the port and listen.
    held.bind((_LOOPBACK, port))
    number: int = held.getsockname()[1]
    return number


def _hold_sixth(stack: contextlib.ExitStack, port: int) -> bool:
    """Bind the port of ::1; whether it was free. It is as good as held where there is no IPv6."""
    try:
        held = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
        held.bind(("::1", port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True
