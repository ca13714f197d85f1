"""What a killed test run leaves, and the next one undoes: processes, modes of files, its own notes."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_orxaq.faults.leftovers import MARK, begin, sweep
from pytest_orxaq.system import process


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the system's for this test alone; where the notes stand in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"orxaq-faults-{os.getuid()}"


@pytest.fixture
def killed(top: Path) -> Iterator[Callable[[str], str]]:
    """Run Python that makes trouble and is killed; what it said."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str) -> str:
        head = "import os, subprocess, sys, tempfile\nfrom pathlib import Path\nfrom pytest_orxaq.faults import leftovers\n"
        head += f"tempfile.tempdir = {str(top.parent)!r}\nleft = leftovers.begin()\n"
        child = subprocess.Popen(
            [sys.executable, "-c", f"{head}{code}\nprint(flush=True)\nsys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        assert child.stdout is not None
        said = child.stdout.readline()
        child.kill()
        child.wait()
        return said

    yield run
    for child in started:
        for stream in (child.stdin, child.stdout):
            assert stream is not None
            stream.close()


def test_what_a_killed_run_left_is_undone(killed: Callable[[str], str], top: Path, tmp_path: Path) -> None:
    """Its processes end, also in sessions of their own; its files have the modes back that they had at first; its notes go."""
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o750)
    said = killed(
        f"tree = Path({str(tree)!r})\nleft.mode(tree); tree.chmod(0o500); left.mode(tree); tree.chmod(0)\n"
        "with left.marked('t'): child = subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=2)\n"
        "print(left.mark, child.pid, end='')"
    )
    mark, pid = said.split()
    assert [found.pid for found in process.bearers(MARK, mark)] == [int(pid)]
    assert sweep(top) == [top / mark]
    assert not process.bearers(MARK, mark)
    assert tree.stat().st_mode & 0o777 == 0o750
    assert not list(top.iterdir())


def test_what_lives_is_spared(top: Path) -> None:
    """Notes of a living process are not touched, nor are its processes; at its own end it leaves nothing."""
    own = begin()
    with own.marked("t"), subprocess.Popen(["sleep", "600"]) as child:
        try:
            assert sweep(top) == []
            assert child.pid in [found.pid for found in process.bearers(MARK, own.mark)]
        finally:
            child.send_signal(signal.SIGKILL)
    assert own.folder.is_dir()
    own.close()
    assert not list(top.iterdir())


def test_marks_are_listed(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is started within a marked process bears both marks; afterwards the variable is what it was."""
    monkeypatch.delenv(MARK, raising=False)
    outer, inner = begin(), begin()
    with outer.marked("t"), inner.marked("u"):
        assert os.environ[MARK].split(os.pathsep) == [outer.mark, "t", inner.mark, "u"]
        with subprocess.Popen(["sleep", "600"]) as child:
            for mark in (outer.mark, inner.mark):
                assert [(found.pid, found.command) for found in process.bearers(MARK, mark)] == [
                    (child.pid, "sleep 600")
                ]
            assert process.bearers(MARK, outer.mark[:-1]) == []
            assert process.end_bearers(MARK, outer.mark) == []
    assert MARK not in os.environ
    assert top.is_dir()


@pytest.mark.parametrize("notes", [b"", b'["mode", "/nowhere", 448]\n["mo', b"\xff\xfe\n[]\n7\n", None])
def test_notes_that_say_nothing(top: Path, notes: bytes | None) -> None:
    """Cut off, garbled, of files that are gone or not there at all: what can be undone is, and the folder goes."""
    folder = top / "run-dead"
    folder.mkdir(parents=True)
    (folder / "alive").touch()
    if notes is not None:
        (folder / "undo").write_bytes(notes)
    assert sweep(top) == [folder]
    assert not folder.exists()


def test_a_folder_that_another_made(tmp_path: Path, top: Path) -> None:
    """Where somebody was there first with a link, another folder is taken."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    top.symlink_to(elsewhere)
    left = begin()
    assert left.folder.parent != top
    assert not list(elsewhere.iterdir())
    left.close()


def test_what_does_not_die_at_once(top: Path) -> None:
    """What a marked process has started ends too, and what will not end when it is asked to is killed."""
    own = begin()
    fork = "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor _ in range(8):\n    if os.fork() == 0: os.setsid()\nsignal.pause()"
    with own.marked("t"), subprocess.Popen([sys.executable, "-c", fork]) as child:
        until = time.monotonic() + 30
        while len(process.bearers(MARK, own.mark)) < 3:
            assert time.monotonic() < until
        assert process.end_bearers(MARK, own.mark) == []
        assert child.wait(30) == -signal.SIGKILL
    own.close()
    assert not list(top.iterdir())


def test_a_sweeper_that_comes_too_soon(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is swept before it holds its lock begins anew, and is spared from then on."""
    lock = fcntl.flock
    swept: list[Path] = []

    def late(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not swept:
            swept.extend(sweep(top))
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    left = begin()
    assert len(swept) == 1
    assert not swept[0].exists()
    assert left.folder.is_dir()
    assert not sweep(top)
    left.mode(top)
    left.close()
