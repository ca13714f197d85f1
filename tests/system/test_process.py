"""The runner tells the truth about how a command ended and what it said, whatever either does."""

import os
import py_compile
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.errors import MachineError
from pytest_orxaq.model import Exit, Resources
from pytest_orxaq.system import process, supervisor
from pytest_orxaq.system.process import Progress


pytestmark = pytest.mark.skipif(os.name != "posix", reason="the runner needs a POSIX system")

HANG = 30.0
ENVIRONMENT = {"PATH": os.environ["PATH"]}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def run(*command: str, folder: Path, **more: Any) -> Exit:
    settings: dict[str, Any] = {
        "directory": folder,
        "environment": ENVIRONMENT,
        "output": folder / "output",
        "timeout": HANG,
    }
    return process.run(command, **{**settings, **more})


def python(script: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", script, *words)


@pytest.fixture
def children_ignored() -> Iterator[None]:
    """SIGCHLD is ignored, as some parents leave it."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


# ---------------------------------------------------------------- how it ended


@on_linux
def test_when_nothing_was_left(tmp_path: Path) -> None:
    """It is told when the last process was gone: after those that outlived the leader, and before we hear of it."""
    before = time.time()
    exit = run("sh", "-c", f"touch began; (trap '' TERM; touch {tmp_path}/last; sleep 60) &", folder=tmp_path)
    assert exit.leaked
    assert before <= (tmp_path / "last").stat().st_mtime + 0.02
    assert (tmp_path / "last").stat().st_mtime <= exit.emptied_at <= time.time()


def test_without_a_supervisors_word_it_is_empty_when_we_have_seen_to_it(tmp_path: Path) -> None:
    """A supervisor that is killed says nothing; the time is that at which we had stopped everything."""
    before = time.time()
    exit = run("sh", "-c", "kill -KILL $PPID; sleep 60", folder=tmp_path)
    assert exit.signal == signal.SIGKILL
    assert before <= exit.emptied_at <= time.time()


def test_what_was_never_started_was_never_empty(tmp_path: Path) -> None:
    """Who was cancelled before has no time in which he could have locked anything."""
    with process.Cancellation() as cancellation:
        cancellation.signal = signal.SIGTERM
        assert run("true", folder=tmp_path, cancellation=cancellation).emptied_at == 0.0


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        ("true", 0, None),
        ("false", 1, None),
        ("exit 137", 137, None),
        ("exit 255", 255, None),
        ("kill -KILL $$", None, signal.SIGKILL),
        ("kill -TERM $$", None, signal.SIGTERM),
        ("kill -SEGV $$", None, signal.SIGSEGV),
        ("kill -PIPE $$", None, signal.SIGPIPE),
        ("kill -HUP $$", None, signal.SIGHUP),
    ],
)
def test_code_and_signal_are_told_apart(script: str, code: int | None, number: int | None, tmp_path: Path) -> None:
    """An exit code is a code, a signal a signal; 137 is no SIGKILL."""
    exit = run("sh", "-c", script, folder=tmp_path)
    assert (exit.code, exit.signal) == (code, number)
    assert not exit.timed_out
    assert exit.cancelled is None
    assert exit.not_started == ""


@pytest.mark.usefixtures("children_ignored")
def test_ignored_children_do_not_pass(tmp_path: Path) -> None:
    """A parent that had SIGCHLD ignored does not turn `false` into a success, directly, below make, or when asked."""
    (tmp_path / "Makefile").write_text("test:\n\t@false\n")
    assert run("false", folder=tmp_path).code == 1
    assert run("make", "test", folder=tmp_path).code == 2
    assert process.ask(["false"], directory=tmp_path, environment=ENVIRONMENT).code == 1
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN


@pytest.mark.usefixtures("children_ignored")
def test_cancellation_resets_children(tmp_path: Path) -> None:
    """While cancellation is listened for, SIGCHLD is what it should be, and afterwards what it was."""
    with process.Cancellation():
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        assert process.ask(["false"], directory=tmp_path, environment=None).code == 1
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN


@pytest.mark.usefixtures("children_ignored")
def test_ignored_children_in_a_thread(tmp_path: Path) -> None:
    """Where SIGCHLD cannot be reset, a question is refused rather than answered wrongly; a run is right anyway."""
    answers: list[object] = []

    def work() -> None:
        with pytest.raises(MachineError, match="SIGCHLD"):
            process.ask(["false"], directory=tmp_path, environment=None)
        answers.append(run("false", folder=tmp_path).code)

    in_thread(work)
    assert answers == [1]


def in_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(HANG)
    assert not thread.is_alive()


def test_runs_in_threads(tmp_path: Path) -> None:
    """Commands run side by side outside the main thread, and a cancellation there is deaf but harmless."""
    exits: list[int | None] = []

    def work(number: int) -> None:
        with process.Cancellation() as cancellation:
            folder = tmp_path / str(number)
            folder.mkdir()
            exits.append(run("sh", "-c", f"exit {number}", folder=folder, cancellation=cancellation).code)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert sorted(code for code in exits if code is not None) == list(range(6))


def test_not_found(tmp_path: Path) -> None:
    """A command that is not there was not started, and has no exit code."""
    exit = run("there-is-no-such-command", folder=tmp_path)
    assert exit.not_started == "there-is-no-such-command: No such file or directory"
    assert (exit.code, exit.signal) == (None, None)
    assert not exit.ran_nothing


def test_not_executable(tmp_path: Path) -> None:
    """A file that cannot be executed was not started, and the reason is the system's."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    assert run(str(tool), folder=tmp_path).not_started == f"{tool}: Permission denied"
    assert "Permission denied" in run("tool", folder=tmp_path, environment={"PATH": f"{tmp_path}:/bin"}).not_started
    tool.chmod(0o755)
    assert run("./tool", folder=tmp_path).code == 0
    tool.write_text("no shebang, no program")
    assert run(str(tool), folder=tmp_path).not_started == f"{tool}: Exec format error"


def test_later_place_on_the_path(tmp_path: Path) -> None:
    """A command is found in any place on the command's own PATH, and without one in the system's."""
    assert run("true", folder=tmp_path, environment={"PATH": f"{tmp_path}::/bin:/usr/bin"}).code == 0
    assert run("true", folder=tmp_path, environment={}).code == 0


def test_missing_directory(tmp_path: Path) -> None:
    """Without its directory the command is not started, and the directory is named."""
    exit = run("true", folder=tmp_path, directory=tmp_path / "gone")
    assert exit.not_started == f"{tmp_path / 'gone'}: No such file or directory"


def test_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where our own Python has vanished, nothing was started."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert run("true", folder=tmp_path).not_started == f"{tmp_path / 'python'}: No such file or directory"


def test_broken_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that dies before it takes the request, however long, leaves no pass."""
    monkeypatch.setattr(sys, "executable", "false")
    exit = run("true", "x" * 100_000, folder=tmp_path)
    assert (exit.code, exit.signal) == (None, signal.SIGKILL)


def test_request_to_the_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that is dead already is sent nothing more, and counts as killed."""
    monkeypatch.setattr(sys, "executable", "true")
    attempt = process._Attempt(b"x" * 1000, "")
    attempt.process.wait()
    assert attempt.speak()
    attempt.ask_to_stop(signal.SIGTERM)
    attempt.listen()
    assert attempt.over
    assert attempt.close() == ()


def test_supervisor_as_byte_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte code saves the compiling, but only that of this very source."""
    compiled = tmp_path / "supervisor.pyc"
    source = Path(str(supervisor.__file__))
    monkeypatch.setattr(supervisor, "__cached__", str(compiled), raising=False)
    assert process._supervisor()[-1] == str(source)
    py_compile.compile(str(source), cfile=str(compiled), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    assert process._supervisor()[-1] == str(compiled)
    assert run("sh", "-c", "exit 3", folder=tmp_path).code == 3
    stale = compiled.read_bytes()
    compiled.write_bytes(stale[:8] + b"\0\0\0\0" + stale[12:])
    assert process._supervisor()[-1] == str(source)


@pytest.mark.parametrize("command", [(), ("true", "a\0b")])
def test_impossible_command(command: tuple[str, ...], tmp_path: Path) -> None:
    """What no system call can carry is a bug of the caller."""
    with pytest.raises(ValueError, match="an empty command"):
        run(*command, folder=tmp_path)


@on_linux
def test_ran_nothing(tmp_path: Path) -> None:
    """A make that found nothing to do is told from one that ran a recipe."""
    (tmp_path / "Makefile").write_text("empty:\nfile: ; @true\nreal: ; @true\n.PHONY: real\n")
    (tmp_path / "file").touch()
    assert run("make", "empty", folder=tmp_path).ran_nothing
    assert run("make", "file", folder=tmp_path).ran_nothing
    assert not run("make", "real", folder=tmp_path).ran_nothing


def test_time_is_monotonic(tmp_path: Path) -> None:
    """Start and duration lie within what the caller's clock says."""
    before = time.monotonic()
    exit = run("true", folder=tmp_path)
    assert before <= exit.started_at <= exit.started_at + exit.duration <= time.monotonic()


# ---------------------------------------------------------------- what it is given


def test_environment_is_exactly_what_was_given(tmp_path: Path) -> None:
    """Nothing is added to the environment and nothing lost, whatever bytes it has; also no locale is coerced."""
    environment = {"PATH": ENVIRONMENT["PATH"], "ODD": "a=b\n\udcff", "EMPTY": ""}
    run("env", "-0", folder=tmp_path, environment=environment)
    given = {os.fsencode(f"{name}={value}") for name, value in environment.items()}
    assert set((tmp_path / "output").read_bytes().split(b"\0")) - {b""} == given


@on_linux
def test_command_gets_nothing_of_ours(tmp_path: Path) -> None:
    """The command has three descriptors, default signals, an empty mask, no terminal, its own session, its directory."""
    script = (
        "import os\n"
        "status = dict(line.split(':\\t', 1) for line in open('/proc/self/status') if ':\\t' in line)\n"
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1], os.readlink('/proc/self/fd/0'))\n"
        "print(status['SigBlk'].strip(), os.getsid(0) == os.getpgid(0) == os.getpid(), os.getcwd())\n"
        "ignored = int(status['SigIgn'], 16)\n"
        # Python itself ignores SIGPIPE and SIGXFSZ; signals 32 and 33 are the C library's own, nobody can reset them.
        "print(ignored & ~(1 << 12 | 1 << 24 | 3 << 31))\n"
    )
    read, write = os.pipe()
    os.set_inheritable(write, True)
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGUSR1, signal.SIGHUP)]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
    try:
        run(*python(script), folder=tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGCHLD])
        for number, handler in before:
            signal.signal(number, handler)
        os.close(read)
        os.close(write)
    assert (tmp_path / "output").read_text().splitlines() == [
        "[0, 1, 2] /dev/null",
        f"{0:016x} True {tmp_path}",
        "0",
    ]


