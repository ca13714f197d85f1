"""A connection as a server that makes trouble has it: bytes sent in full, drop by drop, not at all; reset, closed."""

import contextlib
import selectors
import socket
import struct
import threading

from collections.abc import Callable


_CHUNK = 65536
_TICK = 0.02  # real seconds between two looks whether there is peace, while nothing comes


class Wire:
    """One accepted connection, used by one thread; :meth:`cut` by others."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.reader = accepted.makefile("rb")
        self.idle = True  # nothing was asked that is not answered yet
        self._beside: list[socket.socket] = []
        self._mutex = threading.Lock()
        self._is_cut = False
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def drip(self, data: bytes, rate: float, peace: threading.Event) -> None:
        """Send at so many bytes a second, 0: at once; so too once there is peace."""
        if not rate:
            return self.send(data)
        size = max(1, int(rate * _TICK))
        for start in range(0, len(data), size):
            if peace.wait(size / rate):
                return self.send(data[start:])
            self.send(data[start : start + size])
        return None

    def hang(self, peace: threading.Event) -> None:
        """Read, and say nothing, until there is peace or the other side gives up."""
        self.socket.settimeout(_TICK)
        while not peace.is_set():
            with contextlib.suppress(TimeoutError):
                if not self.socket.recv(_CHUNK):
                    return

    def drain(self) -> bytes:
        """What the other side says until it has said all."""
        said = bytearray()
        while data := self.socket.recv(_CHUNK):
            said += data
        return bytes(said)

    def reset(self) -> None:
        """End it with RST: what nobody reads is thrown away, and the other side gets ECONNRESET."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End it."""
        with self._mutex:
            self._is_cut = True
            self.reader.close()  # the socket stays open as long as this is
            for one in (self.socket, *self._beside):
                one.close()

    def cut(self) -> None:
        """Have everything that waits for it, in whatever thread, end."""
        with self._mutex:
            if not self._is_cut:
                for one in (self.socket, *self._beside):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
            self._is_cut = True

    def beside(self, other: socket.socket) -> None:
        """End another connection with this one."""
        with self._mutex:
            self._beside.append(other)
            if self._is_cut:  # pragma: no cover - it was made in the moment of the end
                other.close()

    def relay(
        self, upstream: socket.socket, *, most: int | None = None, rate: float = 0.0, peace: threading.Event
    ) -> None:
        """Pass on what either side says until both have said all, or ``most`` bytes of upstream's were passed on.

        Upstream's go at so many bytes a second; with a rate of 0, as they come.
        """
        others = {self.socket: upstream, upstream: self.socket}
        with selectors.DefaultSelector() as selector:
            for one, other in others.items():
                selector.register(one, selectors.EVENT_READ, other)
            while selector.get_map() and most != 0:
                for key, _ in selector.select():
                    most = self._pass_on(key, selector, most, lambda data: self.drip(data, rate, peace))

    def _pass_on(
        self,
        key: selectors.SelectorKey,
        selector: selectors.BaseSelector,
        most: int | None,
        drip: Callable[[bytes], None],
    ) -> int | None:
        """Pass on what one side has said; how much of upstream's is still to be passed on."""
        source: socket.socket = key.fileobj  # type: ignore[assignment]
        ours = source is self.socket
        data = source.recv(_CHUNK if ours or most is None else min(most, _CHUNK))
        if not data:
            selector.unregister(source)
            with contextlib.suppress(OSError):
                key.data.shutdown(socket.SHUT_WR)
        elif ours:
            key.data.sendall(data)
        else:
            drip(data)
            return most and most - len(data)
        return most
