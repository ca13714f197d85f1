"""A server on the loopback interface that answers as its script has it, and makes real trouble of every kind that TCP knows."""

import socket
import sys
import threading

from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from ..errors import UsageError
from . import choices, messages
from .acting import LOOP, Exchange, act, act_on_stream, next_request
from .listening import HOST, Listener
from .messages import Answer, Request
from .scripts import Script
from .steps import (
    MOST,
    Drip,
    Garbage,
    Hang,
    Ok,
    Redirect,
    Refuse,
    Reset,
    Slow,
    Status,
    Step,
    Truncate,
    check_steps,
    read,
)
from .troubles import Faults, _now
from .wires import Wire


_STREAM = (Ok, Reset, Truncate, Slow, Drip, Hang, Garbage)
_HTTP = (*_STREAM, Status, Redirect)
_LOOPED = Redirect(loop=True)


class Server:
    """A port with a script."""

    host = HOST
    _steps: tuple[type[Step], ...] = (*_STREAM, Refuse)
    _where = ""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._mutex = threading.Lock()
        self._scripts: list[Script] = []
        self._current = self._script([], Ok(), self._where, required=False)
        self._timer: threading.Timer | None = None
        self._listener = Listener(self._serve)
        faults.stack.callback(self._close)
        faults.on_heal(self._heal)

    @property
    def port(self) -> int:
        """The number of its port."""
        return self._listener.port

    def script(self, *steps: Step | str, then: Step | None = None, required: bool = True) -> None:
        """What happens at the next requests, one step for each, and ``then`` (all is well) at all that follow.

        It replaces the script before. One string is a plan in words: ``2*status(503)->reset->ok``. If ``required``, a test
        that passes without every step having been taken fails. Raises UsageError.
        """
        made = self._read(steps, then, self._steps, self._where, required=required)
        refusal = made.refusal()
        self._current = made
        if refusal is None:
            self._open()
        self._refuse(refusal)

    def reopen(self) -> None:
        """Listen again, if the port is refusing; the script goes on."""
        following = self._current.refusal(by_hand=True)
        if following is None:
            self._open()
        self._refuse(following)

    def _open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._listener.reopen()

    def _read(
        self,
        steps: tuple[Step | str, ...],
        then: Step | None,
        allowed: tuple[type[Step], ...],
        where: str,
        *,
        required: bool,
    ) -> Script:
        if len(steps) == 1 and isinstance(steps[0], str):
            if then is not None:
                raise UsageError(f"The plan {steps[0]!r} says all of it.", advice="Leave then= out.")
            listed, then = read(steps[0])
        else:
            listed, then = cast("list[Step]", [*steps]), then or Ok()  # what they really are is checked below
        if len(listed) > MOST:
            raise UsageError(f"The script has {len(listed):,} steps.", advice=f"A script has at most {MOST:,}.")
        check_steps([*listed, then], allowed, f"of {where or 'the server'}")
        if any(isinstance(step, Refuse) for step in (*listed, then)) and sys.platform != "linux":
            self._faults.lacks("A port can refuse for a while and be kept on Linux only.")  # pragma: no cover
        return self._script(listed, then, where, required=required)

    def _script(self, steps: list[Step], then: Step, where: str, *, required: bool) -> Script:
        made = Script(self._faults, steps, then, where=f"{where}: " if where else "", required=required)
        self._scripts.append(made)
        return made

    def _refuse(self, refusal: Refuse | None) -> None:
        """Have the port refuse, if that is what comes next."""
        if refusal is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._listener.refuse()
        if refusal.seconds is not None:
            self._timer = threading.Timer(refusal.seconds, self._end_of_refusal)
            self._timer.daemon = True
            self._timer.start()

    def _end_of_refusal(self) -> None:
        following = self._current.refusal()
        if following is None:
            self._listener.reopen()
        self._refuse(following)

    def _serve(self, wire: Wire) -> None:
        raise AssertionError(wire)  # each kind of server has its own

    def _heal(self) -> None:
        for script in self._scripts:
            script.peace.set()
        self._open()

    def _close(self) -> None:
        self._heal()
        self._listener.close()
        if self._timer is not None:
            self._timer.join()


class Route:
    """One path of a server, with a script of its own."""

    def __init__(self, replace: Callable[..., None]) -> None:
        self._replace = replace

    def script(self, *steps: Step | str, then: Step | None = None, required: bool = True) -> None:
        """As that of the server, for requests of this path; Refuse is of the port as a whole."""
        self._replace(steps, then, required)


