"""One release of a dead lock: each step written down before it is done, so that a kill at any moment can be mended.

The name of the lock is held to the end. Its place is taken, in one step, by an **empty folder**: a git that is alive
after all can neither rename a folder over the file that it guards, nor read an index from it, nor remove it as its
own. It fails loudly, and nothing is lost; with a copy of the guarded file in that place it would succeed, with old
content. Others find the name taken. And when the name is freed at last, only an empty folder can be removed: never
the lock of somebody who came in between.

Where the guarded file does not exist, git *could* rename a folder into its place, and where the file system knows no
exchange, there is no such step. There the lock itself is renamed: a git that lives finds nothing to rename, and fails.

No way of freeing a name is harmless to a ``git commit -a`` that lives and waits in its hook: it reads the index from
the lock afterwards, finds none, and commits an empty tree. That is why only a lock that was judged dead comes here.
"""

import contextlib
import errno
import json
import os
import stat
import time

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from ..core.locknames import pid_file_of
from ..core.records import SCHEMA, from_data, to_data
from ..model import Judgement, Lock, Signals
from ..system.exchange import Unsupported, exchange, give_name
from ..system.state import read_json, write_atomically
from .indexes import alarm_after
from .places import text_of


class Step(StrEnum):
    """How far a release has come; written down before the step is done."""

    BEGUN = "begun"
    EXCHANGING = "exchanging"  # the lock with our folder
    MOVING = "moving"  # the lock, where it cannot be exchanged
    CHECKING = "checking"  # the right file is out: git's note goes, the index is looked at
    FREEING = "freeing"  # all is well: the name is freed, and the lock is kept
    RELEASED = "released"
    RESTORING = "restoring"
    RESTORED = "restored"


_OVER = {Step.RELEASED, Step.RESTORED}

ANOTHER = "Another lock has taken its place."
_CHANGED = "Something has changed since it was judged."
_GONE = "It is gone: somebody was alive to remove it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One release, as it is written down."""

    id: str
    at: float  # Unix time
    lock: Lock
    judgement: Judgement
    signals: Signals
    beside: str  # a name beside the lock: first of our folder, then of the lock itself
    mode: int  # of the lock, with its permissions
    folder: tuple[int, ...] = ()  # device and inode of ours
    steps: tuple[tuple[Step, float], ...] = ()  # with the Unix time of each

    @property
    def step(self) -> Step:
        """The last step."""
        return self.steps[-1][0]


