"""Git locks made on purpose: stale ones, of a git that was killed, and live ones, of a git that is held."""

import os
import shutil
import socket
import time

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ..errors import RepositoryError, UsageError
from ..system.process import ask
from . import choices
from .handles import GitLock, Grip
from .holders import Holder, a_dead_pid
from .identity import Identity
from .isolation import LOCK_SUFFIX, Git, Isolation
from .recipes import KINDS, LockKind, Recipe, Size, recipe
from .shim import ASIDE
from .stepping import Untraceable
from .troubles import Faults


OLDEST_GIT = (2, 31)  # learned then to be told settings by its environment
PID_FILES = (2, 54)  # writes them then, if asked
SIZED: tuple[LockKind, ...] = ("index", "worktree-index", "submodule-index")  # empty in `git add`, full in a commit


# ---------------------------------------------------------------- making


class Locks:
    """Makes locks, and undoes them."""

    def __init__(self, faults: Faults, isolation: Isolation, project: Path) -> None:
        """``project`` is the folder of the tests' own project: its repository is not to be touched."""
        self._faults = faults
        self._isolation = isolation
        self._project = project

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
        take_back = self._operation(wanted)
        if pid_file and not wanted.lock.name.endswith(LOCK_SUFFIX):
            raise UsageError(f"{wanted.lock.name} is no lock file by name: git writes no pid file for it.")
        if pid_file and version >= PID_FILES:
            wanted = replace(wanted, command=("git", "-c", "core.lockfilePid=true", *wanted.command[1:]))
        paths, dead = self._killed(wanted, room) if organic else self._written(wanted, room, full=size == "full")
        if pid_file:
            paths = _with_pid_files(paths, dead)
        self._faults.note("stale_git_lock", "stale-state", kind)
        return GitLock(
            kind=kind,
            path=wanted.lock,
            paths=paths,
            live=False,
            organic=organic,
            where=wanted.where.path,
            command=" ".join(wanted.command) if organic else "",
            dead_pid=dead,
            grip=self._grip(paths, age, None, take_back),
        )

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
        take_back = self._operation(wanted)
        before = set(wanted.where.locks())
        holder = self._hold(wanted, room)
        self._faults.stack.callback(holder.kill)
        paths = _in_order(wanted, before)
        grip = self._grip(paths, age, holder, take_back, allow_removal=allow_removal)
        if hold is not None:
            grip.release_after(hold)
        self._faults.note("live_git_lock", "live-contention", kind)
        return GitLock(
            kind=kind,
            path=wanted.lock,
            paths=paths,
            live=True,
            organic=True,
            where=wanted.where.path,
            command=holder.command,
            pid=holder.pid,
            grip=grip,
        )

    def _begin(self) -> tuple[tuple[int, ...], Path]:
        """git's version, and a new room for a recipe's programs."""
        version = require_git(self._faults)
        room = self._isolation.new_room()
        self._faults.stack.callback(shutil.rmtree, room, ignore_errors=True)  # a test may have removed it
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
            self._faults.lacks(f"A git that holds {wanted.lock.name} cannot be made: {reason}.")
        finally:
            for path in wanted.scaffold:
                path.unlink(missing_ok=True)

    def _killed(self, wanted: Recipe, room: Path) -> tuple[tuple[Path, ...], int]:
        """What a git leaves that is killed while it holds the lock, and the number that it had."""
        before = set(wanted.where.locks())
        holder = self._hold(wanted, room)
        holder.kill()
        return _in_order(wanted, before), holder.pid

    def _written(self, wanted: Recipe, room: Path, *, full: bool) -> tuple[tuple[Path, ...], int]:
        """The lock's file alone, written by hand, and the number of a process that was."""
        for path in wanted.scaffold:
            path.unlink()
        dead = a_dead_pid(room, self._isolation.env)
        lock = wanted.lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        guarded = lock.with_name(lock.name.removesuffix(LOCK_SUFFIX).removesuffix(".new"))
        content = guarded.read_bytes() if full and guarded.is_file() else b""
        if lock.name == "gc.pid":
            content = f"{dead} {socket.gethostname()}".encode()
        with lock.open("xb") as file:
            file.write(content)
        return (lock,), dead

    def _operation(self, wanted: Recipe) -> Callable[[], None]:
        """How to take back the operation that was begun for a lock; does nothing once somebody else has ended it."""
        begun = wanted.state and Identity.of(wanted.state)

        def take_back() -> None:
            if wanted.state is not None and Identity.of(wanted.state) == begun is not None:
                for command in wanted.undo:
                    wanted.where(*command, check=False)

        self._faults.stack.callback(take_back)
        return take_back

    def _grip(
        self,
        paths: tuple[Path, ...],
        age: float | None,
        holder: Holder | None,
        take_back: Callable[[], None],
        *,
        allow_removal: bool = True,
    ) -> Grip:
        """Let the lock be of an age, and keep it until the end of the test."""
        if age is not None:
            moment = time.time() - age
            for path in paths:
                os.utime(path, (moment, moment))
        grip = Grip(paths, holder, take_back)

        def undo() -> None:
            grip.release()
            if grip.damage and not allow_removal:
                self._faults.complaints.append(grip.damage)

        self._faults.stack.callback(undo)
        self._faults.on_heal(grip.release)
        self._let_time_pass(max(path.lstat().st_ctime_ns for path in paths))
        return grip

    def _let_time_pass(self, moment: int) -> None:
        """Wait until a file born now is younger: times of files go by the tick, and inodes are reused at once."""
        probe = self._isolation.room / "probe"
        until = time.monotonic() + 1
        probe.touch()
        while probe.stat().st_ctime_ns <= moment and time.monotonic() < until:
            os.utime(probe)