# ---------------------------------------------------------------- what it said


def test_binary_output_as_it_is(tmp_path: Path) -> None:
    """Every byte that the command writes, to stdout and stderr, is in the file in order, and was shown to the watcher."""
    seen: list[bytes] = []
    script = "import os\nfor i in range(256): os.write(1 + i % 2, bytes([i]))"
    exit = run(*python(script), folder=tmp_path, watch=seen.append)
    assert (tmp_path / "output").read_bytes() == b"".join(seen) == bytes(range(256))
    assert exit.output_size == 256
    assert exit.output_omitted == 0
    assert exit.marks[0][1] == 0
    assert exit.started_at <= exit.marks[0][0] <= exit.started_at + exit.duration + 1


@pytest.mark.parametrize("size", [0, 1, 99, 100, 149, 150, 151, 200, 201, 1000, 70_000])
@pytest.mark.parametrize("tail", [0, 50])
def test_flood_keeps_head_and_tail(size: int, tail: int, tmp_path: Path) -> None:
    """Of a flood the file keeps exactly its head and its tail, and a line between them that says what is gone."""
    content = random.Random(size).randbytes(size)  # noqa: S311 - any bytes will do
    (tmp_path / "content").write_bytes(content)
    exit = run("cat", "content", folder=tmp_path, head=100, tail=tail)
    cut = max(0, size - 100 - tail)
    note = f"\n[... {cut:,} bytes omitted ...]\n".encode() if cut else b""
    assert (tmp_path / "output").read_bytes() == content[:100] + note + content[100 + cut :]
    assert (exit.output_size, exit.output_omitted) == (size, cut)


