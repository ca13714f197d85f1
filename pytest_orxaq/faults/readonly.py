"""Trees to which nobody can write: by a read-only mount, by modes, or by the file system's own flag."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import UsageError
from ..system.process import ask
from . import choices
from .troubles import Faults


How = Literal["auto", "mount", "chmod", "immutable"]
WAYS: tuple[How, ...] = ("auto", "mount", "chmod", "immutable")
_KIND = "readonly_tree"
_REFUSALS = {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadOnly:
    """A tree that takes no writes until :meth:`undo`, or the end of the test."""

    path: Path
    how: How  # never "auto"
    errno: int  # what a writer gets: EROFS of a mount, EACCES of modes, EPERM of the flag
    undo: Callable[[], None] = field(repr=False)  # more than once does no harm


class ReadOnlyTrees:
    """Makes trees read-only, and writable again."""

    def __init__(self, faults: Faults, base: Path) -> None:
        """``base`` is the folder below which all tests of this run have theirs."""
        self._faults = faults
        self._base = base.resolve()

    def make(self, path: str | os.PathLike[str], *, how: How = "auto") -> ReadOnly:
        """Make a file or a folder with all that is in it read-only, and try whether it is.

        ``mount`` is the only way that stops root as well, and it takes root: a read-only bind mount, EROFS. ``chmod``
        takes the write bits away: EACCES, for everybody but root. ``immutable`` is the flag of chattr(1): EPERM, for
        root too; it takes root and a file system that has it. ``auto`` takes the first that works here.

        A way that a write goes through is none: the test is skipped, or fails where faults are required. Raises
        UsageError for a path that is not a test's.
        """
        choices.check(how, WAYS, "way to make a tree read-only")
        choices.path(path)
        tree = self._own(Path(path))
        reasons = []
        for way in WAYS[1:] if how == "auto" else (how,):
            undo, reason = _MAKERS[way](self._faults, tree)
            refusal = None if reason else _refusal(tree)
            if refusal is None:
                undo()
                reasons.append(f"{way}: {reason or 'a write went through, as it does for root'}")
                continue
            self._faults.stack.callback(undo)
            self._faults.on_heal(undo)
            self._faults.note(_KIND, "environment", f"by {way}")
            return ReadOnly(path=tree, how=way, errno=refusal, undo=undo)
        return self._faults.lacks(f"No tree can be made read-only here. {'; '.join(reasons)}.")

    def _own(self, path: Path) -> Path:
        """The path itself, resolved; only below the folders of tests and of the system's temporary files."""
        tree = path.resolve()
        places = (self._base, Path(tempfile.gettempdir()).resolve())
        if not any(place in tree.parents for place in places):
            raise UsageError(f"{path} is not in a test's folder: it is left as it is.", advice="Use tmp_path.")
        if not tree.exists():
            raise UsageError(f"There is no {path}.", advice="Make it first, with what it should have in it.")
        return tree


def _refusal(tree: Path) -> int | None:
    """The error that a write gets; None if it goes through."""
    try:
        if tree.is_dir():
            with tempfile.TemporaryFile(dir=tree):
                return None
        with tree.open("ab"):
            return None
    except OSError as error:
        return error.errno if error.errno in _REFUSALS else None


Made = tuple[Callable[[], None], str]  # how to undo it, and why it could not be made; empty if it could


def _by_mount(faults: Faults, tree: Path) -> Made:
    if shutil.which("mount") is None:
        return _nothing, "there is no mount(8)"
    faults.leftovers.mount(tree)
    reason = _said("mount", "--bind", str(tree), str(tree))
    if reason:
        return _nothing, reason
    mounted = [True]

    def undo() -> None:
        if mounted:
            mounted.clear()
            # Lazily: what a test left running may stand in it.
            _said("umount", "--lazy", str(tree))

    return undo, _said("mount", "-o", "remount,bind,ro", str(tree))


def _by_modes(faults: Faults, tree: Path) -> Made:
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in _all_of(tree)}
    for path in modes:
        faults.leftovers.mode(path)

    def undo() -> None:
        for path, mode in modes.items():
            with contextlib.suppress(OSError):  # it is gone, or was never ours to change
                path.chmod(mode)

    try:
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
    except OSError as error:
        return undo, f"{error.filename}: {error.strerror}"
    return undo, ""


def _by_flag(faults: Faults, tree: Path) -> Made:
    if shutil.which("chattr") is None:
        return _nothing, "there is no chattr(1)"
    faults.leftovers.flag(tree)

    def undo() -> None:
        _said("find", str(tree), "!", "-type", "l", "-exec", "chattr", "-i", "{}", "+")

    # Not by its own recursion: a link has no flags, and is an error for it.
    return undo, _said("find", str(tree), "!", "-type", "l", "-exec", "chattr", "+i", "{}", "+")


_MAKERS: dict[How, Callable[[Faults, Path], Made]] = {
    "mount": _by_mount,
    "chmod": _by_modes,
    "immutable": _by_flag,
}


def _nothing() -> None:
    """There is nothing to undo."""


def _all_of(tree: Path) -> Iterator[Path]:
    """The tree's files and folders, no links: a link has no mode, and its target is not of the tree."""
    yield tree
    for folder, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = Path(folder, name)
            if not path.is_symlink():
                yield path


def _said(*command: str) -> str:
    """What a tool said that failed; empty if it did not."""
    answer = ask(command, directory=Path("/"), environment=dict(os.environ))
    return "" if answer.code == 0 else os.fsdecode(answer.err or answer.out).strip() or f"{command[0]} failed"
