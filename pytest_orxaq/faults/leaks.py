"""What a test must not leave behind: processes, threads, sockets, its folder, variables, git locks, marks on the real repository."""

import contextlib
import gc
import os
import pwd
import socket
import stat
import sys
import threading
import time

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..system import process
from .isolation import BLOCKING, LOCK_SUFFIX
from .leftovers import MARK


GRACE = 2.0  # seconds in which what is ending may end
# What pytest, its plugins and we change by ourselves.
_OURS = ("PYTEST_", MARK, "COV_", "COVERAGE_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What there is at a moment."""

    threads: frozenset[int]  # by identity: numbers of threads are given out anew
    sockets: frozenset[int]  # by inode
    directory: str
    variables: Mapping[str, str]
    repository: Mapping[str, object]  # the files of the real one, as the file system describes them

    @classmethod
    def take(cls, project: Path) -> "Snapshot":
        """What there is now; ``project`` is the folder of the tests' own project."""
        return cls(
            threads=frozenset(map(id, threading.enumerate())),
            sockets=frozenset(_sockets()),
            directory=_directory(),
            variables={name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
            repository=dict(_fingerprint(project)),
        )


class Watch:
    """Watches one test from before its first fixture until after its last one is undone."""

    def __init__(self, project: Path, tests: Path, mark: str, before: Snapshot | None) -> None:
        """``tests`` is the test's own folder. ``before`` is from where no fixture had begun, if there was the time."""
        self._project = project
        self._tests = tests
        self._mark = mark
        # A fixture of a wider scope may set what its end takes back, here or at the end of this test: both are right.
        self._allowed = [Snapshot.take(project), *([before] if before else [])]
        self._threads = frozenset(map(id, threading.enumerate()))
        self._locks = frozenset(_locks(tests))

    def leaks(self) -> list[str]:
        """What is left, in words. Processes are ended, folder and variables put right: later tests are not to suffer."""
        return [*self._processes(), *self._threads_left(), *self._sockets(), *self._place(), *self._files()]

    def _processes(self) -> Iterator[str]:
        left = _settled(lambda: process.bearers(MARK, self._mark))
        for leaked in left:
            yield f"process {leaked.pid}, {leaked.command!r}"
        process.end_bearers(MARK, self._mark)

    def _threads_left(self) -> Iterator[str]:
        known = self._threads.union(*(snapshot.threads for snapshot in self._allowed))
        for thread in _settled(lambda: [t for t in threading.enumerate() if id(t) not in known]):
            yield f"thread {thread.name!r}"

    def _sockets(self) -> Iterator[str]:
        known = frozenset[int]().union(*(snapshot.sockets for snapshot in self._allowed))

        def left() -> list[int]:
            found = {inode: descriptor for inode, descriptor in _sockets().items() if inode not in known}
            if found:
                gc.collect()  # one that nothing refers to any more is a ResourceWarning's business
            standing = _of_standing_loop()
            return [
                descriptor for inode, descriptor in _sockets().items() if inode in found and descriptor not in standing
            ]

        for descriptor in _settled(left):
            yield f"socket {_described(descriptor)}"

    def _place(self) -> Iterator[str]:
        now = Snapshot.take(self._project)
        before = self._allowed[-1]
        if now.directory not in {snapshot.directory for snapshot in self._allowed}:
            yield f"the working folder: it is {now.directory}, and was {before.directory}"
            with contextlib.suppress(FileNotFoundError):  # it may have been gone before
                os.chdir(before.directory)
        for name in sorted({*now.variables, *before.variables}):
            value = now.variables.get(name)
            if value not in {snapshot.variables.get(name) for snapshot in self._allowed}:
                yield f"the variable {name}: " + ("it is gone" if value is None else f"it is {value[:80]!r}")
                _set(name, before.variables.get(name))
        if now.repository not in [snapshot.repository for snapshot in self._allowed]:
            changed = sorted(
                name
                for name in {*now.repository, *before.repository}
                if now.repository.get(name) != before.repository.get(name)
            )
            yield f"changes in the repository of these tests, {self._project}: {', '.join(changed[:5])}"

    def _files(self) -> Iterator[str]:
        for path in sorted(frozenset(_locks(self._tests)) - self._locks):
            yield f"git lock {path}"


_Found = TypeVar("_Found")


def _settled(look: Callable[[], list[_Found]]) -> list[_Found]:
    """What there is; what is just ending is waited for."""
    until = time.monotonic() + GRACE
    while (found := look()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


# ---------------------------------------------------------------- looking


def _sockets() -> dict[int, int]:
    """The sockets of this process, by inode with their descriptors; none where the system does not tell."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # the one by which we list
                status = os.fstat(int(name))
                if stat.S_ISSOCK(status.st_mode):
                    found[status.st_ino] = int(name)
    return found


def _of_standing_loop() -> set[int]:
    """The descriptors of the loop that pytest-asyncio leaves standing in this thread with its first test.

    It asks for the thread's loop to put that back afterwards; where there is none, asyncio makes one for whoever asks.
    """
    if "pytest_asyncio" not in sys.modules or sys.version_info >= (3, 14):  # from there on asyncio makes none
        return set()
    import asyncio  # noqa: PLC0415 - it is there already

    policy = asyncio.get_event_loop_policy()  # type: ignore[deprecated]
    loop = getattr(getattr(policy, "_local", None), "_loop", None)
    ends = (getattr(loop, name, None) for name in ("_ssock", "_csock"))  # by which other threads wake it up
    return {end.fileno() for end in ends if end is not None}


def _described(descriptor: int) -> str:
    """A socket in words."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            ends = [found.getsockname()]
            with contextlib.suppress(OSError):
                ends.append(found.getpeername())
    except OSError:
        return f"at descriptor {descriptor}"
    return f"{found.family.name} {' to '.join(str(end) or 'unnamed' for end in ends)}"


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "a folder that is gone"


def _locks(tests: Path) -> Iterator[Path]:
    """The git locks in a test's repositories."""
    for folder, _, names in os.walk(tests):
        if "HEAD" in names or ".git" in Path(folder).parts:
            yield from (Path(folder, name) for name in names if name.endswith(LOCK_SUFFIX) or name in BLOCKING)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


# What a command writes that thinks it is in a repository of its own. Not what a fetch in the background may write, and
# not the index, which even `git status` does.
_MARKED = ("HEAD", "config", "config.worktree", "hooks", "refs/heads", "refs/stash", "worktrees", "modules")
_SETTINGS = (".gitconfig", ".config/git/config", ".git-credentials")


def _fingerprint(project: Path) -> Iterator[tuple[str, object]]:
    """The real repository's files, and the user's settings of git, each with size and time."""
    with contextlib.suppress(KeyError):  # a user that only the container knows has no home
        yield from _status(Path(pwd.getpwuid(os.getuid()).pw_dir), _SETTINGS)
    for top in (project, *project.parents):
        if os.path.lexists(top / ".git"):
            yield from _status(_git_folder(top / ".git"), _MARKED)
            return


def _git_folder(path: Path) -> Path:
    """Where git keeps what all work trees share, from what stands in one of them."""
    if path.is_file():  # of a linked work tree or a submodule
        path = path.parent / path.read_text(encoding="utf-8", errors="surrogateescape").partition("gitdir:")[2].strip()
    common = path / "commondir"
    return path / common.read_text(encoding="utf-8").strip() if common.is_file() else path


def _status(top: Path, names: Iterable[str]) -> Iterator[tuple[str, object]]:
    for name in names:
        for folder, folders, files in _walk(top / name):
            if name in {"worktrees", "modules"}:
                folders.clear()  # which there are; they have a life of their own
            for path in (folder / file for file in files):
                with contextlib.suppress(OSError):
                    found = path.lstat()
                    yield str(path), (found.st_size, found.st_mtime_ns)


def _walk(path: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    if os.path.isdir(path):  # unlike Path's, no error where we may not look: another's home, as some users have
        for folder, folders, files in os.walk(path):
            yield Path(folder), folders, [*files, *folders]
    else:
        yield path.parent, [], [path.name]