def test_flood_of_one_line(tmp_path: Path) -> None:
    """A line without end fills neither memory nor disk."""
    largest = 0

    def watch(_chunk: bytes) -> None:
        nonlocal largest
        largest = max(largest, (tmp_path / "output").stat().st_size)

    size = 200 * process.MEBIBYTE
    exit = run("head", "-c", str(size), "/dev/zero", folder=tmp_path, watch=watch)
    assert exit.code == 0
    assert exit.output_size == size
    assert exit.output_omitted == size - 12 * process.MEBIBYTE
    assert largest < 20 * process.MEBIBYTE
    assert 12 * process.MEBIBYTE < (tmp_path / "output").stat().st_size < 12 * process.MEBIBYTE + 100


def test_marks_are_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a command talks, its marks are few, in order, and reach back to the beginning."""
    monkeypatch.setattr(process, "MARKS", 8)
    monkeypatch.setattr(process, "MARK_SPACING", 0.0)
    exit = run(
        "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo $i; sleep 0.01; done", folder=tmp_path
    )
    assert 1 < len(exit.marks) <= 8
    assert list(exit.marks) == sorted(exit.marks)
    assert exit.marks[0][1] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_full_disk(tmp_path: Path) -> None:
    """A full disk costs the output, not the run, and is told."""
    seen: list[bytes] = []
    exit = run(
        "sh",
        "-c",
        "echo one; sleep 0.1; echo two; exit 7",
        folder=tmp_path,
        output=Path("/dev/full"),
        watch=seen.append,
    )
    assert exit.code == 7
    assert exit.output_error == "No space left on device"
    assert b"".join(seen) == b"one\ntwo\n"
    assert (exit.output_size, exit.output_omitted) == (8, 8)


def test_output_that_cannot_be_cut(tmp_path: Path) -> None:
    """An output that can be written but not re-written is reported as such, at any stage."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    exit = run("echo", "x" * 60, folder=tmp_path, output=fifo, head=10, tail=40)
    assert exit.code == 0
    assert exit.output_error == "Illegal seek"


