"""Which names are git's locks, and which only look like it."""

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.locknames import OWN, SHARED, kind_of, pid_file_of, target_of
from pytest_orxaq.model import LockKind


@pytest.mark.parametrize(
    ("relative", "kind"),
    [
        ("index.lock", LockKind.INDEX),
        ("next-index-4711.lock", LockKind.PARTIAL_INDEX),
        ("index.stash.4711.lock", LockKind.STASH_INDEX),
        ("HEAD.lock", LockKind.PSEUDOREF),
        ("ORIG_HEAD.lock", LockKind.PSEUDOREF),
        ("AUTO_MERGE.lock", LockKind.PSEUDOREF),
        ("refs/heads/main.lock", LockKind.REF),
        ("refs/heads/deep/er/main.lock", LockKind.REF),
        ("refs/stash.lock", LockKind.REF),
        ("refs/bisect/bad.lock", LockKind.REF),
        ("refs/heads/\udcff.lock", LockKind.REF),
        ("logs/HEAD.lock", LockKind.REFLOG),
        ("logs/refs/heads/main.lock", LockKind.REFLOG),
        ("packed-refs.lock", LockKind.PACKED_REFS),
        ("packed-refs.new", LockKind.PACKED_REFS_NEW),
        ("reftable/tables.list.lock", LockKind.REFTABLE),
        ("reftable/0x000000000001-0x000000000002-7f3a9c01.ref.lock", LockKind.REFTABLE),
        ("config.lock", LockKind.CONFIG),
        ("config.worktree.lock", LockKind.CONFIG),
        ("shallow.lock", LockKind.SHALLOW),
        ("info/sparse-checkout.lock", LockKind.SPARSE_CHECKOUT),
        ("MERGE_RR.lock", LockKind.RERERE),
        ("MERGE_MSG.lock", LockKind.SEQUENCER),
        ("sequencer/todo.lock", LockKind.SEQUENCER),
        ("sequencer/head.lock", LockKind.SEQUENCER),
        ("rebase-merge/git-rebase-todo.lock", LockKind.SEQUENCER),
        ("objects/info/commit-graph.lock", LockKind.COMMIT_GRAPH),
        ("objects/info/commit-graphs/commit-graph-chain.lock", LockKind.COMMIT_GRAPH),
        ("objects/pack/multi-pack-index.lock", LockKind.MULTI_PACK_INDEX),
        ("objects/pack/multi-pack-index.d/multi-pack-index-chain.lock", LockKind.MULTI_PACK_INDEX),
        ("objects/info/alternates.lock", LockKind.ALTERNATES),
        ("objects/loose-object-idx.lock", LockKind.LOOSE_OBJECT_INDEX),
        ("objects/maintenance.lock", LockKind.MAINTENANCE),
        ("objects/schedule.lock", LockKind.SCHEDULE),
        ("gc.pid.lock", LockKind.GC),
        ("gc.log.lock", LockKind.GC),
    ],
)
def test_locks_of_git_are_known(relative: str, kind: LockKind) -> None:
    """Every lock that git makes has its kind."""
    assert kind_of(relative) is kind


@pytest.mark.parametrize(
    "relative",
    [
        "index",
        ".lock",
        "locked",
        "worktrees/tree/locked",
        "worktrees/tree/index.lock",  # looked at from its own folder
        "modules/sub/index.lock",
        "index~pid.lock",
        "refs/heads/main~pid.lock",
        "gc.pid",
        "hooks/pre-commit.lock",
        "lfs/objects.lock",
        "annex/journal.lock",
        "orxaq/lock",
        "orxaq/recovery.lock",
        "next-index-.lock",
        "next-index-12x.lock",
        "index.stash.lock",
        "description.lock",
        "Head.lock",
        "MY_NOTES.lock",
        "refs.lock",
        "refs/.lock",
        "refs/heads/.lock",
        "refs/heads/.hidden/main.lock",
        "refs//main.lock",
        "logs/readme.lock",
        "logs/refs.lock",
        "objects/pack/pack-1234.lock",
        "objects/info/packs.lock",
        "objects/ab/cdef.lock",
        "reftable/notes.lock",
        "fsmonitor--daemon.ipc.lock",
        "packed-refs.news",
        "sub/packed-refs.new",
        "index.lock.lock",
        "config.lock ",
        "rebase-merge/onto.lock",
    ],
)
def test_strangers_are_not_locks(relative: str) -> None:
    """Whatever else ends like a lock is somebody else's."""
    assert kind_of(relative) is None


@pytest.mark.parametrize("name", sorted(SHARED))
def test_a_linked_work_tree_has_no_shared_locks(name: str) -> None:
    """What all work trees share is locked in the common folder alone."""
    assert kind_of(f"{name}.lock") is SHARED[name]
    assert kind_of(f"{name}.lock", linked=True) is None


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_linked_work_tree_has_its_own_locks(name: str) -> None:
    """What each work tree has for itself can be locked in each."""
    assert kind_of(f"{name}.lock", linked=True) is kind_of(f"{name}.lock") is OWN[name]


def test_references_of_a_linked_work_tree() -> None:
    """Only the references that git keeps apart for each work tree lie in the folder of a linked one."""
    assert kind_of("refs/bisect/bad.lock", linked=True) is LockKind.REF
    assert kind_of("refs/worktree/mine.lock", linked=True) is LockKind.REF
    assert kind_of("logs/refs/rewritten/onto.lock", linked=True) is LockKind.REFLOG
    assert kind_of("logs/HEAD.lock", linked=True) is LockKind.REFLOG
    assert kind_of("refs/heads/main.lock", linked=True) is None
    assert kind_of("packed-refs.new", linked=True) is None


@given(st.text(max_size=30), st.booleans())
def test_no_name_is_a_lock_without_the_ending(name: str, linked: bool) -> None:
    """Nothing is a lock that does not end like one, but for the one exception."""
    relative = name.removesuffix(".lock")
    assert kind_of(relative, linked=linked) is None or relative == "packed-refs.new" or relative.endswith(".lock")


@given(st.text(alphabet="abHEAD_/.-~lock", max_size=20))
def test_a_reference_never_has_a_part_that_git_forbids(name: str) -> None:
    """What is listed under refs is a name that git would take: no part is empty or begins with a dot."""
    if kind_of(f"refs/{name}.lock") is LockKind.REF:
        assert all(part and not part.startswith(".") for part in name.split("/"))


def test_targets() -> None:
    """A lock's name tells what it guards, with two exceptions."""
    assert target_of("/r/.git/index.lock", LockKind.INDEX) == "/r/.git/index"
    assert target_of("/r/.git/packed-refs.new", LockKind.PACKED_REFS_NEW) == "/r/.git/packed-refs"
    assert target_of("/r/.git/next-index-12.lock", LockKind.PARTIAL_INDEX) == "/r/.git/index"
    assert target_of("/r/.git/index.stash.12.lock", LockKind.STASH_INDEX) == "/r/.git/index.stash.12"


def test_pid_files() -> None:
    """Git notes the holder beside the lock; there is none for what is no lock by name."""
    assert pid_file_of("/r/.git/index.lock") == "/r/.git/index~pid.lock"
    assert not pid_file_of("/r/.git/packed-refs.new")
