"""Signals of real locks, of gits that live, wait, are stopped, are killed, and of those who only look alike."""

import fcntl
import hashlib
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from pytest_orxaq.core.lockcontent import LockContent
from pytest_orxaq.core.staleness import judge
from pytest_orxaq.model import Clock, Judgement, Lock, LockKind, LockState, Proof, Relation, Signals, Suspect
from pytest_orxaq.repository import signals
from pytest_orxaq.repository.lockfiles import find
from pytest_orxaq.repository.memory import Memory, recall, record_clock, record_death, record_sightings
from pytest_orxaq.repository.places import Places
from pytest_orxaq.repository.signals import OddLockError, observe, open_pinned
from pytest_orxaq.repository.territory import survey
from pytest_orxaq.repository.workers import look_around
from pytest_orxaq.system import census, clocks
from pytest_orxaq.system.census import Census, Seen
from pytest_orxaq.system.mounts import Mount
from pytest_orxaq.system.pinned import born_at


BOUND = 60.0  # seconds after which something hangs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="observes processes by /proc")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else, or to make a namespace")
on_the_machine = pytest.mark.skipif(
    sys.platform == "linux" and os.stat("/proc/self/ns/pid").st_ino != census.INITIAL_NAMESPACE,
    reason="in a container nothing is eliminated, since those outside of it cannot be seen",
)


# ---------------------------------------------------------------- a repository with blocked and killed gits


class Bench:
    """A repository, the memory beside it, and processes that are stopped when the test ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.top = folder / f"of-{folder.name}"  # a name that no repository of another test has
        self.places = Places(own=self.top / ".git", common=self.top / ".git", top=self.top)
        self.memory = folder / "memory"
        self.memory.mkdir()
        self.stack = ExitStack()
        self.top.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write()
        self.git("add", ".")
        self.git("commit", "-qm", "first")
        record_clock(self.memory)

    def write(self, text: str = "one\n", top: Path | None = None) -> None:
        """Change the tracked file."""
        ((top or self.top) / "file").write_text(text)

    def git(self, *arguments: str, top: Path | None = None, check: bool = True) -> str:
        """Run git to its end."""
        command = ("git", "-c", "protocol.file.allow=always", *arguments)
        done = subprocess.run(command, cwd=top or self.top, check=False, capture_output=True, text=True, timeout=BOUND)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def lock(self, name: str = "index.lock", kind: LockKind = LockKind.INDEX, git_folder: Path | None = None) -> Lock:
        """A lock in the repository's git folder."""
        folder = git_folder or self.top / ".git"
        path = folder / name
        return Lock(path=str(path), kind=kind, target=str(path).removesuffix(".lock"), directory=str(folder))

    def start(
        self,
        *command: str,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        output: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, all of which is killed at the end of the test."""
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            cwd=cwd or self.top,
            env=environment,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        self.stack.callback(end, process)
        return process

    def blocker(self) -> tuple[str, Callable[[], None]]:
        """A shell command that waits for ever, and a wait for the moment from which it does."""
        number = sum(1 for _ in self.folder.glob("ready*"))
        ready, go = self.folder / f"ready{number}", self.folder / f"go{number}"
        os.mkfifo(ready)
        os.mkfifo(go)
        descriptor = os.open(ready, os.O_RDWR | os.O_NONBLOCK)  # for writing too, so that it never ends
        self.stack.callback(os.close, descriptor)

        def wait() -> None:
            assert select.select([descriptor], [], [], BOUND)[0], "it was never reached"
            assert os.read(descriptor, 10)

        return f"echo x > {shlex.quote(str(ready))}; read x < {shlex.quote(str(go))}", wait

    def hook(self, name: str, script: str, git_folder: Path | None = None) -> None:
        """Install a hook."""
        path = (git_folder or self.top / ".git") / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def commit_waits(self, *, paths: tuple[str, ...] = ("-a",), top: Path | None = None) -> subprocess.Popen[bytes]:
        """A commit that waits in its hook, and has the lock without a descriptor."""
        script, wait = self.blocker()
        self.hook("pre-commit", script)
        self.write("two\n", top)
        process = self.start("git", "commit", "-qm", "second", *paths, cwd=top)
        wait()
        return process

    def add_waits(self, *prefix: str) -> subprocess.Popen[bytes]:
        """An add that waits for its filter, and has the lock open."""
        script, wait = self.blocker()
        self.write("two\n")
        (self.top / ".gitattributes").write_text("file filter=slow\n")
        process = self.start(*prefix, "git", "-c", f"filter.slow.clean={script}; cat", "add", "file")
        wait()
        return process

    def kill_add(self, top: Path | None = None) -> None:
        """An add that is killed by its filter, so that its lock stays."""
        self.write("killed\n", top)
        ((top or self.top) / ".gitattributes").write_text("file filter=deadly\n")
        self.git("-c", "filter.deadly.clean=kill -9 $PPID; cat", "add", "file", top=top, check=False)

    def gather(self, lock: Lock, pinned: int | None) -> Signals:
        """One gathering."""
        memory = recall(self.memory)
        around = look_around(survey(find(self.places).folders), census.take(memory.offset), [lock])
        return observe(lock, pinned, around=around, memory=memory)

    def seen(self, lock: Lock | None = None) -> Signals:
        """One gathering of a lock that is there."""
        with pinned(lock or self.lock()) as descriptor:
            return self.gather(lock or self.lock(), descriptor)

    def judged(self, lock: Lock | None = None, *, floor: float = 0.0) -> Judgement:
        """What two gatherings prove."""
        lock = lock or self.lock()
        with pinned(lock) as descriptor:
            return judge(self.gather(lock, descriptor), self.gather(lock, descriptor), floor=floor)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group, and reap it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=BOUND)


@contextmanager
def pinned(lock: Lock) -> Iterator[int]:
    """A lock that is there, held open."""
    descriptor = open_pinned(lock)
    assert descriptor is not None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A repository with nobody at work."""
    made = Bench(tmp_path)
    with made.stack:
        yield made


def of(process: subprocess.Popen[bytes], found: Signals) -> Suspect:
    """The suspect that a process is."""
    return next(suspect for suspect in found.suspects if suspect.pid == process.pid)


def sighted(bench: Bench) -> None:
    """Have the lock be known, and wait until processes that are started now count as later."""
    found = bench.seen()
    assert found.snapshot is not None
    record_sightings(bench.memory, [(found.lock, found.snapshot)], recall(bench.memory))
    since = bench.seen().first_seen
    assert since is not None
    while clocks.since_boot() <= since + 0.02:  # starts are told in ticks
        select.select([], [], [], 0.01)


# ---------------------------------------------------------------- live holders


@pytest.mark.parametrize("paths", [("-a",), ("--", "file")])
def test_a_commit_that_waits_for_its_hook_is_live(bench: Bench, paths: tuple[str, ...]) -> None:
    """Nobody has its lock open and it looks old, yet its git and its hook are found."""
    process = bench.commit_waits(paths=paths)
    os.utime(bench.top / ".git/index.lock", (1, 1))
    found = bench.seen()
    assert found.leased is True
    assert of(process, found).relation is Relation.WRITES_HERE
    assert any(suspect.relation is Relation.NAMED_IN_ENVIRONMENT for suspect in found.suspects)
    assert found.snapshot is not None
    assert found.snapshot.content == "index"
    assert found.age < BOUND
    assert bench.judged(floor=-1.0).state is LockState.LIVE
    for name in (bench.top / ".git").glob("next-index-*.lock"):
        assert bench.judged(bench.lock(name.name, LockKind.PARTIAL_INDEX)).state is LockState.LIVE


def test_an_add_that_waits_for_its_filter_has_it_open(bench: Bench) -> None:
    """Both the descriptor and the refused lease tell it."""
    process = bench.add_waits()
    found = bench.seen()
    assert (found.leased, of(process, found).relation) == (False, Relation.HOLDS_OPEN)
    assert found.snapshot is not None
    assert found.snapshot.content == "empty"
    judged = bench.judged()
    assert judged.holder is not None
    assert (judged.state, judged.holder.pid) == (LockState.LIVE, process.pid)


def test_a_hook_that_outlives_its_commit_keeps_the_lock_live(bench: Bench) -> None:
    """It may still write to the lock, by the name that it was given."""
    process = bench.commit_waits()
    process.kill()
    process.wait(BOUND)
    found = bench.seen()
    assert {suspect.relation for suspect in found.suspects} == {Relation.NAMED_IN_ENVIRONMENT}
    assert bench.judged().state is LockState.LIVE


def test_a_stopped_holder_is_live(bench: Bench) -> None:
    """A git that was sent SIGSTOP holds its lock, also when its hook is gone and it has nothing open."""
    process = bench.commit_waits()
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    for suspect in bench.seen().suspects:
        if suspect.pid != process.pid:
            os.kill(suspect.pid, signal.SIGKILL)
    found = bench.seen()
    assert of(process, found).relation is Relation.WRITES_HERE
    assert bench.judged().state is LockState.LIVE


def test_whoever_was_stopped_in_the_repository_blocks(bench: Bench) -> None:
    """A program of whatever name that was stopped with something of the repository open might go on."""
    script, wait = bench.blocker()
    inside = bench.start("sh", "-c", f"exec 9< .git/config; cd /; {script}")
    wait()
    elsewhere = bench.start("sh", "-c", script, cwd=bench.folder)
    wait()
    bench.kill_add()
    for process in (inside, elsewhere):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    found = bench.seen()
    assert [(suspect.pid, suspect.relation) for suspect in found.suspects] == [(inside.pid, Relation.STOPPED_HERE)]
    assert bench.judged().state is LockState.LIVE


def test_a_program_with_a_git_library_blocks(bench: Bench) -> None:
    """What has libgit2 (or Java) loaded may write here, if it works here."""
    library = bench.folder / "libgit2.so.1"
    library.write_bytes(b"\0" * 4096)
    script = (
        "import mmap, sys; file = open(sys.argv[1], 'rb');"
        "kept = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); print('x', flush=True); input()"
    )
    pids = []
    for folder in (bench.top, bench.folder):
        process = bench.start(sys.executable, "-c", script, str(library), cwd=folder)
        assert process.stdout is not None
        assert process.stdout.readline()
        pids.append(process.pid)
    bench.kill_add()
    found = bench.seen()
    assert [(suspect.pid, suspect.relation) for suspect in found.suspects] == [(pids[0], Relation.WRITES_HERE)]
    assert bench.judged().state is LockState.LIVE


def test_whoever_was_given_the_name_of_the_lock_blocks(bench: Bench) -> None:
    """An argument that leads to the lock, absolute, relative or behind a sign, is a tie; a longer text is none."""
    bench.kill_add()
    script, wait = bench.blocker()
    for argument, tied in (
        (".git/index.lock", True),
        (f"--file={bench.top}/.git/index", True),
        ("rm index.lock", False),
    ):
        process = bench.start("sh", "-c", script, "sh", argument)
        wait()
        found = bench.seen()
        assert (process.pid in {suspect.pid for suspect in found.suspects}) is tied
        if tied:
            assert of(process, found).relation is Relation.NAMED_IN_ARGUMENTS
            assert bench.judged().state is LockState.LIVE
        end(process)


def test_a_git_whose_folder_is_not_known_may_work_here(bench: Bench) -> None:
    """Unless it has ended, which is why nothing of it could be found: machines are full of short-lived gits."""
    territory = survey(find(bench.places).folders)
    ended = subprocess.Popen(["true"])
    ended.wait(BOUND)
    script, wait = bench.blocker()
    living = bench.start("sh", "-c", script)
    wait()
    for pid, root, works in ((ended.pid, "/proc/x/root", False), (living.pid, "/proc/x/root", True), (1, "", True)):
        git = Seen(
            pid=pid,
            parent=1,
            name="git",
            command=("git", "gc"),
            started_at=0.0,
            directory="/x",
            environment={},
            opened=(),
            root=root,
            here="/nowhere/at/all",
        )
        assert (pid in look_around(territory, Census(processes={pid: git}), []).workers) is works


# ---------------------------------------------------------------- the living who are hard to see


def prepared(bench: Bench, program: str, top: Path | None = None, *options: str) -> subprocess.Popen[bytes]:
    """A git that has prepared a change of a reference: it holds the lock without a descriptor, a child or a variable."""
    process = bench.start(program, *options, "update-ref", "--stdin", cwd=top)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"start\ncreate refs/heads/new HEAD\nprepare\n")
    process.stdin.flush()
    assert [process.stdout.readline() for _ in range(2)] == [b"start: ok\n", b"prepare: ok\n"]
    return process


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("name", ["git", "git.real", "gut"])
def test_a_git_of_any_name_is_live(bench: Bench, name: str, *, deleted: bool) -> None:
    """One that was renamed, and one whose name says nothing, but which is the same program; its file may be gone."""
    program = bench.folder / name
    found = shutil.which("git")
    assert found is not None
    shutil.copy(found, program)
    process = prepared(bench, str(program))
    if deleted:
        program.unlink()
    lock = bench.lock("refs/heads/new.lock", LockKind.REF)
    assert of(process, bench.seen(lock)).relation is Relation.WRITES_HERE
    assert bench.judged(lock).state is LockState.LIVE


