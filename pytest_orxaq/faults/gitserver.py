"""A loopback HTTP server for git's smart protocol: what each request is answered with is decided elsewhere."""

import contextlib
import socket
import sys
import threading

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BufferedIOBase
from socketserver import ThreadingMixIn
from typing import Any

from ..errors import MachineError
from ..system.process import ask
from .isolation import Git


_PATIENCE = 600.0  # seconds for git to serve one request
_LIMIT = 2**31  # bytes of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client has asked, in whole."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # by names in small letters
    body: bytes
    again: bool = False  # not the first on its connection: the same client, told to say who it is

    @property
    def service(self) -> str:
        """What git wants of the other side: ``git-upload-pack`` to fetch or look, ``git-receive-pack`` to push."""
        return self.query.removeprefix("service=") or self.path.rpartition("/")[2]

    @property
    def opens(self) -> bool:
        """Whether this is the first request of a git command: each asks first which refs there are."""
        return self.path.endswith("/info/refs") and not self.again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a client is told."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: int | None = None  # bytes of the body after which the connection breaks; None: all are sent
    open: bool = False  # whether the connection stays open


class GitServer:
    """Serves until it is closed, each connection in a thread."""

    def __init__(self, answer: Callable[[Request], Reply | None]) -> None:
        """``answer`` is called in the connection's thread; None of it closes the connection without a word."""
        self._server = _Server(answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="orxaq-git-server")
        self._thread.start()

    @property
    def root(self) -> str:
        """The URL under which everything stands."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Break off all connections; when this returns, no thread of it is left."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = False  # so that closing waits for them

    def __init__(self, answer: Callable[[Request], Reply | None]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._mutex = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        """As a plain server: an HTTP server of the standard library asks for the host's name here, which may take long."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, for :meth:`hang_up`."""
        with self._mutex:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection, which is over."""
        with self._mutex:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Break whatever is open: a client that says nothing more would be waited for."""
        with self._mutex:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was first
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are killed and hang up: that is what they are here for."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # to 1.0 a client would not send a pack of unknown length
    server: _Server

    def setup(self) -> None:
        """Nothing has been asked on this connection."""
        super().setup()
        self._asked = False

    def do_GET(self) -> None:
        """Answer, and close unless told otherwise: on a connection that it had before, a client would try again unasked."""
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = _body(self.rfile, headers)
        asked = {"method": self.command, "path": path, "query": query}
        reply = self.server.answer(Request(**asked, headers=headers, body=body, again=self._asked))
        self._asked = True
        self.close_connection = reply is None or not reply.open
        if reply is None:
            return
        connection = "keep-alive" if reply.open else "close"
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body)), "Connection": connection}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: reply.sent])

    def do_POST(self) -> None:
        """The same."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing: it would go to the test's standard error."""


def _body(stream: BufferedIOBase, headers: Mapping[str, str]) -> bytes:
    """A request's body, whichever way it comes."""
    if headers.get("transfer-encoding") != "chunked":
        return stream.read(int(headers.get("content-length", 0)))
    pieces = []
    while size := int(stream.readline(), 16):
        pieces.append(stream.read(size))
        stream.readline()
    stream.readline()
    return b"".join(pieces)


def serve(request: Request, bare: Git, environment: Mapping[str, str]) -> Reply:
    """What a real git answers, as the server of a bare repository; ``environment`` is for its hooks."""
    described = {
        "CONTENT_LENGTH": str(len(request.body)),
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROJECT_ROOT": str(bare.path.parent),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": request.method,
    }
    command = ("git", "http-backend")
    said = ask(
        command,
        directory=bare.path,
        environment=bare.env | described | dict(environment),
        input=request.body,
        timeout=_PATIENCE,
        limit=_LIMIT,
    )
    head, found, body = said.out.partition(b"\r\n\r\n")
    if not found:
        raise MachineError(f"git http-backend gave no answer: {said.err.decode(errors='replace')}")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return Reply(status=int(headers.pop("Status", "200").split()[0]), headers=headers, body=body)
