"""The census of processes: real ones, and what a kernel that shows less would show."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_orxaq.system import census
from pytest_orxaq.system.census import (
    Census,
    Seen,
    identity,
    look_at,
    mapped,
    may_write,
    program_says,
    same_users,
    take,
)
from pytest_orxaq.system.clocks import offset_now, since_boot


BOUND = 60.0  # seconds after which something hangs

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="describes processes by /proc")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@contextlib.contextmanager
def running(*command: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said a line, and is stopped at the end."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=BOUND)


WAITING = ("sh", "-c", "echo ready; read x")


def seen(pid: int) -> Seen:
    """A process that must be there."""
    found = look_at(pid, offset=offset_now())
    assert found is not None
    return found


# ---------------------------------------------------------------- one process


@linux
def test_everything_of_a_process_of_ours_is_seen(tmp_path: Path) -> None:
    """Parent, arguments, start, users, folder, git's variables and open files, the last by identity too."""
    environment = {"PATH": os.environ["PATH"], "GIT_DIR": "/x=y", "HOME": "/h"}
    with (tmp_path / "open file").open("w") as file:
        inherit = {"pass_fds": (file.fileno(),), "cwd": tmp_path, "env": environment}
        with running(*WAITING, **inherit) as process:
            found = seen(process.pid)
            assert (found.parent, found.command, found.readable) == (os.getpid(), WAITING, True)
            assert abs(found.started_at - (offset_now() + since_boot())) < BOUND
            assert found.started_after_boot is not None
            assert found.started_after_boot == seen(process.pid).started_after_boot
            assert 0 <= since_boot() - found.started_after_boot < BOUND
            assert os.geteuid() in found.users
            assert found.pids[0] == process.pid
            assert (found.kernel, found.stopped) == (False, False)
            assert found.directory == str(tmp_path)
            assert found.environment == {"GIT_DIR": "/x=y"}
            assert (file.fileno(), file.name) in (found.opened or ())
            assert identity(found.file(file.fileno(), file.name)) == identity(file.name)
            assert identity(found.reach(".")) == identity(found.reach(str(tmp_path))) == identity(tmp_path)
            assert same_users(process.pid)
            assert any(name.startswith("libc") for name in mapped(process.pid))
            assert program_says(process.pid, b"ELF")
            assert not program_says(process.pid, b"GIT_INDEX_FILE")


@linux
def test_a_name_may_hold_anything(tmp_path: Path) -> None:
    """A name with a parenthesis, a blank and a line break does not confuse what comes after it."""
    program = tmp_path / "a) R (\n1"
    program.symlink_to(shutil.which("sleep") or "")
    process = subprocess.Popen([program, str(BOUND)])
    try:
        # The child has the name of its parent until it has begun to execute; Popen returns after that.
        found = seen(process.pid)
        assert (found.name, found.parent) == ("a) R (\n1", os.getpid())
    finally:
        process.kill()
        process.wait(BOUND)


@linux
def test_the_dead_are_not_seen() -> None:
    """Neither a zombie, to which a signal can still be sent, nor a number that nobody has."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.kill(process.pid, 0)
    assert look_at(process.pid, offset=0.0) is None
    assert process.pid not in take(0.0).processes
    process.wait(BOUND)
    assert look_at(process.pid, offset=0.0) is None
    assert not mapped(process.pid)
    assert not program_says(process.pid, b"")


@linux
def test_a_leader_that_ended_before_its_threads_lives() -> None:
    """A process whose first thread is gone has the state of a zombie, and is none."""
    script = (
        "import ctypes, threading\n"
        "leader = threading.main_thread().native_id\n"
        "def stay():\n"
        "    while open(f'/proc/self/task/{leader}/stat').read().rpartition(') ')[2][0] != 'Z': pass\n"
        "    print('ready', flush=True)\n"
        "    input()\n"
        "threading.Thread(target=stay).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    with running(sys.executable, "-c", script) as process:
        found = seen(process.pid)
        assert not found.readable
        assert not found.stopped


@linux
def test_a_stopped_process_is_seen_as_such() -> None:
    """Whoever was sent SIGSTOP lives, and is stopped."""
    with running(*WAITING) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert seen(process.pid).stopped


@linux
@as_root
def test_what_is_refused_is_none() -> None:
    """Of another user's process everybody sees the names and the start; folder, variables and files are not empty but None."""
    script = (
        "import os, sys\n"
        "from pytest_orxaq.system.census import look_at, mapped, program_says\n"
        "os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "found = look_at(int(sys.argv[1]), offset=0.0)\n"
        "print(found.command, found.users, found.powerful, found.readable)\n"
        "print(found.directory, found.environment, found.opened, found.program, *mapped(found.pid), program_says(found.pid, b''))\n"
    )
    with running(*WAITING) as process:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        said = subprocess.run(
            [sys.executable, "-c", script, str(process.pid)],
            env=bare,
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
            timeout=BOUND,
        ).stdout.splitlines()
    assert said == [f"{WAITING} frozenset({{0}}) True False", "None None None None False"]


