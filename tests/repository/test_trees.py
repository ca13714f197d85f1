"""Finding the repository and digesting its content, on real repositories."""

import hashlib
import os
import shutil
import subprocess

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.errors import MachineError, RepositoryError
from pytest_orxaq.repository import trees
from pytest_orxaq.repository.trees import (
    Repository,
    TreeDigest,
    changes_between,
    digest,
    discover,
    subject_of,
)
from pytest_orxaq.system.process import Answer


Git = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git without the settings of this machine, which finds no repository above the test's folder."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A U Thor")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "author@example.org")


def git(directory: Path, *arguments: str) -> str:
    """Run git, which must succeed."""
    command = ("git", "-c", "protocol.file.allow=always", *arguments)
    done = subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=60)
    return os.fsdecode(done.stdout).strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with one commit."""
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    (path / "a.txt").write_text("one\n")
    (path / "folder").mkdir()
    (path / "folder" / "b.txt").write_text("two\n")
    (path / "link").symlink_to("a.txt")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message=the first\n\nmore")
    return path


def value(top: Path) -> str:
    """The digest, which must be there."""
    found = digest(discover(top))
    assert not found.why_not
    assert found.value
    return found.value


def why_not(top: Path) -> str:
    """The reason why there is no digest."""
    found = digest(discover(top))
    assert not found.value
    return found.why_not


# ---------------------------------------------------------------- discovery


def test_a_repository_is_found_from_any_folder_of_it(top: Path) -> None:
    """Wherever in the work tree one stands, the places are the same and absolute."""
    head = git(top, "rev-parse", "HEAD")
    expected = Repository(
        top=top,
        own=top / ".git",
        common=top / ".git",
        state=top / ".git" / "orxaq",
        commit=head,
        branch="main",
        dirty=(),
    )
    assert discover(top) == expected
    assert discover(top / "folder") == expected
    assert expected.id == hashlib.sha256(bytes(top / ".git")).hexdigest()
    assert subject_of(expected) == "the first"


def test_dirty_paths_are_named(top: Path) -> None:
    """Changed, staged, deleted and untracked paths are listed under their true names."""
    odd = 'odd "name"\n\x1cä \udcff'
    (top / "a.txt").write_text("changed\n")
    (top / odd).write_text("")
    (top / "folder" / "b.txt").unlink()
    (top / "staged").write_text("")
    git(top, "add", "staged")
    assert set(discover(top).dirty) == {"a.txt", odd, "folder/b.txt", "staged"}


def test_before_the_first_commit(tmp_path: Path) -> None:
    """A repository without commits has a branch and a digest, and no commit."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    repository = discover(tmp_path)
    assert (repository.commit, repository.branch) == ("", "main")
    assert subject_of(repository) == ""
    empty = value(tmp_path)
    (tmp_path / "a").write_text("")
    assert value(tmp_path) != empty


def test_detached_head(top: Path) -> None:
    """A detached HEAD has a commit and no branch."""
    git(top, "checkout", "--quiet", "--detach")
    repository = discover(top)
    assert repository.branch == ""
    assert repository.commit == git(top, "rev-parse", "HEAD")


def test_a_linked_work_tree_has_state_of_its_own(top: Path, tmp_path: Path) -> None:
    """State is the work tree's, the common folder and the name of the repository are shared."""
    linked = tmp_path / "linked"
    git(top, "worktree", "add", "--quiet", str(linked))
    repository, main = discover(linked), discover(top)
    assert repository.top == linked
    assert repository.own == top / ".git" / "worktrees" / "linked"
    assert repository.state == repository.own / "orxaq"
    assert repository.common == main.common
    assert repository.id == main.id
    assert value(linked) == value(top)


def test_a_submodule_is_a_repository(top: Path, tmp_path: Path) -> None:
    """In a submodule it is the submodule that is found."""
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "submodule", "--quiet", "add", str(top), "inner")
    repository = discover(outer / "inner")
    assert repository.top == outer / "inner"
    assert repository.own == repository.common == outer / ".git" / "modules" / "inner"
    assert repository.state == repository.own / "orxaq"


