"""Finding git's locks, in every shape a repository can have."""

import os
import subprocess
import tempfile

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_orxaq.model import Lock, LockKind
from pytest_orxaq.repository.lockfiles import Found, GitFolder, _each_once, find
from pytest_orxaq.repository.places import Places, locate


def git(directory: Path, *arguments: str, check: bool = True) -> int:
    """Run git; its exit code."""
    command = ("git", "-c", "protocol.file.allow=always", *arguments)
    return subprocess.run(command, cwd=directory, check=check, capture_output=True, timeout=60).returncode


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    for name in ("a.txt", "b.txt"):
        (path / name).write_text("one\n")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message=first")
    return path


@pytest.fixture
def as_somebody() -> Iterator[None]:
    """For a while, not the superuser, to whom no folder is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def touch(*paths: Path) -> list[str]:
    """Make empty files, with the folders that they need; their names, sorted."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return sorted(map(str, paths))


def found_in(directory: Path) -> list[str]:
    """The paths of the locks that are found, sorted; nothing must be uncovered."""
    found = find(locate(directory))
    assert not found.uncovered
    return sorted(lock.path for lock in found.locks)


# ---------------------------------------------------------------- shapes of repositories


def test_a_repository_without_locks(top: Path) -> None:
    """Where there is no lock, none is found, and everything was looked at."""
    folder = GitFolder(path=top / ".git", family=top / ".git", top=top)
    assert find(locate(top)) == Found(locks=(), folders=(folder,), operations=(), uncovered=())


def test_every_kind_is_found(top: Path) -> None:
    """All locks of a work tree are found, with their kind, what they guard, and the folder that they belong to."""
    git_folder = top / ".git"
    made = touch(
        *(
            git_folder / name
            for name in (
                *("index.lock", "next-index-7.lock", "index.stash.7.lock", "HEAD.lock", "packed-refs.lock"),
                *("packed-refs.new", "config.lock", "shallow.lock", "MERGE_RR.lock", "MERGE_MSG.lock", "gc.pid.lock"),
                *("refs/heads/main.lock", "refs/heads/a/b/c.lock", "logs/HEAD.lock", "logs/refs/heads/main.lock"),
                *("info/sparse-checkout.lock", "objects/info/commit-graph.lock", "objects/maintenance.lock"),
                *("objects/info/commit-graphs/commit-graph-chain.lock", "objects/pack/multi-pack-index.lock"),
                *("objects/schedule.lock", "objects/info/alternates.lock", "objects/loose-object-idx.lock"),
                *("reftable/tables.list.lock", "reftable/0x000000000001-0x000000000002-7f3a9c01.ref.lock"),
            )
        ),
        top / ".gitmodules.lock",
    )
    found = find(locate(top))
    assert sorted(lock.path for lock in found.locks) == made
    assert {lock.directory for lock in found.locks} == {str(git_folder)}
    assert {lock.kind for lock in found.locks} == set(LockKind)
    by_path = {lock.path: lock for lock in found.locks}
    assert by_path[f"{top}/.gitmodules.lock"].target == f"{top}/.gitmodules"
    assert by_path[f"{git_folder}/next-index-7.lock"] == Lock(
        path=f"{git_folder}/next-index-7.lock",
        kind=LockKind.PARTIAL_INDEX,
        target=f"{git_folder}/index",
        directory=str(git_folder),
    )


def test_strangers_are_left_out(top: Path) -> None:
    """Files of hooks, large-file stores and annexes, pid files and a locked work tree are no locks of git's."""
    git(top, "worktree", "add", "--quiet", "../tree")
    git(top, "worktree", "lock", "../tree")
    touch(
        *(
            top / ".git" / name
            for name in (
                *("hooks/pre-commit.lock", "lfs/x.lock", "annex/index.lock", "modules/note.lock", "index~pid.lock"),
                *("worktrees/tree/config.lock", "worktrees/tree/refs/heads/main.lock", "refs/heads/.hidden.lock"),
                *("reftable/notes.txt", "orxaq/lock", "worktrees/note", "elsewhere/sub/index.lock"),
            )
        ),
        *(top / "uv.lock", top / "index.lock"),
    )
    (top / ".git" / "modules" / "around").symlink_to("..")
    (top / ".git" / "modules" / "link").symlink_to("../elsewhere")
    assert found_in(top) == []


