"""How a run looks while it goes, off a terminal: plain lines, GitHub's groups, events for programs."""

import contextlib
import json
import os
import sys

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from ..audience import Audience
from ..core import escaping, records
from ..model import Attempt, Checkpoint, Outcome, RunRecord
from ..report import terminal, words
from ..system.process import Progress


HEARTBEAT = 30.0  # seconds of silence before a line says that the command is still at it
_PASSED_ON = 64 << 20  # bytes of an attempt's output; who writes more would only bury the log
_LONGEST_LINE = 8192  # bytes kept back while waiting for a line's end


@contextlib.contextmanager
def opened(form: str, environ: Mapping[str, str]) -> Iterator[Audience]:
    """The audience that suits where our output goes."""
    with contextlib.ExitStack() as stack:
        audience: Audience
        # Events between the moving lines would be neither.
        if _at_a_terminal(environ) and not (form == "jsonl" and sys.stdout.isatty()):
            from .live import Live  # noqa: PLC0415 - rich is heavy, and only a person needs it

            audience = stack.enter_context(Live(sys.stderr))
        elif environ.get("GITHUB_ACTIONS") == "true":
            audience = GitHub(sys.stderr)
        else:
            audience = Plain(sys.stderr)
        yield Both(audience, Events(sys.stdout)) if form == "jsonl" else audience


def conclude(record: RunRecord, report: Path | None, form: str) -> None:
    """The closing words on stderr, and the machine's result on stdout if one was asked for."""
    width = _width(os.environ)
    colour = _at_a_terminal(os.environ) and not os.environ.get("NO_COLOR")
    told = terminal.summary(record, width=width, colour=colour)
    if report is not None:
        told += f"\nreport: {report}"
    _write(sys.stderr, told.rstrip("\n") + "\n")
    if form == "json":
        written = _write(sys.stdout, json.dumps(records.of_run(record), indent=1) + "\n")
    else:
        written = form == "text" or _event(sys.stdout, "run", record)
    if not written:
        _write(sys.stderr, "orxaq: the result could not be written to stdout\n")


def _at_a_terminal(environ: Mapping[str, str]) -> bool:
    return sys.stderr.isatty() and not environ.get("CI") and environ.get("TERM", "dumb") != "dumb"


def _width(environ: Mapping[str, str]) -> int:
    """Columns of whoever reads stderr; shutil knows too, and brings three compressors along."""
    if environ.get("COLUMNS", "").isdigit():
        return max(20, int(environ["COLUMNS"]))
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):  # not a terminal, or none at all
        return 80


def _write(stream: TextIO, text: str) -> bool:
    """Whether it was written: a reader that went away, or a full disk behind a redirection, changes no verdict."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


class Plain:
    """Lines for a log that somebody may read later."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._partial = b""
        self._name = ""
        self._next_beat = HEARTBEAT
        self._room = _PASSED_ON

    def waiting(self, holder: Mapping[str, object]) -> None:
        """Say who holds the work tree."""
        self._say(f"waiting: {_holder(holder)}")

    def begun(self, checkpoint: Checkpoint, attempt: int) -> None:
        """Say what starts."""
        self._name, self._next_beat, self._room = checkpoint.name, HEARTBEAT, _PASSED_ON
        again = f" (attempt {attempt})" if attempt > 1 else ""
        self._say(f"{checkpoint.name}: {words.shell(checkpoint.command)}{again}")

    def heard(self, chunk: bytes) -> None:
        """Pass the command's output on by whole lines, so that a terminal sequence is never cut in two."""
        if self._room <= 0:
            return
        self._room -= len(chunk)
        whole, newline, self._partial = (self._partial + chunk).rpartition(b"\n")
        if not newline and len(self._partial) > _LONGEST_LINE:
            whole, self._partial = self._partial, b""
        if whole:
            self._pass_on(whole)
        if self._room <= 0:
            self._flush()
            self._say(f"{self._name}: this is too much output to pass on; its end will be in the report")

    def beat(self, progress: Progress) -> None:
        """Every so often, when nothing else is to be seen, say that it goes on."""
        if progress.silent_for < HEARTBEAT:
            self._next_beat = progress.elapsed - progress.silent_for + HEARTBEAT
        elif progress.elapsed >= self._next_beat:
            self._next_beat = progress.elapsed + HEARTBEAT
            self._say(f"{self._name}: running {progress.elapsed:.0f} s, last output {progress.silent_for:.0f} s ago")

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """Say what went wrong and that it is tried again."""
        self._flush()
        self._say(f"{self._name}: {attempt.diagnosis.cause.value}: {attempt.diagnosis.why}; again in {delay:.1f} s")

    def blocked(self, words: str) -> None:
        """Say which lock is waited for."""
        self._flush()
        self._say(f"{self._name}: waiting for a git lock: {words}")

    def ended(self, outcome: Outcome) -> None:
        """Say how it ended."""
        self._flush()
        self._say(f"{outcome.checkpoint.name} {outcome.verdict.value}: {outcome.why}")

    def _flush(self) -> None:
        if self._partial:
            self._pass_on(self._partial)
            self._partial = b""

    def _pass_on(self, lines: bytes) -> None:
        _write(self._stream, escaping.terminal(lines.decode("utf-8", errors="replace")) + "\n")

    def _say(self, said: str) -> None:
        _write(self._stream, f"orxaq: {escaping.terminal(said)}\n")


