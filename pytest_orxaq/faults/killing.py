"""Real processes that are killed or interrupted at a moment that is known."""

import os
import selectors
import signal as signals
import sys
import time

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ..errors import UsageError
from ..system.process import Companion
from . import choices
from .commands import signal_number
from .leftovers import MARK
from .moments import Moment, Watch, watch
from .troubles import Faults


TICK = 0.005  # seconds between two looks whether the process lives, and at files where the kernel does not tell
GRACE = 2.0  # for what a dead leader has left to end by itself
SHOWN = 2000  # characters of output in a complaint

# What is run by the interpreter that runs the tests, wherever it is installed.
_OURS = {"pytest": "pytest", "orxaq": "pytest_orxaq"}


class NeverCame(AssertionError):  # noqa: N818 - a fact about the test
    """It did not come to the moment, or did not end in time."""

    ended = False  # by itself, before the moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A process that was ended from outside, and is gone with all that it had started."""

    pid: int
    returncode: int  # -N: by signal N
    output: str = field(repr=False)  # of both streams
    at: Moment
    survivors: tuple[str, ...]  # command lines of what had not ended with it, and was killed a moment later


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Killed):
    """A run that was interrupted, and what it left."""

    where: Path  # it ran there
    left: tuple[str, ...]  # the files there that were not before, sorted