# ---------------------------------------------------------------- the whole


@linux
def test_all_are_counted() -> None:
    """We, our parent and our children are there; kin is told by parents."""
    with running(*WAITING) as process:
        found = take(offset_now())
        assert {os.getpid(), process.pid} <= set(found.processes)
        assert os.getppid() in found.ancestors(os.getpid())
        assert os.getpid() in found.ancestors(process.pid)
    assert not any(process.kernel for process in found.processes.values())


@linux
@pytest.mark.skipif(
    not Path("/proc/self/ns/pid").exists() or os.stat("/proc/self/ns/pid").st_ino != census.INITIAL_NAMESPACE,
    reason="this is a container",
)
def test_the_machine_itself_has_no_gap() -> None:
    """In the first PID namespace, where nothing is hidden, everybody is shown; threads of the kernel by name only."""
    found = take(offset_now())
    assert (found.gaps, found.alone) == ((), True)
    assert "kthreadd" in found.kernel_threads


@linux
@as_root
def test_a_namespace_of_its_own_is_a_gap() -> None:
    """From inside a PID namespace, with its own /proc or the outer one, those outside count as unseen."""
    script = "from pytest_orxaq.system.census import take; found = take(0.0); print(len(found.processes), found.gaps, found.alone)"
    for own_proc in (["--mount-proc"], []):
        command = ["unshare", "-p", "-f", *own_proc, sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BOUND)
        if done.returncode != 0 and "unshare" in done.stderr:
            pytest.skip(f"no PID namespace can be made here: {done.stderr.strip()}")
        assert "this is a container: who works outside of it cannot be seen" in done.stdout
        assert done.stdout.endswith("False\n")


def test_kin_that_runs_in_a_circle_ends() -> None:
    """A parent that is its own descendant, as a number used anew may seem, is no endless chain."""
    pair = {pid: Seen(pid=pid, parent=3 - pid, name="x", command=(), started_at=0.0) for pid in (1, 2)}
    assert Census(processes=pair).ancestors(1) == {1, 2}


# ---------------------------------------------------------------- other kernels


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc of our making, which has this process in it."""
    made = tmp_path / "proc"
    (made / "self/ns").mkdir(parents=True)
    (made / "self/stat").write_text("")
    (made / "self/ns/pid").write_text("")
    (made / "self/mounts").write_text(f"proc {made} proc rw 0 0\n")
    monkeypatch.setattr(census, "PROC", made)
    return made


LINE = "7 (x) S 1 7 7 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 100 0 0\n"


def add(proc: Path, pid: int = 7, *, flags: int = 0, status: str = "Uid:\t5\t5\t5\t5\n") -> Path:
    """A process in a /proc of our making, with nothing to be read but what everybody may read."""
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(LINE.format(flags=flags, threads=1))
    (folder / "status").write_text(status)
    (folder / "cmdline").write_bytes(b"x\0y\0")
    return folder


@pytest.mark.parametrize(
    ("options", "hides"),
    [
        ("rw", False),
        ("rw,hidepid=0", False),
        ("rw,hidepid=off", False),
        ("rw,hidepid=2", True),
        ("rw,hidepid=invisible,gid=4", True),
        ("rw,hidepid=ptraceable", True),
    ],
)
def test_hidden_processes_are_a_gap(proc: Path, options: str, *, hides: bool) -> None:
    """A /proc that hides others is a gap for everybody who may not trace everybody."""
    (proc / "self/mounts").write_text(f"proc {proc} proc rw,hidepid=1 0 0\nproc {proc} proc {options} 0 0\n")
    gap = "/proc hides the processes of other users (hidepid)"
    assert (gap in take(0.0).gaps) is hides
    (proc / "self/status").write_text(f"CapEff:\t{1 << 19:016x}\n")
    assert (gap in take(0.0).gaps) is hides
    (proc / "self/uid_map").write_text("         0          0 4294967295\n")
    assert gap not in take(0.0).gaps
    (proc / "self/status").write_text(f"CapEff:\t{(1 << 41) - 1 - (1 << 19):016x}\n")
    assert (gap in take(0.0).gaps) is hides
    (proc / "self/status").write_text(f"CapEff:\t{1 << 19:016x}\n")
    (proc / "self/uid_map").write_text("         0     100000      65536\n")
    assert (gap in take(0.0).gaps) is hides


def test_mounts_that_do_not_tell_are_a_gap(proc: Path) -> None:
    """Where it is not known whether /proc hides something, it may."""
    for content in ("", "tmpfs /tmp tmpfs rw 0 0\n", None):
        if content is None:
            (proc / "self/mounts").unlink()
        else:
            (proc / "self/mounts").write_text(content)
        assert "it is not known how much /proc shows" in take(0.0).gaps


def test_a_namespace_that_is_not_told_is_not_the_first(proc: Path) -> None:
    """Without the number of our namespace we may be in any."""
    (proc / "self/ns/pid").unlink()
    assert not take(0.0).alone


def test_a_process_of_which_nothing_may_be_known_is_a_gap(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is listed, and hides even its name, is counted as unseen by its number."""
    folder = add(proc)
    assert take(0.0).processes[7].users == {5}
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == folder / "cmdline":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = take(0.0)
    assert "of process 7 not even the name may be read" in found.gaps
    assert not found.processes