def test_unwritable_output(tmp_path: Path) -> None:
    """Where the output cannot be kept, nothing is started."""
    with pytest.raises(MachineError, match="No such file"):
        run("touch", "started", folder=tmp_path, output=tmp_path / "gone" / "output")
    assert not (tmp_path / "started").exists()


def test_closed_output_does_not_end_it(tmp_path: Path) -> None:
    """A command that closes its output runs on to its own end."""
    exit = run("sh", "-c", "echo hi; exec >&- 2>&-; sleep 0.3; exit 5", folder=tmp_path)
    assert exit.code == 5
    assert exit.duration >= 0.3
    assert (tmp_path / "output").read_bytes() == b"hi\n"


@on_linux
def test_stranger_with_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that somebody outside the command's tree holds, and even writes to, delays nothing."""
    fifo = tmp_path / "hand-over"
    os.mkfifo(fifo)
    stranger = subprocess.Popen(
        python(
            "import os, sys, time\n"
            "pid = int(open(sys.argv[1]).read())\n"
            "out = os.open(f'/proc/{pid}/fd/1', os.O_WRONLY)\n"
            "os.write(out, b'stranger')\n"
            "if os.fork(): open(sys.argv[1], 'w').write('!')\n"
            "end = time.monotonic() + 25\n"
            "while time.monotonic() < end:\n"
            "    os.write(out, b'stranger\\n' * 100)\n",
            str(fifo),
        ),
        stderr=subprocess.DEVNULL,
    )
    try:
        show = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); open(sys.argv[1]).read(); sys.exit(3)"
        exit = run(*python(show, str(fifo)), folder=tmp_path)
        assert exit.code == 3
        assert exit.duration < 20
        assert (tmp_path / "output").read_bytes().startswith(b"stranger")
    finally:
        stranger.kill()
        stranger.wait()


