"""What a person at a terminal sees: a real gate behind a real pseudo-terminal, its bytes put on a small screen."""

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from rich.cells import cell_len
from rich.console import Console

from pytest_orxaq.cli.live import Live
from pytest_orxaq.model import Checkpoint, EvidenceKind
from pytest_orxaq.system.process import Progress


BOUND = 60.0  # seconds after which a gate counts as hung
TRANSIENT = "fatal: unable to access 'https://git.example/a.git/': Could not resolve host: git.example"
MAKEFILE = f"""\
.PHONY: lint fetch slow fail
lint:
	@echo '[bold]all fine[/bold]'
fetch:
	@if [ -e ../seen ]; then echo there; else touch ../seen; echo "{TRANSIENT}" >&2; exit 128; fi
slow:
	@printf 'pct 10%%\\rpct 20%%\\r\\n\\033[31mred and never reset\\npartial \\303'; cat ../go; printf '\\251\\n'
fail:
	@echo '[link=x]boom[/link] 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789'; exit 3
"""
SETTINGS = 'checkpoints = ["lint", "fetch", "fail"]\nfirst-delay = "0.1s"\n' + "".join(
    f'[checkpoint.{name}]\nevidence = "exit"\n' for name in ("lint", "fetch", "slow", "fail")
)
FILES = {"Makefile": MAKEFILE, "orxaq.toml": SETTINGS}


class Screen:
    """A terminal: text, line ends, the few sequences that rich uses, and nothing else."""

    _PIECES = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*[A-Za-z])|([\r\n])|([^\x1b\r\n]+)")

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines = [""]
        self.row = 0
        self.style = ""
        self.cursor = True

    def put(self, text: str) -> None:
        at = 0
        for piece in self._PIECES.finditer(text):
            assert piece.start() == at, f"not understood: {text[at : piece.start()]!r}"
            at = piece.end()
            sequence, end, words = piece.groups()
            if words:
                self._write(words)
            elif end:
                self.row += end == "\n"
                self.lines += [""] * (self.row + 1 - len(self.lines))
                self._column = 0
            elif sequence.startswith("?25"):
                self.cursor = sequence == "?25h"
            elif sequence.endswith("m"):
                self.style = "" if sequence in {"0m", "m"} else sequence
            elif sequence.endswith("A"):
                self.row -= int(sequence[:-1] or 1)
            else:
                assert sequence == "2K", f"not understood: {sequence!r}"
                self.lines[self.row] = ""
        assert at == len(text), f"not understood: {text[at:]!r}"

    _column = 0

    def _write(self, words: str) -> None:
        line = self.lines[self.row]
        self.lines[self.row] = line[: self._column].ljust(self._column) + words + line[self._column + len(words) :]
        self._column += len(words)
        # A path is copied, and therefore not broken.
        assert cell_len(self.lines[self.row]) <= self.width or self.lines[self.row].startswith("report: ")

    @property
    def shown(self) -> list[str]:
        """The lines that are not empty."""
        return [line.rstrip() for line in self.lines if line.strip()]