def test_linked_work_trees(top: Path, tmp_path: Path) -> None:
    """From any work tree, the locks of all of them are found."""
    git(top, "worktree", "add", "--quiet", "../one")
    git(top, "worktree", "add", "--quiet", "../two")
    linked = top / ".git" / "worktrees"
    made = touch(
        *(top / ".git" / "index.lock", linked / "one" / "index.lock", linked / "two" / "HEAD.lock"),
        *(linked / "two" / "refs" / "bisect" / "bad.lock", linked / "one" / "logs" / "HEAD.lock"),
        *(tmp_path / "two" / ".gitmodules.lock", linked / "one" / "info" / "sparse-checkout.lock"),
    )
    for place in (top, tmp_path / "one", tmp_path / "two", linked / "two"):
        assert found_in(place) == made


def test_a_work_tree_whose_folder_is_elsewhere(top: Path, tmp_path: Path) -> None:
    """A folder of a work tree that is not among the common one's is looked at too."""
    own = tmp_path / "own"
    made = touch(own / "index.lock", own / "config.lock", top / ".git" / "config.lock")
    found = find(Places(own=own, common=top / ".git", top=tmp_path / "tree"))
    assert sorted(lock.path for lock in found.locks) == [path for path in made if path != str(own / "config.lock")]


def test_submodules(top: Path, tmp_path: Path) -> None:
    """Submodules are looked at with their own submodules and work trees, whatever their name is."""
    git(tmp_path, "clone", "--quiet", str(top), "inner")
    git(tmp_path, "clone", "--quiet", str(top), "outer")
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(tmp_path / "inner"), "in")
    git(tmp_path / "outer", "commit", "--quiet", "--message=inner")
    git(top, "submodule", "--quiet", "add", "--name", "libs/outer", str(tmp_path / "outer"), "out")
    git(top, "submodule", "--quiet", "update", "--init", "--recursive")
    git(top / "out", "worktree", "add", "--quiet", str(tmp_path / "tree"))
    outer = top / ".git" / "modules" / "libs" / "outer"
    made = touch(
        *(outer / "index.lock", outer / "modules" / "in" / "shallow.lock", outer / "worktrees" / "tree" / "HEAD.lock"),
        *(top / "out" / ".gitmodules.lock", top / ".git" / "config.lock"),
    )
    assert found_in(top) == made
    git(top, "rm", "--quiet", "--cached", "--force", ".gitmodules", "out")
    (top / ".gitmodules").unlink()
    assert found_in(top) == made


def test_submodules_of_a_linked_work_tree(top: Path, tmp_path: Path) -> None:
    """A linked work tree has copies of its submodules, in its own folder."""
    git(tmp_path, "clone", "--quiet", str(top), "other")
    git(top, "submodule", "--quiet", "add", str(tmp_path / "other"), "sub")
    git(top, "commit", "--quiet", "--message=sub")
    git(top, "worktree", "add", "--quiet", "../tree")
    git(tmp_path / "tree", "submodule", "--quiet", "update", "--init")
    made = touch(top / ".git" / "worktrees" / "tree" / "modules" / "sub" / "index.lock")
    assert found_in(top) == made


def test_submodules_with_a_folder_of_their_own(top: Path, tmp_path: Path) -> None:
    """A submodule may keep its git folder in the work tree, or in a place that its .git file tells."""
    git(tmp_path, "clone", "--quiet", str(top), "repository/old")
    git(tmp_path, "clone", "--quiet", "--separate-git-dir=apart", str(top), "repository/far")
    for name in ("old", "far"):
        git(top, "submodule", "--quiet", "add", str(tmp_path / "origin"), name)
    made = touch(top / "old" / ".git" / "index.lock", tmp_path / "apart" / "index.lock", top / "far/.gitmodules.lock")
    assert found_in(top) == sorted(made)


def test_a_submodule_that_is_not_checked_out(top: Path) -> None:
    """A submodule that is only named has no locks, and nothing is missing."""
    (top / ".gitmodules").write_text('[submodule "a"]\n\tpath = sub\n')
    (top / "sub").mkdir()
    assert found_in(top) == []


def test_separate_folder_and_links(top: Path, tmp_path: Path) -> None:
    """A git folder elsewhere is found by a .git file as by a link, and its locks have one name."""
    git(tmp_path, "clone", "--quiet", "--separate-git-dir=apart", str(top), "clone")
    (tmp_path / "clone" / ".git").unlink()
    made = touch(tmp_path / "apart" / "index.lock", tmp_path / "clone" / ".gitmodules.lock")
    (tmp_path / "clone" / ".git").write_text(f"gitdir: {tmp_path}/apart\n")
    assert found_in(tmp_path / "clone") == made
    (tmp_path / "clone" / ".git").unlink()
    (tmp_path / "clone" / ".git").symlink_to(tmp_path / "apart")
    assert found_in(tmp_path / "clone") == made