def test_an_old_kernel_tells_less(proc: Path) -> None:
    """Without numbers by namespace and capabilities a process has its one number, and no power."""
    add(proc)
    found = take(0.0).processes[7]
    assert (found.pids, found.powerful, found.readable) == ((7,), False, False)
    add(proc, 8, status="Uid:\t1\t2\t3\t4\nCapEff:\t0000000000000080\nNSpid:\t8\t2\t1\n")
    found = take(0.0).processes[8]
    assert found.users == {1, 2, 3, 4}
    assert (found.pids, found.powerful) == ((8, 2, 1), True)
    assert not same_users(8)


def test_threads_of_the_kernel_are_names(proc: Path) -> None:
    """They hold no lock; but whether files are served to others is told by them."""
    add(proc, flags=census._KERNEL_THREAD)
    found = take(0.0)
    assert found.kernel_threads == {"x"}
    assert not found.processes


def test_who_is_about_to_end_is_dead(proc: Path) -> None:
    """A process that the kernel takes apart has no files any more, and is none to be seen."""
    add(proc, flags=census._EXITING)
    add(proc, 8)
    (proc / "8/stat").write_text(LINE.format(flags=0, threads=1).replace(" S ", " Z "))
    assert not take(0.0).processes


def test_who_dies_while_he_is_looked_at_is_dead(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to be read of a process that has just ended is no gap."""
    folder = add(proc)
    monkeypatch.setattr(census, "_link", lambda _: (folder / "stat").unlink(missing_ok=True))
    assert look_at(7, offset=0.0) is None


def test_a_listing_that_is_refused_shows_nobody(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A /proc that cannot be listed shows no process; that this is no machine of ours is a gap anyway."""

    def refuse(_: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(proc))

    monkeypatch.setattr(os, "listdir", refuse)
    assert not take(0.0).processes


@linux
def test_a_descriptor_that_is_closed_meanwhile_is_passed_over(proc: Path) -> None:
    """A link that is gone is a closed file; pipes and sockets have no path."""
    folder = add(proc)
    (folder / "fd").mkdir()
    (folder / "fd/1").symlink_to("pipe:[1]")
    (folder / "fd/2").symlink_to("/some/file")
    (folder / "cwd").symlink_to("/")
    (folder / "environ").write_bytes(b"")
    found = look_at(7, offset=0.0)
    assert found is not None
    assert (found.opened, found.environment, found.readable) == (((2, "/some/file"),), {}, True)


@linux
@pytest.mark.parametrize(
    ("told", "writes"),
    [("flags:\t0100001", True), ("flags:\t0100002", True), ("flags:\t0100000", False), ("", False), (None, False)],
)
def test_who_has_a_file_open_for_writing(proc: Path, told: str | None, *, writes: bool) -> None:
    """As the kernel tells the descriptor's flags; where it does not, nobody is said to write."""
    file = proc / "index.lock"
    file.touch()
    folder = add(proc)
    for name in ("fd", "fdinfo"):
        (folder / name).mkdir()
    (folder / "fd/3").symlink_to(file)
    if told is not None:
        (folder / "fdinfo/3").write_text(f"pos:\t0\n{told}\n")
    found, known = look_at(7, offset=0.0), identity(file)
    assert found is not None
    assert known is not None
    assert may_write(found, "index.lock", known) is writes
    assert not may_write(found, "HEAD.lock", known)
    assert not may_write(found, "index.lock", (0, 0))


def test_what_cannot_be_reached_has_no_identity() -> None:
    """A path that leads nowhere, or is none, is nothing."""
    assert identity("/nowhere/at/all") is None
    assert identity("a\0b") is None


# ---------------------------------------------------------------- without /proc


def test_without_proc_holders_are_found_and_nothing_is_ruled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no /proc, our own processes are described all the same, and the sight has a gap."""
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    with (
        (tmp_path / "held").open("w") as file,
        running(
            *WAITING, pass_fds=(file.fileno(),), cwd=tmp_path, env={"PATH": os.environ["PATH"], "GIT_DIR": "x"}
        ) as process,
    ):
        monkeypatch.setattr(census, "PROC", tmp_path)
        found = take(0.0)
        assert found.gaps == ("this system does not show all processes (no /proc)",)
        assert not found.alone
        held = found.processes[process.pid]
        assert (held.parent, held.command, held.directory) == (os.getpid(), WAITING, str(tmp_path))
        assert held.environment == {"GIT_DIR": "x"}
        assert (file.fileno(), file.name) in (held.opened or ())
        assert held.file(file.fileno(), file.name) == file.name
        assert held.reach("a") == f"{tmp_path}/a"
        assert held.reach("/a") == "/a"
        assert zombie.pid not in found.processes
    zombie.wait(BOUND)
