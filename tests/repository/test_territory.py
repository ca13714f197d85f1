"""The folders of a repository, and whether a process works in them; told by what git itself does with such folders."""

import errno
import os
import subprocess
import sys

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.core.gitlike import Aim
from pytest_orxaq.repository.lockfiles import find
from pytest_orxaq.repository.places import Places
from pytest_orxaq.repository.territory import Standpoint, Territory, survey
from pytest_orxaq.system.census import Seen


def git(folder: Path, *arguments: str) -> str:
    """Run git, which must succeed."""
    command = ("git", "-c", "protocol.file.allow=always", *arguments)
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def of(folder: Path, top: Path | None) -> Territory:
    """The territory of a repository that is no linked work tree."""
    return survey(find(Places(own=folder, common=folder, top=top)).folders)


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
    found = of(top / ".git", top)
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
    assert set(found.work_trees.values()) == {
        *(str(top), str(top / "lib/middle"), str(top / "lib/middle/deep/inner")),
        *(str(tmp_path / "linked"), str(tmp_path / "linked/lib/middle"), str(tmp_path / "of-middle")),
    }
    assert found.are_siblings(common, f"{common}/worktrees/linked")
    assert not found.are_siblings(common, f"{common}/modules/lib/middle")
    assert not found.are_siblings("/elsewhere", "/nowhere")


def test_folders_that_are_not_there_do_not_count(tmp_path: Path) -> None:
    """A work tree that was removed by hand, and a repository that is gone, are no places."""
    assert not of(tmp_path / "gone", tmp_path / "gone too").all


def test_a_bare_repository_has_no_work_tree(top: Path, tmp_path: Path) -> None:
    """Its git folder is all of it, what lies around it is not."""
    git(tmp_path, "clone", "-q", "--bare", str(top), "bare")
    found = of(tmp_path / "bare", None)
    assert not found.work_trees
    assert Standpoint(worker(tmp_path / "bare"), found).home(Aim()) == str(tmp_path / "bare")
    assert Standpoint(worker(tmp_path), found).home(Aim(subcommand="hash-object")) == ""


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
    territory = of(top / ".git", top)
    assert Standpoint(worker(place), territory).home(Aim()) == (str(top / ".git") if ours else "")


