"""Nothing that a command starts outlives it. Survivors are looked for in /proc, by a mark in their command lines."""

import os
import signal
import subprocess
import sys
import threading
import time

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pytest_orxaq.model import Exit
from pytest_orxaq.system import process, supervisor


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans can be adopted on Linux only")

VICTIMS = Path(__file__).with_name("victims.py")
HANG = 30.0  # nobody waits longer
HANGING = ["in_group", "set_sid", "double_fork", "no_environment", "re_fork", "tight_re_fork", "stubborn", "stopped"]


def alive(mark: str) -> list[int]:
    """The processes whose command line bears the mark, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            bears_it = folder.name.isdigit() and mark.encode() in (folder / "cmdline").read_bytes()
            if bears_it and "State:\tZ" not in (folder / "status").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def eventually(condition: Callable[[], bool], within: float = HANG) -> bool:
    """Whether it comes true in time."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.01)
    return True


@pytest.fixture
def mark() -> Iterator[str]:
    """A word that nobody else has in his command line; who still bears it in the end is killed."""
    word = f"victim-{uuid4().hex}"
    yield word
    for pid in alive(word):
        os.kill(pid, signal.SIGKILL)


def victim(name: str, mark: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", str(VICTIMS), name, mark)


def run(name: str, mark: str, folder: Path, timeout: float = HANG, **more: object) -> Exit:
    return process.run(
        victim(name, mark),
        directory=folder,
        environment={"PATH": os.environ["PATH"], "ORXAQ_ATTEMPT": mark},
        output=folder / "output",
        timeout=timeout,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", HANGING)
def test_time_out_leaves_nobody(name: str, mark: str, tmp_path: Path) -> None:
    """After a time-out nothing is left of any victim, and the runner is back within three seconds."""
    began_at = time.monotonic()
    exit = run(name, mark, tmp_path, timeout=1.0)
    took = time.monotonic() - began_at
    assert alive(mark) == []
    assert took < 1.0 + 3.0
    assert exit.timed_out
    assert exit.survivors == ()
    assert (tmp_path / "output").read_bytes().startswith(b"ready\n")


@pytest.mark.parametrize("name", ["exit_0", "exit_0_hopping"])
def test_leak_is_reported_not_waited_for(name: str, mark: str, tmp_path: Path) -> None:
    """A command that succeeds and leaves a daemon with its output passes, soon, and the daemon is named and gone."""
    exit = run(name, mark, tmp_path)
    assert alive(mark) == []
    assert exit.code == 0
    assert not exit.timed_out
    assert exit.duration < HANG / 2
    assert len(exit.leaked) >= 1
    assert exit.survivors == ()
    assert name == "exit_0_hopping" or mark in exit.leaked[0].command


@pytest.mark.parametrize("name", ["in_group", "double_fork", "no_environment", "tight_re_fork", "stubborn"])
def test_gate_killed_leaves_nobody(name: str, mark: str, tmp_path: Path) -> None:
    """When the gate itself is killed by SIGKILL, the supervisor stops everything all the same."""
    gate = start_gate(name, mark, tmp_path)
    gate.kill()
    gate.wait()
    assert eventually(lambda: alive(mark) == [], within=3.0 + 1.0)


def start_gate(name: str, mark: str, folder: Path) -> subprocess.Popen[bytes]:
    """A gate of its own at work; the victim is ready. Only the victim bears the mark in its command line."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pytest_orxaq.system import process\n"
        f"process._supervisor = lambda: {process._supervisor()!r}\n"
        "*command, folder = sys.stdin.read().split('\\0')\n"
        "process.run(tuple(command), directory=Path(folder), environment=dict(os.environ),\n"
        "            output=Path(folder, 'output'), timeout=None)\n"
    )
    top = Path(process.__file__).parents[2]
    gate = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, cwd=top, env={**os.environ, "ORXAQ_ATTEMPT": mark}
    )
    assert gate.stdin
    with gate.stdin as stdin:
        stdin.write("\0".join([*victim(name, mark), str(folder)]).encode())
    output = folder / "output"
    assert eventually(lambda: output.exists() and output.read_bytes().startswith(b"ready\n"))
    return gate


def test_fork_of_the_gate_holds_the_lifeline(mark: str, tmp_path: Path) -> None:
    """The gate's death is noticed also while a fork of it keeps the lifeline open."""
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from pytest_orxaq.system import process\n"
        f"process._supervisor = lambda: {process._supervisor()!r}\n"
        "def watch(chunk):\n"
        "    if not os.fork():\n"
        "        time.sleep(20)\n"
        "        os._exit(0)\n"
        "    os.kill(os.getpid(), 9)\n"
        f"process.run({victim('double_fork', mark)!r}, directory=Path({str(tmp_path)!r}), environment={{}},\n"
        f"            output=Path({str(tmp_path)!r}, 'output'), timeout=None, watch=watch)\n"
    ).replace(mark, "' + sys.stdin.read() + '")
    top = Path(process.__file__).parents[2]
    gate = subprocess.Popen([sys.executable, "-c", script, "fork"], stdin=subprocess.PIPE, cwd=top)
    gate.communicate(mark.encode(), timeout=HANG)
    try:
        assert gate.returncode == -signal.SIGKILL
        assert eventually(lambda: alive(mark) == [], within=5.0)
    finally:
        for pid in alive("sys.stdin.read() + '"):
            os.kill(pid, signal.SIGKILL)


def test_supervisor_killed(mark: str, tmp_path: Path) -> None:
    """When somebody kills the supervisor, the mark leads to everybody, and the exit says that it was no end of its own."""
    exit = run("kills_supervisor", mark, tmp_path)
    assert alive(mark) == []
    assert (exit.code, exit.signal) == (None, signal.SIGKILL)
    assert exit.survivors == ()


def test_supervisor_killed_and_no_mark(mark: str, tmp_path: Path) -> None:
    """Without a mark the leader's session and the control group are what is left to go by; the leader at least is stopped."""
    exit = process.run(
        victim("kills_supervisor", mark), directory=tmp_path, environment={}, output=tmp_path / "output", timeout=HANG
    )
    assert exit.survivors == ()
    assert exit.signal == signal.SIGKILL
    assert len(alive(mark)) <= (0 if supervisor._own_group() and os.access(supervisor._own_group(), os.W_OK) else 1)


def test_supervisor_suspended(mark: str, tmp_path: Path) -> None:
    """A supervisor that does not move any more neither holds us up nor saves anybody."""
    began_at = time.monotonic()
    exit = run("stops_supervisor", mark, tmp_path, timeout=1.0)
    assert alive(mark) == []
    assert time.monotonic() - began_at < HANG / 2
    assert exit.timed_out
    assert (exit.code, exit.signal) == (None, signal.SIGKILL)


def test_supervisor_asked_to_leave(mark: str, tmp_path: Path) -> None:
    """Whoever terminates the supervisor cancels the command."""
    exit = run("terminates_supervisor", mark, tmp_path)
    assert alive(mark) == []
    assert exit.cancelled == signal.SIGTERM
    assert exit.signal == signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_cancelled_by_signal(number: signal.Signals, mark: str, tmp_path: Path) -> None:
    """Each of the three signals stops the command and everything it started, and is told apart from a time-out."""
    before = signal.getsignal(number)
    with process.Cancellation() as cancellation:
        exit = run(
            "double_fork",
            mark,
            tmp_path,
            cancellation=cancellation,
            watch=lambda _chunk: os.kill(os.getpid(), number),
        )
        assert cancellation.signal == number
        assert cancellation.wait(0)
        again = run("exit_0", mark, tmp_path, cancellation=cancellation)
    assert alive(mark) == []
    assert exit.cancelled == number
    assert not exit.timed_out
    assert exit.duration < HANG / 2
    assert (again.cancelled, again.code, again.signal) == (number, None, None)
    assert signal.getsignal(number) == before


def test_own_end_after_interrupt_is_told(mark: str, tmp_path: Path) -> None:
    """A command that answers the interrupt with a code of its own is quoted with it."""
    exit = run("cleans_up", mark, tmp_path, timeout=1.0)
    assert exit.timed_out
    assert (exit.code, exit.signal) == (42, None)
    assert exit.duration < 1.9


def test_orphans_are_reaped_while_it_runs(mark: str, tmp_path: Path) -> None:
    """Orphans that end by themselves are no leak."""
    exit = run("orphans", mark, tmp_path)
    assert exit.code == 0
    assert exit.leaked == ()
    assert exit.resources.cpu > 0


def test_watcher_that_raises(mark: str, tmp_path: Path) -> None:
    """What a watcher raises comes out, and leaves nobody behind."""

    def watch(_chunk: bytes) -> None:
        raise KeyError("no luck")

    with pytest.raises(KeyError, match="no luck"):
        run("double_fork", mark, tmp_path, watch=watch)
    assert alive(mark) == []


def test_interrupt_without_cancellation(mark: str, tmp_path: Path) -> None:
    """A bare KeyboardInterrupt stops the command on its way up."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run("stubborn", mark, tmp_path, watch=lambda _chunk: os.kill(os.getpid(), signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert alive(mark) == []


def test_gate_within_gate(mark: str, tmp_path: Path) -> None:
    """A gate that runs as the command of another goes down with it, and takes its own command along."""
    inner = (
        "import os, sys; from pathlib import Path; from pytest_orxaq.system import process\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"process.run({victim('re_fork', mark)!r}, directory=folder, environment={{'ORXAQ_ATTEMPT': 'inner'}},\n"
        "            output=folder / 'inner', timeout=None, watch=lambda chunk: os.write(1, chunk))\n"
    )
    exit = process.run(
        (sys.executable, "-c", inner),
        directory=Path(process.__file__).parents[2],
        environment={**os.environ, "ORXAQ_ATTEMPT": "outer"},
        output=tmp_path / "output",
        timeout=2.5,
    )
    assert (tmp_path / "output").read_bytes().startswith(b"ready\n")
    assert exit.timed_out
    assert exit.survivors == ()
    assert alive(mark) == []


def cripple(monkeypatch: pytest.MonkeyPatch, *changes: str) -> None:
    """Have the runner use a supervisor that sees less of the kernel than there is."""
    folder = str(Path(supervisor.__file__).parent)
    begin = f"import os, sys, time; sys.path.insert(0, {folder!r}); import supervisor"
    script = "\n".join([begin, *changes, "supervisor.main()"])
    interpreter = process._supervisor()[:-1]
    monkeypatch.setattr(process, "_supervisor", lambda: [*interpreter, "-c", script])


NO_GROUP = "supervisor._own_group = lambda: ''"
FORBIDDEN_GROUP = "supervisor._own_group = lambda: '/proc/none'"
NO_CHILDREN_FILES = "supervisor.HAS_CHILDREN_FILES = False"
NO_WAITID = "del os.waitid"
NO_ADOPTION = "sys.platform = 'elsewhere'"
NO_KILLING = "os.kill = os.killpg = lambda *_: None; supervisor.SWEEP = 0.1"
BROKEN = "def wait(*_, **__): raise RuntimeError('out of order')\nsupervisor.Supervision.wait = wait"
BROKEN_CHILD = "def become(*_): raise MemoryError\nsupervisor._become = become"


@pytest.mark.parametrize("name", ["exit_0", "no_environment", "re_fork", "tight_re_fork", "stubborn"])
def test_without_control_group(name: str, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no control group may be made, the sweep alone ends everybody."""
    cripple(monkeypatch, NO_GROUP)
    exit = run(name, mark, tmp_path, timeout=1.0)
    assert exit.survivors == ()
    assert alive(mark) == []


def test_supervisor_killed_without_control_group(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark alone leads to everybody, too."""
    cripple(monkeypatch, NO_GROUP)
    exit = run("kills_supervisor", mark, tmp_path)
    assert exit.signal == signal.SIGKILL
    assert exit.survivors == ()
    assert alive(mark) == []


def test_unkillable_are_listed(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is alive after everything we could do is named."""
    cripple(monkeypatch, NO_GROUP)
    monkeypatch.setattr(supervisor, "SWEEP", 0.1)
    monkeypatch.setattr(process, "_kill", lambda _pids: None)
    exit = run("kills_supervisor", mark, tmp_path)
    assert {each.pid for each in exit.survivors} == set(alive(mark)) != set()
    assert all(mark in each.command and each.age >= 0 for each in exit.survivors)


def test_unkillable_are_listed_by_the_supervisor(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor itself names what it could not stop, and does not stay with it."""
    cripple(monkeypatch, NO_GROUP, NO_KILLING)
    exit = run("in_group", mark, tmp_path, timeout=1.0)
    assert exit.timed_out
    assert {each.pid for each in exit.survivors} == set(alive(mark)) != set()


def test_a_forbidden_control_group_is_none(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel refuses a control group, the run goes on without, also for a command that cannot be started."""
    cripple(monkeypatch, FORBIDDEN_GROUP)
    assert run("exit_0", mark, tmp_path).code == 0
    exit = process.run(("/no/such",), directory=tmp_path, environment={}, output=tmp_path / "output", timeout=HANG)
    assert exit.not_started == "/no/such: No such file or directory"


@pytest.mark.parametrize("name", ["exit_0", "double_fork", "tight_re_fork"])
def test_without_children_files(name: str, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel lists no children either, all processes are looked through, and still nobody is left."""
    cripple(monkeypatch, NO_GROUP, NO_CHILDREN_FILES)
    exit = run(name, mark, tmp_path, timeout=1.0)
    assert exit.survivors == ()
    assert alive(mark) == []


@pytest.mark.parametrize("name", ["in_group", "stubborn", "stopped", "silent"])
def test_without_adoption(name: str, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where orphans cannot be adopted, the process group is what is stopped."""
    cripple(monkeypatch, NO_GROUP, NO_ADOPTION, NO_WAITID)
    exit = run(name, mark, tmp_path, timeout=1.0)
    assert exit.timed_out is (name != "silent")
    assert alive(mark) == []


@pytest.mark.parametrize("name", ["in_group", "double_fork"])
def test_broken_supervisor(name: str, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that fails takes everything with it, is quoted, and nothing looks as if it had passed."""
    cripple(monkeypatch, BROKEN)
    exit = run(name, mark, tmp_path)
    assert (exit.code, exit.signal) == (None, signal.SIGKILL)
    assert b"RuntimeError('out of order')" in (tmp_path / "output").read_bytes()
    assert alive(mark) == []


def test_broken_child_of_the_supervisor(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that fails on its way to the command ends at once, and not as a success."""
    cripple(monkeypatch, BROKEN_CHILD)
    assert run("exit_0", mark, tmp_path).code == 127
