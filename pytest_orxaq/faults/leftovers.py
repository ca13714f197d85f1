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

from ..system import process


MARK = "ORXAQ_FAULTS"  # the variable with the marks, the innermost last
_ALIVE, _UNDO = "alive", "undo"


class Leftovers:
    """The notes of one process."""

    def __init__(self, top: Path) -> None:
        """``top`` is where the folders of all processes of this user stand."""
        self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=top))
        self._alive = os.open(self.folder / _ALIVE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._alive, fcntl.LOCK_EX)

    @property
    def mark(self) -> str:
        """What the processes bear that are started from here."""
        return self.folder.name

    def mode(self, path: Path) -> None:
        """Note the mode that a file or folder has now, before it is changed."""
        self._note("mode", str(path.absolute()), stat.S_IMODE(path.lstat().st_mode))

    def _note(self, *record: object) -> None:
        with (self.folder / _UNDO).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """All is undone: remove the folder."""
        os.close(self._alive)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def marked(self) -> Iterator[None]:
        """While this lasts, what is started bears the mark."""
        before = os.environ.get(MARK)
        os.environ[MARK] = os.pathsep.join(filter(None, (before, self.mark)))
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(MARK, None)
            else:
                os.environ[MARK] = before


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
            process.kill_bearers(MARK, folder.name)
            for path, mode in _modes(folder / _UNDO):
                with contextlib.suppress(OSError):
                    os.chmod(path, mode)
            shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder)
    return swept


def _modes(notes: Path) -> Iterator[tuple[str, int]]:
    """The modes noted, the latest first: what was changed twice had its own before the first change."""
    try:
        lines = notes.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in reversed(lines):
        match _read(line):
            case ["mode", str(path), int(mode)]:
                yield path, mode
            case _:
                continue


def _read(line: str) -> object:
    """A record; None of a line that was cut off when its writer died."""
    with contextlib.suppress(ValueError):
        return json.loads(line)
    return None
