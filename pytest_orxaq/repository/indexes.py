"""Whether git's index is whole, and what a commit of it would do."""

import errno
import os
import stat

from pathlib import Path

from ..core.indexfile import fault_of
from ..errors import OrxaqError
from ..model import Lock, LockKind
from .commands import git


def alarm_after(lock: Lock) -> str:
    """Why work must not go on once this lock is away, in sentences; empty if it may, or the lock guards no index."""
    if lock.kind not in _OF_AN_INDEX:
        return ""
    path = Path(lock.target if lock.kind is LockKind.INDEX else os.path.join(lock.directory, "index"))
    try:
        fault = fault_of(_content(path))
    except FileNotFoundError:
        fault = ""
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    if fault:
        return (
            f"The index {path} {fault}; the lock stays, since it keeps everybody from committing that. {_remedy(path)}"
        )
    return _asked(Path(lock.directory), path)


def _content(path: Path) -> bytes:
    """Raises OSError for what would keep us waiting, with the lock's place taken: a pipe, or more than can be read."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no plain file")
    if found.st_size > _LARGEST:
        raise OSError(errno.EFBIG, "it is larger than any of git's")
    # What became a pipe meanwhile has an end at once.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read(_LARGEST)


_LARGEST = 1 << 30  # bytes


_OF_AN_INDEX = {LockKind.INDEX, LockKind.PARTIAL_INDEX, LockKind.STASH_INDEX}


def _asked(folder: Path, index: Path) -> str:
    # The folder stands for the work tree, which may be gone: none of this looks into it.
    here = ("--git-dir=.", "--work-tree=.")
    try:
        entries = git(folder, *here, "ls-files", "-z")
        if entries.code != 0:
            said = entries.err.decode(errors="replace").strip().partition("\n")[0]
            return f"Git cannot read the index {index}: {said or 'it does not say why'}."
        if entries.out:
            return ""
        size = git(folder, *here, "cat-file", "-s", "HEAD^{tree}")
    except OrxaqError as error:
        return f"Git cannot be asked about the index {index}: {error.what}."
    if size.code != 0 or size.out.strip() == b"0":  # no commit yet, or one without files
        return ""
    return (
        f"The index {index} is empty while the last commit is not: the next commit would delete every file. "
        f"The lock stays, since it keeps everybody from that. {_remedy(index)}"
    )


def _remedy(index: Path) -> str:
    """How to make the index anew in spite of the lock."""
    return f"Make the index anew: GIT_INDEX_FILE={index}.new git read-tree HEAD && mv {index}.new {index}"
