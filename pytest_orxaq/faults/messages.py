"""HTTP as a server speaks it: requests read, answers written, and answers fetched from another server."""

import contextlib
import http
import http.client
import io
import socket

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


_LINE = 65536
_MOST = 2**30  # bytes of a body that are kept
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "te", "upgrade"}


class MalformedError(Exception):
    """What came is no request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that a server got."""

    method: str
    path: str  # as it was said; to a proxy it is a whole address
    headers: http.client.HTTPMessage  # by name, in any case
    body: bytes
    at: float = field(compare=False)  # seconds since the test came to its faults
    version: str = "HTTP/1.1"

    @property
    def place(self) -> str:
        """The path without address and query."""
        return (
            urlsplit(self.path).path if self.path.startswith(("http://", "https://")) else self.path.partition("?")[0]
        )

    @property
    def keeps(self) -> bool:
        """Whether the connection is to be kept for another one."""
        said = (self.headers.get("Connection") or "").lower()
        return "close" not in said if self.version == "HTTP/1.1" else "keep-alive" in said


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server says to a request."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def head(self, *, length: int | None, keeps: bool) -> bytes:
        """Everything before the body; ``length`` is what is said of that, None: nothing."""
        try:
            reason = http.HTTPStatus(self.status).phrase
        except ValueError:
            reason = ""
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in self.headers)]
        if length is not None and "content-length" not in {name.lower() for name, _ in self.headers}:
            lines.append(f"Content-Length: {length}")
        lines.append(f"Connection: {'keep-alive' if keeps else 'close'}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def read_request(source: io.BufferedReader, go_on: Callable[[], None], now: Callable[[], float]) -> Request | None:
    """The next request; None if there is none. ``go_on`` is called if the client waits for leave to send the body.

    Raises MalformedError, and OSError where the connection breaks.
    """
    line = source.readline(_LINE)
    if not line:
        return None
    method, path, version = _first(line)
    try:
        headers = http.client.parse_headers(source)
    except http.client.HTTPException as error:
        raise MalformedError(str(error)) from None
    if headers.get("Expect", "").lower() == "100-continue":
        go_on()
    return Request(method=method, path=path, headers=headers, body=_body(source, headers), at=now(), version=version)


def _first(line: bytes) -> tuple[str, str, str]:
    words = line.decode("latin-1").split()
    if len(words) != 3 or words[2] not in {"HTTP/1.0", "HTTP/1.1"}:
        raise MalformedError(f"{line[:40]!r} is no request")
    return words[0], words[1], words[2]


def _body(source: io.BufferedReader, headers: http.client.HTTPMessage) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return b"".join(iter(lambda: _chunk(source), b""))
    length = headers.get("Content-Length", "0")
    if not (length.isascii() and length.isdigit()):
        raise MalformedError(f"a body of {length!r} bytes")
    return _exactly(source, int(length))


def _chunk(source: io.BufferedReader) -> bytes:
    """The next part of a body; empty at its end."""
    try:
        size = int(source.readline(_LINE).partition(b";")[0], 16)
    except ValueError:
        raise MalformedError("a part of a body without its size") from None
    data = _exactly(source, size) if size else b""
    while source.readline(_LINE).strip() and not size:
        pass  # fields after the last part
    return data


def _exactly(source: io.BufferedReader, size: int) -> bytes:
    if not 0 <= size <= _MOST:
        raise MalformedError(f"a body, or a part of one, of {size:,} bytes")
    data = source.read(size)
    if len(data) < size:
        raise ConnectionError("the client went in the middle of a body")
    return data


def fetch(upstream: str, request: Request, adopt: Callable[[socket.socket], None]) -> Answer:
    """What the server at an address says to a request; 502 if it says nothing. ``adopt`` is given the connection to it."""
    host = urlsplit(upstream)
    connection = http.client.HTTPConnection(host.hostname or "", host.port or 80)
    with contextlib.closing(connection):
        try:
            connection.connect()
            adopt(connection.sock)
            query = urlsplit(request.path).query
            path = (host.path.rstrip("/") + request.place) + (f"?{query}" if query else "")
            kept = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(request.method, path, request.body or None, kept)
            found = connection.getresponse()
            body = found.read()
        except (OSError, http.client.HTTPException) as error:
            return Answer(status=502, body=f"upstream: {error}".encode())
    headers = [(name, value) for name, value in found.getheaders() if name.lower() not in _HOP_BY_HOP]
    return Answer(status=found.status, headers=headers, body=body)
