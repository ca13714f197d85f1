"""Start processes: the one place that does.

:func:`run` takes a checkpoint's command through a :mod:`.supervisor`, which outlives us if need be; :func:`ask` is for
quick questions to tools that we trust to end; a :class:`Companion` lives beside us until it is let go. None of them ever
waits for a pipe that a stranger holds, and none leaves a process behind, however it returns.
"""

import contextlib
import errno
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from ..errors import MachineError
from ..model import Exit, LeakedProcess, Resources
from . import supervisor


MEBIBYTE = 1024 * 1024
CHUNK = MEBIBYTE  # read at once, and asked for as the pipe's size
START = 10.0  # longest wait for the supervisor's first word, on a machine that is out of breath
MARGIN = 1.5  # what a supervisor may take beyond its own bounds before it counts as stuck
DRAIN = 0.3
MARK_SPACING = 0.02
MARKS = 4096
MARK_NAME = "ORXAQ_ATTEMPT"  # the variable by which every process of an attempt can be found


class Cancellation:
    """While entered, SIGINT, SIGTERM and SIGHUP are noted instead of obeyed; outside the main thread it hears nothing.

    It also takes back an inherited ``SIG_IGN`` of SIGCHLD, under which every child seems to have ended with 0,
    and leaves an inherited ``SIG_IGN`` of SIGHUP alone, for that is what ``nohup`` is for.
    """

    def __init__(self) -> None:
        self.signal: int | None = None  # the first that came
        self._before: dict[int, Any] = {}
        self._bell = self._ring = -1

    def __enter__(self) -> Self:
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._ring, False)
        with contextlib.suppress(ValueError):  # not in the main thread
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        os.close(self._bell)
        os.close(self._ring)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            os.write(self._ring, b"!")

    def fileno(self) -> int:
        """A descriptor that is readable from the first signal on."""
        return self._bell

    def wait(self, seconds: float) -> bool:
        """Sleep, but not past a signal; whether one has come."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            return bool(selector.select(max(0.0, seconds)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What can be said of a command that runs."""

    elapsed: float
    silent_for: float  # since its last output
    output_size: int
    processes: int
    memory: int | None = None  # of all of them, now


class Sampler(Protocol):
    """Measures resources while a command runs."""

    def sample(self, pids: Sequence[int]) -> int | None:
        """Look at the processes of the command; their memory together, if that can be told."""

    def finish(self, known: Resources) -> Resources:
        """Complete what the kernel said of the reaped with what was sampled."""


# ---------------------------------------------------------------- output