def _check(kind: str, size: str | None, *, organic: bool) -> None:
    """Raise UsageError for a kind or size that there is not."""
    choices.check(kind, KINDS, "kind of lock")
    if size not in {None, "empty", "full"}:
        raise UsageError(f"There is no size {size!r}.", advice="The sizes: empty, full; None is what git makes of it.")
    if size is not None and organic and kind not in SIZED:
        advice = f"Those of {', '.join(SIZED)} come in both; organic=False writes others."
        raise UsageError(f"The size of git's own lock of kind {kind!r} cannot be chosen.", advice=advice)


def _in_order(wanted: Recipe, before: set[Path]) -> tuple[Path, ...]:
    """The locks that are new, the one that the kind is named after first."""
    return (wanted.lock, *(path for path in wanted.where.locks() if path not in before | {wanted.lock}))


def _with_pid_files(paths: tuple[Path, ...], dead: int) -> tuple[Path, ...]:
    """All that stands in the way, once git's pid files are there too."""
    names = {path: path.name.removesuffix(LOCK_SUFFIX) for path in paths if path.name.endswith(LOCK_SUFFIX)}
    beside = [path.with_name(f"{name}~pid{LOCK_SUFFIX}") for path, name in names.items() if not name.endswith("~pid")]
    missing = tuple(path for path in beside if path not in paths)
    for path in missing:
        path.write_text(f"pid {dead}\n", encoding="ascii")
    return (*paths, *missing)


def _common(repo: Git) -> Path | None:
    """git's folder of a repository; None if it is none."""
    if not repo.path.is_dir() or repo("rev-parse", "--git-dir", check=False).returncode:
        return None
    return repo.common


# ---------------------------------------------------------------- git


def require_git(faults: Faults) -> tuple[int, ...]:
    """git's version; the test ends where git is missing or too old."""
    if shutil.which("git") is None:
        faults.lacks("There is no git on this machine.")
    version = _version(shutil.which("git") or "")
    if version < OLDEST_GIT:
        faults.lacks(f"git is too old: {'.'.join(map(str, version))}, and {'.'.join(map(str, OLDEST_GIT))} is needed.")
    return version


@lru_cache
def _version(git: str) -> tuple[int, ...]:
    words = os.fsdecode(ask((git, "version"), directory=Path("/"), environment={**os.environ, ASIDE: "1"}).out).split()
    return tuple(int(part) for part in words[2].split(".")[:2])
