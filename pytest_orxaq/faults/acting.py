"""What a server does with a request, or with a connection, as its script has it."""

import socket
import threading

from collections.abc import Callable
from dataclasses import dataclass

from .messages import Answer, MalformedError, Request, read_request
from .steps import Drip, Garbage, Hang, Ok, Redirect, Reset, Slow, Status, Step, Truncate
from .wires import Wire


LOOP = "/.orxaq/loop"  # redirects to itself
FILLER = b"."
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = {204, 304}


def next_request(wire: Wire, now: Callable[[], float]) -> Request | None:
    """What is asked next on a connection; None if nothing is, or if it is no request: who has sent that is told so."""
    try:
        return read_request(wire.reader, lambda: wire.send(_CONTINUE), now)
    except MalformedError as error:
        bad = Answer(status=400, body=str(error).encode())
        wire.send(bad.head(length=len(bad.body), keeps=False) + bad.body)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request on a connection."""

    wire: Wire
    request: Request
    well: Callable[[], Answer]  # what is answered if all goes well
    keeps: bool  # whether the connection can be kept
    peace: threading.Event

    def answer(self, answer: Answer, *, rate: float = 0.0) -> bool:
        """Send it; whether the connection is kept."""
        bodiless = self.request.method == "HEAD" or answer.status in _BODILESS
        length = None if answer.status in _BODILESS else len(answer.body)
        head = answer.head(length=length, keeps=self.keeps)
        if rate:
            self.wire.send(head)
            self.wire.drip(b"" if bodiless else answer.body, rate, self.peace)
        else:
            self.wire.send(head if bodiless else head + answer.body)
        return self.keeps

    def part(self, after: int, total: int | None) -> None:
        """Send so many bytes of the body, of which more are announced."""
        answer = self.well()
        announced = max(len(answer.body), after + 1) if total is None else total
        self.wire.send(answer.head(length=announced, keeps=self.keeps) + answer.body.ljust(after, FILLER)[:after])


def act(step: Step, on: Exchange) -> bool:
    """Do to a request what a step says; whether the connection is kept."""
    match step:
        case Ok(body=body, headers=headers):
            return on.answer(
                Answer(headers=tuple(headers.items()), body=_bytes(body)) if body or headers else on.well()
            )
        case Status(code=code, header=after, body=body):
            said = (("Retry-After", after),) if after is not None else ()
            return on.answer(Answer(status=code, headers=said, body=_bytes(body)))
        case Redirect(to=to):
            return on.answer(Answer(status=302, headers=(("Location", to or LOOP),)))
        case Slow(seconds=seconds, then=then):
            return act(Ok() if on.peace.wait(seconds) or then is None else then, on)
        case Drip(bytes_per_s=rate, body=body):
            return on.answer(Answer(body=_bytes(body)) if body else on.well(), rate=rate)
        case _:
            _spoil(step, on)
            return False


def _spoil(step: Step, on: Exchange) -> None:
    """Do what ends the connection."""
    match step:
        case Reset(after=after):
            if after:
                on.part(after, None)
            on.wire.reset()
        case Truncate(after=after, total=total):
            on.part(after, total)
        case Hang():
            on.wire.hang(on.peace)
        case Garbage(data=data):
            on.wire.send(_bytes(data))
        case _:
            raise AssertionError(step)


def act_on_stream(
    step: Step, wire: Wire, upstream: Callable[[], socket.socket | None], peace: threading.Event
) -> bytes:
    """Do to a connection what a step says; returns what its other side said, where nothing is passed on."""
    match step:
        case Ok(body=body):
            return _stream(wire, upstream(), _bytes(body), peace)
        case Slow(seconds=seconds, then=then):
            return act_on_stream(Ok() if peace.wait(seconds) or then is None else then, wire, upstream, peace)
        case Drip(bytes_per_s=rate, body=body):
            return _stream(wire, upstream(), _bytes(body), peace, rate=rate)
        case Reset(after=after):
            _part(wire, upstream, after, peace)
            wire.reset()
        case Truncate(after=after):
            _part(wire, upstream, after, peace)
        case Hang():
            wire.hang(peace)
        case Garbage(data=data):
            wire.send(_bytes(data))
        case _:
            raise AssertionError(step)
    return b""


def _stream(
    wire: Wire, upstream: socket.socket | None, greeting: bytes, peace: threading.Event, *, rate: float = 0.0
) -> bytes:
    """Pass on, or greet and listen."""
    if upstream is not None:
        wire.relay(upstream, rate=rate, peace=peace)
        return b""
    wire.drip(greeting, rate, peace)
    return wire.drain()


def _part(wire: Wire, upstream: Callable[[], socket.socket | None], after: int, peace: threading.Event) -> None:
    """So many bytes of upstream's; of a server that has none, so many of a filling."""
    if after:
        other = upstream()
        if other is None:
            wire.send(FILLER * after)
        else:
            wire.relay(other, most=after, peace=peace)


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
