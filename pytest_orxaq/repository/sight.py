"""What could not be seen of those who might hold a lock.

Not to see a holder means something only if everybody who could be one was seen. Some processes can never be looked
into: those of other users, and for root too those with more privileges than ours. Most of them can be ruled out all
the same, because a lock can be held in two ways only:

* **open.** The kernel itself answers for everybody (:func:`~pytest_orxaq.system.pinned.is_unshared`): a lease is
  granted only if nobody on this kernel has the file open, in whatever namespace and of whatever user. Libraries such
  as libgit2 and dulwich keep their locks open to the end, so that this covers them in whatever program they are.
* **not open, by a process that waits** and will rename the lock or take it away later: git itself, around a hook or
  an editor, or JGit in a Java program. Such a process made the file, so the file belongs to the user it runs as, and
  git never becomes somebody else. Its names and arguments are shown to everybody.

So a process that cannot be looked into is ruled out if it was started when the lock had been seen already, as it still
is. Otherwise the lease must have been granted, and it must

* be a stranger: none of its users is the owner of the lock, numbers of users mean the same to it as to us, and it
  has no power to become somebody else or to give files away; or
* have that power without being the owner, and either the lock was not given away since it was last written (then its
  change time is that of its content), or the process does not speak of git in its names and arguments: a ``sudo git``
  whose repository was handed to somebody else meanwhile is the case in mind; or
* be of the owner, not be stopped, and neither be called like git nor run programs that its name does not tell (an
  interpreter, a shell, Java), or be a git that by its arguments only reads.

PID 1 is no exception. A program that serves files to other machines is never ruled out, however well it can be
seen: the holder may sit there.
"""

from collections.abc import Iterator

from ..core.gitlike import aim_of, is_git, may_be_git, names_git, serves_files, why_harmless
from ..system.census import Seen, lives_on, same_users
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
    if seen.readable or _is_ruled_out(seen, scene) or not lives_on(seen):
        return ""
    return f"{_called(seen)} cannot be looked into"


def _is_ruled_out(seen: Seen, scene: Scene) -> bool:
    owner = scene.owner in seen.users
    foreign = scene.mount.mapped or not seen.users or not same_users(seen.pid)
    if not owner and not foreign and not seen.powerful:
        return True  # a stranger did not make the file, whether he has it open or not
    if scene.unshared is not True:
        return False
    if not owner and not foreign:
        kept = scene.snapshot.changed_at == scene.snapshot.modified_at
        return kept or not names_git(seen.name, seen.command)
    return not seen.stopped and (not may_be_git(seen.name, seen.command) or _only_reads(seen, scene))


def _only_reads(seen: Seen, scene: Scene) -> bool:
    if not is_git(seen.name, seen.command[:1], seen.program):
        return False
    return bool(why_harmless(aim_of(seen.command, {}), scene.lock.kind, ancestor=False))


def _called(seen: Seen) -> str:
    return f"process {seen.pid} ({seen.name})"
