"""How a run looks while it goes, at a terminal: one moving line a checkpoint, and the end of its output."""

import codecs
import collections
import contextlib
import re

from collections.abc import Mapping
from typing import Self, TextIO, cast

import rich.console
import rich.live
import rich.text

from ..core import escaping
from ..model import Attempt, Checkpoint, Outcome, Verdict
from ..system.process import Progress


_SHOWN = 8  # lines of output under the moving line
_LEFT = 20  # lines of output that stay when something went wrong
_LONGEST = 500  # characters of a line; no terminal is wider
_MARKS = {Verdict.PASSED: ("✔", "green"), Verdict.FLAKY: ("✔", "yellow"), Verdict.SKIPPED: ("–", "yellow")}
_ENOUGH = 64 * 1024  # bytes at the end of a piece of output, from which the last lines are taken
_UNFINISHED = re.compile(r"\x1b[^A-Za-z~\\]*\Z")  # a sequence whose end has not been heard yet


class Live:
    """A person's view; everything that matters is printed above it and stays."""

    def __init__(self, stream: TextIO) -> None:
        self._console = rich.console.Console(file=cast("TextIO", _Deaf(stream)), highlight=False)
        # Nobody else writes while it moves; and what a program is to read on stdout is not for this console. No thread
        # of rich's either: between where it means to write and the write itself, a line that stays can come.
        self._live = rich.live.Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._lines: collections.deque[str] = collections.deque(maxlen=_LEFT)
        self._head = ""
        self._partial = ""
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update(rich.text.Text(""), refresh=True)
        self._live.stop()

    def waiting(self, holder: Mapping[str, object]) -> None:
        """Say who holds the work tree."""
        words = (
            f"waiting for the gate of process {holder.get('pid', '?')} in this work tree (run {holder.get('run', '?')})"
        )
        self._live.update(rich.text.Text(escaping.terminal(words), style="yellow"), refresh=True)

    def begun(self, checkpoint: Checkpoint, attempt: int) -> None:
        """Start a moving line."""
        again = f" (attempt {attempt})" if attempt > 1 else ""
        self._head = f"{checkpoint.name}{again}"
        self._forget()
        self._draw("")

    def heard(self, chunk: bytes) -> None:
        """Keep the last lines of output."""
        *whole, self._partial = (self._partial + self._text.decode(chunk[-_ENOUGH:])).split("\n")
        self._partial = self._partial[-_LONGEST:]
        self._lines.extend(_shown(line) for line in whole[-_LEFT:])

    def beat(self, progress: Progress) -> None:
        """Move the line."""
        memory = f", {progress.memory / 2**20:.0f} MiB" if progress.memory else ""
        quiet = f", silent for {progress.silent_for:.0f} s" if progress.silent_for >= 10 else ""
        many = "1 process" if progress.processes == 1 else f"{progress.processes} processes"
        self._draw(f"{progress.elapsed:.0f} s, {many}{memory}{quiet}")

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """Leave a line about the attempt that failed, and the end of its output."""
        found = attempt.diagnosis
        self._leave_output()
        self._print(f"↻ {self._head}: {found.cause.value}: {found.why}; again in {delay:.1f} s", "yellow")
        self._draw("waits")

    def blocked(self, words: str) -> None:
        """Leave a line about the lock that is waited for."""
        self._print(f"⧖ {self._head}: waiting for a git lock: {words}", "yellow")

    def ended(self, outcome: Outcome) -> None:
        """Leave a line about the checkpoint; if it went wrong, the end of its output too."""
        mark, colour = _MARKS.get(outcome.verdict, ("✘", "red"))
        if outcome.verdict in _MARKS or not outcome.attempts:
            self._forget()
        self._leave_output()
        self._print(f"{mark} {outcome.checkpoint.name} {outcome.verdict.value}: {outcome.why}", colour)
        self._live.update(rich.text.Text(""), refresh=True)

    def _draw(self, facts: str) -> None:
        text = rich.text.Text(f"● {self._head}", style="bold cyan")
        text.append(f"  {facts}", style="not bold dim")
        for line in self._tail()[-_SHOWN:]:
            text.append(f"\n{line}", style="not bold dim default")
        text.no_wrap, text.overflow = True, "ellipsis"
        self._live.update(text, refresh=True)

    def _tail(self) -> list[str]:
        unfinished = _shown(_UNFINISHED.sub("", self._partial))
        return [*self._lines, unfinished] if unfinished else list(self._lines)

    def _leave_output(self) -> None:
        for line in self._tail():
            self._print(line, "dim")
        self._forget()

    def _forget(self) -> None:
        self._lines.clear()
        self._partial = ""
        self._text.reset()

    def _print(self, words: str, style: str) -> None:
        self._console.print(rich.text.Text(escaping.terminal(words), style=style))


def _shown(line: str) -> str:
    """A line as a terminal would leave it: without what a progress bar has overwritten."""
    return escaping.terminal(line.rstrip("\r").rpartition("\r")[2][:_LONGEST])


class _Deaf:
    """A terminal that may go away: what can no longer be shown is nobody's trouble."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()