class Terminal:
    """A gate at a pseudo-terminal."""

    def __init__(self, top: Path, *arguments: str, width: int = 80, own_stdout: bool = True, **variables: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        left_out = {"CI", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest_orxaq", *arguments],
            cwd=top,
            env={**environment, "TERM": "xterm-256color", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if own_stdout else theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.raw = ""
        self._bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.go_away()

    def go_away(self) -> None:
        """Be gone, as a terminal whose connection breaks."""
        if self.ours >= 0:
            os.close(self.ours)
        self.ours = -1

    def read(self) -> Iterator[str]:
        """What comes to the terminal, piece by piece, to its end."""
        until = time.monotonic() + BOUND
        while select.select([self.ours], [], [], max(0.0, until - time.monotonic()))[0]:
            try:
                self._bytes += os.read(self.ours, 65536)
            except OSError:  # EIO: nobody has the other end any more
                return
            self.raw = self._bytes.decode(errors="ignore")
            yield self.raw
        raise AssertionError(f"the gate hangs: {self.raw}")

    def until(self, words: str) -> None:
        """Read on until the words have come."""
        assert any(words in seen for seen in self.read()), self.raw

    def end(self) -> int:
        """Read to the end; the exit code."""
        for _ in self.read():
            pass
        return self.process.wait(BOUND)

    def screen(self, width: int = 80) -> Screen:
        """What is to be seen at last."""
        screen = Screen(width)
        screen.put(self.raw)
        return screen


@pytest.mark.parametrize("width", [80, 40])
def test_what_stays(project: Callable[..., Any], width: int) -> None:
    """Passing, retried and failing checkpoints each leave a line, trouble its output; nothing else is left over."""
    here = project(FILES)
    with Terminal(here.top, "gate", "-k", width=width) as terminal:
        assert terminal.end() == 1
    screen = terminal.screen(width)
    assert screen.cursor
    assert screen.style == ""
    text = " ".join(screen.shown)
    assert [word for word in text.split() if word in "✔✘↻●"] == ["✔", "↻", "✔", "✘"]
    assert "✔ lint passed: the command exited 0 fatal: unable to access" in text
    assert "Could not resolve host: git.example make: *** " in text
    assert re.search(r"↻ fetch: transient: .*; again in 0\.\d s ✔ fetch flaky: passed at attempt 2", text)
    assert re.search(r"\[link=x\]boom\[/link\] .* make: \*\*\* .*Error 3 ✘ fail failed: the command exited 2", text)
    assert "all fine" not in text
    assert screen.shown[-1] == f"report: {here.top}/.orxaq/report.html"


def test_what_moves(project: Callable[..., Any]) -> None:
    """While a command runs its last lines are to be seen, also one without an end; no colour and no bar leaks."""
    here = project(FILES)
    os.mkfifo(here.top.parent / "go")
    with Terminal(here.top, "gate", "slow") as terminal:
        terminal.until("partial")
        shown = terminal.screen().shown
        assert shown[0].startswith("● slow  ")
        assert shown[1:] == ["pct 20%", "red and never reset", "partial"]
        assert not terminal.screen().cursor
        (here.top.parent / "go").write_text("")
        assert terminal.end() == 0
    assert "\x1b[31m" not in terminal.raw
    assert terminal.screen().cursor
    assert [line for line in terminal.screen().shown if "slow" in line or "partial" in line] == [
        "✔ slow passed: the command exited 0",
        "✓ Passed: slow.",
        terminal.screen().shown[-2],
    ]


def test_a_terminal_that_goes_away(project: Callable[..., Any]) -> None:
    """A gate whose terminal is gone goes on to its end, and its verdict is what it would have been."""
    here = project(FILES)
    os.mkfifo(here.top.parent / "go")
    with Terminal(here.top, "gate", "slow") as terminal:
        terminal.until("partial")
        terminal.go_away()
        (here.top.parent / "go").write_text("")
        assert terminal.process.wait(BOUND) == 0
    assert json.loads((here.top / ".orxaq" / "report.json").read_text())["verdict"] == "passed"


def test_interrupted(project: Callable[..., Any]) -> None:
    """After an interrupt the cursor is back, and the last output is still there."""
    here = project(FILES)
    os.mkfifo(here.top.parent / "go")
    with Terminal(here.top, "gate", "slow") as terminal:
        terminal.until("partial")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    screen = terminal.screen()
    assert screen.cursor
    assert screen.shown[:2] == ["pct 20%", "red and never reset"]
    assert "✘ slow cancelled: SIGINT asked to stop" in screen.shown


def test_who_waits_sees_for_whom(project: Callable[..., Any]) -> None:
    """A second gate says which process it waits for; nothing of that is left in the end."""
    here = project(FILES)
    os.mkfifo(here.top.parent / "go")
    with Terminal(here.top, "gate", "slow") as first:
        first.until("partial")
        with Terminal(here.top, "gate", "slow") as second:
            second.until(f"waiting for the gate of process {first.process.pid}")
            (here.top.parent / "go").write_text("")
            assert first.end() == 0
            assert second.end() == 0
    assert "waiting" not in " ".join(second.screen().shown)


def test_events_go_to_stdout_untouched(project: Callable[..., Any]) -> None:
    """With --format jsonl a program reads whole events from stdout while a person watches stderr."""
    here = project(FILES)
    with Terminal(here.top, "gate", "lint", "--format", "jsonl") as terminal:
        assert terminal.end() == 0
        assert terminal.process.stdout
        lines = [json.loads(line) for line in terminal.process.stdout.read().splitlines()]
    assert [line["event"] for line in lines] == ["begun", "ended", "run"]
    assert terminal.screen().shown[0] == "✔ lint passed: the command exited 0"


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(("--format", "jsonl"), {}), ((), {"TERM": "dumb"}), ((), {"CI": "true"})],
    ids=["events on the same terminal", "dumb", "CI"],
)
def test_plain_lines_where_moving_ones_would_harm(
    project: Callable[..., Any], arguments: tuple[str, ...], variables: dict[str, Any]
) -> None:
    """Where events share the terminal, or it cannot move the cursor, or a CI log only looks like one, lines are plain."""
    here = project(FILES)
    with Terminal(here.top, "gate", "lint", *arguments, own_stdout=False, **variables) as terminal:
        assert terminal.end() == 0
    assert "orxaq: lint: make lint" in terminal.raw
    assert not re.search(r"\x1b\[[^m]*[A-Z]|\x1b\[\?25", terminal.raw)


def test_no_colour_on_request(project: Callable[..., Any]) -> None:
    """NO_COLOR is obeyed, by the moving lines and by the closing words."""
    here = project(FILES)
    with Terminal(here.top, "gate", "lint", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.raw)


# ---------------------------------------------------------------- single steps


@pytest.fixture
def live() -> Iterator[Live]:
    """A view that nobody sees, of a checkpoint under way."""
    with Live(io.StringIO()) as live:
        live.begun(Checkpoint(name="test", command=("make", "test"), evidence=EvidenceKind.TESTS), 2)
        yield live


def moving(live: Live) -> list[str]:
    """The lines that move."""
    console = Console(file=io.StringIO(), width=2000)
    console.print(live._live.get_renderable())
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(elapsed=3.2, silent_for=1.0, output_size=0, processes=1), "3 s, 1 process"),
        (Progress(elapsed=99, silent_for=12.4, output_size=0, processes=2), "99 s, 2 processes, silent for 12 s"),
        (Progress(elapsed=1, silent_for=0, output_size=0, processes=3, memory=5 << 20), "1 s, 3 processes, 5 MiB"),
    ],
)
def test_the_moving_line_says(live: Live, progress: Progress, words: str) -> None:
    """How long, how many processes, how much memory where it can be told, and silence only when it is long."""
    live.beat(progress)
    assert moving(live) == [f"● test (attempt 2)  {words}"]


def test_pieces_of_output_are_joined(live: Live) -> None:
    """Characters and sequences that come in two pieces are shown whole or not yet; a flood without an end is cut."""
    quiet = Progress(elapsed=0, silent_for=0, output_size=0, processes=1)
    for piece, shown in [
        (b"caf\xc3", "caf"),
        (b"\xa9 \x1b[3", "café"),
        (b"1mred", "café red"),
        (b"x" * 5000, "x" * 500),
    ]:
        live.heard(piece)
        live.beat(quiet)
        assert moving(live)[1:] == [shown]


def test_a_wait_for_a_lock_leaves_a_line() -> None:
    """Which lock is waited for stays on the screen."""
    stream = io.StringIO()
    with Live(stream) as live:
        live.begun(Checkpoint(name="test", command=("make", "test"), evidence=EvidenceKind.TESTS), 1)
        live.blocked("index.lock is live")
    assert "test: waiting for a git lock: index.lock is live" in stream.getvalue()
