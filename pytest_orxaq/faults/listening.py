"""A port of 127.0.0.1, a thread for each connection to it, and the way to refuse for a while without losing the port."""

import contextlib
import socket
import sys
import threading

from collections.abc import Callable

from .wires import Wire


HOST = "127.0.0.1"
_BACKLOG = 128
_PATIENCE = 10.0  # seconds for a thread whose connection was cut to notice


class Listener:
    """A port at which connections are served, each in a thread of its own."""

    def __init__(self, serve: Callable[[Wire], None]) -> None:
        """``serve`` is called with each connection, which is closed when it returns or an OSError comes out of it."""
        self._serve = serve
        self._state = threading.Condition()
        self._open, self._closed = True, False
        self._wires: dict[Wire, threading.Thread] = {}
        self._socket = _bound()
        self.port: int = self._socket.getsockname()[1]
        self._socket.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._accept, name="orxaq-fault-server", daemon=True)
        self._thread.start()

    @property
    def listens(self) -> bool:
        """Whether connections are accepted."""
        return self._open

    def refuse(self) -> None:
        """Refuse connections; those that wait to be accepted are reset, and those that are idle closed."""
        with self._state:
            if self._open and not self._closed:
                self._open = False
                # On Linux this ends listening and nothing else: the port stays bound, to this very socket.
                self._socket.shutdown(socket.SHUT_RDWR)
                for wire in self._wires:
                    if wire.idle:
                        wire.cut()

    def reopen(self) -> None:
        """Accept connections again, at the same port."""
        with self._state:
            if not self._open and not self._closed:
                self._socket.listen(_BACKLOG)
                self._open = True
                self._state.notify_all()

    def close(self) -> None:
        """End listening, every connection and every thread."""
        with self._state:
            self._closed = True
            self._state.notify_all()
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if sys.platform != "linux":  # pragma: no cover - elsewhere nothing but a connection wakes who accepts
                with contextlib.suppress(OSError):
                    socket.create_connection((HOST, self.port), 1).close()
            running = dict(self._wires)
        for wire in running:
            wire.cut()
        for thread in (self._thread, *running.values()):
            thread.join(_PATIENCE)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._open or self._closed)
                if self._closed:
                    return
            with contextlib.suppress(OSError):  # it refuses since a moment ago, or who came has gone
                self._begin(self._socket.accept()[0])

    def _begin(self, accepted: socket.socket) -> None:
        wire = Wire(accepted)
        thread = threading.Thread(target=self._run, args=[wire], name="orxaq-fault-server", daemon=True)
        with self._state:
            if self._closed:  # pragma: no cover - it came in the moment of the end
                wire.close()
            else:
                self._wires[wire] = thread
                thread.start()

    def _run(self, wire: Wire) -> None:
        try:
            with contextlib.suppress(OSError):
                self._serve(wire)
        finally:
            wire.close()
            with self._state:
                del self._wires[wire]


def _bound() -> socket.socket:
    """A socket at a port that is free."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        # The number has to be said: of a port that the kernel chose, it lets go when listening ends. With SO_REUSEPORT,
        # connections from before keep nobody from listening again; others who share the port so have to ask for it, and be
        # of the same user.
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind((HOST, port))
        except OSError:  # pragma: no cover - somebody took it in between
            held.close()
        else:
            return held
