"""Git locks made on purpose: stale ones, of a git that was killed, and live ones, of a git that is held."""

import difflib
import os
import shutil
import socket
import threading
import time

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import pytest

from ..errors import RepositoryError, UsageError
from ..system.process import ask
from .holders import Holder, a_dead_pid
from .identity import Identity
from .isolation import LOCK_SUFFIX, Git, Isolation
from .recipes import KINDS, LockKind, Recipe, Size, recipe
from .stepping import Untraceable


OLDEST_GIT = (2, 31)  # learned then to be told settings by its environment
PID_FILES = (2, 54)  # writes them then, if asked
SIZED: tuple[LockKind, ...] = ("index", "worktree-index", "submodule-index")  # empty in `git add`, full in a commit


# ---------------------------------------------------------------- handle


@dataclass(slots=True, kw_only=True, eq=False)
class GitLock:
    """A lock that stands in git's way, until :meth:`release` or the end of the test."""

    kind: LockKind
    path: Path  # the lock that the kind is named after
    paths: tuple[Path, ...]  # all that stands in the way, `path` first
    live: bool
    organic: bool  # made by a real git; not written by hand
    where: Path  # the work tree in which git was started
    command: str = ""  # of that git
    pid: int | None = None  # of the holder, of a live one
    dead_pid: int | None = None  # of the maker, of a stale one
    damage: str = field(default="", repr=False)  # what was done to a live lock, for the one who has to read it
    _made: dict[Path, Identity | None] = field(
        default_factory=dict, repr=False
    )  # all that goes with it, as it was made
    _holder: Holder | None = field(default=None, repr=False)
    _timer: threading.Timer | None = field(default=None, repr=False)
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def held(self) -> bool:
        """Whether all of it still is what was made, and the holder of a live one lives."""
        holder = self._holder
        return not self._changed() and (holder is not None and holder.alive if self.live else bool(self._made))

    def release(self) -> None:
        """Have the holder give up, or take the stale lock away; nothing else has changed. Once is enough.

        What somebody else has put in its place stays.
        """
        if self._timer is not None:
            self._timer.cancel()
        with self._mutex:
            if self._holder is not None:
                self.damage = self._accusation(self._holder, self._changed())
                self._holder.release()
                self._holder = None
            # pid files first: one that outlives its lock speaks ill of the next holder.
            for path in sorted(self._made, key=lambda path: "~pid" not in path.name):
                if self._made[path] is not None and Identity.of(path) == self._made[path]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            self._made.clear()

    def _changed(self) -> list[Path]:
        return [path for path in self.paths if path in self._made and Identity.of(path) != self._made[path]]

    def _accusation(self, holder: Holder, changed: Iterable[Path]) -> str:
        """What was done to the lock under its living holder, as sentences; empty if nothing was."""
        deeds = {path: "replaced" if os.path.lexists(path) else "removed" for path in changed}
        if not deeds:
            return ""
        told = " ".join(f"The live lock {path} was {deed}." for path, deed in deeds.items())
        fate = "was alive all the time" if holder.alive else "was ended from outside"
        return (
            f"{told} Its holder, {holder.command!r} (process {holder.pid}), {fate}. "
            "What does this in earnest corrupts or loses somebody's work; allow_removal=True says that it is meant."
        )


# ---------------------------------------------------------------- making


