"""Tests that use every fixture that makes trouble, for projects of their own: copied there, and run under other circumstances.

Each is one that a user might have, and has to leave nothing behind. Where a fault cannot be made, the test is skipped.
"""

import asyncio
import contextlib
import errno
import http.client
import itertools
import os
import signal
import subprocess
import time
import unittest

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.faults import GIT_503, Faults, FaultServer, FullDisk, Ok, OnCommand, OnOutput, Status


Make = Callable[..., Any]
NEVER = "mkfifo never; exec 3<>never; read -r _ <&3"  # nobody writes to its own pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def git(folder: Path, *words: str) -> int:
    """How a git ended that knows nothing of any of this."""
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, timeout=60, check=False).returncode


def asked(port: int) -> tuple[int, bytes]:
    """What a server on this machine answers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read()


# ---------------------------------------------------------------- every fixture


def test_isolated_git(isolated_git: Make) -> None:
    """What is committed stands in the repository that was made, whatever variables of git's there are outside."""
    repo = isolated_git()
    (repo.path / "file").write_text("x")
    assert git(repo.path, "add", "file") == 0
    assert git(repo.path, "commit", "-qm", "file") == 0
    top = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=repo.path, capture_output=True, check=True)
    assert os.fsdecode(top.stdout).strip() == str(repo.path.resolve())
    assert repo("rev-list", "--count", "HEAD").stdout == "2\n"


def test_stale_git_lock(isolated_git: Make, stale_git_lock: Make) -> None:
    """A git that was killed is in the way, until its lock is taken away."""
    repo = isolated_git()
    lock = stale_git_lock(repo)
    (repo.path / "file").write_text("x")
    assert git(repo.path, "add", "file") == 128
    lock.path.unlink()
    assert git(repo.path, "add", "file") == 0


def test_live_git_lock(isolated_git: Make, live_git_lock: Make) -> None:
    """A git that works is in the way, until it ends."""
    repo = isolated_git()
    lock = live_git_lock(repo)
    assert git(repo.path, "reset", "--hard") == 128
    lock.release()
    assert git(repo.path, "reset", "--hard") == 0


def test_flaky_command(isolated_git: Make, flaky_command: Make) -> None:
    """It fails as it was told, and is the real one again."""
    repo = isolated_git()
    flaky = flaky_command("git", plan=GIT_503, match=["status"])
    assert git(repo.path, "status")
    assert git(repo.path, "status") == 0
    assert (len(flaky.calls), flaky.failures) == (2, 1)


def test_transient_failures(transient_failures: Make) -> None:
    """A call fails once."""
    flaky = transient_failures("ECONNRESET", wraps=lambda: "done")
    with pytest.raises(ConnectionResetError):
        flaky()
    assert flaky() == "done"


def test_fault_server(fault_server: FaultServer) -> None:
    """It answers as it was told."""
    fault_server.script(Status(503), then=Ok("content"))
    assert asked(fault_server.port)[0] == 503
    assert asked(fault_server.port) == (200, b"content")


def test_refused_port(refused_port: int) -> None:
    """Nobody listens there."""
    with pytest.raises(ConnectionRefusedError):
        asked(refused_port)


def test_virtual_clock(virtual_clock: Make) -> None:
    """An hour is over at once, with asyncio too."""
    clock = virtual_clock(limit=8000)
    time.sleep(3600)
    asyncio.run(asyncio.sleep(3600))
    assert round(clock.slept) == 7200


def test_merge_conflict(merge_conflict: Make) -> None:
    """It is a real one."""
    conflict = merge_conflict()
    assert git(conflict.path, "commit", "-qm", "x")
    conflict.abort()
    assert conflict("status", "--porcelain").stdout == ""


