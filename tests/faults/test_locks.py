"""Every kind of lock, stale and live: the trouble is real, the handle tells the truth, and nothing is left."""

import os
import signal
import subprocess
import sys
import time

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.errors import MachineError, RepositoryError, UsageError
from pytest_orxaq.faults.handles import GitLock
from pytest_orxaq.faults.identity import Identity
from pytest_orxaq.faults.isolation import Git
from pytest_orxaq.faults.recipes import KINDS, LockKind


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Make = Callable[..., GitLock]
HASTE = ("-c", "core.filesRefLockTimeout=0", "-c", "core.packedRefsTimeout=0", "-c", "core.commitGraph=true")

# What git refuses to do while the lock stands; LOCK stands for the lock's path below git's folder.
REFUSED: dict[LockKind, tuple[str, ...]] = {
    "index": ("add", "file1"),
    "index-hook": ("commit", "--allow-empty", "-m", "more"),
    "index-partial": ("rm", "-q", "--cached", "file1"),
    "head+ref": ("update-ref", "HEAD", "HEAD~"),
    "ref": ("branch", "orxaq"),
    "tag": ("tag", "orxaq"),
    "remote-ref": ("fetch", "-q", ".", "HEAD:refs/remotes/origin/main"),
    "packed-refs": ("pack-refs", "--all"),
    "packed-refs.new": ("pack-refs", "--all"),
    "config": ("config", "some.key", "value"),
    "shallow": ("fetch", "-q", "--depth=1", "file://{common}", "HEAD"),
    "commit-graph": ("gc", "--quiet"),
    "maintenance": (),  # git keeps quiet about it: see below
    "gc.pid": ("gc", "--quiet"),
    "worktree-index": ("add", "file1"),
    "submodule-index": ("add", "file"),
    "rebase-todo": ("rebase", "--edit-todo"),
}


def tried(lock: GitLock, repo: Git, command: tuple[str, ...]) -> str:
    """What git complains of when it is asked to do something where the lock is; empty when it does it."""
    words = [word.format(common=repo.common) for word in command]
    done = Git(lock.where, repo.env)(*HASTE, *words, check=False)
    return done.stderr if done.returncode else ""


def state(repo: Git) -> tuple[str, ...]:
    """What a repository is, for people: commits, branches, work tree, settings, and files of git's own that matter."""
    own = sorted(path.name for path in repo.dir.iterdir() if path.name not in {"FETCH_HEAD", "ORIG_HEAD"})
    shown = (("show-ref", "--head"), ("status", "--short"), ("config", "--local", "--list"), ("symbolic-ref", "HEAD"))
    return (*(repo(*words).stdout for words in shown), *own)


def gone(pid: int) -> bool:
    """Whether a process is no more, or waits to be reaped by a parent of its own."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in b"ZX"
    except FileNotFoundError:
        return True


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it never is."""
    until = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.005)


# ---------------------------------------------------------------- every kind


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"gc.pid", "maintenance"}])
def test_git_refuses_over_a_stale_lock(kind: LockKind, isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """git, asked for what the lock guards, fails over it, and no more once it is released."""
    repo = isolated_git(commits=2)
    lock = stale_git_lock(repo, kind)
    said = tried(lock, repo, REFUSED[kind])
    assert lock.path.name.partition(".")[0] in said
    assert "File exists" in said
    if kind == "rebase-todo":
        return  # the rebase goes with it: nothing is left to be asked
    lock.release()
    assert not tried(lock, repo, REFUSED[kind])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "maintenance"])
