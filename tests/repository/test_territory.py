"""The folders of a repository, and whether a process works in them; told by what git itself does with such folders."""

import os
import subprocess

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.core.gitlike import Aim
from pytest_orxaq.repository.territory import home_of, lies_within, names_a_place, survey, touches
from pytest_orxaq.system.census import Seen


def git(folder: Path, *arguments: str) -> str:
    """Run git, which must succeed."""
    command = ("git", "-c", "protocol.file.allow=always", *arguments)
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with a commit."""
    path = tmp_path / "top"
    git(tmp_path, "init", "-q", "-b", "main", str(path))
    git(path, "commit", "-q", "--allow-empty", "-m", "first")
    return path


def worker(folder: Path, *opened: str) -> Seen:
    """A process that works in a folder."""
    return Seen(
        pid=1,
        parent=1,
        name="git",
        command=("git",),
        started_at=0.0,
        directory=str(folder),
        environment={},
        opened=tuple(enumerate(opened)),
        here=str(folder),
    )


# ---------------------------------------------------------------- folders


def test_work_trees_and_submodules_belong_to_it(top: Path, tmp_path: Path) -> None:
    """Linked work trees, submodules of submodules, those of a linked work tree and its siblings; each with its family."""
    git(tmp_path, "clone", "-q", str(top), "inner")
    git(tmp_path, "clone", "-q", str(top), "middle")
    git(tmp_path / "middle", "submodule", "add", "-q", str(tmp_path / "inner"), "deep/inner")
    git(tmp_path / "middle", "commit", "-qm", "inner")
    git(top, "submodule", "add", "-q", str(tmp_path / "middle"), "lib/middle")
    git(top, "submodule", "update", "-q", "--init", "--recursive")
    git(top, "commit", "-qm", "middle")
    git(top, "worktree", "add", "-q", str(tmp_path / "linked"))
    git(tmp_path / "linked", "submodule", "update", "-q", "--init")
    git(top / "lib/middle", "worktree", "add", "-q", str(tmp_path / "of-middle"))
    found = survey(top / ".git", top / ".git", top)
    common = str(top / ".git")
    expected = {
        common: common,
        f"{common}/worktrees/linked": common,
        f"{common}/worktrees/linked/modules/lib/middle": f"{common}/worktrees/linked/modules/lib/middle",
        f"{common}/modules/lib/middle": f"{common}/modules/lib/middle",
        f"{common}/modules/lib/middle/worktrees/of-middle": f"{common}/modules/lib/middle",
        f"{common}/modules/lib/middle/modules/deep/inner": f"{common}/modules/lib/middle/modules/deep/inner",
    }
    assert found.families == expected
    assert set(found.git_folders.values()) == set(expected)
    assert set(found.work_trees.values()) == {str(top), str(tmp_path / "linked"), str(tmp_path / "of-middle")}
    assert found.are_siblings(common, f"{common}/worktrees/linked")
    assert not found.are_siblings(common, f"{common}/modules/lib/middle")
    assert not found.are_siblings("/elsewhere", "/nowhere")


def test_folders_that_are_not_there_do_not_count(tmp_path: Path) -> None:
    """A work tree that was removed by hand, and a repository that is gone, are no places."""
    assert not survey(tmp_path / "gone", tmp_path / "gone", tmp_path / "gone too").all


def test_a_bare_repository_has_no_work_tree(top: Path, tmp_path: Path) -> None:
    """Its git folder is all of it, what lies around it is not."""
    git(tmp_path, "clone", "-q", "--bare", str(top), "bare")
    found = survey(tmp_path / "bare", tmp_path / "bare", None)
    assert not found.work_trees
    assert home_of(worker(tmp_path / "bare"), Aim(), found) == str(tmp_path / "bare")
    assert home_of(worker(tmp_path), Aim(), found) == ""


# ---------------------------------------------------------------- where a git works


Make = Callable[[Path], Path]


def plain(top: Path) -> Path:
    """A folder of the work tree."""
    (top / "a/b").mkdir(parents=True)
    return top / "a/b"


def with_an_empty_git_folder(top: Path) -> Path:
    """A folder with a .git that is none: git looks further up."""
    (top / "a/.git").mkdir(parents=True)
    return top / "a"


def another_inside(top: Path) -> Path:
    """A repository inside of ours."""
    git(top, "init", "-q", "inside")
    (top / "inside/a").mkdir()
    return top / "inside/a"


def bare_inside(top: Path) -> Path:
    """A bare one."""
    git(top, "init", "-q", "--bare", "bare")
    return top / "bare/refs"


def linked_to_another(top: Path) -> Path:
    """A work tree of another repository inside of ours, whose .git file is relative."""
    git(top.parent, "init", "-q", "other")
    (top / "view").mkdir()
    (top / "view/.git").write_text("gitdir: ../../other/.git\n")
    return top / "view"


def separate(top: Path) -> Path:
    """A work tree of ours elsewhere, by a .git file with an absolute path."""
    place = top.parent / "view"
    place.mkdir()
    (place / ".git").write_text(f"gitdir: {top}/.git\n")
    return place


@pytest.mark.parametrize(
    "make", [plain, with_an_empty_git_folder, another_inside, bare_inside, linked_to_another, separate]
)
def test_a_git_is_where_git_says_it_is(top: Path, make: Make) -> None:
    """Found as git itself finds it."""
    place = make(top)
    ours = git(place, "rev-parse", "--absolute-git-dir") == str(top / ".git")
    territory = survey(top / ".git", top / ".git", top)
    assert home_of(worker(place), Aim(), territory) == (str(top / ".git") if ours else "")


def test_what_cannot_be_told_is_not_known(top: Path) -> None:
    """A folder that cannot be reached, or a .git file that says nothing, is no proof of being elsewhere."""
    territory = survey(top / ".git", top / ".git", top)
    assert home_of(worker(top.parent / "nowhere"), Aim(), territory) is None
    for path, known in (("gone/top/.git", True), ("../../top/.git", False), ("../..", False), ("top/./.git", False)):
        found = home_of(worker(top.parent / "nowhere"), Aim(git_folder=path), territory)
        assert found == ("" if known else None), path
    assert home_of(worker(top.parent), Aim(git_folder="of/others/.git"), territory) == ""
    (top / "a").mkdir()
    (top / "a/.git").write_text("")
    assert home_of(worker(top / "a"), Aim(), territory) is None


def test_options_lead_there_and_away(top: Path, tmp_path: Path) -> None:
    """-C one after the other, --git-dir (also to a .git file) and the common folder, from where it was or has gone."""
    territory = survey(top / ".git", top / ".git", top)
    git(tmp_path, "init", "-q", "other")
    (tmp_path / "view").mkdir()
    (tmp_path / "view/.git").write_text(f"gitdir: {top}/.git\n")
    home = str(top / ".git")
    elsewhere = worker(tmp_path / "other")
    for aim in (
        Aim(folders=("..", "top")),
        Aim(folders=("nowhere", str(top))),
        Aim(folders=("", "../top")),
        Aim(git_folder="../top/.git"),
        Aim(folders=("../top",), git_folder=".git"),
        Aim(folders=("nowhere",), git_folder="../top/.git"),
        Aim(git_folder="../view/.git"),
        Aim(common_folder=str(top / ".git")),
        Aim(common_folder="nowhere", git_folder="../top/.git"),
    ):
        assert home_of(elsewhere, aim, territory) == home, aim
    assert home_of(elsewhere, Aim(), territory) == ""
    assert home_of(worker(top), Aim(git_folder="../other/.git"), territory) == ""


@pytest.mark.parametrize(
    ("rest", "named"),
    [
        (("../top",), True),
        (("../top/file that is not there",), True),
        (("--into=../top/.git",), True),
        (("../top/inside",), False),
        (("--x", "", "-", "file", "../nowhere/x", "HEAD:path"), False),
    ],
)
def test_arguments_that_lead_here(top: Path, rest: tuple[str, ...], *, named: bool) -> None:
    """A path in our repository counts, one in a repository inside of ours does not, nor do other words."""
    another_inside(top)
    git(top.parent, "init", "-q", "other")
    territory = survey(top / ".git", top / ".git", top)
    assert names_a_place(worker(top.parent / "other"), Aim(rest=rest), territory) is named


# ---------------------------------------------------------------- who has something of it open


def test_whoever_has_something_open_touches_it(top: Path, tmp_path: Path) -> None:
    """By its folder or by a file, in the work tree or below .git."""
    territory = survey(top / ".git", top / ".git", top)
    assert touches(worker(top / ".git/refs"), territory)
    assert touches(worker(tmp_path, f"{tmp_path}/x", f"{top}/.git/objects/y"), territory)
    assert not touches(worker(tmp_path, f"{tmp_path}/x"), territory)
    blind = Seen(pid=1, parent=1, name="x", command=(), started_at=0.0)
    assert not touches(blind, territory)
    assert lies_within(str(top / ".git/HEAD"), territory)
    assert not lies_within(os.devnull, territory)
    assert not lies_within("/nowhere/at/all", territory)
