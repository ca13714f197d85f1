"""A loopback HTTP server for git's smart protocol: what each request is answered with is decided elsewhere."""

import time

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import MachineError
from ..system.process import ask
from . import messages
from .acting import next_request
from .isolation import Git
from .listening import HOST, Listener
from .wires import Wire


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
        self._answer = answer
        self._listener = Listener(self._serve)

    @property
    def root(self) -> str:
        """The URL under which everything stands."""
        return f"http://{HOST}:{self._listener.port}"

    def close(self) -> None:
        """Break off all connections; when this returns, no thread of it is left."""
        self._listener.close()

    def _serve(self, wire: Wire) -> None:
        """Answer, and close unless told otherwise: on a connection that it had before, a client would try again unasked."""
        again = False
        while (asked := next_request(wire, time.monotonic)) is not None:
            reply = self._answer(_request(asked, again=again))
            again = True
            if reply is None:
                return
            told = messages.Answer(status=reply.status, headers=tuple(reply.headers.items()))
            wire.send(told.head(length=len(reply.body), keeps=reply.open) + reply.body[: reply.sent])
            if not reply.open:
                return


def _request(asked: messages.Request, *, again: bool) -> Request:
    path, _, query = asked.path.partition("?")
    headers = {name.lower(): value for name, value in asked.headers.items()}
    return Request(method=asked.method, path=path, query=query, headers=headers, body=asked.body, again=again)


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