def test_git_remote(git_remote: Make) -> None:
    """Somebody was quicker."""
    remote = git_remote("race", times=1, url_alias="https://github.com/org/project")
    remote.clone.commit("mine")
    assert git(remote.clone.path, "push", "-q", "origin", "main")
    assert git(remote.clone.path, "pull", "-q", "--rebase", "origin", "main") == 0
    assert git(remote.clone.path, "push", "-q", "origin", "main") == 0


def test_full_file(full_disk: FullDisk, tmp_path: Path) -> None:
    """There is no room in a file."""
    with pytest.raises(OSError, match="No space left"):
        full_disk.file.write_text("x")
    with full_disk.quota(10), pytest.raises(OSError, match="too large"):
        (tmp_path / "file").write_text("x" * 100)


def test_full_disk(full_disk: FullDisk) -> None:
    """There is no room on a disk."""
    ran = full_disk.run(["sh", "-c", "head -c 300000 /dev/zero >big"], size="64k")
    assert "No space left" in ran.stderr


def test_readonly_tree(readonly_tree: Make, tmp_path: Path) -> None:
    """Nobody writes there."""
    tree = tmp_path / "tree"
    tree.mkdir()
    made = readonly_tree(tree)
    assert made.errno in {errno.EROFS, errno.EACCES, errno.EPERM}
    with pytest.raises(OSError, match=os.strerror(made.errno)):
        (tree / "file").touch()


def test_killed_process(killed_process: Make, isolated_git: Make) -> None:
    """It dies at its word, or in its second git."""
    repo = isolated_git()
    done = killed_process(["sh", "-c", f"echo ready; {NEVER}"], when=OnOutput("ready"), cwd=repo.path)
    assert done.returncode == -signal.SIGKILL
    killed_process(["sh", "-c", "git tag one && git tag two"], when=OnCommand("git", 2), cwd=repo.path)
    assert repo("tag").stdout == "one\n"


def test_interrupted_run(interrupted_run: Make, tmp_path: Path) -> None:
    """A run of pytest within this one ends as by Ctrl-C."""
    words = "import signal\ndef test_one():\n    print('slow', flush=True)\n    signal.pause()\n"
    (tmp_path / "test_slow.py").write_text(words)
    run = interrupted_run(["pytest", "-s", "-p", "no:cacheprovider"], at=OnOutput("slow"), cwd=tmp_path)
    assert run.returncode == 2


def test_crash_sweep(crash_sweep: Make, isolated_git: Make) -> None:
    """What takes away the lock that it may have left goes through when it is run again, wherever it was killed."""
    numbers = itertools.count()
    points = crash_sweep(
        ["sh", "-c", "rm -f .git/refs/tags/one.lock; git tag -f one"],
        setup=lambda: isolated_git(f"repo{next(numbers)}").path,
        check=lambda path, _: git(path, "rev-parse", "-q", "--verify", "one") and pytest.fail("there is no tag"),
        phases=("before", "during", "after"),
    )
    assert len(points) == 3


# ---------------------------------------------------------------- unittest


class TestOfUnittest(unittest.TestCase):
    """Fixtures reach these through an automatic fixture of the user's own."""

    @pytest.fixture(autouse=True)
    def _given(self, faults: Faults, isolated_git: Make, stale_git_lock: Make, flaky_command: Make) -> None:
        self.faults, self.repo = faults, isolated_git()
        self.lock, self.flaky = stale_git_lock(self.repo), flaky_command("git", plan=GIT_503, match=["status"])

    def test_lock_and_command(self) -> None:
        """Both are in the way, and both are gone after the quiet."""
        assert git(self.repo.path, "reset", "--hard") == 128
        assert git(self.repo.path, "status")
        self.faults.heal()
        assert git(self.repo.path, "reset", "--hard") == 0

    @pytest.mark.usefixtures("refused_port")
    def test_named_only(self) -> None:
        """A fixture that is not called by hand makes its trouble all the same."""
        assert git(self.repo.path, "status")
        assert "refused_port" in {event.kind for event in self.faults.log}
