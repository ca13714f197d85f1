"""Every kind of conflict in every operation: git has really stopped, says so itself, and can take it back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import Conflict, ConflictKind, ConflictOp, Faults, Git
from pytest_orxaq.faults.conflicts import KINDS, OPS


Make = Callable[..., Conflict]

# git's own words, and the stages with their modes.
KNOWN: dict[ConflictKind, tuple[str, list[tuple[str, int]]]] = {
    "content": ("CONFLICT (content): Merge conflict in file", [("100644", 1), ("100644", 2), ("100644", 3)]),
    "add-add": ("CONFLICT (add/add): Merge conflict in file", [("100644", 2), ("100644", 3)]),
    "modify-delete": ("CONFLICT (modify/delete): file deleted in ", [("100644", 1), ("100644", 3)]),
    "rename-rename": (
        "CONFLICT (rename/rename): file renamed to file-of-ours in ",
        [("100644", 1), ("100644", 2), ("100644", 3)],
    ),
    "binary": ("warning: Cannot merge binary files: file (", [("100644", 1), ("100644", 2), ("100644", 3)]),
    "submodule": ("CONFLICT (submodule): Merge conflict in module", [("160000", 1), ("160000", 2), ("160000", 3)]),
    "mode": ("CONFLICT (add/add): Merge conflict in tool", [("100644", 3), ("100755", 2)]),
    "distinct-types": (
        "CONFLICT (distinct types): file had different types on each side",
        [("100644", 1), ("100644", 3), ("120000", 2)],
    ),
}
PSEUDO = {"merge": "MERGE_HEAD", "rebase": "REBASE_HEAD", "cherry-pick": "CHERRY_PICK_HEAD", "stash": "refs/stash"}
BEGUN: dict[ConflictOp, tuple[str, ...]] = {
    "merge": ("merge", "topic"),
    "rebase": ("rebase", "main", "topic"),
    "cherry-pick": ("cherry-pick", "topic"),
}


def stages(repo: Git) -> list[tuple[str, str, int, str]]:
    """Mode, object, stage and path of everything unmerged."""
    entries = [entry.partition("\t") for entry in repo("ls-files", "-u", "-z").stdout.split("\0") if entry]
    split = [(*head.split(), path) for head, _, path in entries]
    found = [(mode, thing, int(stage), path) for mode, thing, stage, path in split]
    return sorted(found, key=lambda entry: (entry[0], entry[2]))


def ref(repo: Git, name: str) -> str:
    """What a ref says; empty if there is none."""
    return repo("rev-parse", "-q", "--verify", name, check=False).stdout.strip()


# ---------------------------------------------------------------- every combination


@pytest.mark.parametrize("op", PSEUDO)
@pytest.mark.parametrize("kind", KINDS)
def test_git_has_stopped(kind: ConflictKind, op: ConflictOp, merge_conflict: Make) -> None:
    """It failed over this very conflict, in its own words; stages and the operation's ref stand there; abort ends it all."""
    repo = merge_conflict(kind, op)
    words, expected = KNOWN[kind]
    assert repo.returncode == 1
    assert words in repo.said
    unmerged = stages(repo)
    assert [(mode, stage) for mode, _, stage, _ in unmerged] == expected
    assert repo.paths == tuple(sorted({path for *_, path in unmerged}))
    assert ref(repo, PSEUDO[op]) == repo.theirs
    assert {name: bool(ref(repo, name)) for name in PSEUDO.values()} == {
        name: name == PSEUDO[op] for name in PSEUDO.values()
    }
    assert ref(repo, "HEAD") == repo.ours
    assert repo.under_way
    repo.abort()
    assert not repo.under_way
    assert not repo("status", "--porcelain").stdout
    assert ref(repo, "HEAD") == (repo.theirs if op == "rebase" else repo.ours)
    repo.abort()
    assert bool(ref(repo, "refs/stash")) == (op == "stash")