class Case:
    """A release and its folder, which is hidden by a dot while it is under way."""

    def __init__(self, root: Path, name: str, record: Record) -> None:
        self.record = record
        self._root = root
        self._name = name
        self._path = Path(record.lock.path)
        self._beside = Path(record.beside)
        self._pid_file = Path(pid_file_of(record.lock.path))
        self._note = text_of(self._pid_file)

    @classmethod
    def begun(cls, lock: Lock, signals: Signals, judgement: Judgement, *, mode: int, root: Path, now: float) -> Self:
        """Make the folder, and write down what is going to be done."""
        id = f"{stamp(now)}-{os.urandom(2).hex()}"
        record = Record(
            id=id,
            at=now,
            lock=lock,
            judgement=judgement,
            signals=signals,
            beside=os.path.join(os.path.dirname(lock.path), f".orxaq-{id}"),
            mode=mode,
        )
        case = cls(root, f".{id}", record)
        case._folder.mkdir(parents=True, mode=0o700)
        case._folder.chmod(0o700)  # whatever the umask took away
        case._to(Step.BEGUN)
        return case

    @classmethod
    def read(cls, root: Path, name: str, note: Callable[[str], object]) -> Self | None:
        """The release in a folder of ``root``; None, with a note, if there is no saying what it is."""
        data = read_json(root / name / "record.json", schema=SCHEMA, note=note)
        try:
            record = from_data(Record, data)
        except ValueError:
            record = None
        if record is not None and record.steps:
            return cls(root, name, record)
        if all(each.startswith(".record.json.") for each in names_in(root / name)):
            _delete(root / name)  # killed before the first step was written down
        else:
            note(f"{root / name} cannot be read: look into it, and move what it holds to where it belongs.")
        return None

    @property
    def _folder(self) -> Path:
        return self._root / self._name

    @property
    def _kept(self) -> Path:
        return self._folder / "lock"

    def _to(self, step: Step) -> None:
        """Write down a step that is going to be done, or that it is over."""
        self.record = replace(self.record, steps=(*self.record.steps, (step, time.time())))
        if step is Step.RESTORING:
            self._rename(f".{self.record.id}")
        data = {"schema": SCHEMA, **to_data(self.record, exact=True)}
        write_atomically(self._folder / "record.json", json.dumps(data, indent=1).encode(), durable=True)
        if step in _OVER:
            self._rename(self.record.id)

    def _rename(self, name: str) -> None:
        self._folder.rename(self._root / name)
        self._name = name

    def forget(self) -> None:
        """Delete all that is kept of a release that is over; of any other, nothing."""
        if self.record.step in _OVER and self._name == self.record.id:
            _delete(self._folder)

    # ---------------------------------------------------------------- out

    def take_out(self, pinned: int, recheck: Callable[[], bool]) -> str:
        """Take the lock out of its place. If it has to be put back, why, in a sentence: then settle."""
        try:
            if _is_file(self.record.lock.target):
                with contextlib.suppress(Unsupported):
                    return self._exchange(pinned, recheck)
                self._beside.rmdir()
            return self._move(pinned, recheck)
        except FileNotFoundError as error:
            if error.filename != str(self._path):
                raise
            return _GONE

    def _exchange(self, pinned: int, recheck: Callable[[], bool]) -> str:
        self._beside.mkdir(mode=0o700)
        status = self._beside.lstat()
        self.record = replace(self.record, folder=(status.st_dev, status.st_ino))
        self._to(Step.EXCHANGING)
        if not recheck():
            return _CHANGED
        exchange(self._path, self._beside)
        return self._check() if is_same(self._beside, pinned) else ANOTHER

    def _move(self, pinned: int, recheck: Callable[[], bool]) -> str:
        self._to(Step.MOVING)
        if not recheck():
            return _CHANGED
        if not is_same(self._path, pinned):
            return ANOTHER
        # Before the name is free: the next holder could not write its own, and would be told dead by this one.
        self._keep_note()
        self._path.rename(self._beside)
        return self._check() if is_same(self._beside, pinned) else ANOTHER

    def _check(self) -> str:
        self._to(Step.CHECKING)
        self._keep_note()
        alarm = alarm_after(self.record.lock)
        if alarm:
            return alarm
        self._to(Step.FREEING)
        self._finish()
        return ""

    def _keep_note(self) -> None:
        """Take git's note of the holder away, if it is the one that was there when the lock was judged."""
        if self._note and text_of(self._pid_file) == self._note:
            _carry(self._pid_file, self._folder / "pid")

    def _finish(self) -> None:
        if self._is_ours(self._path):
            # Whatever else may have come there by now is no folder, and stays.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._path.rmdir()
        if os.path.lexists(self._beside):
            _carry(self._beside, self._kept)
        self._to(Step.RELEASED)

    # ---------------------------------------------------------------- back

    def put_back(self) -> bool:
        """Put the kept lock back in its place; False if that is taken."""
        self._to(Step.RESTORING)
        source = self._kept
        if self._folder.stat().st_dev != self._path.parent.stat().st_dev:
            _copy(source, self._beside, mode=self.record.mode)
            source = self._beside
        back = give_name(source, self._path)
        self._end_restoration(back=back)
        return back

    def _end_restoration(self, *, back: bool) -> None:
        # In this order: of two copies that have no name in common, nobody could tell later that they are one lock.
        if back:
            self._kept.unlink(missing_ok=True)
        self._beside.unlink(missing_ok=True)
        if back:
            self._return_note()
        self._to(Step.RESTORED if back else Step.RELEASED)

    def _is_back(self) -> bool:
        """Whether an interrupted restoration had come to the point where the lock has its name."""
        return not self._kept.exists() or any(_is_one(each, self._path) for each in (self._beside, self._kept))

    def _undone(self) -> bool:
        """Have the lock in its place again, whatever the state; False if its name is somebody else's by now."""
        if os.path.lexists(self._beside) and not self._is_ours(self._beside):
            if self._is_ours(self._path):
                exchange(self._path, self._beside)
            elif give_name(self._beside, self._path):
                self._beside.unlink(missing_ok=True)
            else:
                return False
        with contextlib.suppress(FileNotFoundError):
            self._beside.rmdir()
        self._return_note()
        return True

    def _return_note(self) -> None:
        note, beside = self._folder / "pid", Path(f"{self._beside}-pid")
        # A note is not worth failing for, and one that is there belongs to somebody else.
        with contextlib.suppress(OSError):
            _copy(note, beside, mode=note.stat().st_mode)
            give_name(beside, self._pid_file)
            beside.unlink(missing_ok=True)
            note.unlink()

    def _is_ours(self, place: Path) -> bool:
        """Whether a name is our folder's."""
        try:
            status = place.lstat()
        except FileNotFoundError:
            return False
        # Before the first exchange, what has the name that we chose is ours, even if there was no time to note it.
        known = self.record.folder or (place == self._beside and (status.st_dev, status.st_ino))
        return stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) == known

    # ---------------------------------------------------------------- either way

    def settled(self) -> str:
        """Bring what is half done to an end, one way or the other; a sentence if that could not be the right one."""
        try:
            return self._settled()
        except OSError as error:
            return f"It is half done, and goes on the next time: {told(error)}."

    def _settled(self) -> str:
        step = self.record.step
        if step is Step.FREEING:
            self._finish()
        elif step is Step.RESTORING:
            self._end_restoration(back=self._is_back())
        elif step in _OVER:
            if self._name != self.record.id:  # killed before the folder was shown
                self._rename(self.record.id)
        elif self._undone():
            _delete(self._folder)
        else:
            self._finish()
            return f"Another lock has its name by now; this one is kept as {self.record.id}."
        return ""

    def mended(self) -> str:
        """Settle a release that was interrupted; what came of it, in sentences."""
        over = self.record.step in _OVER
        said = self.settled()
        if not said and over:
            return ""
        if not said:
            kept = self.record.step is Step.RELEASED
            said = f"It is kept as {self.record.id}." if kept else "It is in its place again."
        return f"The release or restoration of {self._path} was interrupted. {said}"


# ---------------------------------------------------------------- folders of releases


def stamp(at: float) -> str:
    """A moment of Unix time as the beginning of an id: ids sort by time."""
    whole, part = divmod(int(at * 1e6), 1_000_000)
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(whole)) + f"{part:06d}"


def told(error: Exception) -> str:
    """What went wrong and where, in words."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror} ({error.filename})"
    return str(error)


def names_in(folder: Path) -> list[str]:
    """What is in a folder, sorted; nothing if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _delete(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for name in names_in(folder):
            (folder / name).unlink()
        folder.rmdir()


# ---------------------------------------------------------------- files


def is_same(path: str | Path, descriptor: int) -> bool:
    """Whether a name is that of an open file."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def _is_file(path: str) -> bool:
    """Whether something is there over which no folder can be renamed."""
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_one(path: Path, other: Path) -> bool:
    try:
        return os.path.samestat(path.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def _carry(source: Path, target: Path) -> None:
    """Move a file, also from one file system to another; at no moment is it nowhere."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target, mode=0o600)
        source.unlink()


def _copy(source: Path, target: Path, *, mode: int) -> None:
    status = source.lstat()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(descriptor)
        os.fchmod(descriptor, stat.S_IMODE(mode))
        os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