def test_what_is_left_in_the_pipe_is_kept(tmp_path: Path) -> None:
    """Output that is in the pipe when the last word of the supervisor comes is read, as far as it goes."""
    attempt = object.__new__(process._Attempt)
    attempt.output, writer = os.pipe()
    os.set_blocking(attempt.output, False)
    os.write(writer, b"the end")
    capture = process._Capture(tmp_path / "output", head=100, tail=100, watch=None)
    attempt.drain(capture)
    capture.close()
    os.close(attempt.output)
    os.close(writer)
    assert (tmp_path / "output").read_bytes() == b"the end"


def test_silent_stranger_with_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that somebody outside the command's tree holds without a word is read to what is in it, and no further."""
    give = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); socket.send_fds(s, [b'!'], [1])"
    )
    place = str(tmp_path / "hand-over")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        exit = run(*python(give, place), folder=tmp_path)  # the pipe's end now waits in the socket, held by nobody else
        with listener.accept()[0] as connection:
            (pipe,) = socket.recv_fds(connection, 1, 1)[1]
    os.close(pipe)
    assert exit.code == 0


# ---------------------------------------------------------------- while it runs


def test_progress(tmp_path: Path) -> None:
    """While it runs, somebody hears for how long, how silent, how many."""
    heard: list[Progress] = []
    exit = run("sh", "-c", "echo hi; sleep 0.6; true", folder=tmp_path, tick=heard.append)
    assert exit.code == 0
    assert len(heard) >= 2
    assert [each.elapsed for each in heard] == sorted(each.elapsed for each in heard)
    assert heard[-1].output_size == 3
    assert 0 < heard[-1].silent_for <= heard[-1].elapsed + 0.1
    assert heard[-1].memory is None
    assert max(each.processes for each in heard) == exit.resources.processes


@on_linux
def test_sampler_is_asked_and_has_the_last_word(tmp_path: Path) -> None:
    """A sampler sees the command's processes, and completes what is known of their resources."""

    class Counter:
        most = 0

        def sample(self, pids: Sequence[int]) -> int:
            self.most = max(self.most, len(pids))
            return 1234

        def finish(self, known: Resources) -> Resources:
            return replace(known, oom_kills=7)

    counter, heard = Counter(), list[Progress]()
    exit = run("sh", "-c", "sleep 0.5 & sleep 0.5; wait", folder=tmp_path, sampler=counter, tick=heard.append)
    assert counter.most == exit.resources.processes == 3
    assert exit.resources.oom_kills == 7
    assert heard[0].memory == 1234


def test_resources_without_sampler(tmp_path: Path) -> None:
    """Processor time and memory of the whole command are known in any case, of what it left to itself too."""
    burn = "import os\nif os.fork(): os._exit(0)\nx = bytearray(60_000_000); sum(range(3_000_000))"
    exit = run(*python(burn), folder=tmp_path)
    assert exit.resources.method in {"rusage", "cgroup"}
    if sys.platform == "linux" and not exit.leaked:
        assert exit.resources.cpu > 0.03
        assert 60_000_000 < (exit.resources.peak_memory or 0) < 200_000_000


def test_tick_that_raises(tmp_path: Path) -> None:
    """What a listener raises comes out."""

    def tick(_progress: Progress) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        run("sleep", "20", folder=tmp_path, tick=tick)


@on_linux
def test_no_descriptor_is_lost(tmp_path: Path) -> None:
    """After fifty runs, good and bad, and as many questions, as many descriptors are open as before."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(50):
        run("true" if number % 2 else "no-such-command", folder=tmp_path)
        process.ask(["true"], directory=tmp_path, environment=None)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# ---------------------------------------------------------------- cancellation


def test_cancelled_while_the_request_is_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes before the supervisor has read its request is obeyed once it has."""
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\nsleep 0.3\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    environment = {**ENVIRONMENT, **{f"X{number}": "x" * 100_000 for number in range(8)}}
    with process.Cancellation() as cancellation:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        exit = run("sleep", "20", folder=tmp_path, environment=environment, cancellation=cancellation)
        timer.join()
    assert exit.cancelled == signal.SIGTERM
    assert exit.signal == signal.SIGINT