@pytest.mark.parametrize("kind", KINDS)
def test_stages_are_the_sides(kind: ConflictKind, merge_conflict: Make) -> None:
    """Stage 2 is what ours has, stage 3 what theirs has, whatever the operation."""
    for op in PSEUDO:
        repo = merge_conflict(kind, op, name=op)
        sides = {2: repo.ours, 3: repo.theirs}
        for _, thing, stage, path in stages(repo):
            if stage in sides:
                assert ref(repo, f"{sides[stage]}:{path.partition('~')[0]}") == thing


@pytest.mark.parametrize("op", BEGUN)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_ready_is_run_into(kind: ConflictKind, op: ConflictOp, merge_conflict: Make) -> None:
    """With nothing begun, both branches stand in a clean repository; the first who merges, rebases or picks has the conflict."""
    repo = merge_conflict(kind, "none")
    assert (repo.said, repo.returncode, repo.under_way) == ("", 0, False)
    assert not repo("status", "--porcelain").stdout
    assert (ref(repo, "main"), ref(repo, "topic"), ref(repo, "HEAD")) == (repo.ours, repo.theirs, repo.ours)
    repo.abort()
    done = repo(*BEGUN[op], check=False)
    assert done.returncode == 1
    assert KNOWN[kind][0] in done.stdout + done.stderr
    found = {path for *_, path in stages(repo)}
    assert {path.partition("~")[0] for path in found} == {path.partition("~")[0] for path in repo.paths}
    assert op != "merge" or repo.paths == tuple(sorted(found))


# ---------------------------------------------------------------- the handle


def test_commits_are_the_same_each_time(merge_conflict: Make) -> None:
    """In whatever folder, both sides have the same ids again, also with a submodule and in a stash."""
    for kind in KINDS:
        for op in ("merge", "stash"):
            one, two = (merge_conflict(kind, op, name=f"{kind}-{op}{number}") for number in (1, 2))
            assert (one.ours, one.theirs, one.paths) == (two.ours, two.theirs, two.paths)


def test_it_can_be_resolved(merge_conflict: Make) -> None:
    """It is a repository like any other: written to, committed in; then abort and peace leave the resolution alone."""
    repo = merge_conflict("content", "merge")
    assert isinstance(repo, Git)
    resolved = repo.commit("resolved", file="both\n")
    assert repo("rev-list", "--parents", "-1", "HEAD").stdout.split() == [resolved, repo.ours, repo.theirs]
    repo.abort()
    assert ref(repo, "HEAD") == resolved


def test_peace_ends_the_operation(merge_conflict: Make, faults: Faults) -> None:
    """Peace takes back what is still under way; the log has each conflict, with its truth."""
    repos = [merge_conflict("content", op, name=op) for op in OPS]
    faults.heal()
    assert not any(repo.under_way for repo in repos)
    assert [str(event) for event in faults.log] == [f"merge_conflict: content, {op} [permanent]" for op in OPS]


def test_nothing_stands_beside_it(merge_conflict: Make, tmp_path: Path) -> None:
    """Foreseeing a conflict leaves no copy."""
    merge_conflict("content", "none")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["repo"]
    assert not list((tmp_path / ".orxaq").rglob("copy"))


def test_words_that_there_are_not(merge_conflict: Make) -> None:
    """A wrong kind or operation, or a name that is taken, is refused at the call, with what may have been meant."""
    with pytest.raises(UsageError, match=r"(?s)no kind of conflict 'contents'\. Did you mean 'content'\?.*add-add"):
        merge_conflict("contents")
    with pytest.raises(
        UsageError, match=r"(?s)no operation that conflicts 'pull'\..*merge, rebase, cherry-pick, stash, none"
    ):
        merge_conflict("content", "pull")
    merge_conflict()
    with pytest.raises(UsageError, match="There is a repo already"):
        merge_conflict()
