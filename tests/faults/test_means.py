"""What the locks are made with: files known again, and processes stopped between two system calls."""

import os
import subprocess
import sys
import time

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pytest_orxaq.faults import stepping
from pytest_orxaq.faults.holders import comes_to_be
from pytest_orxaq.faults.identity import Identity
from pytest_orxaq.faults.isolation import Git


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's tracing and /proc")


def soon() -> float:
    """The end of a wait that should be short."""
    return time.monotonic() + 30


# ---------------------------------------------------------------- identity


def test_a_file_is_itself_and_no_other(tmp_path: Path) -> None:
    """Whatever is done to a file it stays itself, and another one in its place is another, were it a copy to the last bit."""
    path = tmp_path / "file"
    path.write_text("content")
    first = Identity.of(path)
    path.write_text("other")
    path.chmod(0o400)
    os.utime(path, (1, 1))
    path.rename(tmp_path / "moved")
    assert first is not None
    assert Identity.of(tmp_path / "moved") == first
    assert Identity.of(path) is None
    path.symlink_to("moved")
    assert Identity.of(path) != first


def test_a_file_system_that_tells_no_birth(tmp_path: Path) -> None:
    """There the last change of the content stands in for it."""
    assert Identity.of(Path("/proc/self/status")) is not None
    found = Identity.of(Path("/proc/sys/kernel/ostype"))
    assert found is not None
    assert found.born_at == Path("/proc/sys/kernel/ostype").lstat().st_mtime_ns
    assert Identity.of(tmp_path / "none") is None


# ---------------------------------------------------------------- stopping


@pytest.fixture
def gated() -> Iterator[Callable[[str], tuple[int, Callable[[], object]]]]:
    """Start a shell script that waits for a word; its number, and how to say the word."""
    with_pipes: list[tuple[subprocess.Popen[bytes], int]] = []

    def start(script: str) -> tuple[int, Callable[[], object]]:
        read, write = os.pipe()
        child = subprocess.Popen(["sh", "-c", f"read -r _ </dev/fd/{read}; {script}"], pass_fds=(read,))
        os.close(read)
        with_pipes.append((child, write))
        return child.pid, partial(os.write, write, b"go\n")

    yield start
    for child, write in with_pipes:
        child.kill()
        child.wait()
        os.close(write)


Start = Callable[[str], tuple[int, Callable[[], object]]]


def state(pid: int) -> str:
    """The state of a process, and of what traces it."""
    lines = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return f"{lines['State'][0]} {lines['TracerPid']}"


def test_stopped_where_something_is_so(gated: Start, tmp_path: Path) -> None:
    """It stands still right behind the call that made it so, traced by nobody; signals of its own reach it before."""
    pid, go = gated(f"trap 'echo heard >{tmp_path}/heard' USR1; kill -USR1 $$; : >{tmp_path}/a; : >{tmp_path}/b")
    assert stepping.stop_when(pid, (tmp_path / "a").exists, go=go, until=soon())
    assert state(pid) == "T 0"
    assert (tmp_path / "heard").exists()
    assert not (tmp_path / "b").exists()


def test_it_may_end_before(gated: Start, tmp_path: Path) -> None:
    """A process that ends without it is not stopped, and can be reaped as ever."""
    pid, go = gated("exit 3")
    assert not stepping.stop_when(pid, (tmp_path / "a").exists, go=go, until=soon())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, os.WNOHANG)[1]) == 3


def test_time_may_be_over(gated: Start, tmp_path: Path) -> None:
    """Nobody waits longer than told, neither for the first stop nor for a later one."""
    pid, go = gated("exec sleep 60")
    assert not stepping.stop_when(pid, (tmp_path / "a").exists, go=go, until=time.monotonic() - 1)
    pid, go = gated("exec sleep 60")
    assert not stepping.stop_when(pid, (tmp_path / "a").exists, go=go, until=time.monotonic() + 0.2)


def test_only_linux_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems it says so, and does nothing."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(stepping.Untraceable, match="on darwin"):
        stepping.stop_when(os.getpid(), lambda: True, go=lambda: None, until=0)


def test_a_process_that_is_gone_cannot_be_traced() -> None:
    """The kernel's reason is passed on."""
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(stepping.Untraceable, match=r"cannot be traced here: No such process"):
        stepping.stop_when(child.pid, lambda: True, go=lambda: None, until=soon())


# ---------------------------------------------------------------- others


def test_a_file_that_comes_to_be(tmp_path: Path) -> None:
    """It is waited for while it can come, and while there is time."""
    path = tmp_path / "file"
    assert not comes_to_be(path, soon(), lambda: False)
    assert not comes_to_be(path, time.monotonic() - 1, lambda: True)

    def possible() -> bool:
        path.touch()
        return True

    assert comes_to_be(path, soon(), possible)


def test_pid_files_of_a_git_that_writes_them(
    isolated_git: Callable[..., Git],
    stale_git_lock: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A git that can write them is asked to; what it leaves undone is done by hand."""
    repo = isolated_git()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    newer = tmp_path / "newer" / "git"
    newer.parent.mkdir()
    newer.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo git version 2.54.0 && exit\nexec {real} "$@"\n')
    newer.chmod(0o700)
    monkeypatch.setenv("PATH", f"{newer.parent}:{os.environ['PATH']}")
    lock = stale_git_lock(repo, "index", pid_file=True)
    assert "git -c core.lockfilePid=true add" in str(lock)
    assert {path.name for path in repo.locks()} == {"index.lock", "index~pid.lock"}
