"""Events on disk: JSON Lines with the names of OpenTelemetry's log data model, one file a process.

One ``os.write`` an event on a descriptor opened with O_APPEND: nothing is buffered here, so that SIGKILL loses
nothing, and no lock or thread could hang, or break in a forked child. Nothing here ever raises into a gate.
"""

import os
import re
import time

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from json.encoder import encode_basestring_ascii as quoted
from math import isfinite
from pathlib import Path

from ..version import __version__


SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SEGMENT_SIZE = 16 << 20  # bytes, then the next file
LONGEST_STRING = 4096  # characters
LONGEST_LINE = 64 << 10  # bytes
_FAILURES_ALLOWED = 3  # in a row, then the journal is shut: a full disk does not get better by trying

Scalar = str | int | float | bool | None
Value = Scalar | Sequence[Scalar]


class Severity(IntEnum):
    """OpenTelemetry's severity numbers."""

    DEBUG = 5
    INFO = 9
    WARN = 13
    ERROR = 17
    FATAL = 21


_SEVERITIES = {one: f'"severityNumber":{one.value},"severityText":"{one.name}"' for one in Severity}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A W3C trace context: the trace that we belong to, and our span or the caller's."""

    trace_id: str
    span_id: str
    flags: str = "01"  # sampled

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def read_traceparent(text: str) -> Trace | None:
    """The trace context in a TRACEPARENT, or None if it is invalid: then a new trace begins."""
    found = _TRACEPARENT.fullmatch(text.strip())
    if found is None or set(found[1]) == {"0"} or set(found[2]) == {"0"}:
        return None
    return Trace(trace_id=found[1], span_id=found[2], flags=found[3])


def make_trace(parent: Trace | None, *, random: bytes) -> Trace:
    """A new span, in the parent's trace or in one of its own; takes 24 random bytes."""
    span = random[16:24].hex()
    if parent is None:
        return Trace(trace_id=random[:16].hex(), span_id=span)
    return Trace(trace_id=parent.trace_id, span_id=span, flags=parent.flags)


_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Journal:
    """The events of this process; made without touching the disk, which the first event does."""

    def __init__(
        self, folder: Path, *, run: str, trace: Trace, resource: Mapping[str, Value], segment_size: int = SEGMENT_SIZE
    ) -> None:
        self.dropped = 0  # events that are not on disk
        self.damage = ""  # why, in a sentence
        self._folder = folder
        self._run = run
        self._trace = trace
        self._resource = dict(resource)
        self._segment_size = segment_size
        self._pid = os.getpid()
        self._segment = 0
        self._descriptor = -1
        self._size = 0
        self._seq = 0
        self._failures = 0

    def emit(
        self,
        name: str,
        body: str = "",
        *,
        severity: Severity = Severity.INFO,
        attributes: Mapping[str, Value] | None = None,
        span: str = "",
    ) -> None:
        """Write an event. Never raises: what cannot be written is counted in ``dropped``."""
        try:
            if self._pid != os.getpid():
                self._begin_anew()
            self._seq += 1  # a number that is missing on disk is an event that was dropped
            if self._failures < _FAILURES_ALLOWED:
                self._write(self._line(name, body, severity, attributes or {}, span or self._trace.span_id))
                self._failures = 0
                return
        except OSError as error:
            self._failures += 1
            self.damage = f"events cannot be written to {self._folder}: {error.strerror}"
            self.close()  # this file may end in half a line: the next event begins another
        except Exception as error:  # noqa: BLE001 - an event must not change what happens, whatever is wrong with it
            self.damage = f"the event {name} cannot be written: {type(error).__name__}"
        self.dropped += 1

    def close(self) -> None:
        """Close the file; a later event begins another."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            # Some file systems report only now what they did not write.
            with suppress(OSError):
                os.close(descriptor)

    def _begin_anew(self) -> None:
        """In a forked child: the descriptor is shared with the parent, the file must not be."""
        self.close()
        self._pid = os.getpid()
        self._segment = self._seq = self._failures = self.dropped = 0
        self.damage = ""

    def _line(self, name: str, body: str, severity: Severity, attributes: Mapping[str, Value], span: str) -> bytes:
        # By hand, because the fixed part needs no encoder: that is half of an event's price.
        head = (
            f'{{"timeUnixNano":{time.time_ns()},{_SEVERITIES[severity]},"eventName":{_text(name)},'
            f'"traceId":"{self._trace.trace_id}","spanId":"{span}","body":{_text(body)},"seq":{self._seq},"v":1,'
            '"attributes":'
        )
        return f"{head}{_object(attributes, LONGEST_LINE - len(head))}}}\n".encode("ascii")

    def _write(self, line: bytes) -> None:
        if self._descriptor < 0 or self._size + len(line) > self._segment_size:
            self._open_segment()
        write_whole(self._descriptor, line)
        self._size += len(line)

    def _open_segment(self) -> None:
        self.close()
        resource = _object(self._resource | {"process.pid": self._pid}, LONGEST_LINE - 300)
        scope = f'{{"name":"orxaq","version":"{__version__}"}}'
        header = f'{{"v":1,"resource":{resource},"scope":{scope},"schemaUrl":"{SCHEMA_URL}"}}\n'.encode("ascii")
        self._descriptor = self._new_file()
        write_whole(self._descriptor, header)
        self._size = len(header)

    def _new_file(self) -> int:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        while True:
            path = self._folder / f"{stamp}-{self._run}-{self._pid}.{self._segment}.jsonl"
            self._segment += 1
            # Another journal of the same process may have taken the name.
            with suppress(FileExistsError):
                return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of it: a single write may stop short at a limit or on a full disk."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def _text(text: str) -> str:
    """Text as JSON, cut at the longest length."""
    return quoted(text) if len(text) <= LONGEST_STRING else quoted(text[: LONGEST_STRING - 1] + "…")


def _object(attributes: Mapping[str, Value], room: int) -> str:
    """Attributes as JSON of at most ``room`` characters; those that do not fit are left out, and counted."""
    parts: list[str] = []
    room -= 60  # for the braces and the count
    for name, value in attributes.items():
        part = f"{_text(name)}:{_value(value)}"
        room -= len(part) + 1
        if room < 0:
            parts.append(f'"orxaq.telemetry.omitted":{len(attributes) - len(parts)}')
            break
        parts.append(part)
    return f"{{{','.join(parts)}}}"


def _value(value: Value) -> str:
    if type(value) is str:  # the usual kind, first
        return _text(value)
    match value:
        case str():  # an enumeration's member
            return _text(str(value))
        case None | bool():
            return "null" if value is None else str(value).lower()
        case int():
            return str(int(value))
        case float():
            return repr(float(value)) if isfinite(value) else f'"{value}"'
        case _:
            return f"[{','.join(map(_value, value))}]"