class Locks:
    """Makes locks, and undoes them."""

    def __init__(self, isolation: Isolation, project: Path) -> None:
        """``project`` is the folder of the tests' own project: its repository is not to be touched."""
        self._isolation = isolation
        self._project = project
        self._stack = ExitStack()
        self._made: list[GitLock] = []
        self._count = 0

    def stale(
        self,
        repo: Git | Path | str,
        kind: LockKind = "index",
        *,
        age: float | None = 3600.0,
        organic: bool = True,
        size: Size | None = None,
        pid_file: bool = False,
    ) -> GitLock:
        """A lock whose holder is dead. It is gone after the test, if it is still the same.

        ``organic``: a real git came to hold it and was killed with SIGKILL; else only ``path`` is written, by hand.
        ``age``: seconds since its content changed, as file times tell; None leaves them. The time of the last change
        of its inode cannot be set: what goes by that sees a new lock.
        ``size``: of an index's lock; by hand of any. ``pid_file``: with git's own files beside it that name the dead
        process, in the form of git 2.54, also where git is older.

        Raises UsageError for what there is not, with the choices; skips where git is missing or too old.
        """
        _check(kind, size, organic=organic)
        version, room = self._begin()
        wanted = recipe(kind, size, self._adopt(repo), room)
        if pid_file and not wanted.lock.name.endswith(LOCK_SUFFIX):
            raise UsageError(f"{wanted.lock.name} is no lock file by name: git writes no pid file for it.")
        if pid_file and version >= PID_FILES:
            wanted = replace(wanted, command=("git", "-c", "core.lockfilePid=true", *wanted.command[1:]))
        lock = self._killed(kind, wanted, room) if organic else self._written(kind, wanted, room, size)
        if pid_file:
            lock.paths = _with_pid_files(lock)
        return self._finish(lock, wanted, age)

    def live(
        self,
        repo: Git | Path | str,
        kind: LockKind = "index-hook",
        *,
        hold: float | None = None,
        age: float | None = None,
        allow_removal: bool = False,
    ) -> GitLock:
        """A lock whose holder, a real git in a session of its own, is alive until release, ``hold`` seconds, or the end.

        Removing or replacing it fails the test, unless ``allow_removal``. ``age`` as for a stale one.

        Raises UsageError for what there is not, with the choices; skips where git is missing or too old.
        """
        _check(kind, None, organic=True)
        _, room = self._begin()
        wanted = recipe(kind, None, self._adopt(repo), room)
        before = set(wanted.where.locks())
        holder = self._hold(wanted, room)
        self._stack.callback(holder.kill)
        lock = GitLock(
            kind=kind,
            path=wanted.lock,
            paths=_in_order(wanted, before),
            live=True,
            organic=True,
            where=wanted.where.path,
            command=holder.command,
            pid=holder.pid,
            _holder=holder,
        )
        self._finish(lock, wanted, age)
        if not allow_removal:
            self._made.append(lock)
        if hold is not None:
            self._release_after(lock, hold)
        return lock

    def undo(self) -> list[str]:
        """Release everything; what was done to live locks."""
        self._stack.close()
        return [lock.damage for lock in self._made if lock.damage]

    def _begin(self) -> tuple[tuple[int, ...], Path]:
        """git's version, and a new room for a recipe's programs."""
        version = require_git()
        self._count += 1
        room = self._isolation.room / f"lock{self._count}"
        room.mkdir()
        self._stack.callback(shutil.rmtree, room)
        return version, room

    def _adopt(self, repo: Git | Path | str) -> Git:
        """A repository that is not the tests' own. Raises RepositoryError if it is none."""
        if isinstance(repo, Git):
            return repo
        adopted = Git(Path(repo), self._isolation.env)
        if _common(adopted) is None:
            raise RepositoryError(f"{repo} is no git repository.")
        without_ceiling = {k: v for k, v in self._isolation.env.items() if k != "GIT_CEILING_DIRECTORIES"}
        if _common(Git(self._project, without_ceiling)) == adopted.common:
            raise RepositoryError(f"{repo} is the repository of these tests: no trouble is made there.")
        return adopted

    def _hold(self, wanted: Recipe, room: Path) -> Holder:
        try:
            return Holder(wanted, room)
        except Untraceable as reason:
            pytest.skip(f"A git that holds {wanted.lock.name} cannot be made: {reason}.")
        finally:
            for path in wanted.scaffold:
                path.unlink(missing_ok=True)

    def _killed(self, kind: LockKind, wanted: Recipe, room: Path) -> GitLock:
        """What a git leaves that is killed while it holds the lock."""
        before = set(wanted.where.locks())
        holder = self._hold(wanted, room)
        holder.kill()
        return GitLock(
            kind=kind,
            path=wanted.lock,
            paths=_in_order(wanted, before),
            live=False,
            organic=True,
            where=wanted.where.path,
            command=holder.command,
            dead_pid=holder.pid,
        )

    def _written(self, kind: LockKind, wanted: Recipe, room: Path, size: Size | None) -> GitLock:
        """The lock's file alone, written by hand."""
        for path in wanted.scaffold:
            path.unlink()
        dead = a_dead_pid(room, self._isolation.env)
        wanted.lock.parent.mkdir(parents=True, exist_ok=True)
        guarded = wanted.lock.with_name(wanted.lock.name.removesuffix(LOCK_SUFFIX).removesuffix(".new"))
        content = guarded.read_bytes() if size == "full" and guarded.is_file() else b""
        if kind == "gc.pid":
            content = f"{dead} {socket.gethostname()}".encode()
        with wanted.lock.open("xb") as file:
            file.write(content)
        return GitLock(
            kind=kind,
            path=wanted.lock,
            paths=(wanted.lock,),
            live=False,
            organic=False,
            where=wanted.where.path,
            dead_pid=dead,
        )

    def _finish(self, lock: GitLock, wanted: Recipe, age: float | None) -> GitLock:
        """Let the lock be of an age, and remember what it is."""
        if age is not None:
            moment = time.time() - age
            for path in lock.paths:
                os.utime(path, (moment, moment))
        lock._made = {path: Identity.of(path) for path in (*lock.paths, *wanted.left_over)}  # noqa: SLF001
        self._stack.callback(lock.release)
        self._let_time_pass(lock)
        return lock

    def _let_time_pass(self, lock: GitLock) -> None:
        """Wait until a file born now is younger than the lock: times of files go by the tick, and inodes are reused at once."""
        newest = max(path.lstat().st_ctime_ns for path in lock.paths)
        probe = self._isolation.room / "probe"
        until = time.monotonic() + 1
        probe.touch()
        while probe.stat().st_ctime_ns <= newest and time.monotonic() < until:
            os.utime(probe)

    def _release_after(self, lock: GitLock, seconds: float) -> None:
        timer = threading.Timer(seconds, lock.release)
        timer.daemon = True
        lock._timer = timer  # noqa: SLF001
        self._stack.callback(timer.join)
        self._stack.callback(timer.cancel)  # runs first
        timer.start()


