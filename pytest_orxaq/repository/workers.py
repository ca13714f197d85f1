"""Who is at work in a repository: every git, every program with a git library, and everybody who was stopped in it."""

import os

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..core.gitlike import Aim, aim_of, is_git
from ..system.census import Census, Seen, lives_on, maps
from .territory import Territory, home_of, names_a_place, touches


# JGit cannot be told from any other Java.
_LIBRARIES = (b"libgit2", b"libjvm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that works in the repository, or was stopped doing so."""

    seen: Seen
    writes: bool  # it is a git or has a git library; else it was stopped with something of the repository open
    aim: Aim | None = None  # of a git
    home: str | None = None  # the git folder in which it works, None if that is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The processes of one moment, as one repository sees them."""

    census: Census
    territory: Territory
    workers: Mapping[int, Worker]
    ancestors: frozenset[int]  # of ours
    parents: frozenset[int]  # everybody who has a child

    def others(self) -> Iterator[Seen]:
        """Every process but this one."""
        return (seen for seen in self.census.processes.values() if seen.pid != os.getpid())


def look_around(territory: Territory, census: Census) -> Surroundings:
    """Find the workers among the processes; those that cannot be looked into are not, which is a matter of sight."""
    return Surroundings(
        census=census,
        territory=territory,
        workers={
            seen.pid: worker
            for seen in census.processes.values()
            if seen.pid != os.getpid() and (worker := _worker(seen, territory)) is not None
        },
        ancestors=census.ancestors(os.getpid()),
        parents=census.parents(),
    )


def _worker(seen: Seen, territory: Territory) -> Worker | None:
    if seen.directory is None:
        return None
    if is_git(seen.name, seen.command, seen.program):
        return _git(seen, territory)
    # Asking each of its files where it lies is dear, and a dead network mount would not answer: only where it matters.
    writes = any(maps(seen.pid, library) for library in _LIBRARIES)
    if not (writes or seen.stopped) or not touches(seen, territory):
        return None
    return Worker(seen=seen, writes=writes)


def _git(seen: Seen, territory: Territory) -> Worker | None:
    aim = aim_of(seen.command, seen.environment or {})
    home = home_of(seen, aim, territory)
    if home == "" and not names_a_place(seen, aim, territory):
        return None
    if home is None and not lives_on(seen):  # which is why nothing of it could be found
        return None
    return Worker(seen=seen, writes=True, aim=aim, home=home)
