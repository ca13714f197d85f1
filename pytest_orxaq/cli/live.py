"""How a run looks while it goes, at a terminal: one moving line a checkpoint, and the end of its output."""

import collections

from collections.abc import Mapping
from typing import Self

import rich.console
import rich.live
import rich.text

from ..core import escaping
from ..model import Attempt, Checkpoint, Outcome, Verdict
from ..system.process import Progress


_SHOWN = 8  # lines of output under the moving line
_MARKS = {Verdict.PASSED: ("✔", "green"), Verdict.FLAKY: ("✔", "yellow"), Verdict.SKIPPED: ("–", "yellow")}


class Live:
    """A person's view; everything that matters is printed above it and stays."""

    def __init__(self) -> None:
        self._console = rich.console.Console(stderr=True, highlight=False)
        self._live = rich.live.Live(console=self._console, refresh_per_second=8, transient=True)
        self._lines: collections.deque[str] = collections.deque(maxlen=_SHOWN)
        self._head = ""
        self._partial = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update(rich.text.Text(""))
        self._live.stop()

    def waiting(self, holder: Mapping[str, object]) -> None:
        """Say who holds the work tree."""
        words = (
            f"waiting for the gate of process {holder.get('pid', '?')} in this work tree (run {holder.get('run', '?')})"
        )
        self._live.update(rich.text.Text(words, style="yellow"))

    def begun(self, checkpoint: Checkpoint, attempt: int) -> None:
        """Start a moving line."""
        again = f" (attempt {attempt})" if attempt > 1 else ""
        self._head = f"{checkpoint.name}{again}"
        self._lines.clear()
        self._partial = ""
        self._draw("")

    def heard(self, chunk: bytes) -> None:
        """Keep the last lines of output."""
        *whole, self._partial = (self._partial + chunk.decode("utf-8", errors="replace")).split("\n")
        self._partial = self._partial[-1000:]
        self._lines.extend(escaping.terminal(line) for line in whole[-_SHOWN:])

    def beat(self, progress: Progress) -> None:
        """Move the line."""
        memory = f", {progress.memory / 2**20:.0f} MiB" if progress.memory else ""
        quiet = f", silent for {progress.silent_for:.0f} s" if progress.silent_for >= 10 else ""
        self._draw(f"{progress.elapsed:.0f} s, {progress.processes} processes{memory}{quiet}")

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """Leave a line about the attempt that failed."""
        found = attempt.diagnosis
        self._print(f"↻ {self._head}: {found.cause.value}: {found.why}; again in {delay:.1f} s", "yellow")

    def blocked(self, words: str) -> None:
        """Leave a line about the lock that is waited for."""
        self._print(f"⧖ {self._head}: waiting for a git lock: {words}", "yellow")

    def ended(self, outcome: Outcome) -> None:
        """Leave a line about the checkpoint."""
        mark, colour = _MARKS.get(outcome.verdict, ("✘", "red"))
        self._print(f"{mark} {outcome.checkpoint.name} {outcome.verdict.value}: {outcome.why}", colour)
        self._lines.clear()
        self._live.update(rich.text.Text(""))

    def _draw(self, facts: str) -> None:
        text = rich.text.Text(f"● {self._head}", style="bold cyan")
        text.append(f"  {facts}\n", style="dim")
        text.append("\n".join(self._lines), style="dim")
        text.no_wrap, text.overflow = True, "ellipsis"
        self._live.update(text)

    def _print(self, words: str, style: str) -> None:
        self._live.console.print(rich.text.Text(escaping.terminal(words), style=style))