def test_git_refuses_over_a_live_lock(kind: LockKind, isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """The same while the holder lives; a gc is refused by the name of the one that runs."""
    repo = isolated_git(commits=2)
    lock = live_git_lock(repo, kind)
    said = tried(lock, repo, REFUSED[kind])
    assert ("gc is already running" if kind == "gc.pid" else "File exists") in said
    assert lock.held
    lock.release()
    assert kind == "rebase-todo" or not tried(lock, repo, REFUSED[kind])


def test_maintenance_keeps_quiet(isolated_git: Callable[..., Git], stale_git_lock: Make, live_git_lock: Make) -> None:
    """Under its lock, stale or live, maintenance does nothing, and says that all is well."""
    repo = isolated_git()
    graphs = repo.dir / "objects" / "info" / "commit-graphs"
    for make in (stale_git_lock, live_git_lock):
        lock = make(repo, "maintenance")
        assert not tried(lock, repo, ("maintenance", "run", "--task=commit-graph"))
        assert not graphs.exists()
        lock.release()
    repo(*HASTE, "maintenance", "run", "--task=commit-graph")
    assert graphs.exists()


def test_a_dead_gc_is_no_trouble_to_git(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """git looks whether the process that its pid file names lives, on its own machine: the file stays, and stops nobody."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "gc.pid")
    assert int(lock.path.read_text().split()[0]) == lock.dead_pid
    assert not tried(lock, repo, ("gc", "--quiet"))
    assert not lock.held


@pytest.mark.parametrize("kind", KINDS)
def test_a_stale_lock_is_told_truly(kind: LockKind, isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """A real git made it, which is dead; it is as old as asked; all that is new in the way is named."""
    repo = isolated_git()
    before = set(repo.locks())
    lock = stale_git_lock(repo, kind, age=7200)
    assert (lock.kind, lock.live, lock.organic, lock.pid, lock.held) == (kind, False, True, None, True)
    assert lock.path == lock.paths[0]
    assert set(repo.locks()) - before == set(lock.paths)
    assert lock.dead_pid is not None
    assert gone(lock.dead_pid)
    assert lock.command.startswith("git ")
    assert all(7100 < time.time() - path.stat().st_mtime < 7300 for path in lock.paths)
    lock.release()
    assert not lock.held
    assert not any(map(os.path.lexists, lock.paths))


@pytest.mark.parametrize("kind", KINDS)
def test_a_live_lock_is_told_truly(kind: LockKind, isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """The holder is a real git, alive in a session of its own, where it says; when it lets go, nothing has changed."""
    repo = isolated_git()
    if kind in {"worktree-index", "submodule-index"}:
        live_git_lock(repo, kind).release()  # the first makes the place
    before = state(repo), repo.locks()
    lock = live_git_lock(repo, kind)
    assert (lock.kind, lock.live, lock.organic, lock.dead_pid, lock.held) == (kind, True, True, None, True)
    assert set(repo.locks()) - set(before[1]) == set(lock.paths)
    assert lock.path in lock.paths
    assert lock.pid is not None
    assert os.readlink(f"/proc/{lock.pid}/exe").endswith("/git")
    assert Path(f"/proc/{lock.pid}/cmdline").read_text().rstrip("\0").replace("\0", " ") == lock.command
    assert Path(os.readlink(f"/proc/{lock.pid}/cwd")) == lock.where
    assert os.getsid(lock.pid) == lock.pid
    lock.release()
    assert not lock.held
    assert gone(lock.pid)
    assert (state(repo), repo.locks()) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_by_hand(kind: LockKind, isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """What no git made says so; it stands where git's would, in the size asked for."""
    repo = isolated_git()
    empty = stale_git_lock(repo, kind, organic=False)
    assert (empty.organic, empty.command, empty.held) == (False, "", True)
    assert empty.dead_pid is not None
    assert gone(empty.dead_pid)
    assert bool(empty.path.read_bytes()) == (kind == "gc.pid")
    empty.release()
    full = stale_git_lock(repo, kind, organic=False, size="full")
    guarded = full.path.with_name(full.path.name.removesuffix(".lock").removesuffix(".new"))
    if guarded.is_file() and kind != "gc.pid":
        assert full.path.read_bytes() == guarded.read_bytes()
    assert full.path == empty.path


# ---------------------------------------------------------------- particular kinds


def test_what_a_killed_git_has_written(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """Of an index's lock nothing in `git add`, everything in a commit's hook; a ref's lock has the new value."""
    repo = isolated_git()
    for kind, size, full in (("index", None, False), ("index", "full", True), ("worktree-index", "full", True)):
        lock = stale_git_lock(repo, kind, size=size)
        assert lock.path.read_bytes()[:4] == (b"DIRC" if full else b"")
        lock.release()
    partial = stale_git_lock(repo, "index-partial")
    assert [path.name for path in partial.paths] == ["index.lock", f"next-index-{partial.dead_pid}.lock"]
    assert all(path.read_bytes()[:4] == b"DIRC" for path in partial.paths)
    partial.release()
    head = stale_git_lock(repo, "head+ref")
    assert {path.relative_to(repo.dir).as_posix(): path.stat().st_size > 0 for path in head.paths} == {
        "HEAD.lock": False,
        "index.lock": True,
        "refs/heads/main.lock": True,
    }
    assert len(stale_git_lock(repo, "ref").path.read_text()) == 41


def test_refs_that_are_there_come_first(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """The ref that is locked is one of the repository's, if it has one that is checked out nowhere."""
    repo = isolated_git()
    for words in (("branch", "work"), ("tag", "v1"), ("update-ref", "refs/remotes/origin/trunk", "HEAD")):
        repo(*words)
    repo("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    repo.worktree("apart")
    kinds: tuple[LockKind, ...] = ("ref", "tag", "remote-ref")
    locked = [stale_git_lock(repo, kind).path.relative_to(repo.dir / "refs") for kind in kinds]
    assert [path.as_posix() for path in locked] == ["heads/work.lock", "tags/v1.lock", "remotes/origin/trunk.lock"]


def test_places_that_are_there_are_used(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """A linked work tree or a submodule of the repository is taken, where there is one; the first may be gone."""
    repo = isolated_git()
    lost, linked, module = repo.worktree("lost"), repo.worktree("apart"), repo.submodule("inner part")
    repo("-c", "core.safecrlf=false", "worktree", "lock", str(linked.path))
    for path in (lost.path / ".git", lost.path / "file1"):
        path.unlink()
    lost.path.rmdir()
    in_worktree, in_module = (stale_git_lock(repo, kind) for kind in ("worktree-index", "submodule-index"))
    assert (in_worktree.where, in_worktree.path) == (linked.path, linked.dir / "index.lock")
    assert (in_module.where, in_module.path) == (module.path, module.dir / "index.lock")
    in_worktree.release()
    assert stale_git_lock(linked, "worktree-index").where == linked.path


def test_a_linked_index_has_its_lock_beside_the_target(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """Where the index is a symbolic link, git locks what it leads to, and so do we."""
    repo = isolated_git()
    target = repo.path.parent / "shared-index"
    (repo.dir / "index").rename(target)
    (repo.dir / "index").symlink_to(target)
    lock = stale_git_lock(repo, "index")
    assert lock.path == target.with_name("shared-index.lock")
    assert repo.locks() == (lock.path,)


def test_names_that_a_shell_would_mind(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """Quotes, spaces and dollars in a path are no matter; refs that are packed already neither."""
    repo = isolated_git('it\'s a "$HOME" {x} \\n')
    repo("pack-refs", "--all")
    for kind in KINDS:
        stale_git_lock(repo, kind).release()
    assert not repo.locks()


def test_rebase_ends_with_its_lock(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """The rebase that was begun for the lock is taken back, on a branch or on none; one that was aborted is left alone."""
    repo = isolated_git()
    for head in ("refs/heads/main", ""):
        lock = stale_git_lock(repo, "rebase-todo")
        assert (repo.dir / "rebase-merge").is_dir()
        lock.release()
        assert not (repo.dir / "rebase-merge").exists()
        assert repo("symbolic-ref", "-q", "HEAD", check=False).stdout.strip() == head
        repo("checkout", "-q", "--detach")
    repo("checkout", "-q", "main")
    lock = stale_git_lock(repo, "rebase-todo")
    repo("rebase", "--abort")
    repo("checkout", "-q", "-b", "other")
    lock.release()
    assert repo("branch", "--show-current").stdout == "other\n"


def test_pid_files(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """Beside every lock file stands one in git's form, of the same age, with the dead process; they go with it."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "index-partial", pid_file=True)
    names = {path.name: path for path in lock.paths}
    beside = [names["index~pid.lock"], names[f"next-index-{lock.dead_pid}~pid.lock"]]
    assert [path.read_text() for path in beside] == [f"pid {lock.dead_pid}\n"] * 2
    assert all(time.time() - path.stat().st_mtime > 3500 for path in beside)
    lock.release()
    assert not repo.locks()
    with pytest.raises(UsageError, match=r"packed-refs.new is no lock file by name"):
        stale_git_lock(repo, "packed-refs.new", pid_file=True)


# ---------------------------------------------------------------- time


def test_ages_are_those_of_the_content(
    isolated_git: Callable[..., Git], stale_git_lock: Make, live_git_lock: Make
) -> None:
    """Stale an hour unless told, live as new unless told; None leaves it."""
    repo = isolated_git()
    ages = {}
    for name, make, options in (
        ("stale", stale_git_lock, {}),
        ("new", stale_git_lock, {"age": None}),
        ("live", live_git_lock, {}),
        ("old", live_git_lock, {"age": 900}),
    ):
        lock = make(repo, "index-hook", **options)
        ages[name] = round((time.time() - lock.path.stat().st_mtime) / 300)
        lock.release()
    assert ages == {"stale": 12, "new": 0, "live": 0, "old": 3}


@pytest.mark.parametrize("kind", ["index", "config"])
def test_a_lock_that_is_held_for_a_while(kind: LockKind, isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """It goes by itself when its time is over, whatever the test does meanwhile, and nobody is accused."""
    repo = isolated_git()
    lock = live_git_lock(repo, kind, hold=0.2)
    assert lock.held
    wait_until(lambda: not repo.locks())
    lock.release()
    assert not lock.held


def test_a_long_hold_is_cut_short(isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """The end of the test does not wait for the time to be over; nor does a release."""
    begun = time.monotonic()
    live_git_lock(isolated_git("one"), hold=300).release()
    live_git_lock(isolated_git("two"), hold=300)
    assert time.monotonic() - begun < 60


def test_whatever_comes_after_is_younger(isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """A file made right after a lock was born later, so that it is never taken for it, be its inode the same."""
    repo = isolated_git()
    for _ in range(10):
        lock = live_git_lock(repo, "index")
        later = repo.write("later")
        ours, other = Identity.of(lock.path), Identity.of(later)
        assert ours is not None
        assert other is not None
        assert other.born_at > ours.born_at
        later.unlink()
        lock.release()


# ---------------------------------------------------------------- what others do to it


def test_what_others_put_in_its_place_stays(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """A stale lock that somebody removed is not missed; another lock of the same name is not ours."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "index")
    lock.path.unlink()
    assert not lock.held
    lock.path.touch()
    assert not lock.held
    lock.release()
    assert lock.path.exists()


def test_a_holder_that_was_killed_holds_no_more(isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """Its lock is left as a stale one, and is taken away in the end."""
    repo = isolated_git()
    lock = live_git_lock(repo)
    assert lock.pid is not None
    os.kill(lock.pid, signal.SIGKILL)
    wait_until(lambda: not lock.held)
    assert lock.path.exists()
    lock.release()
    assert not repo.locks()


def test_several_at_once(isolated_git: Callable[..., Git], stale_git_lock: Make, live_git_lock: Make) -> None:
    """Locks of several kinds, in several repositories, stand side by side."""
    one, two = isolated_git("one"), isolated_git("two")
    locks = [live_git_lock(one), stale_git_lock(one, "config"), live_git_lock(one, "ref"), stale_git_lock(two)]
    assert all(lock.held for lock in locks)
    assert len(one.locks()) == 3
    with pytest.raises(MachineError, match=r"git add .* did not come to hold .*index\.lock") as refused:
        stale_git_lock(two)
    assert "File exists" in str(refused.value)
    assert locks[3].held


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("indx", {}, "There is no kind of lock 'indx'. Did you mean 'index'?\nThere are: index, index-hook, "),
        ("???", {}, "There is no kind of lock '???'.\nThere are: "),
        ("index", {"size": "huge"}, "There is no size 'huge'.\nThe sizes: empty, full"),
        ("config", {"size": "full"}, "The size of git's own lock of kind 'config' cannot be chosen.\nThose of index, "),
    ],
)
def test_wrong_words_fail_at_the_call(
    kind: str, options: dict[str, str], words: str, isolated_git: Callable[..., Git], stale_git_lock: Make
) -> None:
    """What there is not is said, with what there is."""
    with pytest.raises(UsageError) as refused:
        stale_git_lock(isolated_git(), kind, **options)
    assert str(refused.value).startswith(words)


def test_locks_that_a_repository_cannot_have(isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """A bare one has no index, an empty one nothing to point at, and one with reftables no files of refs."""
    bare, unborn, other = isolated_git("bare", bare=True), isolated_git("unborn", commits=0), isolated_git("other")
    for kind in ("index", "index-hook", "index-partial", "head+ref", "rebase-todo", "submodule-index"):
        with pytest.raises(UsageError, match="no work tree"):
            live_git_lock(bare, kind)
    for kind in ("ref", "remote-ref", "shallow", "rebase-todo", "index-partial"):
        with pytest.raises(UsageError, match="the repository has none"):
            live_git_lock(unborn, kind)
    (other.dir / "reftable").mkdir()
    with pytest.raises(UsageError, match="reftables"):
        live_git_lock(other, "packed-refs")
    (other.dir / "rebase-merge").mkdir()
    with pytest.raises(UsageError, match="a rebase is under way"):
        live_git_lock(other, "rebase-todo")


@pytest.mark.parametrize("kind", ["ref", "packed-refs", "config", "shallow", "gc.pid", "worktree-index"])
def test_locks_that_a_bare_repository_can_have(
    kind: LockKind, isolated_git: Callable[..., Git], live_git_lock: Make
) -> None:
    """What needs no work tree needs none."""
    bare = isolated_git("bare", bare=True)
    lock = live_git_lock(bare, kind)
    assert lock.held
    assert lock.path in bare.locks()


def test_a_path_is_as_good(isolated_git: Callable[..., Git], stale_git_lock: Make, tmp_path: Path) -> None:
    """A repository may be given by its path, also of a folder in it; what is none is refused."""
    repo = isolated_git()
    (repo.path / "sub").mkdir()
    for place in (repo.path, str(repo.path), repo.path / "sub"):
        lock = stale_git_lock(place)
        assert lock.path == repo.dir / "index.lock"
        lock.release()
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RepositoryError, match="is no git repository"):
            stale_git_lock(place)


def test_git_is_quoted(isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """A git that fails for a reason of its own says so."""
    repo = isolated_git()
    repo("config", "core.bare", "yes?")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        stale_git_lock(repo)
    assert "core.bare" in refused.value.__notes__[0]