class _Capture:
    """The output on its way to the file: the first ``head`` bytes, the last ``tail`` bytes, and a line between them.

    Everything is written at once, so that a killed gate leaves evidence. Beyond the head the file grows to twice the
    tail, then the older half is dropped; so it is right at any time but for the exact length of the tail.
    """

    def __init__(self, path: Path, head: int, tail: int, watch: Callable[[bytes], None] | None) -> None:
        self.head = head
        self.tail = tail
        self.watch = watch
        self.size = 0
        self.kept = 0
        self.error = ""
        self.last_at = time.monotonic()
        self.marks: list[tuple[float, int]] = []
        self._spacing = MARK_SPACING
        self._note = 0  # length of the line between head and tail
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MachineError(f"The output cannot be written to {path}: {error.strerror}.") from error

    def take(self, chunk: bytes) -> None:
        """Keep a piece of output, and show it to whoever watches."""
        self.last_at = time.monotonic()
        self._mark()
        self.size += len(chunk)
        if not self.error:
            try:
                self._keep(chunk)
            except OSError as error:  # the disk is full: the command shall not suffer for it
                self.error = os.strerror(error.errno or errno.EIO)
        if self.watch:
            self.watch(chunk)

    def _mark(self) -> None:
        if not self.marks or self.last_at - self.marks[-1][0] >= self._spacing:
            self.marks.append((self.last_at, self.size))
        if len(self.marks) > MARKS:
            self.marks = self.marks[::2]
            self._spacing *= 2

    def _keep(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            written = os.write(self._file, rest)
            self.kept += written
            rest = rest[written:]
        if self.kept > self.head + 2 * self.tail:
            self._cut()

    def _cut(self) -> None:
        """Drop what lies between the head and the tail, and say how much that is."""
        kept = os.pread(self._file, self.tail, self._note + self.kept - self.tail)
        note = f"\n[... {self.size - self.head - len(kept):,} bytes omitted ...]\n".encode()
        at = self.head
        for piece in (note, kept):
            at += os.pwrite(self._file, piece, at)
        os.ftruncate(self._file, at)
        os.lseek(self._file, at, os.SEEK_SET)
        self._note, self.kept = len(note), self.head + len(kept)

    def finish(self) -> None:
        """Bring the file into its final form."""
        if not self.error and self.kept > self.head + self.tail:
            try:
                self._cut()
            except OSError as error:
                self.error = os.strerror(error.errno or errno.EIO)

    def close(self) -> None:
        os.close(self._file)


# ---------------------------------------------------------------- run


class _Attempt:
    """One command under its supervisor, and our ends of the three pipes between us."""

    def __init__(self, request: bytes, mark: str) -> None:
        self.mark = mark
        self.pending = memoryview(request)
        self.begun_at = time.monotonic()
        self.started: dict[str, Any] = {}  # the supervisor's first word
        self.facts: dict[str, Any] = {}  # and its last
        self.over = False
        self.stuck = False
        self._heard = b""
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            ends = [os.pipe() for _ in range(3)]
            for index, (read, write) in enumerate(ends):
                ours.callback(os.close, write if index == 0 else read)
                theirs.callback(os.close, read if index == 0 else write)
            (lifeline, self.lifeline), (self.result, result), (self.output, output) = ends
            for descriptor in (self.lifeline, self.result, self.output):
                os.set_blocking(descriptor, False)
            with contextlib.suppress(AttributeError, OSError):  # not on macOS; or beyond what a user may have
                fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, CHUNK)
            self.process = subprocess.Popen(
                _supervisor(), stdin=lifeline, stdout=result, stderr=output, cwd="/", start_new_session=True
            )
            self._ends = ours.pop_all()

    def speak(self) -> bool:
        """Send what the lifeline takes of the request; whether all is sent."""
        with contextlib.suppress(BrokenPipeError):
            self.pending = self.pending[os.write(self.lifeline, self.pending) :]
            return not self.pending
        return True  # it died at once: the result's end will say so

    def ask_to_stop(self, number: int) -> None:
        """Have the supervisor stop the command; its end tells."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self.lifeline, bytes([number]))

    def listen(self) -> None:
        """Read what the supervisor says."""
        said = os.read(self.result, 65536)
        self._heard += said
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            word = json.loads(line)
            if "leader" in word:
                self.started = word
            else:
                self.facts = word
        self.over = bool(self.facts) or not said

    def read(self) -> bytes | None:
        """A piece of output; empty at its end, None when there is nothing at the moment."""
        try:
            return os.read(self.output, CHUNK)
        except BlockingIOError:
            return None

    def drain(self, capture: _Capture) -> None:
        """Take what is still in the pipe. Everything of ours is dead: what is written from now on is a stranger's."""
        until = time.monotonic() + DRAIN
        while time.monotonic() < until and (chunk := self.read()):
            capture.take(chunk)

    def close(self) -> tuple[LeakedProcess, ...]:
        """Let go: the supervisor stops what still runs, or we do. What lives nevertheless."""
        self._ends.close()  # the lifeline among them
        patience = 0.0 if self.stuck else 1.0 if self.over else supervisor.LADDER + MARGIN
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self._kill_supervised()
        if self.facts:
            return ()
        return self._kill_marked()

    def _kill_supervised(self) -> None:
        """Kill the tree of a supervisor that is stuck, from the leaves' side: orphans still go to it, so none is lost."""
        until = time.monotonic() + supervisor.SWEEP
        while time.monotonic() < until and (
            found := [p for p in supervisor.descendants(self.process.pid) if _lives(p)]
        ):
            _kill(found)
        self.process.kill()
        self.process.wait()

    def _kill_marked(self) -> tuple[LeakedProcess, ...]:
        """Kill what can be known as ours without a supervisor: its control group, the leader's session, the mark."""
        group = self.started.get("group", "")
        until = time.monotonic() + supervisor.SWEEP
        while found := list(self._marked()):
            if time.monotonic() > until:
                return tuple(_described(found))
            if group:
                supervisor.kill_group(group)
            _kill(found)
        if group:
            supervisor.remove_group(group)
        return ()

    def _marked(self) -> Iterator[int]:
        session = str(self.started.get("leader", "")).encode()
        members = supervisor.content(f"{self.started.get('group')}/cgroup.procs").split()
        # Within an attempt that carries the same mark, it would name our own parents.
        mark = "" if os.environ.get(MARK_NAME) == self.mark else self.mark
        word = os.fsencode(f"{MARK_NAME}={mark}")
        for pid in supervisor.processes():
            status = supervisor.stat(pid)
            if pid == os.getpid() or not status or status[0] in b"ZX" or not _is_own(pid):
                continue
            if (
                status[3] == session
                or b"%d" % pid in members
                or (mark and word in supervisor.content(f"/proc/{pid}/environ").split(b"\0"))
            ):
                yield pid


