"""The processes that may hold a lock, or have to be shown not to, and what ties each to it."""

import os

from dataclasses import dataclass

from ..core import staleness
from ..core.escaping import one_line
from ..core.gitlike import INDEX_KINDS, why_harmless
from ..core.redaction import redact
from ..core.steadiness import Steadiness, steadiness
from ..model import Lock, LockKind, Relation, Snapshot, Suspect
from ..system.census import Census, Seen, identity
from ..system.mounts import Mount, mount_of
from ..system.pinned import is_unshared
from . import pidfiles
from .memory import Memory
from .pidfiles import PidFile
from .territory import Identity, Territory
from .workers import Surroundings, Ties, Worker


SHOWN = 160  # characters of a command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One lock among the processes of one moment."""

    lock: Lock
    snapshot: Snapshot
    owner: int  # the user to whom the lock belongs, which is who made it
    mount: Mount
    unshared: bool | None
    steadiness: Steadiness
    first_seen: float | None  # seconds since boot; None: never before as it is
    around: Surroundings
    index: Identity | None  # the file that an index's lock guards
    folder: Identity | None  # the one that the lock is in
    pid_file: PidFile | None

    @property
    def changed_at(self) -> float:
        """When the lock was last changed, in Unix time."""
        return self.snapshot.changed_at / 1e9

    @property
    def identity(self) -> Identity:
        """The lock, by device and inode."""
        return self.snapshot.device, self.snapshot.inode

    @property
    def census(self) -> Census:
        """The processes."""
        return self.around.census

    @property
    def territory(self) -> Territory:
        """The repository's folders."""
        return self.around.territory


def set_scene(lock: Lock, pinned: int, snapshot: Snapshot, *, around: Surroundings, memory: Memory) -> Scene:
    """What there is to know of a lock before its processes are looked at one by one."""
    mount = mount_of(pinned)
    sighting = memory.sighting_of(lock.path, snapshot)
    return Scene(
        lock=lock,
        snapshot=snapshot,
        owner=os.fstat(pinned).st_uid,
        mount=mount,
        # Where other machines may have it open, this one's kernel cannot answer for them.
        unshared=is_unshared(pinned) if mount.local else None,
        steadiness=steadiness(
            snapshot.changed_at / 1e9, memory.anchors, offset=memory.offset, since_boot=memory.since_boot
        ),
        first_seen=None if sighting is None else sighting.at,
        around=around,
        index=identity(lock.target) if lock.kind in INDEX_KINDS else None,
        folder=identity(os.path.dirname(lock.path)),
        pid_file=pidfiles.read(lock),
    )


def came_later(seen: Seen, scene: Scene) -> bool:
    """Whether a process was certainly started after the lock's last change."""
    return staleness.came_later(seen.started_after_boot, scene.first_seen)


def suspects(scene: Scene) -> tuple[Suspect, ...]:
    """Everybody with a tie to the lock or at work in the repository, those who came later too; each once."""
    named = pidfiles.named_by(scene.pid_file, scene.census) if scene.pid_file is not None else ()
    found = []
    for seen in scene.around.others():
        worker = scene.around.workers.get(seen.pid)
        if seen in named and not came_later(seen, scene):
            found.append(_suspect(seen, scene, Relation.PID_FILE))
        elif (tie := _direct_tie(seen, scene)) is not None:
            found.append(_suspect(seen, scene, tie))
        elif worker is not None:
            relation = Relation.WRITES_HERE if worker.writes else Relation.STOPPED_HERE
            found.append(_suspect(seen, scene, relation, _why_harmless(worker, scene)))
    return tuple(found)


def _suspect(seen: Seen, scene: Scene, relation: Relation, harmless: str = "") -> Suspect:
    words = one_line(redact(" ".join(seen.command).strip() or seen.name))
    return Suspect(
        pid=seen.pid,
        command=words if len(words) <= SHOWN else f"{words[:SHOWN]}...",
        started_at=seen.started_at,
        relation=relation,
        started_after_boot=seen.started_after_boot,
        ancestor=seen.pid in scene.around.ancestors,
        harmless=harmless,
    )


def _why_harmless(worker: Worker, scene: Scene) -> str:
    """Why a worker cannot hold this lock; empty if he can."""
    if worker.aim is None:
        return ""
    if worker.home == "" and scene.lock.kind is not LockKind.MODULES:
        return "it works in another repository"
    here = scene.territory.git_folders.get(identity(scene.lock.directory) or (0, 0))
    if (
        scene.lock.kind in INDEX_KINDS
        and worker.aim.subcommand != "worktree"  # which works on the others
        and worker.home
        and here
        and worker.home != here
        and scene.territory.are_siblings(worker.home, here)
        and not any(os.path.islink(f"{folder}/index") for folder in (worker.home, here))  # then they may share one
    ):
        return "it works in another work tree, which has an index of its own"
    return why_harmless(
        worker.aim,
        scene.lock.kind,
        ancestor=worker.seen.pid in scene.around.ancestors,
        closed=scene.unshared is True and not worker.seen.stopped,
    )


# ---------------------------------------------------------------- ties to the lock itself


def _direct_tie(seen: Seen, scene: Scene) -> Relation | None:
    ties = scene.around.ties.get(seen.pid)
    if ties is None:
        return None
    if scene.identity in ties.opened:
        return Relation.HOLDS_OPEN
    if _names_in_environment(ties, scene):
        return Relation.NAMED_IN_ENVIRONMENT
    # A shell or a timeout around us that was given the lock's name holds nothing.
    if seen.pid not in scene.around.ancestors and ties.named & {scene.identity, scene.index}:
        return Relation.NAMED_IN_ARGUMENTS
    return None


def _names_in_environment(ties: Ties, scene: Scene) -> bool:
    """Whether git told a hook or an editor to work with the lock, its index, or another index beside it.

    A commit of some paths holds the index's lock and lets its hooks see another file, ``next-index-PID.lock``.
    """
    if ties.index == scene.identity:
        return True
    return scene.lock.kind in INDEX_KINDS and ties.beside == scene.folder is not None
