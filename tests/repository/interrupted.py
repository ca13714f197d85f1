"""Kill a release, a restoration or a repair before each thing that it does, and look at what repair makes of it.

Usage: python interrupted.py SCENARIO FOLDER QUARANTINE   (run by test_quarantine)
"""

import ctypes  # noqa: F401 - so that the children do not have to load it
import errno
import os
import signal
import subprocess
import sys
import time

from collections.abc import Callable
from pathlib import Path

from pytest_orxaq.core.locknames import pid_file_of
from pytest_orxaq.model import Judgement, Lock, LockKind, LockState, Proof, Recovery, Signals
from pytest_orxaq.repository.quarantine import release, repair, restore
from pytest_orxaq.system import exchange


DEEDS = {
    *("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.utime"),
    *("ctypes.dlsym", "subprocess.Popen"),
}
DEAD = Judgement(state=LockState.DEAD, why="it was made for this", proof=Proof.OWN_DEATH)
STALE = b"the lock that is dead"
NOTE = b"pid 4194305\n"


def kill_before(number: int) -> None:
    """Have this process killed right before its n-th deed."""
    left = number

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in DEEDS or writes:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def at(event: str, path: Path, deed: Callable[[], object]) -> None:
    """Have something done in this process right before a file is touched, once."""
    waiting = True

    def hook(now: str, arguments: tuple[object, ...]) -> None:
        nonlocal waiting
        if waiting and now == event and os.fspath(arguments[0]) == str(path):  # type: ignore[call-overload]
            waiting = False
            deed()

    sys.addaudithook(hook)


def died(work: Callable[[], object], number: int) -> bool:
    """Whether a child that does this work is killed before its n-th deed; if not, it has come to its end."""
    child = os.fork()
    if child == 0:
        kill_before(number)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - a child never goes on as its parent
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status == 0 or os.WIFSIGNALED(status), f"the child failed before deed {number}"
    return os.WIFSIGNALED(status)


class Scene:
    """A repository with one dead lock."""

    def __init__(self, folder: Path, quarantine: Path, *, kind: LockKind) -> None:
        self.git = folder / ".git"
        self.quarantine = quarantine
        self.index = (self.git / "index").read_bytes()
        target = self.git / ("index" if kind is LockKind.INDEX else "refs/heads/new")
        self.lock = Lock(path=f"{target}.lock", kind=kind, target=str(target), directory=str(self.git))
        self.path = Path(self.lock.path)
        self.note = Path(pid_file_of(self.lock.path))
        self.spare = folder / "spare"
        self.replace = self.refuse = False

    def set(self) -> None:
        """Make the lock anew, with nothing of the last time around it."""
        self.path.unlink(missing_ok=True)
        for kept in self.quarantine.glob("*/*"):
            kept.unlink()
        for kept in self.quarantine.glob("*"):
            kept.rmdir()
        for place in (self.path, self.spare):
            place.write_bytes(STALE)
        self.note.write_bytes(NOTE)

    def release(self) -> Recovery:
        """Release the lock."""
        pinned = os.open(self.path, os.O_RDONLY)
        signals = Signals(lock=self.lock, snapshot=None)
        return release(
            *(self.lock, signals, DEAD),
            pinned=pinned,
            quarantine=self.quarantine,
            recheck=self.recheck,
            now=time.time(),
        )

    def recheck(self) -> bool:
        """Say that nothing has changed, even if another lock has just taken the place."""
        if self.replace:
            self.spare.replace(self.path)
        return not self.refuse

    def see_the_note_go_first(self) -> None:
        """When the name of the lock is freed, git's note of its holder must be gone."""
        assert not self.note.exists()

    def take(self) -> None:
        """Be somebody who takes the name at the very last moment."""
        self.path.rmdir()
        self.path.write_bytes(b"alive")

    def restore(self) -> None:
        """Put the lock back."""
        restore(self.kept()[0], quarantine=self.quarantine)

    def repair(self) -> None:
        """Mend."""
        repair(self.quarantine)

    def kept(self) -> list[str]:
        """The ids of locks that are kept."""
        return [path.parent.name for path in self.quarantine.glob("*/lock")]

    def check(self) -> bool:
        """Look at the state after a repair; whether the lock is in its place."""
        assert repair(self.quarantine) == ()
        kept = self.kept()
        there = os.path.lexists(self.path)
        assert there + len(kept) == 1, "the lock is lost, or there are two"
        assert not any(name.startswith(".") for name in os.listdir(self.quarantine))
        assert not any(name.startswith(".orxaq") for name in os.listdir(self.path.parent))
        place, note = (self.path, self.note) if there else self.places(kept[0])
        assert place.read_bytes() == STALE
        assert note.read_bytes() == NOTE
        assert self.note.exists() == there
        assert (self.git / "index").read_bytes() == self.index
        return there

    def places(self, id: str) -> tuple[Path, Path]:
        """Where a kept lock and its note are."""
        return self.quarantine / id / "lock", self.quarantine / id / "pid"


def sweep(scene: Scene, before: Callable[[], object], work: Callable[[], object], *, through: bool = True) -> set[bool]:
    """Kill the work before each of its deeds; where the lock was after the repairs. ``through``: repair at once."""
    ends = set()
    kills = 0
    while True:
        scene.set()
        before()
        if not died(work, kills):
            break
        kills += 1
        if through:
            repair(scene.quarantine)
        else:
            again = 0
            while died(scene.repair, again):
                again += 1
        ends.add(scene.check())
    assert kills > 10
    return ends


def main(scenario: str, folder: Path, quarantine: Path) -> None:
    """Play one scenario."""
    moved = scenario.startswith("move")
    scene = Scene(folder, quarantine, kind=LockKind.REF if moved else LockKind.INDEX)
    scene.replace = scenario.endswith("replaced")
    scene.refuse = scenario.endswith("refused")
    if scenario == "unsupported":
        exchange._exchange = lambda *_: errno.EINVAL
    if scenario == "move":
        at("os.rename", scene.path, scene.see_the_note_go_first)
    if scenario == "late":
        at("os.rmdir", scene.path, scene.take)
        scene.set()
        assert scene.release().released
        assert len(scene.kept()) == 1
        assert scene.path.read_bytes() == b"alive"
    elif scenario == "restore":
        assert sweep(scene, scene.release, scene.restore) == {True, False}
    elif scenario == "repair":
        assert sweep(scene, lambda: None, scene.release, through=False) == {True, False}
    else:
        only_there = scene.replace or scene.refuse
        assert sweep(scene, lambda: None, scene.release) == ({True} if only_there else {True, False})
    subprocess.run(["git", "fsck"], cwd=folder, check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