@pytest.fixture
def gut(bench: Bench) -> str:
    """A git under a name that tells nothing: a git that may work anywhere would block every test that runs beside this one."""
    found = shutil.which("git")
    assert found is not None
    return shutil.copy(found, str(bench.folder / "gut"))


def holds(bench: Bench, process: subprocess.Popen[bytes], lock: Lock) -> bool:
    """Whether a process, if it were called git, would be one that may hold a lock."""
    seen = census.look_at(process.pid, offset=0.0)
    assert seen is not None
    named = replace(seen, name="git", command=("git", *seen.command[1:]))
    around = look_around(survey(find(bench.places).folders), Census(processes={seen.pid: named}), [lock])
    with pinned(lock) as descriptor:
        found = observe(lock, descriptor, around=around, memory=recall(bench.memory)).suspects
    return [(suspect.relation, suspect.harmless) for suspect in found] == [(Relation.WRITES_HERE, "")]


def removed(_: Bench, tree: Path) -> None:
    """The work tree is gone."""
    shutil.rmtree(tree)


def without_git_file(_: Bench, tree: Path) -> None:
    """Nothing leads from the work tree to its repository, but perhaps to one around it."""
    (tree / ".git").unlink()


def made_another(bench: Bench, tree: Path) -> None:
    """The work tree is one of another repository."""
    (tree / ".git").unlink()
    bench.git("init", "-q", str(tree))