def _supervisor() -> list[str]:
    """The supervisor's command line: as byte code where the import left some, for compiling takes longer than all else."""
    script = Path(supervisor.__file__)
    compiled = Path(getattr(supervisor, "__cached__", None) or script)
    source = script.stat()
    # Who runs byte code by its name is not asked whether it is stale; where Python may not write, it can be.
    wanted = (0, int(source.st_mtime), source.st_size)
    with contextlib.suppress(OSError), compiled.open("rb") as file:
        if file.read(16)[4:] == b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in wanted):
            script = compiled
    return [sys.executable, "-I", "-S", str(script)]


def _lives(pid: int) -> bool:
    return (supervisor.stat(pid) or [b"X"])[0] not in b"ZX"


def _is_own(pid: int) -> bool:
    return b"\nUid:\t%d\t" % os.getuid() in supervisor.content(f"/proc/{pid}/status")


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def bearers(name: str, mark: str) -> list[LeakedProcess]:
    """The living processes of this user, but this one, with a mark among those that a variable of theirs lists."""
    found = []
    for pid in supervisor.processes():
        if pid != os.getpid() and _lives(pid) and _is_own(pid):
            entries = supervisor.content(f"/proc/{pid}/environ").split(b"\0")
            variables = dict(entry.partition(b"=")[::2] for entry in entries)
            if os.fsencode(mark) in variables.get(os.fsencode(name), b"").split(os.fsencode(os.pathsep)):
                found.append(pid)
    return _described(found)


def end_bearers(name: str, mark: str) -> list[LeakedProcess]:
    """End all that bear a mark, and whatever they start meanwhile; what still lives after that.

    Each is asked first, for git takes its locks away then, and killed after a grace.
    """
    asked: set[int] = set()
    found = bearers(name, mark)
    for number, patience in ((signal.SIGTERM, ASK_GRACE), (signal.SIGKILL, supervisor.SWEEP)):
        until = time.monotonic() + patience
        while (found := bearers(name, mark)) and time.monotonic() < until:
            for process in found:
                if number == signal.SIGKILL or process.pid not in asked:
                    with contextlib.suppress(OSError):  # it has ended meanwhile
                        os.kill(process.pid, number)
            asked.update(process.pid for process in found)
            time.sleep(0.005)
        if not found:
            break
    return found


def _described(pids: Iterable[int]) -> list[LeakedProcess]:
    """Processes in words, but those that have ended."""
    return [LeakedProcess(**json.loads(text)) for text in map(supervisor.described, pids) if text]


