"""Where git keeps its things, in every shape a repository can have."""

import os
import subprocess

from pathlib import Path

import pytest

from pytest_orxaq.errors import MachineError, RepositoryError
from pytest_orxaq.repository import places
from pytest_orxaq.repository.places import Places, git_folder_at, locate, submodule_paths, top_of
from pytest_orxaq.system.process import Answer


def git(directory: Path, *arguments: str) -> None:
    """Run git, which must succeed."""
    command = ("git", "-c", "protocol.file.allow=always", *arguments)
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=60)


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    (path / "a.txt").write_text("one\n")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message=first")
    return path


@pytest.mark.parametrize("inside", ["", "folder", ".git", ".git/refs/heads"])
def test_a_plain_repository(top: Path, inside: str) -> None:
    """From the top, below it, and inside git's folder the places are the same."""
    (top / "folder").mkdir()
    assert locate(top / inside) == Places(own=top / ".git", common=top / ".git", top=top)


@pytest.mark.parametrize("inside", ["tree", "repository/.git/worktrees/tree"])
def test_a_linked_work_tree(top: Path, tmp_path: Path, inside: str) -> None:
    """A linked work tree has a folder of its own inside of the common one."""
    git(top, "worktree", "add", "--quiet", "../tree")
    own = top / ".git" / "worktrees" / "tree"
    assert locate(tmp_path / inside) == Places(own=own, common=top / ".git", top=tmp_path / "tree")


@pytest.mark.parametrize("inside", ["sub", ".git/modules/sub"])
def test_a_submodule(top: Path, tmp_path: Path, inside: str) -> None:
    """A submodule's folder is below the one of its superproject."""
    git(tmp_path, "clone", "--quiet", str(top), "other")
    git(top, "submodule", "--quiet", "add", "../other", "sub")
    own = top / ".git" / "modules" / "sub"
    assert locate(top / inside) == Places(own=own, common=own, top=top / "sub")


def test_a_separate_git_folder(top: Path, tmp_path: Path) -> None:
    """The .git file leads to the folder; from inside of it, nothing tells the work tree."""
    git(tmp_path, "clone", "--quiet", "--separate-git-dir=apart", str(top), "clone")
    apart = tmp_path / "apart"
    assert locate(tmp_path / "clone") == Places(own=apart, common=apart, top=tmp_path / "clone")
    assert locate(apart).own == apart


def test_a_linked_git_folder(top: Path, tmp_path: Path) -> None:
    """A .git that is a link is followed, so that a lock has one name only."""
    (top / ".git").rename(tmp_path / "stored")
    (top / ".git").symlink_to(tmp_path / "stored")
    assert locate(top) == Places(own=tmp_path / "stored", common=tmp_path / "stored", top=top)


@pytest.mark.parametrize("inside", ["bare.git", "bare.git/refs"])
def test_a_bare_repository(top: Path, tmp_path: Path, inside: str) -> None:
    """A bare repository has no work tree."""
    git(tmp_path, "clone", "--quiet", "--bare", str(top), "bare.git")
    assert locate(tmp_path / inside) == Places(own=tmp_path / "bare.git", common=tmp_path / "bare.git", top=None)


def test_a_stale_lock_and_a_damaged_index_do_not_hinder(top: Path) -> None:
    """The places are known also where git can do nothing else."""
    (top / ".git" / "index.lock").touch()
    (top / ".git" / "index").write_bytes(b"rubbish")
    assert locate(top).own == top / ".git"


def test_no_repository(top: Path, tmp_path: Path) -> None:
    """A folder without a repository, a file, and a .git file that leads nowhere are refused with words."""
    with pytest.raises(RepositoryError, match="is not in a git repository"):
        locate(tmp_path)
    with pytest.raises(RepositoryError, match="is not a folder"):
        locate(top / "a.txt")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(RepositoryError, match="is damaged"):
        locate(tmp_path / "lost")


def test_a_git_that_does_not_answer(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that hangs is the machine's fault."""
    monkeypatch.setattr(places, "git", lambda *_: Answer(code=None, signal=15, out=b"", err=b"", timed_out=True))
    with pytest.raises(MachineError, match="did not answer"):
        locate(top)


# ---------------------------------------------------------------- what git's files tell


def test_the_work_tree_of_a_folder(tmp_path: Path) -> None:
    """It is the configured one, the one whose .git file is noted, or the folder that .git is in."""
    folder = tmp_path / "modules" / "sub"
    folder.mkdir(parents=True)
    assert top_of(folder) is None
    (folder / "config").write_text("[core]\n\tbare = false\n[other]\n\tworktree = no\n[core]\n\tworktree = ../../sub\n")
    assert top_of(folder) == tmp_path / "sub"
    (folder / "gitdir").write_text("../../tree/.git\n")
    assert top_of(folder) == tmp_path / "tree"
    assert top_of(tmp_path / ".git") == tmp_path


def test_submodules_outside_of_the_work_tree_are_none(tmp_path: Path) -> None:
    """A path that leads out, by dots or by a link, is not followed: git does not either."""
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "link").symlink_to(tmp_path)
    (top / ".gitmodules").write_text(
        '[submodule "a"]\n\tpath = "sub"\n[submodule "b"]\n\tpath = ../other\n[submodule "c"]\n\tpath = link\n'
        '[submodule "d"]\n\tpath = /etc\n[submodule "e"]\n\tpath\n[x]\n\tpath = other\n'
    )
    assert submodule_paths(top) == [top / "sub"]


def test_a_git_folder_by_its_file(tmp_path: Path) -> None:
    """A .git is a folder, or a file that leads to one; anything else leads nowhere."""
    (tmp_path / "folder").mkdir()
    assert git_folder_at(tmp_path / "folder") == tmp_path / "folder"
    for text, found in (("gitdir: folder\n", tmp_path / "folder"), ("gitdir: gone\n", None), ("words\n", None)):
        (tmp_path / "file").write_text(text)
        assert git_folder_at(tmp_path / "file") == found


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    """A named pipe, a folder, and a name that no file can have are read as empty, without waiting."""
    os.mkfifo(tmp_path / "pipe")
    assert places.text_of(tmp_path / "pipe") == ""
    assert places.text_of(tmp_path) == ""
    assert places.text_of(tmp_path / "a\0b") == ""