def _check(kind: str, size: str | None, *, organic: bool) -> None:
    """Raise UsageError for a kind or size that there is not."""
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, 1, 0.5)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"There is no kind of lock {kind!r}.{meant}", advice=f"The kinds: {', '.join(KINDS)}.")
    if size not in {None, "empty", "full"}:
        raise UsageError(f"There is no size {size!r}.", advice="The sizes: empty, full; None is what git makes of it.")
    if size is not None and organic and kind not in SIZED:
        advice = f"Those of {', '.join(SIZED)} come in both; organic=False writes others."
        raise UsageError(f"The size of git's own lock of kind {kind!r} cannot be chosen.", advice=advice)


def _in_order(wanted: Recipe, before: set[Path]) -> tuple[Path, ...]:
    """The locks that are new, the one that the kind is named after first."""
    return (wanted.lock, *(path for path in wanted.where.locks() if path not in before | {wanted.lock}))


def _with_pid_files(lock: GitLock) -> tuple[Path, ...]:
    """All that stands in the way, once git's pid files are there too."""
    made = []
    for path in lock.paths:
        beside = path.with_name(f"{path.name.removesuffix(LOCK_SUFFIX)}~pid{LOCK_SUFFIX}")
        if path.name.endswith(LOCK_SUFFIX) and "~pid" not in path.name and not beside.exists():
            beside.write_text(f"pid {lock.dead_pid}\n", encoding="ascii")
            made.append(beside)
    return (*lock.paths, *made)


def _common(repo: Git) -> Path | None:
    """git's folder of a repository; None if it is none."""
    if not repo.path.is_dir() or repo("rev-parse", "--git-dir", check=False).returncode:
        return None
    return repo.common


# ---------------------------------------------------------------- git


def require_git() -> tuple[int, ...]:
    """git's version; skips the test where git is missing or too old."""
    if shutil.which("git") is None:
        pytest.skip("There is no git on this machine.")
    version = _version(shutil.which("git") or "")
    if version < OLDEST_GIT:
        pytest.skip(f"git is too old: {'.'.join(map(str, version))}, and {'.'.join(map(str, OLDEST_GIT))} is needed.")
    return version


@lru_cache
def _version(git: str) -> tuple[int, ...]:
    words = os.fsdecode(ask((git, "version"), directory=Path("/"), environment=None).out).split()
    return tuple(int(part) for part in words[2].split(".")[:2])
