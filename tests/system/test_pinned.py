"""What the kernel tells of an open file."""

import fcntl
import os
import subprocess
import sys
import time

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_orxaq.system import pinned
from pytest_orxaq.system.pinned import born_at, is_unshared


BOUND = 60.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of ours."""
    made = tmp_path / "file"
    made.write_text("x")
    return made


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    """The same, open for reading."""
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def test_a_file_that_nobody_else_has_open_is_unshared(descriptor: int) -> None:
    """As often as it is asked, and although we have it open ourselves."""
    assert is_unshared(descriptor) is True
    assert is_unshared(descriptor) is True
    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
def test_a_file_that_another_has_open_is_shared(path: Path, descriptor: int, flags: int) -> None:
    """Whatever for, and until it is closed."""
    other = os.open(path, flags)
    assert is_unshared(descriptor) is False
    os.close(other)
    assert is_unshared(descriptor) is True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a PID namespace")
def test_a_namespace_hides_no_opener(path: Path, descriptor: int) -> None:
    """The lease knows of a process in another PID namespace, too."""
    script = f"exec 9< {path}; echo ready; read x"
    command = ["unshare", "-p", "-f", "--mount-proc", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            pytest.skip("no PID namespace can be made here")
        assert is_unshared(descriptor) is False
        process.communicate(b"\n", timeout=BOUND)
    assert is_unshared(descriptor) is True


def test_a_file_system_or_an_owner_that_refuses_tells_nothing() -> None:
    """Where there are no leases, the answer is None; it is not False."""
    reader, writer = os.pipe()
    assert is_unshared(reader) is None
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_another_users_file_tells_nothing(descriptor: int) -> None:
    """The kernel grants leases to the owner and to root only."""
    script = (
        "import os, sys\n"
        "from pytest_orxaq.system.pinned import is_unshared\n"
        "os.setresuid(65534, 65534, 65534)\n"
        "print(is_unshared(int(sys.argv[1])))\n"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", script, str(descriptor)]
    said = subprocess.run(
        command, pass_fds=(descriptor,), env=bare, cwd="/", capture_output=True, check=True, timeout=BOUND
    )
    assert said.stdout == b"None\n"


def test_asking_is_not_deadly(path: Path) -> None:
    """Somebody who opens the file while we have the lease makes the kernel send a signal, which is one that is ignored."""
    script = (
        "import fcntl, os, sys\n"
        "from pytest_orxaq.system import pinned\n"
        "descriptor = os.open(sys.argv[1], os.O_RDONLY)\n"
        "assert pinned.is_unshared(descriptor)\n"
        "pinned._take_lease(descriptor)\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(BlockingIOError):
            os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        process.communicate(b"\n", timeout=BOUND)
    assert process.returncode == 0  # and not that of a death by SIGIO


def test_without_leases_nothing_is_told(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no leases says so by None."""
    monkeypatch.delattr(fcntl, "F_SETLEASE")
    assert is_unshared(descriptor) is None


def test_when_a_file_was_made(tmp_path: Path) -> None:
    """Birth is not moved by what moves the other times."""
    path = tmp_path / "new"
    before = time.time_ns()
    path.write_text("")
    os.utime(path, (1, 1))
    with path.open() as file:
        found = born_at(file.fileno())
    if found is None:
        pytest.skip("this file system does not keep it")
    assert before - 10**8 <= found <= time.time_ns()


def test_a_birth_that_is_not_kept(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the system call, or for what has no birth, there is none; other systems tell it otherwise."""
    reader, writer = os.pipe()
    assert born_at(reader) is None
    os.close(reader)
    os.close(writer)

    class Library:
        """One without anything in it, or with a call that fails."""

    monkeypatch.setattr(pinned, "CDLL", lambda _: Library())
    assert born_at(descriptor) is None
    monkeypatch.setattr(Library, "statx", lambda *_: -1, raising=False)
    assert born_at(descriptor) is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", lambda _: type("Status", (), {"st_birthtime": 1.5}))
        found = born_at(descriptor)
    assert found == 1_500_000_000