@pytest.mark.parametrize("lose", [removed, without_git_file, made_another])
@pytest.mark.parametrize("place", ["next door", "inside"])
def test_a_git_that_lost_its_work_tree_is_live(
    bench: Bench, gut: str, place: str, lose: Callable[[Bench, Path], None]
) -> None:
    """That no way leads from it to us now does not make it another repository's, nor one of the work tree around it."""
    tree = (bench.top if place == "inside" else bench.folder) / "tree"
    bench.git("worktree", "add", "-q", str(tree))
    process = prepared(bench, gut, tree)
    lose(bench, tree)
    assert holds(bench, process, bench.lock("refs/heads/new.lock", LockKind.REF))
    index = bench.lock(git_folder=bench.top / ".git/worktrees/tree")
    Path(index.path).touch()
    assert holds(bench, process, index)


def test_a_git_that_lost_a_git_file_is_live(bench: Bench, gut: str) -> None:
    """One that somebody wrote himself, of which the repository does not know."""
    tree = bench.folder / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {bench.top}/.git\n")
    process = prepared(bench, gut, tree)
    (tree / ".git").unlink()
    assert holds(bench, process, bench.lock("refs/heads/new.lock", LockKind.REF))


def test_a_git_whose_repository_was_moved_is_live(bench: Bench, gut: str) -> None:
    """Its --git-dir leads nowhere now."""
    process = prepared(bench, gut, Path("/"), f"--git-dir={bench.top}/.git")
    moved = bench.top.rename(bench.folder / "moved")
    bench.top, bench.places = moved, Places(own=moved / ".git", common=moved / ".git", top=moved)
    assert holds(bench, process, bench.lock("refs/heads/new.lock", LockKind.REF))