class _Conversation:
    """The loop around an attempt: output, result, cancellation, clock."""

    def __init__(
        self,
        attempt: _Attempt,
        capture: _Capture,
        *,
        timeout: float | None,
        cancellation: Cancellation | None,
        tick: Callable[[Progress], None] | None,
        sampler: Sampler | None,
    ) -> None:
        self.attempt = attempt
        self.capture = capture
        self.timeout = timeout
        self.cancellation = cancellation
        self.tick = tick
        self.sampler = sampler
        self.processes = 1
        self.stop_asked_at: float | None = None

    def hold(self) -> None:
        """Talk until the supervisor's last word, or until it is clear that none will come."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.attempt.output, selectors.EVENT_READ, self._take_output)
            selector.register(self.attempt.result, selectors.EVENT_READ, self._take_result)
            selector.register(self.attempt.lifeline, selectors.EVENT_WRITE, self._send)
            if self.cancellation is not None:
                selector.register(self.cancellation, selectors.EVENT_READ, self._cancel)
            next_look = time.monotonic() + 0.1
            while not self.attempt.over and (now := time.monotonic()) < self._limit():
                if now >= next_look:
                    self._look(now)
                    next_look = now + (0.1 if now - self.attempt.begun_at < 2 else 0.5)
                for key, _ in selector.select(max(0.0, min(next_look, self._limit()) - time.monotonic())):
                    if key.data():
                        selector.unregister(key.fileobj)
        self.attempt.stuck = not self.attempt.over

    def _limit(self) -> float:
        """When a supervisor that has said nothing must be stuck."""
        patience = supervisor.LADDER + MARGIN
        if not self.attempt.started:
            return self.attempt.begun_at + START + patience
        limit: float = self.attempt.started["started_at"] + (
            float("inf") if self.timeout is None else self.timeout + patience
        )
        return limit if self.stop_asked_at is None else min(limit, self.stop_asked_at + patience)

    def _take_output(self) -> bool:
        chunk = self.attempt.read()
        if chunk:
            self.capture.take(chunk)
        return chunk == b""

    def _take_result(self) -> bool:
        self.attempt.listen()
        return self.attempt.over

    def _send(self) -> bool:
        sent = self.attempt.speak()
        if sent and self.stop_asked_at is not None:
            self._ask_to_stop()
        return sent

    def _cancel(self) -> bool:
        self.stop_asked_at = time.monotonic()
        if not self.attempt.pending:
            self._ask_to_stop()
        return True

    def _ask_to_stop(self) -> None:
        self.attempt.ask_to_stop((self.cancellation and self.cancellation.signal) or signal.SIGTERM)

    def _look(self, now: float) -> None:
        pids = list(supervisor.descendants(self.attempt.process.pid))
        self.processes = max(self.processes, len(pids))
        memory = self.sampler.sample(pids) if self.sampler else None
        if self.tick:
            self.tick(
                Progress(
                    elapsed=now - self.attempt.begun_at,
                    silent_for=now - self.capture.last_at,
                    output_size=self.capture.size,
                    processes=len(pids),
                    memory=memory,
                )
            )

    def exit(self, survivors: tuple[LeakedProcess, ...]) -> Exit:
        """How it ended. Without the supervisor's word it was killed, whatever it would have said."""
        facts, started_at = self.attempt.facts, self.attempt.started.get("started_at", self.attempt.begun_at)
        cancelled = self.cancellation.signal if self.cancellation and self.stop_asked_at is not None else None
        known = Resources(
            peak_memory=facts.get("peak") or facts.get("largest") or None,
            cpu=facts.get("cpu", 0.0),
            processes=self.processes,
            method="cgroup" if facts.get("peak") else "rusage" if facts.get("largest") else "none",
        )
        duration = time.monotonic() - started_at
        return Exit(
            code=facts.get("code"),
            signal=facts.get("signal") if facts else signal.SIGKILL.value,
            duration=facts.get("duration", duration),
            timed_out=facts.get("timed_out", self.timeout is not None and duration >= self.timeout),
            cancelled=facts.get("cancelled", cancelled),
            not_started=facts.get("not_started", ""),
            ran_nothing=facts.get("ran_nothing", False),
            leaked=tuple(LeakedProcess(**each) for each in facts.get("leaked", ())),
            survivors=tuple(LeakedProcess(**each) for each in facts.get("survivors", ())) or survivors,
            resources=self.sampler.finish(known) if self.sampler else known,
            output_size=self.capture.size,
            output_omitted=self.capture.size - self.capture.kept,
            started_at=started_at,
            marks=tuple(self.capture.marks),
            output_error=self.capture.error,
            emptied_at=facts.get("emptied_at", time.time()),
        )