class GitHub(Plain):
    """A GitHub log: a group for each checkpoint, in which no line of its output is taken for a command."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._token = ""

    def begun(self, checkpoint: Checkpoint, attempt: int) -> None:
        """Open a group, and stop the runner from obeying what follows."""
        self._close()
        again = f" (attempt {attempt})" if attempt > 1 else ""
        _write(self._stream, f"::group::{escaping.workflow_data(checkpoint.name + again)}\n")
        super().begun(checkpoint, attempt)
        self._token = os.urandom(16).hex()
        _write(self._stream, f"::stop-commands::{self._token}\n")

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """Close the group of the attempt that failed."""
        self._flush()
        self._close()
        super().retrying(attempt, delay)

    def ended(self, outcome: Outcome) -> None:
        """Close the group."""
        self._flush()
        self._close()
        super().ended(outcome)

    def _close(self) -> None:
        if self._token:
            _write(self._stream, f"::{self._token}::\n::endgroup::\n")
            self._token = ""


class Events:
    """A JSON object a line, for programs: what happened as it happens."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name = ""

    def waiting(self, holder: Mapping[str, object]) -> None:
        """``waiting``: who holds the work tree."""
        _event(self._stream, "waiting", dict(holder))

    def begun(self, checkpoint: Checkpoint, attempt: int) -> None:
        """``begun``: which checkpoint, which attempt."""
        self._name = checkpoint.name
        _event(self._stream, "begun", {"checkpoint": checkpoint.name, "attempt": attempt})

    def heard(self, chunk: bytes) -> None:
        """Nothing: the output is in the attempt's folder."""

    def beat(self, progress: Progress) -> None:
        """Nothing: a program can wait."""

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """``retrying``: the diagnosis and the wait."""
        _event(self._stream, "retrying", {"checkpoint": self._name, "delay": delay, "diagnosis": attempt.diagnosis})

    def blocked(self, words: str) -> None:
        """``blocked``: which git lock is waited for, in words."""
        _event(self._stream, "blocked", {"checkpoint": self._name, "words": words})

    def ended(self, outcome: Outcome) -> None:
        """``ended``: the whole outcome."""
        _event(self._stream, "ended", outcome)


class Both:
    """Two listeners as one."""

    def __init__(self, first: Audience, second: Audience) -> None:
        self._all = (first, second)

    def waiting(self, holder: Mapping[str, object]) -> None:
        """Told to both."""
        for each in self._all:
            each.waiting(holder)

    def begun(self, checkpoint: Checkpoint, attempt: int) -> None:
        """Told to both."""
        for each in self._all:
            each.begun(checkpoint, attempt)

    def heard(self, chunk: bytes) -> None:
        """Told to both."""
        for each in self._all:
            each.heard(chunk)

    def beat(self, progress: Progress) -> None:
        """Told to both."""
        for each in self._all:
            each.beat(progress)

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """Told to both."""
        for each in self._all:
            each.retrying(attempt, delay)

    def blocked(self, words: str) -> None:
        """Told to both."""
        for each in self._all:
            each.blocked(words)

    def ended(self, outcome: Outcome) -> None:
        """Told to both."""
        for each in self._all:
            each.ended(outcome)


def _event(stream: TextIO, name: str, value: object) -> bool:
    data = (
        {key: records.to_data(item) for key, item in value.items()}
        if isinstance(value, dict)
        else records.to_data(value)
    )
    return _write(stream, json.dumps({"event": name, **data}) + "\n")


def _holder(holder: Mapping[str, object]) -> str:
    return f"another gate is at work in this work tree (process {holder.get('pid', '?')}, run {holder.get('run', '?')})"