def asks(
    bench: Bench, *command: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A commit that asks which changes to take, and meanwhile holds the index's lock without a descriptor."""
    process = bench.start(*command, "commit", "-p", "-m", "second", cwd=cwd, environment=environment)
    assert process.stdout is not None
    shown = b""
    while b"Stage this hunk" not in shown:
        assert select.select([process.stdout], [], [], BOUND)[0], shown
        read = os.read(process.stdout.fileno(), 4096)
        assert read, shown
        shown += read
    return process


@pytest.mark.parametrize("way", ["option", "variable", "configuration", "from its folder"])
def test_a_git_that_went_into_another_work_tree_is_live(bench: Bench, gut: str, way: str) -> None:
    """Nothing there leads back to the repository that it came from."""
    there = bench.folder / "there"
    there.mkdir()
    bench.write("two\n", there)
    options = (f"--work-tree={there}",) if way == "option" else ()
    chosen = {
        "variable": {"GIT_WORK_TREE": str(there)},
        "from its folder": {"GIT_WORK_TREE": str(there), "GIT_DIR": "."},
    }
    if way == "configuration":
        bench.git("config", "core.worktree", str(there))
    cwd = bench.top / ".git" if way == "from its folder" else bench.top
    process = asks(bench, gut, *options, cwd=cwd, environment={**os.environ, **chosen.get(way, {})})
    if way == "configuration":
        bench.places = replace(bench.places, top=there)
    assert os.path.samefile(f"/proc/{process.pid}/cwd", there)
    assert holds(bench, process, bench.lock())


def test_a_git_is_sent_only_once(bench: Bench, gut: str) -> None:
    """It has gone where -C says: the same way from there leads into the work tree around it."""
    tree = bench.top / "trees/tree"
    bench.git("worktree", "add", "-q", str(tree))
    (tree / "folder").mkdir()
    bench.write("two\n", tree)
    process = asks(bench, gut, "-C", "..", cwd=tree / "folder")
    assert holds(bench, process, bench.lock(git_folder=bench.top / ".git/worktrees/tree"))


def test_a_program_around_git_blocks_only_where_it_works(bench: Bench) -> None:
    """Called like git, and none: it blocks in the repository and with something of it open, not elsewhere, nor as a viewer."""
    (bench.top / "open").write_text("")
    for name, cwd, command, blocks in (
        ("gitea", bench.top, "", True),
        ("gitea", bench.folder, f"exec 9< {bench.top}/open; ", True),
        ("gitea", bench.folder, "", False),
        ("lazygit", bench.top, "", False),
    ):
        script, wait = bench.blocker()
        program = bench.folder / name
        shutil.copy("/bin/sh", program)
        process = bench.start(str(program), "-c", command + script, cwd=cwd)
        wait()
        bench.kill_add()
        assert (process.pid in {suspect.pid for suspect in bench.seen().suspects}) is blocks
        end(process)
        Path(bench.lock().path).unlink()


def test_an_embedded_submodules_commit_is_live(bench: Bench) -> None:
    """A submodule whose git folder lies in the work tree."""
    bench.git("init", "-q", "sub")
    bench.write(top=bench.top / "sub")
    bench.git("add", ".", top=bench.top / "sub")
    bench.git("commit", "-qm", "first", top=bench.top / "sub")
    bench.git("submodule", "add", "-q", "./sub", "sub")
    script, wait = bench.blocker()
    bench.hook("pre-commit", script, bench.top / "sub/.git")
    bench.write("two\n", bench.top / "sub")
    process = bench.start("git", "commit", "-qam", "second", cwd=bench.top / "sub")
    wait()
    lock = bench.lock(git_folder=bench.top / "sub/.git")
    assert of(process, bench.seen(lock)).relation is Relation.WRITES_HERE
    assert bench.judged(lock).state is LockState.LIVE


def test_a_git_in_a_repository_that_shares_by_links_is_live(bench: Bench) -> None:
    """As git-new-workdir makes them: the lock lies in our folder, its holder in another repository."""
    other = bench.folder / "workdir"
    (other / ".git").mkdir(parents=True)
    for name in ("config", "refs", "objects", "packed-refs", "logs"):
        (other / ".git" / name).symlink_to(bench.top / ".git" / name)
    shutil.copy(bench.top / ".git/HEAD", other / ".git/HEAD")
    process = prepared(bench, "git", other)
    lock = bench.lock("refs/heads/new.lock", LockKind.REF)
    assert of(process, bench.seen(lock)).relation is Relation.WRITES_HERE
    assert bench.judged(lock).state is LockState.LIVE


GITPYTHON = """
import sys
import git
with git.Repo(sys.argv[1]) as repo:
    writer = repo.config_writer()
    print("ready", flush=True)
    input()
"""


@on_the_machine
def test_a_configuration_that_gitpython_writes_is_never_dead(bench: Bench) -> None:
    """It keeps the empty lock without a descriptor, from wherever it was started."""
    process = bench.start(sys.executable, "-c", GITPYTHON, str(bench.top), cwd=Path("/"))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    lock = bench.lock("config.lock", LockKind.CONFIG)
    found = bench.judged(lock)
    assert found.state is LockState.UNKNOWN
    assert any(f"process {process.pid} " in gap and "GitPython" in gap for gap in found.unseen)


@on_the_machine
def test_gitpython_in_a_server_of_another_name_is_a_gap(bench: Bench) -> None:
    """A program that runs Python inside need not be called so."""
    server = bench.folder / "uw\nsgi"  # a name may hold anything
    shutil.copy(os.path.realpath(sys.executable), server)
    script = "import _ctypes; print('ready', flush=True); input()"  # as every Python does sooner or later
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
    process = bench.start(str(server), "-c", script, cwd=Path("/"), environment=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    lock = bench.lock("config.lock", LockKind.CONFIG)
    Path(lock.path).touch()
    assert f"process {process.pid} (uw sgi) may hold it without having it open, as GitPython does" in (
        bench.seen(lock).sight.gaps
    )


@contextmanager
def virtual_machine(bench: Bench, archive: Path) -> Iterator[int]:
    """A process that has a file mapped as Java has its machine, and an archive open."""
    library = bench.folder / "libjvm.so"
    library.write_text("x")
    script = (
        "import mmap, os, sys; library = open(sys.argv[1], 'rb');"
        "machine = mmap.mmap(library.fileno(), 0, prot=mmap.PROT_READ); os.open(sys.argv[2], os.O_RDWR);"
        "print(flush=True); input()"
    )
    process = bench.start(sys.executable, "-c", script, str(library), str(archive), cwd=Path("/"))
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    yield process.pid
    end(process)


@pytest.mark.alone
@on_the_machine
@pytest.mark.parametrize(
    ("name", "holds", "gap"),
    [
        ("app.jar", "org/eclipse/jgit/lib/Repository.class", True),
        ("app.war", "WEB-INF/lib/org.eclipse.jgit-7.0.jar", True),
        ("app.jar", "org/eclipse/core/Main.class", False),
        ("org.eclipse.jgit-7.0.jar", "x", True),
        ("torn.jar", None, True),
        ("app.zip", "org/eclipse/jgit/lib/Repository.class", False),
    ],
)
def test_jgit_is_found_in_any_archive(bench: Bench, name: str, holds: str | None, *, gap: bool) -> None:
    """It keeps empty locks without a descriptor; an archive that cannot be read counts as one that has it."""
    archive = bench.folder / name
    if holds is None:
        archive.write_bytes(b"PK\x03\x04")
    else:
        with ZipFile(archive, "w") as file:
            file.writestr(holds, "")
    Path(bench.lock().path).touch()
    with virtual_machine(bench, archive) as pid:
        gaps = bench.seen().sight.gaps
        assert any(f"process {pid} " in told and "JGit" in told for told in gaps) is gap


@pytest.mark.alone
@on_the_machine
def test_an_archive_that_is_a_pipe_is_not_waited_for(bench: Bench) -> None:
    """It is not read at all."""
    archive = bench.folder / "app.jar"
    os.mkfifo(archive)
    Path(bench.lock().path).touch()
    with virtual_machine(bench, archive) as pid:
        assert any(f"process {pid} " in told and "JGit" in told for told in bench.seen().sight.gaps)


def test_a_foreign_command_line_is_words(bench: Bench) -> None:
    """Neither line ends nor what steers a terminal gets from there into a sentence."""
    path = Path(bench.lock().path)
    evil = "\x1b[2J\x1b]0;evil\x07\n::error::x\r"
    process = bench.start("sh", "-c", 'exec 3>"$1"; echo; read line', evil, str(path))
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    command = of(process, bench.seen()).command
    assert "::error::x" in command
    assert command.isprintable()


# ---------------------------------------------------------------- file systems that do not answer


@contextmanager
def userspace(bench: Bench) -> Iterator[tuple[Path, Callable[[], None]]]:
    """An empty folder of a file system in user space, and a way to have it fall silent."""
    place = bench.folder / "userspace"
    place.mkdir()
    server = bench.start(sys.executable, str(Path(__file__).parent.parent / "userspace.py"), str(place), cwd=Path("/"))
    assert server.stdout is not None
    if server.stdout.readline() != b"ready\n":
        pytest.skip("no file system in user space can be mounted here")

    def silence() -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(b"\n")
        server.stdin.flush()
        assert server.stdout.readline() == b"silent\n"

    rescue = threading.Timer(BOUND, server.kill)  # nothing else ends a wait for it, not even our own death
    rescue.start()
    try:
        yield place, silence
        assert server.poll() is None, "somebody waited for the silent file system"
    finally:
        rescue.cancel()
        end(server)
        subprocess.run(["umount", "-l", str(place)], check=False, timeout=BOUND)


@as_root
def test_a_git_on_a_file_system_that_is_silent_hangs_nobody(bench: Bench) -> None:
    """Nothing is asked of it. Whether it shows our folders cannot be told: the git there may work here."""
    territory = survey(find(bench.places).folders)
    with userspace(bench) as (place, silence):
        started = {}
        shared = bench.folder / "shared"
        (shared / ".git").mkdir(parents=True)
        (shared / ".git/HEAD").write_text("ref: refs/heads/main\n")
        (shared / ".git/commondir").write_text(f"{place}\n")
        for words, cwd in (
            (("add", "x", str(place / "y")), place),
            (("--git-dir", str(place), "gc"), bench.folder),
            (("gc",), shared),
        ):
            script, wait = bench.blocker()
            started[bench.start("sh", "-c", script, cwd=cwd).pid] = ("git", *words)
            wait()
        silence()
        for pid, command in started.items():
            seen = census.look_at(pid, offset=0.0)
            assert seen is not None
            # Called git in earnest, it would be a suspect to every test that runs beside this one.
            named = replace(seen, name="git", command=command)
            around = look_around(territory, Census(processes={pid: named}), [bench.lock()])
            assert around.workers[pid].home is None
            around = look_around(territory, Census(processes={pid: seen}), [bench.lock()])
            assert not around.workers


@as_root
@pytest.mark.parametrize("over", [["umount", "-l"], ["mount", "-t", "tmpfs", "x"]])
def test_a_silent_file_system_without_a_name_hangs_nobody(bench: Bench, over: list[str]) -> None:
    """Its name leads elsewhere once it was unmounted under a process, or covered. So it is known by its number."""
    territory = survey(find(bench.places).folders)
    with userspace(bench) as (place, silence):
        below = "import os; os.open('.', os.O_RDONLY); print(); input()"
        inside = bench.start(sys.executable, "-c", below, cwd=place)
        beside = bench.start(sys.executable, "-c", below.replace("'.'", repr(str(place))), cwd=bench.folder)
        for process in (inside, beside):
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
        subprocess.run([*over, str(place)], check=True, timeout=BOUND)
        silence()
        try:
            for process in (inside, beside):
                seen = census.look_at(process.pid, offset=0.0)
                assert seen is not None
                opened = [(number, f"{place}/index.lock") for number, path in seen.opened or () if "/dev" not in path]
                assert opened
                named = replace(seen, name="git", command=("git", "add", "x"), opened=tuple(opened))
                around = look_around(territory, Census(processes={seen.pid: named}), [bench.lock()])
                assert not around.ties
                if process is inside:
                    assert around.workers[seen.pid].home is None
        finally:
            if over[0] == "mount":
                subprocess.run(["umount", str(place)], check=True, timeout=BOUND)


# ---------------------------------------------------------------- the dead


@on_the_machine
def test_the_lock_of_a_killed_add_is_dead(bench: Bench) -> None:
    """Nobody is left: by elimination, and not before the floor."""
    bench.kill_add()
    judged = bench.judged()
    assert (judged.state, judged.proof) == (LockState.DEAD, Proof.ELIMINATION)
    assert bench.judged(floor=300.0).state is LockState.UNKNOWN


@on_the_machine
def test_a_zombie_holds_nothing(bench: Bench) -> None:
    """A killed git that nobody has reaped can be sent signals, and is dead."""
    process = bench.add_waits()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.kill(process.pid, 0)
    for suspect in bench.seen().suspects:  # the filter outlives its git, with a folder here and nothing else
        assert suspect.pid != process.pid
    assert bench.judged().proof is Proof.ELIMINATION


@on_the_machine
@pytest.mark.parametrize("command", ["diff", "status"])
def test_who_shows_a_difference_in_a_pager_does_not_block(bench: Bench, command: str) -> None:
    """They had the index's lock open as long as they had it, and wait for a reader now."""
    script, wait = bench.blocker()
    bench.write("shown\n")
    pager = {**os.environ, "GIT_PAGER": f"read line; {script}"}  # git writes its first line when all is done
    terminal = os.openpty()
    for descriptor in terminal:
        bench.stack.callback(os.close, descriptor)
    process = bench.start("git", "-p", command, environment=pager, output=terminal[1])
    wait()
    bench.kill_add()
    assert of(process, bench.seen()).harmless
    assert bench.judged().proof is Proof.ELIMINATION
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert bench.judged().state is LockState.LIVE


@on_the_machine
def test_fifteen_busy_peers_do_not_block(bench: Bench) -> None:
    """Gits that were started when the lock was known already are seen, and are none of its holders."""
    bench.kill_add()
    sighted(bench)
    peers = [bench.start("git", "hash-object", "-w", "--stdin-paths") for _ in range(15)]
    for peer in peers:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write(b"file\n")
        peer.stdin.flush()
        assert peer.stdout.readline()
    found = bench.seen()
    assert {suspect.pid for suspect in found.suspects} == {peer.pid for peer in peers}
    assert bench.judged().proof is Proof.ELIMINATION
    unknown = replace(found, first_seen=None)
    assert judge(unknown, unknown, floor=0.0).state is LockState.LIVE


@on_the_machine
def test_readers_do_not_block_unless_they_have_it_open(bench: Bench) -> None:
    """A process that serves objects was there before, and holds nothing."""
    reader = bench.start("git", "cat-file", "--batch")
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(b"HEAD\n")
    reader.stdin.flush()
    assert reader.stdout.readline()
    bench.kill_add()
    assert of(reader, bench.seen()).harmless == "git cat-file only reads"
    assert bench.judged().proof is Proof.ELIMINATION


@on_the_machine
def test_work_elsewhere_does_not_block(bench: Bench) -> None:
    """A git of a repository inside of ours, of one next door, and one that was sent next door from here."""
    started = []
    for place in (bench.top / "inner", bench.folder / "outer"):
        bench.git("init", "-q", str(place))
        (place / "file").write_text("")
        started.append(bench.start("git", "hash-object", "--stdin-paths", cwd=place))
    started.append(bench.start("git", "-C", "inner", "hash-object", "--stdin-paths"))
    started.append(bench.start("git", "--git-dir=../outer/.git", "hash-object", "--stdin-paths"))
    bare = bench.folder / "bare"
    bench.git("init", "-q", "--bare", str(bare))
    (bare / "file").write_text("")
    started.append(bench.start("git", "hash-object", "--stdin-paths", cwd=bare))
    for process in started:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"file\n")
        process.stdin.flush()
        assert process.stdout.readline()
    bench.kill_add()
    assert {suspect.harmless for suspect in bench.seen().suspects} == {"it works in another repository"}
    assert bench.judged().proof is Proof.ELIMINATION


@pytest.mark.parametrize(
    ("command", "folder", "variables"),
    [
        ("git --git-dir {top}/.git hash-object --stdin-paths", "", {}),
        ("git --git-dir {name}/.git hash-object --stdin-paths", "", {}),
        ("git hash-object --stdin-paths", "", {"GIT_DIR": "{top}/.git"}),
        ("git hash-object --stdin-paths", "", {"GIT_DIR": "{top}/.git", "GIT_COMMON_DIR": "{top}/.git"}),
        ("git hash-object --stdin-paths", "{name}/.git", {}),
        ("git hash-object --stdin-paths", "{name}/.git/refs", {}),
        ("git clone - {top}/file", "", {}),
        ("git clone - --from={top}", "", {}),
    ],
)
def test_work_here_is_found_from_anywhere(bench: Bench, command: str, folder: str, variables: dict[str, str]) -> None:
    """Options, variables, folders and arguments: however a git is sent here, it is at work here."""
    # Most gits cannot be made to wait before they work: a program of that name stands in, with git's own command line.
    environment = {**os.environ, **{name: value.format(top=bench.top) for name, value in variables.items()}}
    words = command.format(top=bench.top, name=bench.top.name).split()
    script, wait = bench.blocker()
    stands_in = bench.folder / "git"
    stands_in.write_text(f"#!/bin/sh\n{script}\n")
    stands_in.chmod(0o755)
    process = bench.start(
        str(stands_in), *words[1:], cwd=bench.folder / folder.format(name=bench.top.name), environment=environment
    )
    wait()
    bench.kill_add()
    assert of(process, bench.seen()).relation is Relation.WRITES_HERE
    assert bench.judged().state is LockState.LIVE


@pytest.mark.parametrize("sent", [("-C", "{}"), ("--git-dir={}/.git", "--work-tree={}")])
def test_a_git_that_was_sent_here_is_found(bench: Bench, sent: tuple[str, ...]) -> None:
    """A real one, which has gone there by the time it is looked at."""
    script, wait = bench.blocker()
    bench.hook("pre-commit", script)
    bench.write("two\n")
    process = bench.start(
        "git", *(word.format(bench.top.name) for word in sent), "commit", "-qam", "second", cwd=bench.folder
    )
    wait()
    assert of(process, bench.seen()).relation is Relation.WRITES_HERE


# ---------------------------------------------------------------- other work trees, and submodules


@pytest.fixture
def linked(bench: Bench) -> Path:
    """A linked work tree."""
    path = bench.folder / "linked"
    bench.git("worktree", "add", "-q", str(path))
    return path


@pytest.mark.parametrize("whose", ["linked", "main"])
def test_another_work_trees_commit_holds_the_index_that_both_share(bench: Bench, linked: Path, whose: str) -> None:
    """Where the index of one is a link to that of the other, a commit in either holds the lock, whosever it is called."""
    own = bench.top / ".git/worktrees/linked"
    (own / "index").unlink()
    (own / "index").symlink_to("../../index")
    script, wait = bench.blocker()
    # The hook forgets what would give its git away.
    bench.hook("pre-commit", f"unset GIT_INDEX_FILE; exec sh -c {shlex.quote(script)}")
    top = linked if whose == "linked" else bench.top
    bench.write("two\n", top)
    process = bench.start("git", "commit", "-qam", "second", cwd=top)
    wait()
    (lock,) = find(bench.places).locks
    for directory in (own, bench.top / ".git"):
        named = replace(lock, directory=str(directory))
        assert not of(process, bench.seen(named)).harmless
        assert bench.judged(named).state is LockState.LIVE


@on_the_machine
def test_another_work_trees_commit_does_not_hold_this_index(bench: Bench, linked: Path) -> None:
    """It has an index of its own; but refs are shared, and there it counts."""
    process = bench.commit_waits(top=linked)
    bench.kill_add()
    assert of(process, bench.seen()).harmless == "it works in another work tree, which has an index of its own"
    assert bench.judged().proof is Proof.ELIMINATION
    own = bench.lock(git_folder=bench.top / ".git/worktrees/linked")
    assert bench.judged(own).state is LockState.LIVE
    ref = bench.lock("refs/heads/main.lock", LockKind.REF)
    Path(ref.path).write_text("")
    assert not of(process, bench.seen(ref)).harmless
    assert bench.judged(ref).state is LockState.LIVE


def test_a_submodules_git_counts(bench: Bench) -> None:
    """A git in a submodule is found by its .git file, its folder being one of ours."""
    other = bench.folder / "other"
    bench.git("clone", "-q", str(bench.top), str(other))
    bench.git("submodule", "add", "-q", str(other), "deep/sub")
    bench.git("commit", "-qm", "with a submodule")
    sub = bench.top / "deep/sub"
    script, wait = bench.blocker()
    bench.hook("pre-commit", script, bench.top / ".git/modules/deep/sub")
    bench.write("two\n", sub)
    process = bench.start("git", "commit", "-qam", "second", cwd=sub)
    wait()
    lock = bench.lock(git_folder=bench.top / ".git/modules/deep/sub")
    assert of(process, bench.seen(lock)).relation is Relation.WRITES_HERE
    assert bench.judged(lock).state is LockState.LIVE


# ---------------------------------------------------------------- around us


OBSERVE = """
import ctypes, json, os, sys
from pathlib import Path
from pytest_orxaq.core.lockcontent import LockContent
from pytest_orxaq.core.staleness import judge
from pytest_orxaq.model import Lock, LockKind
from pytest_orxaq.repository.lockfiles import find
from pytest_orxaq.repository.memory import recall
from pytest_orxaq.repository.places import Places
from pytest_orxaq.repository.signals import observe, open_pinned
from pytest_orxaq.repository.territory import survey
from pytest_orxaq.repository.workers import look_around
from pytest_orxaq.system import census
top, memories = Path(sys.argv[1]), Path(sys.argv[2])
places = Places(own=top / ".git", common=top / ".git", top=top)
def gather():
    memory = recall(memories)
    around = look_around(survey(find(places).folders), census.take(memory.offset), [lock])
    return observe(lock, pinned, around=around, memory=memory)
git = str(top / ".git")
lock = Lock(path=git + "/index.lock", kind=LockKind.INDEX, target=git + "/index", directory=git)
pinned = None
gather()  # so that everything is imported, which somebody else may not be allowed to read
if len(sys.argv) > 3:  # become somebody else, as if started by him: the kernel would hide even our own /proc from us
    user = int(sys.argv[3])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
pinned = open_pinned(lock)
first = gather()
found = judge(first, gather(), floor=0.0)
print(json.dumps({
    "state": found.state, "why": found.why, "unseen": found.unseen, "leased": first.leased, "age": first.age,
    "suspects": [[s.command, s.ancestor, s.harmless] for s in first.suspects],
}))
"""


def said(text: str) -> dict[str, object]:
    """What an observer that ran as a process of its own printed."""
    found: dict[str, object] = json.loads(text.strip().splitlines()[-1])
    return found


def observer(bench: Bench) -> str:
    """A shell command that observes from where it is run."""
    script = bench.folder / "observer.py"
    script.write_text(OBSERVE)
    return shlex.join([sys.executable, str(script), str(bench.top), str(bench.memory)])


@on_the_machine
def test_a_push_that_waits_for_us_does_not_block(bench: Bench) -> None:
    """Run from a pre-push hook, the push above us was there when the lock was made, and holds nothing."""
    bench.git("init", "-q", "--bare", str(bench.folder / "bare"))
    answer = bench.folder / "answer"
    deadly = "git -c filter.deadly.clean='kill -9 $PPID; cat' add file"
    bench.write("two\n")
    (bench.top / ".gitattributes").write_text("file filter=deadly\n")
    bench.hook("pre-push", f"{deadly}; unset GIT_DIR; {observer(bench)} > {answer}")
    bench.git("push", "-q", "../bare", "main")
    found = said(answer.read_text())
    assert found["state"] == "dead"
    assert any("push" in command and ancestor and harmless for command, ancestor, harmless in found["suspects"])  # type: ignore[attr-defined]


def test_a_commit_that_waits_for_us_is_live(bench: Bench) -> None:
    """Run from the pre-commit hook of a commit -a, the lock is that of the commit above us."""
    answer = bench.folder / "answer"
    bench.hook("pre-commit", f"{observer(bench)} > {answer}")
    bench.write("two\n")
    bench.git("commit", "-qam", "second")
    found = said(answer.read_text())
    assert found["state"] == "live"
    assert ["git -c protocol.file.allow=always commit -qam second", True, ""] in found["suspects"]  # type: ignore[operator]


def test_a_wrapper_that_was_given_the_locks_name_does_not_block(bench: Bench) -> None:
    """A shell around us with the lock's path among its arguments holds nothing; another shell might."""
    bench.kill_add()
    command = ["sh", "-c", f"{observer(bench)}; true", "sh", str(bench.top / ".git/index.lock")]
    done = subprocess.run(command, cwd=bench.top, capture_output=True, text=True, check=True, timeout=BOUND)
    assert not said(done.stdout)["suspects"]


# ---------------------------------------------------------------- namespaces and users


INSIDE = ("unshare", "-p", "-f", "--mount-proc")


def must_unshare() -> None:
    """Skip where no PID namespace can be made."""
    tried = subprocess.run([*INSIDE, "true"], capture_output=True, check=False, timeout=BOUND)
    if tried.returncode != 0:
        pytest.skip(f"no PID namespace can be made here: {tried.stderr.decode().strip()}")


@as_root
def test_a_holder_in_a_container_is_seen_from_outside(bench: Bench) -> None:
    """With its folder and its files; only its numbers and mounts are others."""
    must_unshare()
    bench.add_waits(*INSIDE)
    found = bench.seen()
    assert found.leased is False
    assert Relation.HOLDS_OPEN in {suspect.relation for suspect in found.suspects}
    assert bench.judged().state is LockState.LIVE


@as_root
@pytest.mark.parametrize("waits", [Bench.commit_waits, Bench.add_waits])
def test_a_holder_outside_of_our_container_is_never_dead(
    bench: Bench, waits: Callable[[Bench], subprocess.Popen[bytes]]
) -> None:
    """From inside nobody is seen. What is open is told by the lease; else the gap keeps it from being dead."""
    must_unshare()
    waits(bench)
    command = [*INSIDE, "sh", "-c", observer(bench)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=BOUND)
    found = said(done.stdout)
    assert found["suspects"] == []
    if waits is Bench.add_waits:
        assert (found["state"], found["leased"]) == ("live", False)
    else:
        assert (found["state"], found["leased"]) == ("unknown", True)
        assert "this is a container: who works outside of it cannot be seen" in found["unseen"]  # type: ignore[operator]


@pytest.fixture
def shared() -> Iterator[Bench]:
    """A repository in a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Bench(Path(folder))
        with made.stack:
            yield made


SOMEBODY = 50_000 + os.getpid() % 10_000  # a user who has no other process, nor has a test beside this one
AS_SOMEBODY = ("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups")


def give_away(bench: Bench) -> None:
    """Make everything somebody's."""
    for folder, _, files in os.walk(bench.folder):
        for path in (folder, *(f"{folder}/{name}" for name in files)):
            os.chown(path, SOMEBODY, SOMEBODY)


def observed_by_somebody(bench: Bench) -> dict[str, object]:
    """What somebody sees."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = ["sh", "-c", f"{observer(bench)} {SOMEBODY}"]
    done = subprocess.run(command, env=bare, cwd="/", capture_output=True, text=True, check=False, timeout=BOUND)
    assert done.returncode == 0, done.stderr
    return said(done.stdout)


@as_root
def test_another_users_holder_is_seen_by_root(shared: Bench) -> None:
    """Root sees who holds it, whoever that is."""
    give_away(shared)
    script, wait = shared.blocker()
    for name in ("ready0", "go0"):
        (shared.folder / name).chmod(0o666)
    (shared.top / ".gitattributes").write_text("file filter=slow\n")
    shared.write("two\n")
    process = shared.start(*AS_SOMEBODY, "git", "-c", f"filter.slow.clean={script}; cat", "add", "file")
    wait()
    assert of(process, shared.seen()).relation is Relation.HOLDS_OPEN
    assert shared.judged().state is LockState.LIVE


@as_root
@pytest.mark.parametrize("waits", [Bench.commit_waits, Bench.add_waits])
def test_roots_holder_is_never_dead_for_another_user(
    shared: Bench, waits: Callable[[Bench], subprocess.Popen[bytes]]
) -> None:
    """Who cannot look into root's processes, nor ask for a lease, knows nothing, and says of whom."""
    process = waits(shared)
    found = observed_by_somebody(shared)
    assert (found["state"], found["leased"], found["suspects"]) == ("unknown", None, [])
    assert f"process {process.pid} (git) cannot be looked into" in found["unseen"]  # type: ignore[operator]


@as_root
@on_the_machine
def test_an_ordinary_user_sees_enough(shared: Bench) -> None:
    """Root's processes, a git of root's among them, cannot be looked into, and did not make the lock of another user."""
    busy = shared.folder / "busy"
    shared.git("init", "-q", str(busy))
    reader = shared.start("git", "hash-object", "--stdin-paths", cwd=busy)
    assert reader.stdin is not None
    assert reader.stdout is not None
    (busy / "file").write_text("")
    reader.stdin.write(b"file\n")
    reader.stdin.flush()
    assert reader.stdout.readline()
    (shared.top / "file").write_text("two\n")
    (shared.top / ".gitattributes").write_text("file filter=deadly\n")
    give_away(shared)
    subprocess.run(
        [*AS_SOMEBODY, "git", "-c", "filter.deadly.clean=kill -9 $PPID; cat", "add", "file"],
        cwd=shared.top,
        check=False,
        timeout=BOUND,
    )
    found = observed_by_somebody(shared)
    assert found["unseen"] == []
    assert (found["state"], found["leased"]) == ("dead", True)


# ---------------------------------------------------------------- git's pid files


def note(bench: Bench, pid: int) -> None:
    """Write what git from 2.54 on writes beside a lock."""
    (bench.top / ".git/index~pid.lock").write_text(f"pid {pid}\n")


def dead_pid() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait(BOUND)
    return process.pid


@on_the_machine
def test_a_pid_file_of_a_dead_process_is_a_proof(bench: Bench) -> None:
    """Made with the lock, naming somebody who is gone."""
    bench.kill_add()
    note(bench, dead_pid())
    found = bench.seen()
    if born_at_is_kept(bench):
        assert (found.pid_file, found.pid_file_dead) == (str(bench.top / ".git/index~pid.lock"), True)
        assert bench.judged().proof is Proof.PID_FILE


def born_at_is_kept(bench: Bench) -> bool:
    """Whether the file system knows when files were made."""
    with (bench.top / "file").open() as file:
        return born_at(file.fileno()) is not None


def test_a_poisoned_pid_file_is_none(bench: Bench) -> None:
    """One that an earlier git left says nothing of the git that has the lock now, which lives."""
    note(bench, dead_pid())
    bench.commit_waits()
    found = bench.seen()
    assert found.pid_file
    assert not found.pid_file_dead
    assert bench.judged().state is LockState.LIVE


def test_a_pid_file_of_a_living_git_tells_the_holder(bench: Bench) -> None:
    """Whatever else ties it to the lock, git itself says so."""
    process = bench.commit_waits()
    note(bench, process.pid)
    found = bench.seen()
    assert of(process, found).relation is Relation.PID_FILE
    assert not found.pid_file_dead
    judged = bench.judged()
    assert judged.holder is not None
    assert judged.holder.pid == process.pid


@on_the_machine
def test_a_number_that_was_given_anew_is_not_the_holders(bench: Bench) -> None:
    """A git that was started when the lock was known already did not write it, whatever its number."""
    bench.kill_add()
    sighted(bench)
    peer = bench.start("git", "hash-object", "--stdin-paths")
    assert peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write(b"file\n")
    peer.stdin.flush()
    assert peer.stdout.readline()
    note(bench, peer.pid)
    found = bench.seen()
    assert of(peer, found).relation is Relation.WRITES_HERE
    assert bench.judged().proof is Proof.ELIMINATION


def test_detached_maintenance_holds_its_lock(bench: Bench) -> None:
    """The file names the parent that is gone; the child has the lock open."""
    lock = bench.lock("objects/maintenance.lock", LockKind.MAINTENANCE)
    Path(lock.path).touch()
    Path(lock.path.replace(".lock", "~pid.lock")).write_text(f"pid {dead_pid()}\n")
    script, wait = bench.blocker()
    process = bench.start("sh", "-c", f"exec 9<> {shlex.quote(lock.path)}; {script}")
    wait()
    found = bench.seen(lock)
    assert (found.leased, found.pid_file_dead, of(process, found).relation) == (False, False, Relation.HOLDS_OPEN)
    assert bench.judged(lock).state is LockState.LIVE


# ---------------------------------------------------------------- memory


def test_our_own_death_is_a_proof(bench: Bench) -> None:
    """A lock that was made in the time of a group of ours, which is gone, is that group's."""
    before = time.time() - 1
    bench.kill_add()
    record_death(bench.memory, actor="make test", began_at=before, ended_at=time.time(), present=[])
    found = bench.seen()
    assert found.own_death is not None
    assert found.own_death.actor == "make test"
    assert bench.judged(floor=300.0).proof is Proof.OWN_DEATH


def test_our_own_death_needs_a_clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that cannot be compared prove nothing; nor does the lock of another user."""
    before = time.time() - 1
    bench.kill_add()
    record_death(bench.memory, actor="make test", began_at=before, ended_at=time.time(), present=[])
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        assert bench.seen().own_death is None
    shift_clock(bench, monkeypatch, 1000.0)
    assert bench.seen().own_death is None


def shift_clock(bench: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make it so that the clock was set forward since the lock was made."""
    memory = recall(bench.memory)
    anchors = tuple(replace(anchor, offset=anchor.offset - seconds) for anchor in memory.anchors if not anchor.rough)

    def recalled(folder: Path) -> Memory:
        found = recall_now(folder)
        # The lock's time cannot be set back to what the clock showed then; so the boot was as much earlier.
        return replace(found, anchors=anchors, since_boot=found.since_boot + seconds)

    monkeypatch.setitem(globals(), "recall", recalled)


recall_now = recall


def test_time_that_was_set_is_no_age(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set forward makes a young lock look old; what was watched since then counts all the same."""
    bench.kill_add()
    assert 0 <= bench.seen().age < BOUND
    shift_clock(bench, monkeypatch, 1000.0)
    found = bench.seen()
    assert found.sight.clock is Clock.SET
    assert -1000 <= found.age < -900
    assert found.snapshot is not None
    record_sightings(bench.memory, [(bench.lock(), found.snapshot)], recall(bench.memory))
    assert 0 <= bench.seen().age < BOUND


def test_another_name_of_the_boot_proves_nothing(bench: Bench) -> None:
    """A lock seen under another boot's name is not older than the boot: a container may have a name of its own."""
    bench.kill_add()
    found = bench.seen()
    assert not found.before_boot
    assert found.snapshot is not None
    earlier = replace(recall(bench.memory), boot="an earlier one")
    record_sightings(bench.memory, [(bench.lock(), found.snapshot)], earlier)
    assert not bench.seen().before_boot
    assert bench.judged(floor=300.0).state is LockState.UNKNOWN


@as_root
def test_a_time_of_another_namespace_is_no_time(bench: Bench) -> None:
    """Where the time since boot is told with a shift of a day, nothing that is remembered counts, and nothing is remembered."""
    moved = ("unshare", "-T", "--boottime", "100000")
    tried = subprocess.run([*moved, "true"], capture_output=True, check=False, timeout=BOUND)
    if tried.returncode != 0:
        pytest.skip(f"no time namespace can be made here: {tried.stderr.decode().strip()}")
    bench.kill_add()
    sighted(bench)
    before = {path.name: path.read_bytes() for path in bench.memory.iterdir()}
    done = subprocess.run(
        [*moved, "sh", "-c", observer(bench)], capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert done.returncode == 0, done.stderr
    age = said(done.stdout)["age"]
    assert isinstance(age, float)
    assert 0 <= age < BOUND
    remember = (
        "import sys; from pathlib import Path; from pytest_orxaq.repository.memory import *; folder = Path(sys.argv[1]);"
        "record_clock(folder); record_sightings(folder, [], recall(folder)); assert not recall(folder).boot"
    )
    subprocess.run([*moved, sys.executable, "-c", remember, bench.memory], check=True, timeout=BOUND)
    assert {path.name: path.read_bytes() for path in bench.memory.iterdir()} == before


# ---------------------------------------------------------------- the file system


def test_a_network_file_system_is_a_gap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other machines write there: no lease is asked for, no pid and no boot of this machine proves anything."""
    bench.kill_add()
    note(bench, dead_pid())
    monkeypatch.setattr("pytest_orxaq.repository.suspects.mount_of", lambda _: Mount(kind="nfs4"))
    found = bench.seen()
    assert (found.leased, found.pid_file_dead, found.before_boot) == (None, False, False)
    assert "other machines may write to its file system (nfs4)" in found.sight.gaps
    assert bench.judged().state is LockState.UNKNOWN


# ---------------------------------------------------------------- pinning


def test_what_is_no_plain_file_is_odd(bench: Bench) -> None:
    """A link, a folder, a pipe, a socket: none is opened, each is told."""
    lock = bench.lock()
    path = Path(lock.path)
    assert open_pinned(lock) is None
    path.symlink_to("index")
    odd(lock, "it is a link")
    path.unlink()
    path.mkdir()
    odd(lock, "it is a folder")
    path.rmdir()
    os.mkfifo(path)
    odd(lock, "it is a named pipe")
    odd(replace(lock, path=os.devnull), "it is no file")
    odd(replace(lock, path=f"{bench.top}/file/index.lock"), "it cannot be opened: Not a directory")
    found = bench.gather(lock, None)
    assert (found.snapshot, found.oddity) == (None, "")


def odd(lock: Lock, words: str) -> None:
    """It must not be opened, for this reason."""
    with pytest.raises(OddLockError, match=words):
        open_pinned(lock)


def test_an_oddity_is_handed_on(bench: Bench) -> None:
    """What the opener complained of stands in the signals."""
    memory = recall(bench.memory)
    around = look_around(survey(find(bench.places).folders), census.take(memory.offset), [bench.lock()])
    found = observe(bench.lock(), None, oddity="it is a link", around=around, memory=memory, tenancy=True)
    assert (found.snapshot, found.oddity, found.tenancy) == (None, "it is a link", True)


def test_a_lock_that_another_observer_asks_about_is_odd(bench: Bench) -> None:
    """While somebody else has the lease, it is not waited for."""
    bench.kill_add()
    script = (
        "import fcntl, os, sys; from pytest_orxaq.system.pinned import _take_lease;"
        "descriptor = os.open(sys.argv[1], os.O_RDONLY); _take_lease(descriptor); print('x', flush=True); input()"
    )
    process = bench.start(sys.executable, "-c", script, bench.lock().path)
    assert process.stdout is not None
    assert process.stdout.readline()
    odd(bench.lock(), "another program asks")


def test_a_lock_that_is_replaced_or_taken_away_is_gone(bench: Bench) -> None:
    """The pinned file is not judged under a name that leads elsewhere by now, though its inode cannot be used anew."""
    bench.kill_add()
    lock = bench.lock()
    with pinned(lock) as descriptor:
        Path(lock.path).unlink()
        assert bench.gather(lock, descriptor).snapshot is None
        Path(lock.path).write_text("")
        found = bench.gather(lock, descriptor)
        assert (found.snapshot, found.oddity) == (None, "")
        assert os.stat(lock.path).st_ino != os.fstat(descriptor).st_ino


def test_a_lock_that_cannot_be_read_is_odd(bench: Bench) -> None:
    """An error in reading is told, not raised."""
    bench.kill_add()
    descriptor = os.open(bench.lock().path, os.O_WRONLY)
    try:
        assert "it cannot be read" in bench.gather(bench.lock(), descriptor).oddity
    finally:
        os.close(descriptor)


def test_the_lease_is_given_back(bench: Bench) -> None:
    """After a gathering nobody who opens the lock has to wait."""
    bench.kill_add()
    with pinned(bench.lock()) as descriptor:
        assert bench.gather(bench.lock(), descriptor).leased is True
        assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK


# ---------------------------------------------------------------- content


def kind_of_content(content: bytes) -> str:
    """As it is told piece by piece, of any size."""
    kinds = set()
    for size in (1, 33, len(content) + 1):
        told = LockContent()
        for start in range(0, len(content), size):
            told.add(content[start : start + size])
        assert told.digest == hashlib.sha256(content).hexdigest()
        kinds.add(told.kind)
    (kind,) = kinds
    return kind


def test_kinds_of_content(bench: Bench) -> None:
    """Nothing, a whole index of either hash or without one, a torn index, an object's name, something else."""
    index = (bench.top / ".git/index").read_bytes()
    assert kind_of_content(b"") == "empty"
    assert kind_of_content(index) == "index"
    assert kind_of_content(index[:-20] + bytes(20)) == "index"
    assert kind_of_content(index[:-1]) == "torn-index"
    assert kind_of_content(b"DIRC") == "torn-index"
    newer = bench.folder / "newer"
    bench.git("init", "-q", "--object-format=sha256", str(newer))
    (newer / "file").write_text("")
    bench.git("add", "file", top=newer)
    assert kind_of_content((newer / ".git/index").read_bytes()) == "index"
    assert kind_of_content(b"a" * 40 + b"\n") == "object-name"
    assert kind_of_content(b"f" * 64 + b"\n") == "object-name"
    assert kind_of_content(b"g" * 40 + b"\n") == "other"
    assert kind_of_content(b"[core]\n") == "other"


def test_a_large_lock_is_read_whole(bench: Bench) -> None:
    """A lock may be larger than one read."""
    lock = bench.lock("config.lock", LockKind.CONFIG)
    Path(lock.path).write_bytes(b"x" * (1 << 20) + b"y")
    with pinned(lock) as descriptor:
        found = bench.gather(lock, descriptor).snapshot
        assert found is not None
        assert found.digest == hashlib.sha256(Path(lock.path).read_bytes()).hexdigest()


def test_a_huge_lock_is_odd(bench: Bench) -> None:
    """It is not read, so that it takes neither memory nor hours."""
    lock = bench.lock()
    with open(lock.path, "wb") as file:
        file.truncate(3 << 30)
    found = bench.seen(lock)
    assert (found.snapshot, found.oddity) == (None, "it is larger than any lock of git's")


def test_a_lock_that_grows_while_it_is_read_is_odd(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size does not bind whoever writes it."""
    monkeypatch.setattr(signals, "LARGEST", 5)
    Path(bench.lock().path).write_bytes(b"123456")
    with pinned(bench.lock()) as descriptor, pytest.raises(OddLockError, match="larger than any"):
        signals._read(descriptor)
