"""What could not be seen of those who might hold a lock.

Not to see a holder means something only if everybody who could be one was seen. Some processes can never be looked
into: those of other users, and for root too those with more privileges than ours. Most of them can be ruled out all
the same, because a lock can be held in two ways only:

* **open.** The kernel itself answers for everybody (:func:`~pytest_orxaq.system.pinned.is_unshared`): a lease is
  granted only if nobody on this kernel has the file open, in whatever namespace and of whatever user. Libraries such
  as libgit2 and dulwich keep their locks open to the end, so that this covers them in whatever program they are.
* **not open, by a process that waits** and will rename the lock or take it away later: git itself, around a hook or
  an editor; JGit; and GitPython, which keeps the empty lock of a configuration or a reflog. Such a process made the
  file, so the file belongs to the user it runs as, and git never becomes somebody else. Its names and arguments are
  shown to everybody.

So a process that cannot be looked into is ruled out if it was started when the lock had been seen already, as it still
is. Otherwise the lock must not have been given away since it was last written (then its change time is that of its
content), or the process must not speak of git in its names and arguments: a ``git`` whose repository was handed to
somebody else meanwhile is the case in mind. And it must

* be a stranger: none of its users is the owner of the lock, numbers of users mean the same to it as to us, and it
  has no power to become somebody else or to give files away; or
* have that power without being the owner, and the lease must have been granted; or
* be of the owner, not be stopped, neither be called like git nor run programs that its name does not tell (an
  interpreter, a shell, Java), or be a git that by its arguments only reads; and the lease must have been granted.

The libraries that hold a lock without having it open sit in programs that work on repositories far from where they
were started. No sight of such a program tells which: so every Python of the owner's that is old enough is a gap to
the empty lock of a configuration or a reflog, and every Java that has JGit open, to any empty lock.

PID 1 is no exception. A program that serves files to other machines is never ruled out, however well it can be
seen: the holder may sit there.
"""

from collections.abc import Iterator

from ..core.escaping import one_line
from ..core.gitlike import (
    aim_of,
    has_python_library,
    is_git,
    is_python,
    may_be_git,
    names_git,
    serves_files,
    why_harmless,
)
from ..model import LockKind
from ..system.census import Seen, lives_on, mapped, same_users
from .suspects import Scene, came_later


TOLD = 20  # processes that are named one by one


def gaps(scene: Scene) -> tuple[str, ...]:
    """Everything that could not be seen and matters, as sentences; empty if every possible holder was seen."""
    found = [*scene.census.gaps, *_of_other_machines(scene)]
    unseen = [(seen, sentence) for seen in scene.around.others() if (sentence := _gap(seen, scene))]
    unseen.sort(key=lambda pair: not names_git(pair[0].name, pair[0].command))  # what matters most is told first
    found += [sentence for _, sentence in unseen]
    more = len(found) - TOLD
    return tuple(found if more <= 1 else [*found[:TOLD], f"and {more} more processes cannot be looked into"])


def _of_other_machines(scene: Scene) -> Iterator[str]:
    servers = [name for name in sorted(scene.census.kernel_threads) if serves_files(name.partition(":")[0], ())]
    if servers:
        yield f"the kernel lets other machines write to files here ({servers[0]})"
    if not scene.mount.local:
        yield f"other machines may write to its file system ({scene.mount.kind or 'of unknown kind'})"


def _gap(seen: Seen, scene: Scene) -> str:
    """Why a process may hold the lock although nothing of that was seen; empty if it cannot, or if all was seen."""
    if came_later(seen, scene):
        return ""
    if serves_files(seen.name, seen.command):
        return f"{_called(seen)} lets other machines write to files here"
    if library := _library_that_waits(seen, scene):
        return f"{_called(seen)} may hold it without having it open, as {library} does"
    if seen.readable or _is_ruled_out(seen, scene) or not lives_on(seen):
        return ""
    return f"{_called(seen)} cannot be looked into"


def _library_that_waits(seen: Seen, scene: Scene) -> str:
    """The library that holds empty locks without having them open, if a process of the owner's may be using it."""
    if scene.snapshot.size or not (scene.owner in seen.users or _is_foreign(seen, scene)):
        return ""
    if scene.around.jars.bring_jgit(seen, scene.territory):
        return "JGit"
    return "GitPython" if scene.lock.kind in _OF_GITPYTHON and _is_python(seen) else ""


def _is_python(seen: Seen) -> bool:
    return is_python(seen.name, seen.command, seen.program) or has_python_library(mapped(seen.pid))


# What GitPython's LockFile and its users keep so: config_writer() of any level, of submodules, and the reflog.
_OF_GITPYTHON = frozenset({LockKind.CONFIG, LockKind.MODULES, LockKind.REFLOG})


def _is_ruled_out(seen: Seen, scene: Scene) -> bool:
    if scene.owner in seen.users or _is_foreign(seen, scene):
        harmless = not may_be_git(seen.name, seen.command) or _only_reads(seen, scene)
        return scene.unshared is True and not seen.stopped and harmless
    kept = scene.snapshot.changed_at == scene.snapshot.modified_at
    if not kept and names_git(seen.name, seen.command):
        return False
    # A stranger did not make the file, whether he has it open or not.
    return not seen.powerful or scene.unshared is True


def _is_foreign(seen: Seen, scene: Scene) -> bool:
    """Whether numbers of users tell nothing of who made the lock."""
    return scene.mount.mapped or not seen.users or not same_users(seen.pid)


def _only_reads(seen: Seen, scene: Scene) -> bool:
    if not is_git(seen.name, seen.command[:1], seen.program):
        return False
    return bool(why_harmless(aim_of(seen.command, {}), scene.lock.kind, ancestor=False))


def _called(seen: Seen) -> str:
    return f"process {seen.pid} ({one_line(seen.name)})"