def test_through_a_symbolic_link(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linked or relative way to the repository leads to its true place."""
    (tmp_path / "way").symlink_to(top / "folder")
    assert discover(tmp_path / "way") == discover(top)
    monkeypatch.chdir(top / "folder")
    assert discover(Path()) == discover(top)


def test_a_hook_of_another_repository_does_not_mislead(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR and GIT_INDEX_FILE of a calling hook are not believed."""
    plain = value(top)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert discover(top).own == top / ".git"
    assert value(top) == plain


def test_no_repository(tmp_path: Path) -> None:
    """No repository: said, with what to do."""
    with pytest.raises(RepositoryError, match="is not in a git repository") as caught:
        discover(tmp_path)
    assert "git init" in caught.value.advice


def test_a_bare_repository(tmp_path: Path) -> None:
    """A bare repository has nothing to check."""
    git(tmp_path, "init", "--quiet", "--bare")
    with pytest.raises(RepositoryError, match="is a bare repository") as caught:
        discover(tmp_path)
    assert "worktree" in caught.value.advice


def test_inside_gits_folder(top: Path) -> None:
    """Git's own folder is not the work tree."""
    with pytest.raises(RepositoryError, match="inside git's own folder"):
        discover(top / ".git" / "refs")


def test_a_repository_of_somebody_else(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dubious ownership is explained, with the one command that mends it."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(RepositoryError, match="does not trust") as caught:
        discover(top / "folder")
    assert caught.value.advice.endswith(f"safe.directory {top}")


@pytest.mark.parametrize("content", ["gitdir: /no/such/place\n", "nonsense\n"])
def test_a_broken_git_file(tmp_path: Path, content: str) -> None:
    """A .git file that leads nowhere is called damaged, not missing."""
    (tmp_path / ".git").write_text(content)
    with pytest.raises(RepositoryError, match="is damaged"):
        discover(tmp_path)


def test_a_broken_configuration_of_git(top: Path) -> None:
    """What git says of its own configuration is passed on."""
    (top / ".git" / "config").write_text("[core\n")
    with pytest.raises(RepositoryError, match="bad config line 1"):
        discover(top)


def test_a_damaged_index(top: Path) -> None:
    """An index that git cannot read is the machine's fault; no digest is made of it."""
    repository = discover(top)
    (top / ".git" / "index").write_bytes(b"DIRC nonsense")
    with pytest.raises(MachineError, match="git status failed"):
        discover(top)
    assert "index" in digest(repository).why_not


# ---------------------------------------------------------------- digest


def write(name: str, text: str) -> Callable[[Path], None]:
    """A change that writes a file."""

    def change(top: Path) -> None:
        (top / name).write_text(text)

    return change


def relink(top: Path) -> None:
    """Point the link elsewhere."""
    (top / "link").unlink()
    (top / "link").symlink_to("folder")


def link_to_file(top: Path) -> None:
    """Put a file with the link's words in its place."""
    (top / "link").unlink()
    (top / "link").write_text("a.txt")


def file_to_folder(top: Path) -> None:
    """Put a folder in a file's place."""
    (top / "a.txt").unlink()
    (top / "a.txt").mkdir()
    (top / "a.txt" / "x").write_text("")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": write("a.txt", "ONE\n"),
    "untracked": write("new", ""),
    "untracked with an odd name": write('"odd\n\\ \r', ""),
    "untracked link": lambda top: (top / "new").symlink_to("a.txt"),
    "untracked program": lambda top: (top / "new").touch(0o755),
    "deleted": lambda top: (top / "a.txt").unlink(),
    "mode": lambda top: (top / "a.txt").chmod(0o755),
    "link": relink,
    "link to file": link_to_file,
    "file to folder": file_to_folder,
    "renamed": lambda top: (top / "a.txt").rename(top / "c.txt"),
    "staged": lambda top: ((top / "a.txt").write_text("staged\n"), git(top, "add", ".")),
    "announced": lambda top: ((top / "new").write_text("x"), git(top, "add", "-N", "new")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_changes_the_digest(top: Path, change: Callable[[Path], object]) -> None:
    """What differs in content, mode or name has another digest, and the same one once it is committed."""
    before = value(top)
    change(top)
    dirty = value(top)
    assert dirty != before
    git(top, "add", "--all")
    assert value(top) == dirty
    git(top, "commit", "--quiet", "--message=second")
    assert value(top) == dirty


def test_all_changes_have_digests_of_their_own(top: Path, tmp_path: Path) -> None:
    """No two different contents share a digest."""
    seen = {value(top)}
    for number, change in enumerate(CHANGES.values()):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(top, copy, symlinks=True)
        change(copy)
        seen.add(value(copy))
    assert len(seen) == len(CHANGES) + 1


def test_what_means_nothing_changes_nothing(top: Path) -> None:
    """Ignored files, empty folders, new times and a new message leave the digest alone."""
    (top / ".gitignore").write_text("*.log\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=ignore")
    before = value(top)
    (top / "x.log").write_text("")
    (top / "empty").mkdir()
    os.utime(top / "a.txt", (1, 1))
    git(top, "commit", "--quiet", "--amend", "--message=other words")
    assert value(top) == before


def test_a_change_with_size_and_time_restored(top: Path) -> None:
    """A file rewritten with equal size and time stamp is still seen."""
    before = value(top)
    times = (top / "a.txt").stat()
    (top / "a.txt").write_text("two\n")
    os.utime(top / "a.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert value(top) != before


def test_a_change_in_the_same_instant(top: Path) -> None:
    """A change of equal size right after git wrote its index is seen, each time."""
    seen = set()
    for number in range(10):
        (top / "a.txt").write_text(f"{number:03}\n")
        git(top, "add", "a.txt")
        (top / "a.txt").write_text(f"{number + 500:03}\n")
        seen.add(value(top))
    assert len(seen) == 10


def test_nothing_is_written(top: Path) -> None:
    """Neither the index nor the object store is touched."""

    def state() -> list[tuple[str, int, int]]:
        files = (path for path in (top / ".git").rglob("*") if path.is_file())
        return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_ino) for path in files)

    (top / "a.txt").write_text("changed\n")
    (top / "new").write_text("never seen before\n")
    os.utime(top / "folder" / "b.txt", (1, 1))
    before = state()
    value(top)
    assert state() == before


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
def test_line_endings_that_git_normalises(top: Path, name: str) -> None:
    """Bytes that git would normalise away count as long as the index does not hold the file's times."""
    (top / ".gitattributes").write_text("*.txt text\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=attributes")
    (top / name).write_bytes(b"one\n")
    before = value(top)
    (top / name).write_bytes(b"one\r\n")
    assert value(top) != before


def test_a_filter_that_fails(top: Path) -> None:
    """A required filter that does not work leaves no digest, and git's words."""
    (top / ".gitattributes").write_text("*.bin filter=broken\n")
    git(top, "config", "filter.broken.clean", "false")
    git(top, "config", "filter.broken.required", "true")
    (top / "x.bin").write_text("x")
    assert "external filter 'false' failed" in why_not(top)


def test_sha256_repositories(tmp_path: Path) -> None:
    """Repositories with the longer object names are digested too, dirty and committed alike."""
    git(tmp_path, "init", "--quiet", "--object-format=sha256")
    (tmp_path / "a").write_text("a")
    git(tmp_path, "add", ".")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").write_text("c")
    dirty = value(tmp_path)
    git(tmp_path, "add", ".")
    assert value(tmp_path) == dirty


def test_conflicts_have_no_digest(top: Path) -> None:
    """An unfinished merge has no content of its own."""
    git(top, "checkout", "--quiet", "-b", "other")
    (top / "a.txt").write_text("theirs\n")
    git(top, "commit", "--quiet", "--all", "--message=theirs")
    git(top, "checkout", "--quiet", "main")
    (top / "a.txt").write_text("ours\n")
    git(top, "commit", "--quiet", "--all", "--message=ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(top, "merge", "other")
    assert discover(top).dirty == ("a.txt",)
    assert "a.txt is in conflict" in why_not(top)


def test_a_conflict_whose_file_is_gone(top: Path) -> None:
    """A conflict is seen also where only the index tells of it."""
    blob = git(top, "rev-parse", "HEAD:a.txt")
    git(top, "rm", "--quiet", "--cached", "a.txt")
    entries = "".join(f"100644 {blob} {stage}\ta.txt\n" for stage in (1, 2, 3))
    subprocess.run(("git", "update-index", "--index-info"), cwd=top, check=True, input=entries.encode(), timeout=60)
    assert "a.txt is in conflict" in why_not(top)


@pytest.mark.parametrize("text", ["one\n", "hidden\n"])
def test_assume_unchanged_has_no_digest(top: Path, text: str) -> None:
    """A file that git was told not to look at is not vouched for."""
    git(top, "update-index", "--assume-unchanged", "a.txt")
    (top / "a.txt").write_text(text)
    assert "a.txt is marked assume-unchanged" in why_not(top)


def test_skip_worktree_of_a_file_that_is_there(top: Path) -> None:
    """A file that a sparse checkout hides from git, and that lies there, is not vouched for."""
    git(top, "update-index", "--skip-worktree", "a.txt")
    assert "a.txt is marked skip-worktree" in why_not(top)


def test_a_sparse_checkout_is_another_tree(top: Path) -> None:
    """What is left away by a sparse checkout makes another tree, with a digest."""
    full = value(top)
    git(top, "sparse-checkout", "set", "--no-cone", "/a.txt")
    assert not (top / "folder").exists()
    sparse = value(top)
    assert sparse != full
    git(top, "sparse-checkout", "disable")
    assert value(top) == full


def test_a_repository_within(top: Path) -> None:
    """An untracked repository inside is not looked into, and is not vouched for."""
    git(top, "init", "--quiet", "inner")
    (top / "inner" / "a").write_text("")
    git(top / "inner", "add", ".")
    git(top / "inner", "commit", "--quiet", "--message=inner")
    assert "inner/ is a repository of its own" in why_not(top)


def test_a_pipe_is_not_waited_for(top: Path) -> None:
    """A named pipe in a file's place is refused, not read."""
    (top / "a.txt").unlink()
    os.mkfifo(top / "a.txt")
    assert "a.txt is neither a file nor a link" in why_not(top)


def test_a_git_that_says_too_much(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that cannot be kept whole is not believed."""
    repository = discover(top)
    (tmp_path / "git").write_text("#!/bin/sh\nexec head -c 70000000 /dev/zero\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert digest(repository).why_not == "git could not list the work tree: it said more than can be kept"


def test_a_git_that_does_not_answer(tmp_path: Path) -> None:
    """A git that was stopped for its time is the machine's fault, and said."""
    late = Answer(code=None, signal=9, out=b"", err=b"", timed_out=True, truncated=False)
    refused = trees._no_repository(tmp_path, late, [""])
    assert isinstance(refused, MachineError)
    assert "did not answer" in refused.what
    assert trees._complaint(late) == "it took too long"


def test_a_folder_that_vanished(top: Path) -> None:
    """A work tree that is gone has no digest, and nothing is raised."""
    repository = discover(top)
    shutil.rmtree(top)
    found = digest(repository)
    assert found == TreeDigest(why_not=f"the work tree cannot be read: {top} is not a folder")


# ---------------------------------------------------------------- submodules


@pytest.fixture
def outer(top: Path, tmp_path: Path) -> Path:
    """A repository with a submodule."""
    path = tmp_path / "outer"
    path.mkdir()
    git(path, "init", "--quiet")
    git(path, "submodule", "--quiet", "add", str(top), "inner")
    git(path, "commit", "--quiet", "--message=outer")
    return path


def test_a_clean_submodule(outer: Path) -> None:
    """A submodule as recorded has a digest, which is another one than without it."""
    filled = value(outer)
    git(outer, "submodule", "--quiet", "deinit", "--all")
    empty = value(outer)
    assert filled != empty
    git(outer, "submodule", "--quiet", "update", "--init")
    assert value(outer) == filled


SUBMODULE_CHANGES: dict[str, Callable[[Path], object]] = {
    "content": write("inner/a.txt", "changed\n"),
    "untracked": write("inner/new", ""),
    "commit": lambda outer: git(outer / "inner", "commit", "--quiet", "--allow-empty", "--message=more"),
    "gone": lambda outer: shutil.rmtree(outer / "inner"),
}


@pytest.mark.parametrize("change", SUBMODULE_CHANGES.values(), ids=SUBMODULE_CHANGES)
def test_a_changed_submodule(outer: Path, change: Callable[[Path], object]) -> None:
    """A submodule that is not as recorded leaves no digest, even where the configuration ignores that."""
    git(outer, "config", "submodule.inner.ignore", "all")
    change(outer)
    assert "the submodule inner is not as recorded" in why_not(outer)


def test_files_in_a_submodule_that_is_not_there(outer: Path) -> None:
    """Files in the empty place of a submodule are seen although git does not look."""
    git(outer, "submodule", "--quiet", "deinit", "--all")
    (outer / "inner" / "stray").write_text("")
    assert "is not initialised, yet its folder holds files" in why_not(outer)


# ---------------------------------------------------------------- changes


def test_changes_since_a_commit(top: Path) -> None:
    """Paths that differ from an earlier commit are named, committed or not; a long list is cut, and says so."""
    first = discover(top).commit
    assert changes_between(discover(top), first) == ()
    (top / "a.txt").write_text("changed\n")
    git(top, "commit", "--quiet", "--all", "--message=second")
    (top / "folder" / "b.txt").write_text("dirty\n")
    repository = discover(top)
    assert changes_between(repository, first) == ("a.txt", "folder/b.txt")
    assert changes_between(repository, first, limit=1) == ("a.txt", "... and 1 more")


@pytest.mark.parametrize("commit", ["", "--output=x", "HEAD", "f" * 40])
def test_changes_since_an_unknown_commit(top: Path, commit: str) -> None:
    """A commit that is unknown, or no commit at all, gives no changes and does no harm."""
    assert changes_between(discover(top), commit) == ()
    assert not (top / "x").exists()


def test_the_subject_of_a_lost_commit(top: Path) -> None:
    """A commit that cannot be read has no subject."""
    repository = discover(top)
    shutil.rmtree(top / ".git" / "objects")
    assert subject_of(repository) == ""