class FaultServer(Server):
    """An HTTP server: ``url``, ``host``, ``port``, ``script()``, ``route()``, ``requests``, ``proxy()``, ``reopen()``, ``tcp()``."""

    _steps = (*_HTTP, Refuse)

    def __init__(self, faults: Faults) -> None:
        self._requests: list[Request] = []
        self._routes: dict[str, Script] = {}
        self._upstream: str | None = None
        super().__init__(faults)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they were read: ``method``, ``path``, ``headers``, ``body``, ``at``."""
        with self._mutex:
            return list(self._requests)

    def route(self, path: str) -> Route:
        """A path, without query, that has a script of its own; the server's is not asked there."""
        choices.text(path, "path")
        if not path.startswith("/"):
            raise UsageError(f"The path {path!r} does not begin with a slash.")
        if "?" in path or "#" in path:
            raise UsageError(
                f"The path {path!r} has more than a path.", advice="Requests are known by what is before ?."
            )

        def replace(steps: tuple[Step | str, ...], then: Step | None, required: bool) -> None:
            self._routes[path] = self._read(steps, then, _HTTP, path, required=required)

        return Route(replace)

    def proxy(self, upstream: str) -> None:
        """If all goes well, answer what the server at ``http://host:port`` answers; CONNECT goes there too, whomever it names.

        Raises UsageError for another sort of address.
        """
        choices.text(upstream, "upstream")
        if not _leads_on(upstream):
            raise UsageError(f"{upstream!r} cannot be passed on to.", advice="For instance http://127.0.0.1:8000.")
        if urlsplit(upstream).netloc in {f"{self.host}:{self.port}", f"localhost:{self.port}"}:
            raise UsageError(f"{upstream!r} is this server itself.", advice="Say where another one listens.")
        self._upstream = upstream

    def tcp(
        self,
        *steps: Step | str,
        then: Step | None = None,
        upstream: tuple[str, int] | None = None,
        required: bool = True,
    ) -> "TcpServer":
        """Another server that knows no HTTP: a step is for a connection, which goes on to ``upstream``, if all goes well."""
        if upstream is not None and not _is_address(upstream):
            raise UsageError(f"upstream={upstream!r} is no address.", advice='For instance ("127.0.0.1", 5432).')
        server = TcpServer(self._faults, upstream)
        server.script(*steps, then=then, required=required)
        return server

    def _serve(self, wire: Wire) -> None:
        keeps = True
        while keeps and self._listener.listens:
            request = next_request(wire, lambda: self._faults.since(_now()))
            if request is None:
                return
            wire.idle = False
            keeps = self._answer(wire, request)
            wire.idle = True

    def _answer(self, wire: Wire, request: Request) -> bool:
        """Take the next step and do it; whether the connection is kept."""
        with self._mutex:
            self._requests.append(request)
            script = self._routes.get(request.place, self._current)
            turn = None if request.place == LOOP else script.take()
        if turn is not None:
            # Before the answer: a client that comes again because of it must not be let in.
            self._refuse(turn.refusal)
        step = (Ok() if script.peace.is_set() else _LOOPED) if turn is None else turn.step
        keeps = request.keeps and self._listener.listens
        if request.method == "CONNECT" and not isinstance(step, Status | Redirect | Garbage) and self._upstream:
            act_on_stream(step, wire, lambda: self._tunnel(wire), script.peace)
            return False
        exchange = Exchange(
            wire=wire, request=request, well=lambda: self._well(script, wire, request), keeps=keeps, peace=script.peace
        )
        return act(step, exchange)

    def _well(self, script: Script, wire: Wire, request: Request) -> Answer:
        """What is answered if all goes well."""
        well = script.well
        if request.method == "CONNECT":
            return Answer(status=405)
        if well.body or well.headers or self._upstream is None:
            body = well.body.encode() if isinstance(well.body, str) else well.body
            return Answer(headers=[*well.headers.items()], body=body)
        return messages.fetch(self._upstream, request, wire.beside)

    def _tunnel(self, wire: Wire) -> socket.socket:
        """A connection to upstream, once the client was told that it has one."""
        parts = urlsplit(self._upstream or "")
        upstream = _connected(wire, (parts.hostname or "", parts.port or 80))
        wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return upstream


class TcpServer(Server):
    """A server that knows no protocol: ``host``, ``port``, ``script()``, ``connections``, ``received``, ``reopen()``."""

    _where = "tcp"

    def __init__(self, faults: Faults, upstream: tuple[str, int] | None) -> None:
        self._upstream = upstream
        self._connections = 0
        self._received: list[bytes] = []
        super().__init__(faults)

    @property
    def connections(self) -> int:
        """How many were accepted."""
        return self._connections

    @property
    def received(self) -> list[bytes]:
        """What each client said that has said all, where it was not passed on."""
        with self._mutex:
            return list(self._received)

    def _serve(self, wire: Wire) -> None:
        with self._mutex:
            self._connections += 1
            script = self._current
            turn = script.take()
        wire.idle = False
        self._refuse(turn.refusal)
        step = script.well if isinstance(turn.step, Ok) and not turn.step.body else turn.step
        said = act_on_stream(step, wire, lambda: self._upstream and _connected(wire, self._upstream), script.peace)
        if said:
            with self._mutex:
                self._received.append(said)


def _leads_on(upstream: str) -> bool:
    """Whether it is the address of a server, as http://host:port."""
    try:
        parts = urlsplit(upstream)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port != 0  # a port that is none raises
    except ValueError:
        return False


def _is_address(upstream: object) -> bool:
    match upstream:
        case (str(), int(port)):
            return 0 < port < 65536
        case _:
            return False


def _connected(wire: Wire, where: tuple[str, int]) -> socket.socket:
    """A connection to another server, which ends with the client's."""
    made = socket.create_connection(where)
    wire.beside(made)
    return made