def test_a_linked_index(top: Path, tmp_path: Path) -> None:
    """Where the index is a link, git's lock lies beside what it leads to; that is what stops git."""
    stored = tmp_path / "stored"
    stored.mkdir()
    (top / ".git" / "index").rename(stored / "real")
    (stored / "middle").symlink_to("real")
    (top / ".git" / "index").symlink_to(stored / "middle")
    made = touch(stored / "real.lock")
    (lock,) = find(locate(top)).locks
    assert [lock.path] == made
    assert (lock.kind, lock.target, lock.directory) == (LockKind.INDEX, f"{stored}/real", f"{top}/.git")
    assert git(top, "add", "a.txt", check=False) == 128
    (stored / "real.lock").unlink()
    assert git(top, "add", "a.txt") == 0


def test_other_files_that_are_links(top: Path, tmp_path: Path) -> None:
    """Configuration, packed references, alternates and .gitmodules may be links too; references are not followed."""
    folder = top / ".git"
    for name in ("config", "packed-refs", "objects/info/alternates", "ORIG_HEAD"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(tmp_path / Path(name).name)
    (top / ".gitmodules").symlink_to(tmp_path / "named")
    made = touch(*(tmp_path / name for name in ("config.lock", "packed-refs.lock", "packed-refs.new")))
    made += touch(tmp_path / "alternates.lock", tmp_path / "named.lock", tmp_path / "ORIG_HEAD.lock")
    found = find(Places(own=folder, common=folder, top=top))
    assert sorted(lock.path for lock in found.locks) == [path for path in sorted(made) if "ORIG_HEAD" not in path]
    new = next(lock for lock in found.locks if lock.path.endswith(".new"))
    assert (new.kind, new.target) == (LockKind.PACKED_REFS_NEW, str(tmp_path / "packed-refs"))


def test_a_loop_of_links_ends(top: Path) -> None:
    """Git follows five links and no more; so do we."""
    (top / ".git" / "index").unlink()
    (top / ".git" / "index").symlink_to("index")
    assert find(locate(top)).locks == ()
    (top / ".git" / "index").unlink()
    (top / ".git" / "index").symlink_to("l0")
    for number in range(9):
        (top / ".git" / f"l{number}").symlink_to(f"l{number + 1}")
    touch(top / ".git" / "l4.lock", top / ".git" / "l9.lock")
    assert [Path(lock.path).name for lock in find(locate(top)).locks] == ["l4.lock"]
    assert git(top, "add", "a.txt", check=False) == 128


def test_two_work_trees_with_one_index(top: Path, tmp_path: Path) -> None:
    """A lock that two work trees meet is one lock."""
    git(top, "worktree", "add", "--quiet", "../tree")
    made = touch(tmp_path / "shared.lock")
    for folder in (top / ".git", top / ".git" / "worktrees" / "tree"):
        (folder / "index").unlink()
        (folder / "index").symlink_to(tmp_path / "shared")
    assert found_in(top) == made


def test_two_spellings_of_one_index(top: Path, tmp_path: Path) -> None:
    """A lock that two work trees meet by links of other words, one through a folder and back, is listed once."""
    git(top, "worktree", "add", "--quiet", "../tree")
    (tmp_path / "shared").mkdir()
    linked = top / ".git" / "worktrees" / "tree"
    (top / ".git" / "index").rename(tmp_path / "shared" / "index")
    (top / ".git" / "index").symlink_to(tmp_path / "shared" / "index")
    (linked / "index").unlink()
    (linked / "index").symlink_to("../../../../shared/index")
    made = touch(tmp_path / "shared" / "index.lock", tmp_path / "shared" / "next-index-7.lock")
    for folder in (top, tmp_path / "tree"):
        assert git(folder, "add", ".", check=False) == 128, "both meet it"
        (lock,) = find(locate(folder)).locks
        assert os.path.samefile(lock.path, made[0])
    assert find(locate(top)).locks[0].path == made[0], "by its first spelling"


def test_locks_of_a_folder_that_went_away() -> None:
    """What was found is told apart by its spelling where nothing else is left of it."""
    locks = [
        Lock(path=f"/nowhere/{name}.lock", kind=LockKind.INDEX, target=f"/nowhere/{name}", directory="/nowhere")
        for name in ("index", "other", "index")
    ]
    assert _each_once(locks) == tuple(locks[:2])


def test_a_bare_repository(top: Path, tmp_path: Path) -> None:
    """A bare repository has locks, and may have work trees."""
    git(tmp_path, "clone", "--quiet", "--bare", str(top), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "--quiet", "../tree")
    bare = tmp_path / "bare.git"
    made = touch(bare / "HEAD.lock", bare / "packed-refs.lock", bare / "worktrees" / "tree" / "index.lock")
    assert found_in(bare) == made


def test_a_folder_of_references_that_is_a_link(top: Path, tmp_path: Path) -> None:
    """References may lie behind a link; what a link shows a second time is not listed a second time."""
    (top / ".git" / "refs" / "elsewhere").symlink_to(tmp_path / "elsewhere")
    (top / ".git" / "refs" / "again").symlink_to(tmp_path / "elsewhere")
    (top / ".git" / "refs" / "heads" / "loop").symlink_to("..")
    (top / ".git" / "worktrees").mkdir()
    for place in ("refs/heads", "worktrees"):
        (top / ".git" / place / "self").symlink_to("self")
    touch(tmp_path / "elsewhere" / "x.lock", top / ".git" / "refs" / "heads" / "main.lock")
    found = find(locate(top))
    assert len(found.locks) == 2
    assert {Path(lock.path).name for lock in found.locks} == {"x.lock", "main.lock"}
    for said, place in zip(found.uncovered, ("refs/heads", "worktrees"), strict=True):
        assert f"{place}/self cannot be looked at" in said


def test_names_that_are_not_utf8(top: Path) -> None:
    """A lock whose name is no text is found, and its path leads to it."""
    path = os.fsencode(top / ".git" / "refs" / "heads") + b"/caf\xe9.lock"
    with open(path, "wb"):
        pass
    (lock,) = find(locate(top)).locks
    assert os.fsencode(lock.path) == path
    assert os.path.exists(lock.path)
    assert os.fsencode(lock.target) == path.removesuffix(b".lock")


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_oddities_with_the_name_of_a_lock_are_listed(top: Path, kind: str) -> None:
    """Whatever bears the name of a lock stops git, and is listed; others say that it is no lock."""
    places = [top / ".git" / "index.lock", top / ".git" / "refs" / "heads" / "main.lock"]
    for place in places:
        if kind == "folder":
            (place / "inner.lock").mkdir(parents=True)
        elif kind == "link":
            place.symlink_to("nowhere")
        else:
            os.mkfifo(place)
    assert found_in(top) == sorted(map(str, places))


# ---------------------------------------------------------------- operations


def test_unfinished_operations_are_told_apart(top: Path, tmp_path: Path) -> None:
    """Merges, rebases and their like that nobody finished are named with their place."""
    git(top, "worktree", "add", "--quiet", "-b", "other", "../tree")
    (top / "a.txt").write_text("two\n")
    git(top, "commit", "--quiet", "--all", "--message=two")
    (tmp_path / "tree" / "a.txt").write_text("three\n")
    git(tmp_path / "tree", "commit", "--quiet", "--all", "--message=three")
    assert find(locate(top)).operations == ()
    git(top, "merge", "other", check=False)
    git(tmp_path / "tree", "rebase", "main", check=False)
    git(top, "bisect", "start")
    said = find(locate(top)).operations
    assert f"A merge was begun in {top} and is not finished (MERGE_HEAD)." in said
    assert f"A rebase was begun in {tmp_path}/tree and is not finished (rebase-merge)." in said
    assert f"A bisect was begun in {top} and is not finished (BISECT_LOG)." in said


@pytest.mark.parametrize("verb", ["cherry-pick", "revert"])
def test_unfinished_picks(top: Path, verb: str) -> None:
    """A cherry-pick and a revert that met a conflict are named."""
    for text in ("two\n", "three\n"):
        (top / "a.txt").write_text(text)
        git(top, "commit", "--quiet", "--all", f"--message={text}")
    (top / "a.txt").write_text("four\n")
    git(top, "commit", "--quiet", "--all", "--message=four")
    git(top, verb, "HEAD~2", "HEAD~1", check=False)
    said = " ".join(find(locate(top)).operations)
    assert f"A {verb} was begun in {top}" in said
    assert "sequencer" in said


# ---------------------------------------------------------------- what git really leaves


def kill_from_hook(top: Path, hook: str, *arguments: str, first: str = "") -> None:
    """Have a hook of git's kill the git that runs it."""
    path = top / ".git" / "hooks" / hook
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{first}\nkill -9 $PPID\n")
    path.chmod(0o755)
    assert git(top, *arguments, check=False) == -9
    path.unlink()


def test_a_killed_add(top: Path) -> None:
    """What a git that was killed while it added leaves is found."""
    (top / ".gitattributes").write_text("*.txt filter=x\n")
    (top / "a.txt").write_text("more\n")
    assert git(top, "-c", "filter.x.clean=kill -9 $PPID", "add", "a.txt", check=False) == -9
    assert found_in(top) == [f"{top}/.git/index.lock"]


def test_a_killed_commit(top: Path) -> None:
    """What a git that was killed in a hook of its commit leaves is found, of every kind of commit."""
    (top / "a.txt").write_text("more\n")
    kill_from_hook(top, "pre-commit", "commit", "--message=x", "--", "a.txt")
    kinds = [lock.kind for lock in find(locate(top)).locks]
    assert sorted(kinds) == [LockKind.INDEX, LockKind.PARTIAL_INDEX]


def test_a_killed_reference_transaction(top: Path) -> None:
    """What a git that was killed while it moved a branch leaves is found."""
    (top / "a.txt").write_text("more\n")
    arguments = ("commit", "--all", "--message=x")
    kill_from_hook(top, "reference-transaction", *arguments, first='[ "$1" = prepared ] || exit 0')
    kinds = [lock.kind for lock in find(locate(top)).locks]
    assert sorted(kinds) == [LockKind.INDEX, LockKind.PSEUDOREF, LockKind.REF]


def test_a_killed_pack_refs(top: Path) -> None:
    """What a git that was killed while it packed references leaves is found."""
    kill_from_hook(top, "reference-transaction", "pack-refs", "--all", first='[ "$1" = prepared ] || exit 0')
    assert LockKind.PACKED_REFS in {lock.kind for lock in find(locate(top)).locks}


# ---------------------------------------------------------------- bad input


def test_a_submodule_that_leads_nowhere(top: Path) -> None:
    """A .git file that leads nowhere is said, and the rest is looked at."""
    (top / ".gitmodules").write_text('[submodule "a"]\n\tpath = sub\n')
    (top / "sub").mkdir()
    (top / "sub" / ".git").write_text("gitdir: ../nowhere\n")
    made = touch(top / ".git" / "index.lock")
    found = find(locate(top))
    assert [lock.path for lock in found.locks] == made
    (said,) = found.uncovered
    assert said.startswith(f"{top}/sub/.git leads to no git folder")


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Places that are not there are not the same as places without locks."""
    gone = tmp_path / "gone"
    (said,) = find(Places(own=gone, common=gone, top=None)).uncovered
    assert str(gone) in said


@pytest.mark.usefixtures("as_somebody")
def test_closed_folders() -> None:
    """A folder that cannot be read or entered is said, and the rest is looked at."""
    with tempfile.TemporaryDirectory() as place:
        top = Path(place, "repository")
        folder = top / ".git"
        made = touch(folder / "HEAD.lock", folder / "refs" / "heads" / "main.lock")
        touch(folder / "refs" / "tags" / "x.lock", folder / "objects" / "info" / "alternates.lock")
        touch(folder / "modules" / "closed" / "x", folder / "worktrees" / "tree" / "HEAD")
        (folder / "refs" / "heads" / "link").symlink_to(folder / "refs" / "tags" / "deeper")
        closed = [folder / name for name in ("refs/tags", "objects/info", "modules", "worktrees")]
        for each in closed:
            each.chmod(0o000)
        try:
            found = find(Places(own=folder, common=folder, top=top))
        finally:
            for each in closed:
                each.chmod(0o700)
    assert sorted(lock.path for lock in found.locks) == made
    for each in closed:
        assert any(said.startswith(str(each)) for said in found.uncovered)
    assert any(said.startswith(f"{folder}/refs/heads/link") for said in found.uncovered)


@pytest.mark.usefixtures("as_somebody")
def test_a_folder_that_cannot_be_entered() -> None:
    """Where not even the folder can be looked at, that is said."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "closed", ".git")
        folder.mkdir(parents=True)
        folder.parent.chmod(0o000)
        try:
            found = find(Places(own=folder, common=folder, top=None))
        finally:
            folder.parent.chmod(0o700)
    assert found.uncovered


def test_a_name_too_long_to_be_looked_at(top: Path) -> None:
    """A link whose target no file can have is said, not stumbled over."""
    (top / ".git" / "index").unlink()
    (top / ".git" / "index").symlink_to("x" * 300)
    (said,) = find(locate(top)).uncovered
    assert "File name too long" in said