def test_cancellation_after_the_end_changes_nothing(tmp_path: Path) -> None:
    """A command that ended by itself is not cancelled by a signal that comes too late; only the first signal counts."""
    with process.Cancellation() as cancellation:
        exit = run("true", folder=tmp_path, cancellation=cancellation)
        assert not cancellation.wait(0)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert cancellation.wait(HANG)
    assert exit.cancelled is None
    assert cancellation.signal == signal.SIGHUP


def test_nohup_is_respected() -> None:
    """An inherited SIG_IGN of SIGHUP stays; the other signals are heard."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.Cancellation() as cancellation:
            os.kill(os.getpid(), signal.SIGHUP)
            assert cancellation.signal is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# ---------------------------------------------------------------- questions


def ask(*command: str, folder: Path, **more: Any) -> process.Answer:
    settings: dict[str, Any] = {"directory": folder, "environment": ENVIRONMENT}
    return process.ask(command, **{**settings, **more})


def test_answer(tmp_path: Path) -> None:
    """An answer has the code and both outputs, apart."""
    answer = ask("sh", "-c", "pwd; echo no >&2; exit 4", folder=tmp_path)
    assert (answer.code, answer.signal, answer.out, answer.err) == (4, None, f"{tmp_path}\n".encode(), b"no\n")
    assert not answer.timed_out
    assert not answer.truncated


def test_answer_of_the_killed(tmp_path: Path) -> None:
    """A tool that a signal killed has no code."""
    answer = ask("sh", "-c", "kill -KILL $$", folder=tmp_path)
    assert (answer.code, answer.signal) == (None, signal.SIGKILL)


def test_question_with_input(tmp_path: Path) -> None:
    """Input of any size goes in while output comes out; a tool that does not want it is no error."""
    content = bytes(range(256)) * 4096
    assert ask("cat", folder=tmp_path, input=content).out == content
    assert ask("true", folder=tmp_path, input=content).code == 0
    assert ask("cat", folder=tmp_path).out == b""


def test_answer_is_cut_at_the_limit(tmp_path: Path) -> None:
    """A flood is drained, not kept."""
    answer = ask("head", "-c", "3000000", "/dev/zero", folder=tmp_path, limit=1000)
    assert answer.code == 0
    assert answer.truncated
    assert len(answer.out) == 1000


def test_question_times_out(tmp_path: Path) -> None:
    """At its time's end a tool may tidy up, and its group is killed even when it is deaf itself."""
    answer = ask("sh", "-c", "trap 'echo tidy; exit 9' TERM; echo up; sleep 20 & wait", folder=tmp_path, timeout=0.5)
    assert answer.timed_out
    assert answer.code == 9
    answer = ask("sh", "-c", "trap '' TERM; sleep 20; sleep 20", folder=tmp_path, timeout=0.3)
    assert answer.timed_out
    assert (answer.code, answer.signal) == (None, signal.SIGKILL)


def test_question_times_out_where_ends_cannot_be_peeked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On systems without waitid the same holds."""
    monkeypatch.delattr(os, "waitid", raising=False)
    answer = ask("sh", "-c", "sleep 20; true", folder=tmp_path, timeout=0.3)
    assert answer.timed_out
    assert answer.signal == signal.SIGTERM


def test_question_without_outputs_times_out(tmp_path: Path) -> None:
    """A tool that closed both outputs is still bound by its time."""
    assert ask("sh", "-c", "exec >&- 2>&-; sleep 20", folder=tmp_path, timeout=0.3).timed_out


def test_question_does_not_wait_for_a_stranger(tmp_path: Path) -> None:
    """A daemon that a tool leaves behind with its pipes delays no answer."""
    answer = ask("sh", "-c", "echo here; sleep 5 & echo $!", folder=tmp_path)
    here, pid = answer.out.split()
    try:
        assert here == b"here"
        assert answer.code == 0
        assert not answer.timed_out
    finally:
        os.kill(int(pid), signal.SIGKILL)


def test_question_to_nobody(tmp_path: Path) -> None:
    """A tool that is not there is the machine's fault, and named."""
    with pytest.raises(MachineError, match="no-such-tool cannot be started: No such file"):
        ask("no-such-tool", folder=tmp_path)
