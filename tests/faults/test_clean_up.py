"""Nothing is left of a test in which every fixture has made its trouble, however it ends; of one that is killed, when the next run has begun."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.faults.fixtures import _FIXTURES
from pytest_orxaq.faults.leftovers import MARK
from pytest_orxaq.system import process


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has every fault")

SAMPLE = Path(__file__).with_name("all_at_once.py")
PYTEST = [sys.executable, "-m", "pytest", "-s", "-p", "no:randomly", "-p", "no:cacheprovider"]


def listening() -> set[int]:
    """The ports of this machine at which somebody listens. To bind one tells less: connections that are over keep it for a while."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    return {int(words[1].rpartition(":")[2], 16) for words in lines if words[3] == "0A"}


def in_use(port: int) -> str:
    """Why nobody can have the port; empty if one can."""
    with socket.socket() as mine:
        try:
            mine.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror or "in use"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A project with the one test, and a folder for temporary files that is its own."""

    top: Path
    temporary: Path

    @property
    def environment(self) -> dict[str, str]:
        """Of its runs."""
        return {**os.environ, "TMPDIR": str(self.temporary)}

    @property
    def made(self) -> dict[str, Any]:
        """What the test had made when it was ended."""
        found: dict[str, Any] = json.loads((self.top / "made.json").read_text())
        return found

    def start(self, end: str) -> subprocess.Popen[bytes]:
        """Begin the test that ends so."""
        (self.top / "made.json").unlink(missing_ok=True)
        command = [*PYTEST, "-x", "--basetemp=tmp", "test_all.py"]
        with (self.top / "said").open("wb") as said:
            environment = self.environment | {"SAMPLE_END": end}
            return subprocess.Popen(
                command, cwd=self.top, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )

    def next_run(self) -> None:
        """A test that makes no trouble but has faults."""
        command = [*PYTEST, "--basetemp=tmp2", "test_next.py"]
        subprocess.run(command, cwd=self.top, env=self.environment, check=True, timeout=120, stdout=subprocess.DEVNULL)

    def left(self) -> list[str]:
        """What is still there of it, in words."""
        return [*self._processes(), *self._ports(), *self._trees(), *self._notes()]

    def _processes(self) -> Iterator[str]:
        for mark in self.made["marks"]:
            yield from (f"process {found.pid}, {found.command}" for found in process.bearers(MARK, mark))

    def _ports(self) -> Iterator[str]:
        for port in self.made["ports"]:
            if port in listening():
                yield f"a server at port {port}"
        until = time.monotonic() + 10
        while reason := in_use(self.made["refused"]):
            # Somebody else's connection may have been given the number for a moment; what is left keeps it for good.
            if time.monotonic() > until:
                yield f"port {self.made['refused']}: {reason}"
                break

    def _trees(self) -> Iterator[str]:
        mounts = Path("/proc/self/mounts").read_text()
        for name, mode in self.made["trees"].items():
            tree = Path(name)
            if tree.stat().st_mode & 0o7777 != mode:
                yield f"mode of {tree}"
            if name in mounts:
                yield f"mount {tree}"
            try:
                (tree / "new").touch()
            except OSError as error:
                yield f"{tree}: {error.strerror}"

    def _notes(self) -> Iterator[str]:
        """In the folder for temporary files; the empty folder for notes may stay."""
        yield from (f"file {path}" for path in self.temporary.glob("*/*"))
        yield from (f"file {path}" for path in self.temporary.iterdir() if not path.name.startswith("orxaq-faults-"))


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    """The project; whatever a test of this file leaves is ended, should it fail."""
    made = Sample(top=tmp_path / "sample", temporary=tmp_path / "temporary")
    made.top.mkdir()
    made.temporary.mkdir()
    shutil.copy(SAMPLE, made.top / "test_all.py")
    (made.top / "test_next.py").write_text("def test_next(faults): pass\n")
    (made.top / "pytest.ini").write_text("[pytest]\n")
    os.mkfifo(made.top / "ready")
    yield made
    with contextlib.suppress(FileNotFoundError):
        for mark in made.made["marks"]:
            process.end_bearers(MARK, mark)


def test_it_has_every_fixture() -> None:
    """None is left out, nor one that comes later."""
    text = SAMPLE.read_text(encoding="utf-8")
    assert {name for name in _FIXTURES if f"    {name}: " in text or f'"{name}"' in text} == _FIXTURES


@pytest.mark.parametrize(("end", "code"), [("failure", 1), ("interruption", 2)])
def test_what_pytest_ends(sample: Sample, end: str, code: int) -> None:
    """After a failure with -x and after Ctrl-C all is undone at once; no lock of git is left in its repositories either."""
    with sample.start(end) as run:
        assert run.wait(120) == code, (sample.top / "said").read_text()
    assert sample.made["ports"]
    assert sample.left() == []
    names = ("*.lock", "packed-refs.new", "gc.pid")
    assert [path for name in names for path in (sample.top / "tmp").rglob(name)] == []


@pytest.mark.parametrize(("end", "code"), [("exit", 7), ("timeout", 1)])
def test_what_ends_without_pytest(sample: Sample, end: str, code: int) -> None:
    """Of a process that leaves all at once, as with pytest-timeout's last means, the next run undoes what is left."""
    with sample.start(end) as run:
        assert run.wait(120) == code, (sample.top / "said").read_text()
    assert sample.left() != []
    sample.next_run()
    assert sample.left() == []


@pytest.mark.parametrize("place", ["killed_process", "interrupted_run", "crash_sweep", "full_disk"])
def test_what_is_killed(sample: Sample, place: str) -> None:
    """Wherever the test stood when it got SIGKILL, with all of its troubles there, the next run undoes them."""
    ready = os.open(sample.top / "ready", os.O_RDWR | os.O_CLOEXEC)  # a pipe that has a writer never ends
    with contextlib.closing(os.fdopen(ready, "rb", buffering=0)), sample.start(place) as run:
        found = select.select([ready], [], [], 120)[0]
        run.send_signal(signal.SIGKILL)
        assert found, (sample.top / "said").read_text()
        assert run.wait(120) == -signal.SIGKILL
    assert sample.left() != []
    sample.next_run()
    assert sample.left() == []
