"""Who is at work in a repository: every git, every program with a git library, and everybody who was stopped in it.

And who has a name of one of its locks, or a file of that name open. Everything that is asked of a path of somebody
else's is asked here, and by a :class:`.Standpoint`, because his file system may not answer.
"""

import os

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..core.gitlike import Aim, aim_of, has_git_library, is_called_like_git, is_git
from ..model import Lock
from ..system.census import Census, Seen, lives_on, mapped, program_says
from .jars import Jars
from .territory import Identity, Standpoint, Territory


# Git itself and the libraries that act like it know this variable: so they tell themselves under any name.
_OF_GITS_MAKING = b"GIT_INDEX_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that works in the repository, or was stopped doing so."""

    seen: Seen
    writes: bool  # it is a git or has a git library; else it was stopped with something of the repository open
    aim: Aim | None = None  # of a git
    home: str | None = None  # the git folder in which it works; empty: of another repository; None: that is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What a process has to do with the names of locks, by device and inode."""

    opened: frozenset[Identity] = frozenset()  # files that bear such a name
    named: frozenset[Identity] = frozenset()  # what arguments of such a name lead to
    index: Identity | None = None  # the file that git told it to use as an index
    beside: Identity | None = None  # the folder of that


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The processes of one moment, as one repository sees them."""

    census: Census
    territory: Territory
    ancestors: frozenset[int]  # of ours
    workers: Mapping[int, Worker] = field(default_factory=dict)
    ties: Mapping[int, Ties] = field(default_factory=dict)  # of those who have any
    jars: Jars = field(default_factory=Jars)

    def others(self) -> Iterator[Seen]:
        """Every process but this one."""
        return (seen for seen in self.census.processes.values() if seen.pid != os.getpid())


def look_around(territory: Territory, census: Census, locks: Iterable[Lock]) -> Surroundings:
    """Find the workers among the processes, and the ties to the names of ``locks``.

    Those that cannot be looked into are not found, which is a matter of sight.
    """
    ancestors = census.ancestors(os.getpid())
    around = Surroundings(census=census, territory=territory, ancestors=ancestors)
    look = _Look(ancestors, locks)
    stands = [Standpoint(seen, territory) for seen in around.others()]
    return replace(
        around,
        workers={each.seen.pid: worker for each in stands if (worker := look.worker(each))},
        ties={each.seen.pid: ties for each in stands if (ties := look.ties(each)) != Ties()},
    )


class _Look:
    """A look at all processes, one by one."""

    def __init__(self, ancestors: frozenset[int], locks: Iterable[Lock]) -> None:
        self._ancestors = ancestors
        self._files = {os.path.basename(lock.path) for lock in locks}
        self._names = self._files | {os.path.basename(lock.target) for lock in locks}
        self._programs: dict[Identity, bool] = {}

    def worker(self, stands: Standpoint) -> Worker | None:
        """What a process does in the repository, if anything."""
        seen = stands.seen
        if seen.directory is None:
            return None
        if is_git(seen.name, seen.command, seen.program):
            return self._git(stands)
        if is_called_like_git(seen.name, seen.command, seen.program):
            # Its arguments may be git's, and may be anything: so they tell of nothing that it cannot do.
            found = self._git(stands, certainly=False) or (Worker(seen=seen, writes=True) if stands.touches() else None)
            return found and replace(found, aim=None, home=None)
        # Asking each of its files where it lies is dear: only where it matters.
        writes = has_git_library(mapped(seen.pid)) or self._is_git_inside(stands)
        if not (writes or seen.stopped) or not stands.touches():
            return None
        return Worker(seen=seen, writes=writes)

    def ties(self, stands: Standpoint) -> Ties:
        """What a process has to do with the names of the locks."""
        seen = stands.seen
        told = (seen.environment or {}).get("GIT_INDEX_FILE", "")
        # Only files that bear such a name are asked for: that spares most of the questions.
        opened = (
            stands.identity_of_open(descriptor, path)
            for descriptor, path in seen.opened or ()
            if os.path.basename(path).removesuffix(" (deleted)") in self._files
        )
        words = (word.rpartition("=")[2] for word in seen.command)
        named = (stands.identity(word) for word in words if os.path.basename(word) in self._names)
        return Ties(
            opened=frozenset(filter(None, opened)),
            named=frozenset(filter(None, named)),
            index=stands.identity(told) if told else None,
            beside=stands.identity(os.path.dirname(told) or ".") if told else None,
        )

    def _git(self, stands: Standpoint, *, certainly: bool = True) -> Worker | None:
        seen = stands.seen
        aim = aim_of(seen.command, seen.environment or {})
        if not certainly:
            aim = replace(aim, subcommand="")  # servers around git run for years outside of any repository
        home = stands.home(aim)
        if home == "" and stands.is_sent_here(aim):
            home = None
        if home == "" and not stands.touches():
            return None
        if home is None and not lives_on(seen):  # which is why nothing of it could be found
            return None
        return Worker(seen=seen, writes=True, aim=aim, home=home)

    def _is_git_inside(self, stands: Standpoint) -> bool:
        """Whether a program that is at work in the repository is git under an unlikely name.

        Those that wait for us are not: they are runners of hooks, which know the variable to take it away.
        """
        seen = stands.seen
        if seen.program is None or seen.pid in self._ancestors or not stands.works_here():
            return False
        program = stands.identity_of_program()
        if program is not None and program not in self._programs:
            self._programs[program] = program_says(seen.pid, _OF_GITS_MAKING)
        return program is not None and self._programs[program]
