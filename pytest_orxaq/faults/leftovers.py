"""What would be left if this process were killed now, noted where the next one that makes trouble finds and undoes it.

Each process that makes trouble has a folder of its own under the system's temporary one, and holds a lock on it as long
as it lives. Processes that are started meanwhile bear its mark. Whoever comes next and gets the lock of a folder knows
that its process is gone: it ends what bears the mark, gives files their modes back, and removes the folder.
"""

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile

from collections.abc import Iterator
from pathlib import Path

from ..errors import MachineError
from ..system import process


MARK = "ORXAQ_FAULTS"  # the variable with the marks, the innermost last
_ALIVE, _UNDO = "alive", "undo"


class Leftovers:
    """The notes of one process."""

    def __init__(self, top: Path) -> None:
        """``top`` is where the folders of all processes of this user stand."""
        self.folder, self._alive = _begun(top)
        # Open from the beginning: a test may become another user, who could not open it.
        self._undo = os.open(self.folder / _UNDO, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)

    @property
    def mark(self) -> str:
        """What the processes bear that are started from here."""
        return self.folder.name

    def mode(self, path: Path) -> None:
        """Note the mode that a file or folder has now, before it is changed."""
        self._note("mode", str(path.absolute()), stat.S_IMODE(path.lstat().st_mode))

    def mount(self, path: Path) -> None:
        """Note a folder over which something is about to be mounted."""
        self._note("mount", str(path.absolute()))

    def flag(self, path: Path) -> None:
        """Note a tree that is about to be made immutable."""
        self._note("flag", str(path.absolute()))

    def _note(self, *record: object) -> None:
        os.write(self._undo, json.dumps(record).encode() + b"\n")

    def close(self) -> None:
        """All is undone: end what was started and still runs, and remove the folder, for nobody else would know of it then.

        A test that was interrupted may have left something: of it pytest does not ask what ``no_leaks`` would find.
        """
        process.end_bearers(MARK, self.mark)
        for descriptor in (self._undo, self._alive):
            os.close(descriptor)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def marked(self, own: str) -> Iterator[None]:
        """While this lasts, what is started bears the mark of all, and one of its own."""
        before = os.environ.get(MARK)
        os.environ[MARK] = os.pathsep.join(filter(None, (before, self.mark, own)))
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(MARK, None)
            else:
                os.environ[MARK] = before


def _begun(top: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=top))
        alive = os.open(folder / _ALIVE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
        # Whoever swept before we had the lock took us for dead, and was done with it when we got it.
        if (folder / _ALIVE).exists():
            return folder, alive
        os.close(alive)


def begin() -> Leftovers:
    """New notes; first, what dead processes left is undone."""
    top = Path(tempfile.gettempdir()) / f"orxaq-faults-{os.getuid()}"
    top.mkdir(mode=0o700, exist_ok=True)
    if top.is_symlink() or top.stat().st_uid != os.getuid():
        # Somebody else was there first, in a folder that all may write to.
        top = Path(tempfile.mkdtemp(prefix="orxaq-faults-"))
    sweep(top)
    return Leftovers(top)


def sweep(top: Path) -> list[Path]:
    """Undo what dead processes left; their folders, which are gone then."""
    swept = []
    for folder in sorted(top.glob("run-*")):
        with contextlib.ExitStack() as stack:
            try:
                alive = os.open(folder / _ALIVE, os.O_RDWR | os.O_CLOEXEC)
                stack.callback(os.close, alive)
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # it lives, or begins to, or somebody else sweeps it
                continue
            process.end_bearers(MARK, folder.name)
            for record in _records(folder / _UNDO):
                _undo(record)
            shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder)
    return swept


def _records(notes: Path) -> Iterator[object]:
    """What was noted, the latest first: a file whose mode was changed twice had its own before the first change."""
    try:
        lines = notes.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in reversed(lines):
        with contextlib.suppress(ValueError):  # a line that was cut off when its writer died
            yield json.loads(line)


def _undo(record: object) -> None:
    """Undo what a record says, if it still is so. What cannot be undone must not keep the tests from running."""
    with contextlib.suppress(OSError, MachineError):
        match record:
            case ["mode", str(path), int(mode)]:
                os.chmod(path, mode)
            case ["mount", str(path)]:
                process.ask(("umount", "--lazy", path), directory=Path("/"), environment=None)
            case ["flag", str(path)] if os.path.lexists(path):
                process.ask(
                    ("find", path, "!", "-type", "l", "-exec", "chattr", "-i", "{}", "+"),
                    directory=Path("/"),
                    environment=None,
                )
            case _:
                pass