class Killing:
    """Starts processes, and ends them at their moments."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def killed(
        self,
        cmd: Sequence[str],
        *,
        when: Moment,
        sig: int = signals.SIGKILL,
        group: bool = True,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Killed:
        """Run a command in a session of its own, and kill it at a moment; it and all that it has started are gone then.

        ``group``: all of its process group get the signal, as with Ctrl-C, or when a container ends; else the leader alone, as when the
        kernel is out of memory; its children have a moment to end then.
        ``timeout``: seconds for it to come to the moment, and again for it to end of the signal.

        Raises NeverCame, with its output, if it ends before the moment or does not end; UsageError for what there is not.
        """
        return self._end("killed_process", Doomed(cmd, when, sig, group, cwd, env, timeout))

    def interrupted(
        self,
        argv: Sequence[str],
        *,
        at: Moment,
        sig: int = signals.SIGINT,
        group: bool = True,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Interrupted:
        """Run pytest, the gate or any other command, and interrupt it at a moment; it has time to end in its own way.

        ``pytest`` and ``orxaq`` are those of the interpreter that runs the tests. For the rest see ``killed_process``.
        """
        argv = [sys.executable, "-m", _OURS[argv[0]], *argv[1:]] if argv and argv[0] in _OURS else argv
        run = Doomed(argv, at, sig, group, cwd, env, timeout)
        before = set(_files(run.folder))
        done = self._end("interrupted_run", run)
        return Interrupted(
            pid=done.pid,
            returncode=done.returncode,
            output=done.output,
            at=done.at,
            survivors=done.survivors,
            where=run.folder,
            left=tuple(sorted(set(_files(run.folder)) - before)),
        )

    def _end(self, kind: str, run: "Doomed") -> Killed:
        if sys.platform == "win32":
            self._faults.lacks("Killing processes at a moment needs a POSIX system.")
        done = run.go(self._faults)
        self._faults.note(kind, "environment", f"{signals.Signals(run.signal).name} {run.moment}")
        return done


class Run:
    """One run of a command in a session of its own, to its own end."""

    def __init__(
        self, command: Sequence[str], folder: Path | str | None, environment: Mapping[str, str] | None, timeout: float
    ) -> None:
        choices.command_line(command)
        choices.seconds(timeout, "timeout", more_than=0)
        choices.variables(environment)
        self.command = [os.fspath(word) for word in command]
        self.folder = Path(folder or ".").absolute()
        if not self.folder.is_dir():
            raise UsageError(f"There is no folder {self.folder} to run it in.", advice="cwd is made before.")
        self.environment = {**(os.environ if environment is None else environment), MARK: os.environ.get(MARK, "")}
        self.timeout = timeout
        self.said = bytearray()

    @property
    def search(self) -> str:
        """Its PATH."""
        return self.environment.get("PATH", os.defpath)

    @property
    def output(self) -> str:
        """What it has said so far, on both streams."""
        return self.said.decode(errors="replace")

    def finish(self, faults: Faults, changes: Mapping[str, str]) -> int:
        """Run it, with changes to its environment; how it ended. What it has left is killed. Raises NeverCame if it takes too long."""
        with self.started(faults, changes) as (companion, listening):
            until = time.monotonic() + self.timeout
            while companion.alive:
                if time.monotonic() > until:
                    raise self.complaint("did not end", f"{self.timeout:g} s have passed")
                listening.listen()
            companion.kill()
            listening.drain()
        return companion.returncode

    @contextmanager
    def started(
        self, faults: Faults, changes: Mapping[str, str], descriptor: int = -1
    ) -> "Iterator[tuple[Companion, _Listening]]":
        """While it runs; then all of it is killed. ``descriptor``: wakes up who listens, besides what it says."""
        if os.sep not in self.command[0]:
            choices.program(self.command[0], "Say one that is installed, or its path.", self.search)
        with ExitStack() as stack:
            said = faults.new_room() / "said"
            os.mkfifo(said)
            output = os.open(said, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, output)
            environment = self.environment | dict(changes)
            companion = Companion(self.command, directory=self.folder, environment=environment, said=said)
            stack.callback(companion.kill)
            yield companion, stack.enter_context(_Listening(companion, output, self.said, descriptor))

    def complaint(self, what: str, why: str) -> NeverCame:
        """What a tired person reads."""
        return NeverCame(
            f"{' '.join(self.command)} {what}: {why}.\n{self.output[-SHOWN:].strip() or 'It said nothing.'}"
        )


class Doomed(Run):
    """A run that is ended from outside at a moment."""

    def __init__(
        self,
        command: Sequence[str],
        moment: Moment,
        signal: int,
        group: bool,
        folder: Path | str | None,
        environment: Mapping[str, str] | None,
        timeout: float,
    ) -> None:
        super().__init__(command, folder, environment, timeout)
        self.moment = moment
        self.signal = signal_number(signal)
        self.group = group

    def go(self, faults: Faults) -> Killed:
        """Run it, and end it. Raises NeverCame."""
        with ExitStack() as stack:
            watched = watch(self.moment, faults, self.folder, self.search, stack)
            with self.started(faults, watched.changes, watched.descriptor) as (companion, listening):
                self._await(companion, watched, listening)
                survivors = self._strike(companion, watched, listening)
            return Killed(
                pid=companion.pid,
                returncode=companion.returncode,
                output=self.output,
                at=self.moment,
                survivors=survivors,
            )

    def _await(self, companion: Companion, watched: Watch, listening: "_Listening") -> None:
        until = time.monotonic() + self.timeout
        never = f"never came to the moment, {self.moment}"
        while True:
            ended = not companion.alive
            if ended:  # its last words count too
                listening.drain()
            if watched.reached(bytes(self.said)):
                return
            if ended:
                complaint = self.complaint(never, f"it ended with {companion.stop()} before that")
                complaint.ended = True
                raise complaint
            if time.monotonic() > until:
                raise self.complaint(never, f"{self.timeout:g} s have passed")
            listening.listen()

    def _strike(self, companion: Companion, watched: Watch, listening: "_Listening") -> tuple[str, ...]:
        """Send the signal, and see all of it ended; what had to be killed besides."""
        if self.group and self.signal == signals.SIGKILL:
            companion.kill()
            listening.drain()
            return ()
        companion.signal(self.signal, group=self.group)
        watched.let_go()  # a leader may wait for the call that hangs before it hears of its signal
        until = time.monotonic() + self.timeout
        while companion.alive:
            if time.monotonic() > until:
                name = signals.Signals(self.signal).name
                raise self.complaint("did not end", f"{self.timeout:g} s after {name}, {self.moment}, it lived")
            listening.listen()
        until = time.monotonic() + GRACE
        while (survivors := companion.left()) and time.monotonic() < until:
            listening.listen()
        companion.stop()
        listening.drain()
        return survivors


class _Listening:
    """Takes in what a process says, and wakes up when something else may have happened."""

    def __init__(self, companion: Companion, output: int, said: bytearray, other: int) -> None:
        self._companion = companion
        self._output = output
        self._said = said
        self._selector = selectors.DefaultSelector()
        self._selector.register(output, selectors.EVENT_READ)
        if other != -1:
            self._selector.register(other, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def listen(self) -> None:
        """Wait a moment, or until something comes."""
        ready = [key.fd for key, _ in self._selector.select(TICK)]
        if self._output in ready and not self._read():  # nobody is left who could say anything
            self._selector.unregister(self._output)

    def drain(self) -> None:
        """Take in what is still on its way."""
        while self._read():
            pass

    def _read(self) -> int:
        try:
            piece = os.read(self._output, 65536)
        except BlockingIOError:
            return 0
        self._said += piece
        return len(piece)


def _files(top: Path) -> Iterator[str]:
    """The files below a folder, by their names in it."""
    for folder, _, names in os.walk(top):
        yield from (os.path.relpath(os.path.join(folder, name), top) for name in names)