def run(
    command: tuple[str, ...],
    *,
    directory: Path,
    environment: Mapping[str, str],
    output: Path,
    timeout: float | None,
    cancellation: Cancellation | None = None,
    watch: Callable[[bytes], None] | None = None,
    tick: Callable[[Progress], None] | None = None,
    sampler: Sampler | None = None,
    head: int = 8 * MEBIBYTE,
    tail: int = 4 * MEBIBYTE,
) -> Exit:
    """Run a command to its end, or to its time's; nothing that it started is alive afterwards.

    Its output goes to the file ``output`` and, piece by piece, to ``watch``. ``tick`` hears of progress about twice
    a second. What these two raise stops the command, and is raised here.
    """
    request = supervisor.encode(command, str(directory), environment, timeout)
    if cancellation is not None and cancellation.signal is not None:
        return Exit(cancelled=cancellation.signal, started_at=time.monotonic())
    capture = _Capture(output, head, tail, watch)
    with contextlib.closing(capture):
        try:
            attempt = _Attempt(request, environment.get(MARK_NAME, ""))
        except OSError as error:
            return Exit(not_started=f"{sys.executable}: {error.strerror}", started_at=time.monotonic())
        conversation = _Conversation(
            attempt, capture, timeout=timeout, cancellation=cancellation, tick=tick, sampler=sampler
        )
        survivors: tuple[LeakedProcess, ...] = ()
        try:
            conversation.hold()
            attempt.drain(capture)
            if why := attempt.facts.pop("broken", ""):  # a bug of ours; now the fallback below does its work
                capture.take(f"\norxaq: the supervisor failed: {why}\n".encode())
        finally:
            survivors = attempt.close()
            capture.finish()
        return conversation.exit(survivors)


# ---------------------------------------------------------------- ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool said."""

    code: int | None
    signal: int | None = None
    out: bytes = b""
    err: bytes = b""
    timed_out: bool = False
    truncated: bool = False  # there was more than the limit
    gone: bool = True  # nobody of its process group is left


Completed = subprocess.CompletedProcess[str]


def completed(command: Sequence[str], answer: Answer, timeout: float) -> Completed:
    """An answer as the standard library would give it; raises TimeoutExpired like it."""
    out, err = (os.fsdecode(said) for said in (answer.out, answer.err))
    if answer.timed_out:
        raise subprocess.TimeoutExpired(list(command), timeout, out, err)
    code = answer.code if answer.code is not None else -(answer.signal or 0)
    return Completed(list(command), code, out, err)


ASK_GRACE = 0.5  # from SIGTERM to SIGKILL: git removes its lock files on the former


def ask(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str] | None,
    timeout: float = 30.0,
    input: bytes = b"",
    limit: int = 64 * MEBIBYTE,
    grace: float = ASK_GRACE,
) -> Answer:
    """Put a quick question to a tool: ends with the tool, not with whoever inherited its pipes.

    When ``timeout`` is over, the tool's process group is asked to end, and killed ``grace`` seconds later.
    """
    with _children_countable():
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.PIPE if input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise MachineError(f"{command[0]} cannot be started: {error.strerror}") from error
        question = _Question(process, input, limit, grace)
        try:
            question.put(time.monotonic() + timeout)
        finally:
            question.close()
        return question.answer()


@contextlib.contextmanager
def _children_countable() -> Iterator[None]:
    """While this lasts, the kernel tells how children ended, even if our parent had SIGCHLD ignored."""
    if signal.getsignal(signal.SIGCHLD) != signal.SIG_IGN:
        yield
        return
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    except ValueError:
        raise MachineError(
            "SIGCHLD is ignored, so nobody could say how a command ended.",
            advice="Start commands from the main thread.",
        ) from None
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _group_lives(group: int) -> bool:
    """Whether a process group has living members."""
    try:
        os.killpg(group, 0)
    except OSError:  # ESRCH; or EPERM, the word of BSD for a group of zombies
        return False
    # Zombies count for the kernel, and whoever adopted them may take its time to reap them.
    stats = [status for pid in supervisor.processes() if (status := supervisor.stat(pid))]
    return not stats or any(status[2] == b"%d" % group and status[0] not in b"ZX" for status in stats)


