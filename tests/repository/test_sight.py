"""Who can be ruled out although he cannot be looked into, and who cannot."""

import os
import subprocess

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytest_orxaq.core.steadiness import Steadiness
from pytest_orxaq.model import Clock, Lock, LockKind, Snapshot
from pytest_orxaq.repository import sight
from pytest_orxaq.repository.sight import TOLD, gaps
from pytest_orxaq.repository.suspects import Scene
from pytest_orxaq.repository.territory import survey
from pytest_orxaq.repository.workers import look_around
from pytest_orxaq.system.census import Census, Seen
from pytest_orxaq.system.mounts import Mount


OWNER, OTHER = 1000, 1001
SIGHTED = 100.0  # seconds since boot


@pytest.fixture(autouse=True)
def _one_meaning_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """User numbers mean the same to all but to process 666."""
    monkeypatch.setattr(sight, "same_users", lambda pid: pid != 666)


def scene(
    *processes: Seen,
    unshared: bool | None = True,
    first_seen: float | None = SIGHTED,
    written_at: int = 1000,
    **mount: object,
) -> Scene:
    """A lock of OWNER's, last changed at 1000, on a machine with these processes and us."""
    snapshot = Snapshot(
        device=1,
        inode=2,
        modified_at=written_at * 10**9,
        changed_at=1000 * 10**9,
        size=0,
        digest="e3b0",
        content="empty",
    )
    ours = Seen(pid=os.getpid(), parent=1, name="git", command=("git",), started_at=0.0)
    census = Census(processes={seen.pid: seen for seen in (ours, *processes)})
    return Scene(
        lock=Lock(path="/r/.git/index.lock", kind=LockKind.INDEX, target="/r/.git/index", directory="/r/.git"),
        snapshot=snapshot,
        owner=OWNER,
        mount=Mount(**{"kind": "ext4", **mount}),  # type: ignore[arg-type]
        unshared=unshared,
        steadiness=Steadiness(clock=Clock.STEADY),
        first_seen=first_seen,
        around=look_around(survey([]), census, []),
        index=None,
        folder=None,
        pid_file=None,
    )


def unreadable(name: str = "daemon", *, user: int = OTHER, pid: int = 7, **changed: object) -> Seen:
    """A process that was there before the lock, and cannot be looked into."""
    made = Seen(pid=pid, parent=1, name=name, command=(name,), started_at=500.0, users=frozenset({user}))
    return replace(made, **changed)  # type: ignore[arg-type]


FULL: Mapping[str, Any] = {"directory": "/", "environment": {}, "opened": ()}


def seen_whole(*processes: Seen, **changed: object) -> bool:
    """Whether there is no gap."""
    return not gaps(scene(*processes, **changed))  # type: ignore[arg-type]


# ---------------------------------------------------------------- each alone


def test_who_can_be_looked_into_is_no_gap() -> None:
    """Whatever he is called, and whether a lease could be asked for or not."""
    assert seen_whole(unreadable("git", user=OWNER, **FULL), unshared=None)
    assert seen_whole(unshared=None)


def test_who_came_later_is_no_gap() -> None:
    """By the clock that nobody can set, if the lock was known already; not by the time that stands in the lock."""
    late = unreadable("git", user=OWNER, started_at=1005.0, started_after_boot=SIGHTED + 0.01)
    assert seen_whole(late, unshared=None)
    assert not seen_whole(replace(late, started_after_boot=SIGHTED))
    assert not seen_whole(late, first_seen=None)


def test_a_stranger_without_power_is_no_gap() -> None:
    """The owner made the lock, and he is not the owner: not even if it is a git that is stopped."""
    assert seen_whole(unreadable("git", stopped=True), unshared=None)


def test_a_stranger_who_speaks_of_git_may_have_had_the_lock_taken_away() -> None:
    """Where the lock was given to somebody else since it was written, who made it is not known."""
    assert not seen_whole(unreadable("git"), written_at=999)
    assert not seen_whole(unreadable("sh", command=("sh", "-c", "git commit -a")), written_at=999)
    assert seen_whole(unreadable("daemon"), written_at=999)


@pytest.mark.parametrize(
    ("kind", "size", "changed", "gap"),
    [
        (LockKind.CONFIG, 0, {}, "GitPython"),
        (LockKind.MODULES, 0, {}, "GitPython"),
        (LockKind.REFLOG, 0, {"name": "gunicorn", "program": "/usr/bin/python3.12"}, "GitPython"),
        (LockKind.CONFIG, 0, {"pid": 666, "user": OTHER}, "GitPython"),
        (LockKind.CONFIG, 1, {}, ""),
        (LockKind.INDEX, 0, {}, ""),
        (LockKind.CONFIG, 0, {"user": OTHER}, ""),
        (LockKind.CONFIG, 0, {"name": "node"}, ""),
        (LockKind.CONFIG, 0, {"started_after_boot": SIGHTED + 0.01}, ""),
        (LockKind.INDEX, 0, {"name": "java", "opened": ((3, "/x/org.eclipse.jgit-6.jar"),)}, "JGit"),
        (LockKind.INDEX, 9, {"name": "java", "opened": ((3, "/x/org.eclipse.jgit-6.jar"),)}, ""),
        (LockKind.INDEX, 0, {"name": "java", "opened": ((3, "/jgit/x.jar"),)}, ""),
    ],
)
def test_libraries_that_wait_are_gaps_to_empty_locks(
    kind: LockKind, size: int, changed: dict[str, object], gap: str
) -> None:
    """However well their programs can be seen: which repository they are at work in cannot."""
    process = unreadable(**{"name": "python3", "user": OWNER, **FULL, **changed})
    one = scene(process)
    found = gaps(replace(one, lock=replace(one.lock, kind=kind), snapshot=replace(one.snapshot, size=size)))
    assert bool(found) is bool(gap)
    assert all(gap in sentence for sentence in found)