def test_what_cannot_be_told_is_not_known(top: Path) -> None:
    """A folder that cannot be reached, or a .git file that says nothing, is no proof of being elsewhere."""
    territory = of(top / ".git", top)
    assert Standpoint(worker(top.parent / "nowhere"), territory).home(Aim()) is None
    for path in ("of/others/.git", "/of/others/.git", "."):
        assert Standpoint(worker(top.parent), territory).home(Aim(git_folder=path)) is None, path
    (top / "a").mkdir()
    (top / "a/.git").write_text("")
    assert Standpoint(worker(top / "a"), territory).home(Aim()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that is there and that nobody can read")
def test_a_git_file_that_cannot_be_read_is_no_proof(top: Path) -> None:
    """Where it leads is not known, even if it is there."""
    territory = of(top / ".git", top)
    (top / "a").mkdir()
    (top / "a/.git").symlink_to("/proc/self/mem")  # the first page of memory cannot be read, not even by root
    assert Standpoint(worker(top / "a"), territory).home(Aim()) is None


def test_a_process_that_ends_while_we_look(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was linked with cannot be told any more: that is no error, and no proof."""
    territory = of(top / ".git", top)
    git(tmp_path, "init", "-q", "other")
    (tmp_path / "other/.git/refs/elsewhere").symlink_to("../nowhere")
    stands = Standpoint(worker(tmp_path / "other"), territory)
    assert stands.home(Aim()) == ""
    read = os.readlink

    def gone(path: str, **options: int) -> str:
        if str(path).endswith("elsewhere"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return read(path, **options)

    monkeypatch.setattr(os, "readlink", gone)
    assert stands.home(Aim()) is None


def test_options_lead_there_and_away(top: Path, tmp_path: Path) -> None:
    """--git-dir (also to a .git file) and the common folder, which may be ours if the git folder is another's."""
    territory = of(top / ".git", top)
    git(tmp_path, "init", "-q", "other")
    (tmp_path / "view").mkdir()
    (tmp_path / "view/.git").write_text(f"gitdir: {top}/.git\n")
    home = str(top / ".git")
    elsewhere = worker(tmp_path / "other")
    for aim in (
        Aim(git_folder="../top/.git"),
        Aim(git_folder="../view/.git"),
        Aim(common_folder=str(top / ".git")),
        Aim(common_folder="nowhere", git_folder="../top/.git"),
    ):
        assert Standpoint(elsewhere, territory).home(aim) == home, aim
    assert Standpoint(elsewhere, territory).home(Aim()) == ""
    assert Standpoint(elsewhere, territory).home(Aim(common_folder=".git")) == ""
    assert Standpoint(elsewhere, territory).home(Aim(common_folder="nowhere")) is None
    assert Standpoint(worker(top), territory).home(Aim(git_folder="../other/.git")) == ""


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
    territory = of(top / ".git", top)
    assert Standpoint(worker(top.parent / "other"), territory).is_sent_here(Aim(rest=rest)) is named


def test_a_clone_makes_the_folder_that_it_does_not_name(top: Path) -> None:
    """A repository may be one that a clone is making at this moment."""
    stands = Standpoint(worker(top.parent), of(top / ".git", top))
    assert stands.is_sent_here(Aim(subcommand="clone", rest=("-q", "https://example.org/top.git")))
    assert not stands.is_sent_here(Aim(subcommand="clone", rest=("-q", "https://example.org/other.git")))
    assert not stands.is_sent_here(Aim(subcommand="fetch", rest=("https://example.org/top.git",)))


@pytest.mark.parametrize(
    ("command", "elsewhere"), [("commit -a", False), ("config a.b c", False), ("ls-remote x", True)]
)
def test_no_repository_at_all_is_no_proof(top: Path, command: str, *, elsewhere: bool) -> None:
    """A git that works in none may have lost the way to ours, unless it is one that needs none."""
    subcommand, *rest = command.split()
    found = Standpoint(worker(top.parent), of(top / ".git", top)).home(Aim(subcommand=subcommand, rest=tuple(rest)))
    assert found == ("" if elsewhere else None)


def test_where_a_work_tree_was_chosen_git_came_from_elsewhere(top: Path, tmp_path: Path) -> None:
    """Only an absolute --git-dir still leads to its repository from there."""
    territory = of(top / ".git", top)
    git(tmp_path, "init", "-q", "other")
    stands = Standpoint(worker(tmp_path / "other"), territory)
    for folder, home in (("", None), (".git", None), (f"{tmp_path}/other/.git", ""), (f"{top}/.git", f"{top}/.git")):
        assert stands.home(Aim(work_tree=str(tmp_path / "other"), git_folder=folder)) == home


def test_a_configured_work_tree_leads_to_us_whatever_lies_there(top: Path, tmp_path: Path) -> None:
    """core.worktree sends git where another repository is found, also by a relative --git-dir."""
    git(tmp_path, "init", "-q", "other")
    git(top, "config", "core.worktree", str(tmp_path / "other"))
    stands = Standpoint(worker(tmp_path / "other"), of(top / ".git", tmp_path / "other"))
    assert stands.home(Aim()) is None
    assert stands.home(Aim(git_folder=".git")) is None


# ---------------------------------------------------------------- who has something of it open


def test_whoever_has_something_open_touches_it(top: Path, tmp_path: Path) -> None:
    """By its folder or by a file, in the work tree or below .git."""
    territory = of(top / ".git", top)
    assert Standpoint(worker(top / ".git/refs"), territory).touches()
    assert Standpoint(worker(tmp_path, f"{tmp_path}/x", f"{top}/.git/objects/y"), territory).touches()
    assert not Standpoint(worker(tmp_path, f"{tmp_path}/x"), territory).touches()
    blind = Seen(pid=1, parent=1, name="x", command=(), started_at=0.0)
    assert not Standpoint(blind, territory).touches()


# ---------------------------------------------------------------- what folders share


def new_workdir(original: Path, place: Path) -> Path:
    """A work tree as git-new-workdir makes it: all but the index and HEAD are links."""
    folder = place / ".git"
    (folder / "logs").mkdir(parents=True)
    for name in ("config", "refs", "logs/refs", "objects", "info", "hooks", "packed-refs", "rr-cache"):
        (folder / name).symlink_to(original / ".git" / name)
    (folder / "HEAD").write_bytes((original / ".git/HEAD").read_bytes())
    git(place, "reset", "-q")
    return place


def test_repositories_share_by_links(top: Path, tmp_path: Path) -> None:
    """Whoever works in a repository that shares files with ours, by links of either or of both, may hold our locks."""
    git(top, "pack-refs", "--all")
    one, two = new_workdir(top, tmp_path / "one"), new_workdir(top, tmp_path / "two")
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    for ours in (top, one, two):
        territory = of(ours / ".git", ours)
        for theirs in {top, one, two} - {ours}:
            assert Standpoint(worker(theirs), territory).home(Aim()) is None
            assert Standpoint(worker(tmp_path), territory).home(Aim(git_folder=str(theirs / ".git"))) is None
        assert Standpoint(worker(other), territory).home(Aim()) == ""


def test_a_common_folder_may_be_ours(top: Path, tmp_path: Path) -> None:
    """The folder of a linked work tree that was moved out of our git folder, and one of a repository next door."""
    git(tmp_path, "init", "-q", "-b", "main", "other")
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path / "other", "worktree", "add", "-q", str(tmp_path / "theirs"))
    git(top, "worktree", "add", "-q", str(tmp_path / "linked"))
    moved = (top / ".git/worktrees/linked").rename(tmp_path / "moved")
    (tmp_path / "linked/.git").write_text(f"gitdir: {moved}\n")
    for common, home in ((f"{top}/.git", None), ("top/../../top/.git", None), ("gone", None)):
        (moved / "commondir").write_text(f"{common}\n")
        assert Standpoint(worker(tmp_path / "linked"), of(top / ".git", top)).home(Aim()) == home
    assert Standpoint(worker(tmp_path / "theirs"), of(top / ".git", top)).home(Aim()) == ""


def test_what_is_made_in_our_folders_later_may_be_ours(top: Path, tmp_path: Path) -> None:
    """A linked work tree that came after the folders were looked for."""
    territory = of(top / ".git", top)
    git(top, "worktree", "add", "-q", str(tmp_path / "late"))
    assert Standpoint(worker(tmp_path / "late"), territory).home(Aim()) is None


def test_every_lock_lies_in_the_territory(top: Path, tmp_path: Path) -> None:
    """The folder that a lock is said to belong to is one of git's folders: of a submodule inside of the work tree too."""
    git(tmp_path, "init", "-q", str(top / "embedded"))
    git(top / "embedded", "commit", "-q", "--allow-empty", "-m", "first")
    git(top, "submodule", "add", "-q", "./embedded", "embedded")
    git(top, "worktree", "add", "-q", str(tmp_path / "linked"))
    found = find(Places(own=top / ".git", common=top / ".git", top=top))
    assert {folder.path for folder in found.folders} == {
        *(top / ".git", top / ".git/worktrees/linked", top / "embedded/.git"),
    }
    for folder in found.folders:
        (folder.path / "index.lock").touch()
    locks = find(Places(own=top / ".git", common=top / ".git", top=top)).locks
    assert len(locks) == 3
    assert {lock.directory for lock in locks} == set(survey(found.folders).git_folders.values())


def test_the_devices_that_it_lies_on_have_answered(top: Path) -> None:
    """Those of its folders, and of all that they lie in: who works there can be asked, whatever the file system."""
    assert {top.stat().st_dev, Path("/").stat().st_dev} <= of(top / ".git", top).devices
    assert Path("/proc").stat().st_dev not in of(top / ".git", top).devices