class _Question:
    """A tool at work, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes], input: bytes, limit: int, grace: float) -> None:
        self.process = process
        self.pending = memoryview(input)
        self.limit = limit
        self.grace = grace
        self.said = {stream: bytearray() for stream in (process.stdout, process.stderr) if stream}
        self.truncated = False
        self.timed_out = False
        self.gone = True
        self.selector = selectors.DefaultSelector()
        for stream in self.said:
            os.set_blocking(stream.fileno(), False)
            self.selector.register(stream, selectors.EVENT_READ, self._hear)
        if process.stdin:
            os.set_blocking(process.stdin.fileno(), False)
            self.selector.register(process.stdin, selectors.EVENT_WRITE, self._say)

    def put(self, until: float) -> None:
        """Listen until the tool has ended or its time is over, then a moment more for what is in the pipes."""
        pause = 0.001  # polling: a descriptor for a process's end exists on new Linux only, and tools are quick
        while self.process.poll() is None:
            if time.monotonic() > until:
                self.timed_out = True
                return
            pause = 0.001 if self._exchange(pause) else min(0.02, 2 * pause)
        until = time.monotonic() + DRAIN
        while time.monotonic() < until and self._exchange(0):
            pass

    def _exchange(self, seconds: float) -> bool:
        """Whether there was something to read or write."""
        if not self.selector.get_map():
            time.sleep(seconds)
            return False
        ready = self.selector.select(seconds)
        for key, _ in ready:
            if key.data(key.fileobj):
                self.selector.unregister(key.fileobj)
        return bool(ready)

    def _hear(self, stream: Any) -> bool:
        piece = os.read(stream.fileno(), CHUNK)
        room = self.limit - len(self.said[stream])
        self.said[stream] += piece[:room]
        self.truncated = self.truncated or len(piece) > room
        return not piece

    def _say(self, stream: Any) -> bool:
        try:
            self.pending = self.pending[os.write(stream.fileno(), self.pending) :]
        except BrokenPipeError:  # it did not want to hear it all
            self.pending = self.pending[:0]
        if not self.pending:
            stream.close()
        return not self.pending

    def close(self) -> None:
        """Stop the tool and its group if it still runs; only then is the group surely its own."""
        try:
            if self.process.poll() is None:
                self._signal(signal.SIGTERM)
                until = time.monotonic() + self.grace
                while time.monotonic() < until and not self._ended():
                    time.sleep(0.005)
                self._signal(signal.SIGKILL)
                self.process.wait()
                self.gone = self._group_ends()
        finally:
            self.selector.close()
            for stream in (self.process.stdin, *self.said):
                if stream:
                    stream.close()

    def _ended(self) -> bool:
        """Whether the tool has ended; unreaped where that can be told, so that its group stays its own."""
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self.process.poll() is not None

    def _group_ends(self) -> bool:
        """Whether nobody of the killed group lives after a moment; its number is not given out anew before that."""
        until = time.monotonic() + ASK_GRACE
        while _group_lives(self.process.pid):
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, number)

    def answer(self) -> Answer:
        """What came of it."""
        code = self.process.returncode
        out, err = (bytes(said) for said in self.said.values())
        return Answer(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            out=out,
            err=err,
            timed_out=self.timed_out,
            truncated=self.truncated,
            gone=self.gone,
        )


# ---------------------------------------------------------------- accompany

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def accompany(command: Sequence[str], *, environment: Mapping[str, str]) -> int:
    """Run a command in our place: with our input, output and terminal, and what signals we get. How it ended; -N: by signal N.

    Raises MachineError if it cannot be started.
    """
    # Ctrl-C goes to all who are at the terminal: to the command without our doing, and it has to stay there to read.
    shared = _at_the_terminal()
    heard: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if process is None:
            heard.append(number)
        elif not shared:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, number)
        elif number not in {signal.SIGINT, signal.SIGQUIT}:
            process.send_signal(number)

    with _children_countable(), _handled(pass_on):
        try:
            process = subprocess.Popen(command, env=environment, process_group=None if shared else 0)
        except OSError as error:
            raise MachineError(f"{command[0]} cannot be started: {error.strerror}") from error
        for number in heard:
            process.send_signal(number)
        return process.wait()


def _at_the_terminal() -> bool:
    """Whether we are in the foreground of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """While this lasts, signals that end processes go to a handler; those that our parent had ignored stay so."""
    before = {number: signal.getsignal(number) for number in _PASSED_ON}
    concerned = [number for number, was in before.items() if was != signal.SIG_IGN]
    for number in concerned:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in concerned:
            # None stands for a handler that was not set from Python and cannot be put back.
            signal.signal(number, before[number] or signal.SIG_DFL)


# ---------------------------------------------------------------- companion

COMPANION_MARK = "ORXAQ_COMPANION"  # the variable by which its processes are found in whatever session