@pytest.mark.parametrize(
    "changed",
    [
        {"user": OWNER},
        {"users": frozenset({OTHER, OWNER})},
        {"users": frozenset()},
        {"pid": 666},
        {"powerful": True},
    ],
    ids=["the owner", "the owner too", "of no known user", "of other users", "with power"],
)
def test_who_may_have_made_it_needs_the_lease(changed: dict[str, object]) -> None:
    """A daemon's name rules it out only if nobody has the lock open."""
    process = unreadable(**changed)  # type: ignore[arg-type]
    assert seen_whole(process)
    assert not seen_whole(process, unshared=None)
    assert not seen_whole(process, unshared=False)
    assert not seen_whole(replace(process, name="git"), written_at=999)


@pytest.mark.parametrize("name", ["git", "java", "python3", "sh", "legit"])
def test_the_owners_process_must_not_be_able_to_be_git(name: str) -> None:
    """An interpreter of the owner's may be a hook, JGit, or anything."""
    assert not seen_whole(unreadable(name, user=OWNER))
    assert not seen_whole(unreadable(name, pid=666))


def test_a_process_with_power_may_have_given_the_lock_away() -> None:
    """Root's scripts are everywhere, and make files of root's; a sudo git may have lost its repository to a user."""
    for process in (
        unreadable("git", powerful=True),
        unreadable("sudo", powerful=True, command=("sudo", "git", "commit")),
    ):
        assert seen_whole(process)
        assert not seen_whole(process, written_at=999)
    assert seen_whole(unreadable("python3", powerful=True), written_at=999)


def test_a_reader_of_the_owners_is_no_gap() -> None:
    """What a git does stands in its arguments; what a shell does need not."""
    assert seen_whole(unreadable("git", user=OWNER, command=("git", "cat-file", "--batch")))
    assert not seen_whole(unreadable("git", user=OWNER, command=("git", "cat-file", "blob")))
    assert not seen_whole(unreadable("sh", user=OWNER, command=("sh", "cat-file", "--batch")))


def test_a_stopped_process_of_the_owners_is_a_gap() -> None:
    """Whatever its name: what it would go on to do is not known."""
    assert seen_whole(unreadable("ssh-agent", user=OWNER))
    assert not seen_whole(unreadable("ssh-agent", user=OWNER, stopped=True))


def test_where_owners_mean_nothing_nobody_is_a_stranger() -> None:
    """On a mount that translates users any process may be the owner's."""
    assert seen_whole(unreadable("java"))
    assert not seen_whole(unreadable("java"), mapped=True)


def test_who_has_ended_meanwhile_is_no_gap() -> None:
    """Machines are full of short-lived processes, and none of the dead holds a lock."""
    ended = subprocess.Popen(["true"])
    ended.wait(60)
    assert seen_whole(unreadable("git", user=OWNER, pid=ended.pid, root=f"/proc/{ended.pid}/root"))
    assert not seen_whole(unreadable("git", user=OWNER, pid=os.getppid(), root=f"/proc/{os.getppid()}/root"))


# ---------------------------------------------------------------- other machines


def test_who_serves_files_is_a_gap_however_well_he_is_seen() -> None:
    """The holder may be a client on another machine; not if the server was started after the lock."""
    server = unreadable("sftp-server", **FULL)
    assert not seen_whole(server)
    assert seen_whole(replace(server, started_after_boot=SIGHTED + 1))


def test_a_kernel_that_serves_files_is_a_gap() -> None:
    """Its threads tell."""
    served = scene()
    census = replace(served.census, kernel_threads=frozenset({"kswapd0", "nfsd"}))
    served = replace(served, around=replace(served.around, census=census))
    assert gaps(served) == ("the kernel lets other machines write to files here (nfsd)",)


def test_a_file_system_of_others_is_a_gap() -> None:
    """Known by its kind, or not known."""
    assert gaps(scene(kind="9p")) == ("other machines may write to its file system (9p)",)
    assert gaps(scene(kind="")) == ("other machines may write to its file system (of unknown kind)",)


# ---------------------------------------------------------------- all together


def test_the_machines_own_gaps_come_first_and_many_are_counted() -> None:
    """What matters most is told one by one, and of the rest how many there are."""
    processes = [unreadable("sh", pid=10 + number, user=OWNER) for number in range(TOLD + 5)]
    many = scene(*processes, unreadable("git", pid=500, user=OWNER))
    many = replace(many, around=replace(many.around, census=replace(many.census, gaps=("a gap",))))
    told = gaps(many)
    assert told[:2] == ("a gap", "process 500 (git) cannot be looked into")
    assert told[-1] == "and 7 more processes cannot be looked into"
    assert len(told) == TOLD + 1
    few = gaps(scene(*processes[: TOLD + 1]))
    assert len(few) == TOLD + 1
    assert "more" not in few[-1]
