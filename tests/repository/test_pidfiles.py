"""Git's own notes of who holds a lock, true and misleading ones."""

import os

from pathlib import Path

import pytest

from pytest_orxaq.model import Lock, LockKind
from pytest_orxaq.repository import pidfiles
from pytest_orxaq.repository.pidfiles import TOGETHER, PidFile, named_by, proves_death, read
from pytest_orxaq.system.census import Census, Seen


def lock_at(folder: Path, kind: LockKind = LockKind.INDEX) -> Lock:
    """An index's lock in a folder."""
    return Lock(path=f"{folder}/index.lock", kind=kind, target=f"{folder}/index", directory=str(folder))


def test_what_git_notes_is_read(tmp_path: Path) -> None:
    """One line with a number, in the file beside the lock; who owns it and when it was made belong to it."""
    path = tmp_path / "index~pid.lock"
    assert read(lock_at(tmp_path)) is None
    path.write_bytes(b"pid 4711\n")
    found = read(lock_at(tmp_path))
    assert found is not None
    assert (found.path, found.pid, found.owner) == (str(path), 4711, os.geteuid())


@pytest.mark.parametrize("content", [b"", b"pid 0\n", b"pid 12", b"pid -1\n", b"4711\n", b"pid 1\npid 2\n", b"x" * 99])
def test_what_git_does_not_write_says_nothing(tmp_path: Path, content: bytes) -> None:
    """Anything but that one line is no number."""
    (tmp_path / "index~pid.lock").write_bytes(content)
    found = read(lock_at(tmp_path))
    assert found is not None
    assert found.pid == 0


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe in its place is not waited for, and a path that leads nowhere is nothing to read."""
    os.mkfifo(tmp_path / "index~pid.lock")
    assert read(lock_at(tmp_path)) == PidFile(path=str(tmp_path / "index~pid.lock"))
    (tmp_path / "file").write_text("")
    odd = lock_at(tmp_path / "file")
    assert read(odd) == PidFile(path=f"{tmp_path}/file/index~pid.lock")


# ---------------------------------------------------------------- what it proves


BORN = 10**18
LOCK = lock_at(Path("/r/.git"))
FILE = PidFile(path="/r/.git/index~pid.lock", pid=77, owner=5, born_at=BORN + 10**6)


def census(*processes: Seen, **changed: object) -> Census:
    """The machine, all of it."""
    return Census(processes={seen.pid: seen for seen in processes}, **changed)  # type: ignore[arg-type]


def process(pid: int, *pids: int, name: str = "git") -> Seen:
    """A process with its numbers."""
    return Seen(pid=pid, parent=1, name=name, command=(name, "x"), started_at=0.0, pids=(pid, *pids))


def dead(file: PidFile = FILE, lock: Lock = LOCK, *, born_at: int | None = BORN, seen: Census | None = None) -> bool:
    """Whether the file proves that the lock is dead."""
    return proves_death(file, lock, lock_born_at=born_at, owner=5, census=seen or census())


def test_a_file_made_with_the_lock_by_somebody_who_is_gone_proves_it() -> None:
    """Nobody may have that number by now, whatever he is called: a git can be called anything."""
    assert dead()
    assert dead(seen=census(process(78)))
    assert not dead(seen=census(process(77, name="git.real"), process(78)))


def test_a_living_git_of_that_number_lives_in_whatever_namespace() -> None:
    """The number may be one that a container gave."""
    inside = process(500, 77)
    assert not dead(seen=census(process(77)))
    assert not dead(seen=census(inside))
    assert named_by(FILE, census(inside, process(78))) == (inside,)


@pytest.mark.parametrize(
    "file",
    [
        PidFile(path="x", pid=77, owner=5, born_at=BORN - 1),
        PidFile(path="x", pid=77, owner=5, born_at=BORN + int(TOGETHER * 1e9) + 1),
        PidFile(path="x", pid=77, owner=5, born_at=None),
        PidFile(path="x", pid=0, owner=5, born_at=BORN),
        PidFile(path="x", pid=77, owner=6, born_at=BORN),
    ],
    ids=["left by another git", "made long after", "of unknown age", "without a number", "of another user"],
)
def test_a_file_that_need_not_be_the_locks_proves_nothing(file: PidFile) -> None:
    """Old ones stay behind when only the lock is taken away, and keep the next holder from writing his own."""
    assert not dead(file)


def test_a_lock_of_unknown_age_has_no_file_of_its_own() -> None:
    """Without its birth it cannot be told whose the file is."""
    assert not dead(born_at=None)


@pytest.mark.parametrize("kind", [LockKind.MAINTENANCE, LockKind.SCHEDULE, LockKind.GC])
def test_a_lock_that_a_child_inherits_outlives_its_note(kind: LockKind) -> None:
    """Detached maintenance leaves the lock to a child; the file names the parent that is gone."""
    assert not dead(lock=lock_at(Path("/r/.git"), kind))


def test_who_does_not_see_everybody_cannot_tell() -> None:
    """In a container a number of outside is not found, and where processes are hidden neither."""
    assert not dead(seen=census(alone=False))
    assert not dead(seen=census(gaps=("hidden",)))


def test_the_name_is_gits() -> None:
    """The mark stands before the ending."""
    assert pidfiles.path_beside(LOCK) == "/r/.git/index~pid.lock"