class Companion:
    """A process that lives beside us, in a session of its own, until it is let go.

    Two pipes tie it to us; it and its children find them by number in their environment. Who reads from
    ``/dev/fd/$ORXAQ_LIFELINE`` waits until we let go, or die. What is written to ``/dev/fd/$ORXAQ_WORD``, we hear.
    """

    def __init__(self, command: Sequence[str], *, directory: Path, environment: Mapping[str, str], said: Path) -> None:
        """Start it; its output goes to the file ``said``. Raises MachineError if it cannot be started."""
        self._mark = os.urandom(12).hex()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            (lifeline, self._lifeline), (self._word, word) = os.pipe(), os.pipe()
            theirs.callback(os.close, lifeline)
            theirs.callback(os.close, word)
            ours.callback(os.close, self._word)
            self._ends = contextlib.ExitStack()
            ours.enter_context(self._ends).callback(os.close, self._lifeline)
            output = theirs.enter_context(said.open("wb"))
            ties = {"ORXAQ_LIFELINE": str(lifeline), "ORXAQ_WORD": str(word), COMPANION_MARK: self._mark}
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env={**environment, **ties},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(lifeline, word),
                    start_new_session=True,
                )
            except OSError as error:
                raise MachineError(f"{command[0]} cannot be started: {error.strerror}") from error
            self._ours = ours.pop_all()
        self.pid = self._process.pid

    def hear(self, until: float) -> bytes | None:
        """What it says next; empty when nobody is left who could speak, None when the time is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._word, selectors.EVENT_READ)
            return os.read(self._word, 4096) if selector.select(max(0.0, until - time.monotonic())) else None

    def tell(self, line: bytes) -> None:
        """Hand it a line, for whoever reads the lifeline first."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._lifeline, line)

    @property
    def alive(self) -> bool:
        """Whether the leader lives."""
        return self._process.returncode is None and not self._ended()

    @property
    def returncode(self) -> int:
        """How the leader ended, once it was stopped or killed; -N: by signal N."""
        return self._process.returncode or 0

    def stop(self, grace: float = ASK_GRACE) -> int:
        """Let go, and see that it ends: by itself, by SIGTERM, by SIGKILL, each after a grace. How the leader ended."""
        if self._process.returncode is None:
            self._ends.close()
            for number in (signal.SIGTERM, signal.SIGKILL):
                until = time.monotonic() + grace
                while not self._ended() and time.monotonic() < until:
                    time.sleep(0.002)
                if not self._ended():
                    os.killpg(self.pid, number)
            self._bury()
        return self.returncode

    def signal(self, number: int, *, group: bool) -> None:
        """Send a signal to the leader, or to all of its process group; a leader that has ended gets none."""
        if self.alive:
            (os.killpg if group else os.kill)(self.pid, number)

    def left(self) -> tuple[str, ...]:
        """The command lines of all that it has started and that live: of its session, or bearing its mark."""
        lines = {pid: supervisor.content(f"/proc/{pid}/cmdline") for pid in self._left() if pid != self.pid}
        return tuple(os.fsdecode(line.replace(b"\0", b" ").strip()) for line in lines.values() if line)

    def kill(self) -> None:
        """Kill it without a warning: the leader first, so that it cannot hear of its children's death, then all others."""
        if self._process.returncode is None:
            os.kill(self.pid, signal.SIGKILL)
            self._bury()

    def _ended(self) -> bool:
        """Whether the leader has ended; unreaped where that can be told, so that its group stays its own."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # our parent had SIGCHLD ignored: the kernel has reaped it
            return True

    def _bury(self) -> None:
        """Wait for a leader that is ending, kill what it leaves, and reap."""
        until = time.monotonic() + supervisor.SWEEP
        while not self._ended() and time.monotonic() < until:
            time.sleep(0.001)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        while (found := list(self._left())) and time.monotonic() < until:
            _kill(found)
        self._process.wait(supervisor.SWEEP)
        self._ours.close()

    def _left(self) -> Iterator[int]:
        """What lives of it: of its session, or bearing its mark."""
        word = os.fsencode(f"{COMPANION_MARK}={self._mark}")
        for pid in supervisor.processes():
            status = supervisor.stat(pid)
            if status and status[0] not in b"ZX":
                environment = supervisor.content(f"/proc/{pid}/environ").split(b"\0")
                if status[3] == b"%d" % self.pid or word in environment:
                    yield pid
