"""Taking dead locks out of git's way, and back: with real git, real kills, and holders that are alive after all."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_orxaq.errors import BusyError, MachineError, UsageError
from pytest_orxaq.model import Judgement, Lock, LockKind, LockState, Proof, Recovery, Signals
from pytest_orxaq.repository import quarantine as quarantines
from pytest_orxaq.repository.lockfiles import find
from pytest_orxaq.repository.places import locate
from pytest_orxaq.repository.quarantine import mutex, prune, recent, release, repair, restore
from pytest_orxaq.system import exchange as exchanges
from pytest_orxaq.system.exchange import exchange


BOUND = 60.0
DEAD = Judgement(state=LockState.DEAD, why="it was made for this", proof=Proof.OWN_DEATH)


def git(directory: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """What git answers."""
    command = ("git", "-c", "protocol.file.allow=always", *arguments)
    return subprocess.run(command, cwd=directory, check=check, capture_output=True, timeout=BOUND, text=True)


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with twenty files in one commit."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    path = tmp_path / "repository"
    path.mkdir()
    return made(path)


def made(path: Path, *options: str) -> Path:
    """Make a repository with twenty files in one commit."""
    git(path, "init", "--quiet", "--initial-branch=main", *options)
    for number in range(20):
        (path / f"{number}.txt").write_text("one\n")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message=first")
    return path


@pytest.fixture
def quarantine(tmp_path: Path) -> Path:
    """Where locks are kept."""
    path = tmp_path / "quarantine"
    path.mkdir()
    return path


@pytest.fixture
def elsewhere(quarantine: Path) -> Iterator[Path]:
    """Where locks are kept, on another file system."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == quarantine.stat().st_dev:
        pytest.skip("there is no second file system to keep locks on")
    path = shared / f"orxaq-test-{os.getpid()}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def released(
    lock: Lock,
    quarantine: Path,
    recheck: Callable[[], bool] = lambda: True,
    judgement: Judgement = DEAD,
    now: float = 0,
) -> Recovery:
    """What comes of releasing a lock."""
    pinned = os.open(lock.path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        signals = Signals(lock=lock, snapshot=None, age=400.0)
        return release(
            *(lock, signals, judgement), pinned=pinned, quarantine=quarantine, recheck=recheck, now=now or time.time()
        )
    finally:
        os.close(pinned)


def stale(top: Path, name: str = "index.lock", content: bytes = b"stale") -> Lock:
    """Put a lock into a repository; what is found."""
    (top / ".git" / name).write_bytes(content)
    return next(lock for lock in find(locate(top)).locks if lock.path == f"{top}/.git/{name}")


def kill(top: Path, hook: str, *arguments: str, first: str = "") -> None:
    """Have a hook of git's kill the git that runs it."""
    path = top / ".git" / "hooks" / hook
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{first}\nkill -9 $PPID\n")
    path.chmod(0o755)
    assert git(top, *arguments, check=False).returncode == -9
    path.unlink()


PREPARED = '[ "$1" = prepared ] || exit 0'


def strays(top: Path) -> list[Path]:
    """What of ours lies about in git's folders."""
    return list((top / ".git").rglob(".orxaq*"))


# ---------------------------------------------------------------- released


@pytest.mark.parametrize(
    "hook",
    [
        ("pre-commit", "commit", "--all", "--message=x"),
        ("pre-commit", "commit", "--message=x", "--", "0.txt"),
        ("reference-transaction", "commit", "--all", "--message=x"),
        ("reference-transaction", "branch", "new"),
        ("reference-transaction", "pack-refs", "--all"),
    ],
)
def test_what_killed_gits_leave_is_released(top: Path, quarantine: Path, hook: tuple[str, ...]) -> None:
    """Every lock that a killed git leaves goes into quarantine as it is, and git works again."""
    (top / "0.txt").write_text("two\n")
    kill(top, *hook, first=PREPARED if hook[0] == "reference-transaction" else "")
    locks = find(locate(top)).locks
    assert locks
    for lock in locks:
        before = os.lstat(lock.path)
        content = Path(lock.path).read_bytes()
        recovery = released(lock, quarantine)
        assert recovery.released, recovery.why_not
        assert (recovery.lock, recovery.judgement, recovery.why_not, recovery.age) == (lock, DEAD, "", 400.0)
        kept = quarantine / recovery.id / "lock"
        assert (kept.stat().st_ino, kept.read_bytes()) == (before.st_ino, content)
        assert not os.path.lexists(lock.path)
    assert find(locate(top)).locks == ()
    assert not strays(top)
    git(top, "commit", "--quiet", "--all", "--message=second")
    git(top, "branch", "other")
    git(top, "pack-refs", "--all")
    assert len(git(top, "ls-tree", "-r", "HEAD").stdout.splitlines()) == 20
    git(top, "fsck")


def test_a_killed_add_is_released(top: Path, quarantine: Path) -> None:
    """The empty lock of a git that was killed while it worked is released too."""
    (top / ".gitattributes").write_text("*.txt filter=x\n")
    (top / "0.txt").write_text("two\n")
    assert git(top, "-c", "filter.x.clean=kill -9 $PPID", "add", "0.txt", check=False).returncode == -9
    (lock,) = find(locate(top)).locks
    assert released(lock, quarantine).released
    git(top, "add", "0.txt")


@pytest.mark.parametrize("mask", [0o000, 0o277])
def test_what_is_kept_with_it(top: Path, quarantine: Path, mask: int) -> None:
    """The evidence, the judgement and the steps are kept with the lock, for us alone, whatever the umask."""
    umask = os.umask(mask)
    try:
        recovery = released(stale(top), quarantine, now=1_790_000_000.25)
    finally:
        os.umask(umask)
    assert recovery.id.startswith("20260921T141320250000-")
    folder = quarantine / recovery.id
    record = json.loads((folder / "record.json").read_text())
    assert record["judgement"]["proof"] == Proof.OWN_DEATH
    assert record["signals"]["age"] == 400.0
    assert record["lock"]["path"] == f"{top}/.git/index.lock"
    assert [name for name, _ in record["steps"]] == ["begun", "exchanging", "checking", "freeing", "released"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "record.json").stat().st_mode) == 0o600


def test_where_nothing_is_guarded_the_lock_is_moved(top: Path, quarantine: Path) -> None:
    """A lock of a file that is not there cannot be exchanged with a folder, which could get the file's name."""
    recovery = released(stale(top, "refs/heads/new.lock"), quarantine)
    record = json.loads((quarantine / recovery.id / "record.json").read_text())
    assert [name for name, _ in record["steps"]] == ["begun", "moving", "checking", "freeing", "released"]
    git(top, "branch", "new")


def test_names_that_are_not_utf8(top: Path, quarantine: Path) -> None:
    """A lock whose name is no text is kept, and can be put back."""
    path = os.fsdecode(os.fsencode(top / ".git" / "refs" / "heads") + b"/caf\xe9.lock")
    Path(path).write_bytes(b"stale")
    (lock,) = find(locate(top)).locks
    recovery = released(lock, quarantine)
    assert recovery.released
    restore(recovery.id, quarantine=quarantine)
    assert Path(path).read_bytes() == b"stale"


@pytest.mark.parametrize("how", ["sha256", "skip-hash", "split-index", "unborn", "no-work-tree", "no-files", "linked"])
def test_every_sort_of_index(tmp_path: Path, quarantine: Path, how: str) -> None:
    """No sort of index that git writes is taken for a damaged one."""
    top = tmp_path / "repository"
    top.mkdir()
    if how == "unborn":
        git(top, "init", "--quiet")
    elif how == "no-files":
        git(top, "init", "--quiet")
        git(top, "commit", "--quiet", "--allow-empty", "--message=empty")
    else:
        made(top, *(("--object-format=sha256",) if how == "sha256" else ()))
    if how == "skip-hash":
        index = (top / ".git" / "index").read_bytes()
        (top / ".git" / "index").write_bytes(index[:-20] + bytes(20))
    if how == "split-index":
        git(top, "update-index", "--split-index")
    if how == "linked":
        git(top, "worktree", "add", "--quiet", "../tree")
        top = tmp_path / "tree"
        git_folder = tmp_path / "repository" / ".git" / "worktrees" / "tree"
    else:
        git_folder = top / ".git"
    (git_folder / "index.lock").touch()
    (lock,) = find(locate(top)).locks
    if how == "no-work-tree":
        git(top, "config", "core.worktree", str(tmp_path / "gone"))
    recovery = released(lock, quarantine)
    assert recovery.released, recovery.why_not


@pytest.mark.parametrize("name", ["index.lock", "refs/heads/new.lock"])
def test_a_file_system_without_exchange(
    top: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where the kernel refuses the exchange, the lock is moved, and nothing of ours stays."""
    monkeypatch.setattr(exchanges, "_exchange", lambda *_: 22)
    recovery = released(stale(top, name), quarantine)
    assert recovery.released
    assert not strays(top)
    steps = [step for step, _ in json.loads((quarantine / recovery.id / "record.json").read_text())["steps"]]
    assert "moving" in steps
    assert "freeing" in steps


# ---------------------------------------------------------------- git's note of the holder


@pytest.mark.parametrize("name", ["index", "refs/heads/new"])
def test_gits_note_goes_first(top: Path, quarantine: Path, name: str) -> None:
    """A pid file would make the next holder look dead: it is kept with the lock, and comes back with it."""
    note = top / ".git" / f"{name}~pid.lock"
    note.write_bytes(b"pid 4194305\n")
    inode = note.stat().st_mtime_ns
    recovery = released(stale(top, f"{name}.lock"), quarantine)
    assert recovery.released
    assert not note.exists()
    assert (quarantine / recovery.id / "pid").read_bytes() == b"pid 4194305\n"
    restore(recovery.id, quarantine=quarantine)
    assert note.read_bytes() == b"pid 4194305\n"
    assert note.stat().st_mtime_ns == inode


def test_a_note_that_has_changed_stays(top: Path, quarantine: Path) -> None:
    """Only the note that was there when the lock was judged is taken away."""
    note = top / ".git" / "index~pid.lock"
    note.write_bytes(b"pid 4194305\n")

    def change() -> bool:
        note.write_bytes(b"pid 1\n")
        return True

    assert released(stale(top), quarantine, change).released
    assert note.read_bytes() == b"pid 1\n"


# ---------------------------------------------------------------- not released


@pytest.mark.parametrize("state", [LockState.LIVE, LockState.UNKNOWN])
def test_what_is_not_dead_is_not_touched(top: Path, quarantine: Path, state: LockState) -> None:
    """A lock that was not judged dead is not released, whoever asks."""
    recovery = released(stale(top), quarantine, judgement=Judgement(state=state, why="who knows"))
    assert not recovery.released
    assert recovery.why_not == "It was not judged dead."
    assert not list(quarantine.iterdir())


def test_what_is_no_file_is_not_touched(top: Path, quarantine: Path) -> None:
    """A folder with the name of a lock is not git's, and not ours."""
    (top / ".git" / "index.lock").mkdir()
    (lock,) = find(locate(top)).locks
    assert "no plain file" in released(lock, quarantine).why_not
    assert (top / ".git" / "index.lock").is_dir()


@pytest.mark.parametrize("name", ["index.lock", "refs/heads/new.lock"])
def test_a_second_thought(top: Path, quarantine: Path, name: str) -> None:
    """If something has changed since the judgement, the lock stays, and nothing of ours does."""
    lock = stale(top, name)
    inode = os.stat(lock.path).st_ino
    recovery = released(lock, quarantine, lambda: False)
    assert not recovery.released
    assert "changed since" in recovery.why_not
    assert recovery.id == ""
    assert os.stat(lock.path).st_ino == inode
    assert not strays(top)
    assert not list(quarantine.iterdir())


@pytest.mark.parametrize("name", ["index.lock", "refs/heads/new.lock"])
@pytest.mark.parametrize("new", ["file", "folder", "link"])
def test_another_lock_in_its_place(top: Path, quarantine: Path, name: str, new: str) -> None:
    """A lock that took the place between the judgement and the release is given back at once."""
    lock = stale(top, name)
    place = Path(lock.path)
    inodes: list[int] = []

    def replace() -> bool:
        place.unlink()
        if new == "file":
            place.write_bytes(b"alive")
        elif new == "folder":
            place.mkdir()
        else:
            place.symlink_to("alive")
        inodes.append(place.lstat().st_ino)
        return True

    recovery = released(lock, quarantine, replace)
    assert not recovery.released
    assert recovery.why_not == "Another lock has taken its place."
    assert [place.lstat().st_ino] == inodes
    assert not strays(top)
    assert not list(quarantine.iterdir())


def test_another_lock_from_the_start(top: Path, quarantine: Path) -> None:
    """A lock that is not the one that is held open was not judged."""
    lock = stale(top)
    pinned = os.open(lock.path, os.O_RDONLY)
    os.rename(lock.path, f"{lock.path}.old")
    Path(lock.path).write_bytes(b"alive")
    try:
        recovery = release(
            *(lock, Signals(lock=lock, snapshot=None), DEAD),
            pinned=pinned,
            quarantine=quarantine,
            recheck=lambda: True,
            now=0.0,
        )
    finally:
        os.close(pinned)
    assert recovery.why_not == "Another lock has taken its place."
    assert Path(lock.path).read_bytes() == b"alive"


@pytest.mark.parametrize("name", ["index.lock", "refs/heads/new.lock"])
def test_a_lock_that_goes_by_itself(top: Path, quarantine: Path, name: str) -> None:
    """A lock that its holder removes at the last moment is nobody's business any more."""
    lock = stale(top, name)

    def remove() -> bool:
        os.unlink(lock.path)
        return True

    recovery = released(lock, quarantine, remove)
    assert not recovery.released
    assert recovery.why_not in {"It is gone: somebody was alive to remove it.", "Another lock has taken its place."}
    assert not os.path.lexists(lock.path)
    assert not strays(top)


@pytest.mark.parametrize("name", ["index.lock", "refs/heads/new.lock"])
def test_a_cancellation_leaves_the_lock_in_place(top: Path, quarantine: Path, name: str) -> None:
    """Whatever is raised while the lock is looked at again, it is raised, and the lock is where it was."""
    lock = stale(top, name)

    def cancel() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        released(lock, quarantine, cancel)
    assert Path(lock.path).read_bytes() == b"stale"
    assert not strays(top)
    assert not list(quarantine.iterdir())


def test_nowhere_to_keep_it(top: Path, tmp_path: Path) -> None:
    """Where nothing can be kept, nothing is taken."""
    (tmp_path / "file").touch()
    recovery = released(stale(top), tmp_path / "file" / "quarantine")
    assert not recovery.released
    assert "could not be taken away" in recovery.why_not
    assert (top / ".git" / "index.lock").read_bytes() == b"stale"


@pytest.mark.parametrize("name", ["index", "refs/heads/new"])
@pytest.mark.parametrize("note", [True, False])
def test_a_quarantine_that_goes_away(top: Path, quarantine: Path, name: str, note: bool) -> None:
    """If the place to keep it is gone in the middle of it, the lock is back where it was."""
    lock = stale(top, f"{name}.lock")
    if note:
        (top / ".git" / f"{name}~pid.lock").write_bytes(b"pid 4194305\n")

    def remove() -> bool:
        shutil.rmtree(quarantine)
        return True

    recovery = released(lock, quarantine, remove)
    assert not recovery.released
    assert f"It could not be taken away: No such file or directory ({quarantine}" in recovery.why_not or (
        "No such file or directory" in recovery.why_not and note
    )
    assert Path(lock.path).read_bytes() == b"stale"
    assert (top / ".git" / f"{name}~pid.lock").exists() == note
    assert not strays(top)


# ---------------------------------------------------------------- the index is looked at


def test_an_empty_index_keeps_its_lock(top: Path, quarantine: Path) -> None:
    """If the next commit would delete every file, the lock stays; the way out that is told works in spite of it."""
    git(top, "rm", "-r", "--quiet", "--cached", ".")
    recovery = released(stale(top), quarantine)
    assert not recovery.released
    assert "the next commit would delete every file" in recovery.why_not
    assert (top / ".git" / "index.lock").read_bytes() == b"stale"
    assert not strays(top)
    command = recovery.why_not.partition("Make the index anew: ")[2]
    subprocess.run(command, shell=True, cwd=top, check=True, timeout=BOUND)  # noqa: S602 - as its reader would
    assert released(stale(top), quarantine).released
    assert git(top, "status", "--porcelain").stdout == ""


def test_a_missing_index_keeps_its_lock(top: Path, quarantine: Path) -> None:
    """No index at all is an empty one to git."""
    (top / ".git" / "index").unlink()
    recovery = released(stale(top), quarantine)
    assert "the next commit would delete every file" in recovery.why_not
    assert (top / ".git" / "index.lock").read_bytes() == b"stale"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is an empty file"), (b"DIRC" + bytes(80), "version 0"), (None, "cannot be read")],
)
@pytest.mark.parametrize("name", ["index.lock", "next-index-7.lock", "index.stash.7.lock"])
def test_a_torn_index_keeps_its_lock(top: Path, quarantine: Path, content: bytes | None, why: str, name: str) -> None:
    """An index that is damaged is not left to whoever comes next."""
    index = top / ".git" / "index"
    index.unlink()
    if content is None:
        index.mkdir()
    else:
        index.write_bytes(content)
    recovery = released(stale(top, name), quarantine)
    assert not recovery.released
    assert why in recovery.why_not
    assert (top / ".git" / name).exists()


def test_an_index_that_is_a_pipe_keeps_its_lock(top: Path, quarantine: Path) -> None:
    """Nobody waits for a writer while the lock's place is taken."""
    index = top / ".git" / "index"
    index.unlink()
    os.mkfifo(index)
    recovery = released(stale(top), quarantine)
    assert "cannot be read (it is no plain file)" in recovery.why_not
    assert (top / ".git" / "index.lock").read_bytes() == b"stale"


def test_a_huge_index_keeps_its_lock(top: Path, quarantine: Path) -> None:
    """It is not read, so that memory lasts."""
    with (top / ".git" / "index").open("wb") as file:
        file.truncate(3 << 30)
    recovery = released(stale(top), quarantine)
    assert "cannot be read (it is larger than any of git's)" in recovery.why_not


def test_an_index_that_git_cannot_read(top: Path, quarantine: Path) -> None:
    """What git itself says of the index counts."""
    lock = stale(top)
    git(top, "config", "core.repositoryFormatVersion", "99")
    recovery = released(lock, quarantine)
    assert not recovery.released
    assert "Git cannot read the index" in recovery.why_not


def test_no_git_to_ask(top: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a git there is nobody to say that the index is whole."""
    lock = stale(top)
    monkeypatch.setenv("PATH", "/nonexistent")
    recovery = released(lock, quarantine)
    assert not recovery.released
    assert "Git cannot be asked" in recovery.why_not
    assert Path(lock.path).exists()


def test_a_damaged_index_does_not_keep_other_locks(top: Path, quarantine: Path) -> None:
    """A lock of a branch has nothing to do with the index."""
    (top / ".git" / "index").write_bytes(b"")
    assert released(stale(top, "refs/heads/main.lock"), quarantine).released


# ---------------------------------------------------------------- what happens while the name is held


@contextmanager
def instead_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Iterator[None]:
    """Have a script run whenever git is asked, before the real one."""
    real = shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{script}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
        yield


def test_the_name_is_held_while_the_index_is_looked_at(
    top: Path, tmp_path: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until all is known to be well, nobody else can take the lock."""
    lock = stale(top)
    said = tmp_path / "said"
    with instead_of_git(
        tmp_path, monkeypatch, f"unset GIT_DIR; cd {top}; {shutil.which('git')} add . 2>>{said}; cd .git"
    ):
        assert released(lock, quarantine).released
    assert "index.lock': File exists" in said.read_text()


def test_a_name_that_cannot_be_freed(
    top: Path, tmp_path: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If somebody puts a file into our folder, nothing is deleted; when that is gone, the next repair goes on."""
    lock = stale(top)
    with instead_of_git(tmp_path, monkeypatch, f"touch {lock.path}/stranger"):
        recovery = released(lock, quarantine)
    assert not recovery.released
    assert "goes on the next time" in recovery.why_not
    (said,) = repair(quarantine)
    assert "goes on the next time" in said
    assert Path(lock.path, "stranger").exists()
    Path(lock.path, "stranger").unlink()
    (said,) = repair(quarantine)
    assert "It is kept as" in said
    assert not os.path.lexists(lock.path)
    assert next(quarantine.glob("*/lock")).read_bytes() == b"stale"


def test_a_name_that_somebody_took(
    top: Path, tmp_path: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the lock has to go back and its name has been taken from us, it is kept, and both are said."""
    lock = stale(top)
    script = f"rmdir {lock.path}; echo alive >{lock.path}; exit 1"
    with instead_of_git(tmp_path, monkeypatch, script):
        recovery = released(lock, quarantine)
    assert not recovery.released
    assert "Git cannot read the index" in recovery.why_not
    assert f"Another lock has its name by now; this one is kept as {recovery.id}." in recovery.why_not
    assert (quarantine / recovery.id / "lock").read_bytes() == b"stale"
    assert Path(lock.path).read_bytes() == b"alive\n"


def test_a_name_that_is_free_when_the_lock_has_to_go_back(
    top: Path, tmp_path: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If our folder is gone, the lock gets its name all the same."""
    lock = stale(top)
    with instead_of_git(tmp_path, monkeypatch, f"rmdir {lock.path}; exit 1"):
        recovery = released(lock, quarantine)
    assert not recovery.released
    assert Path(lock.path).read_bytes() == b"stale"
    assert not strays(top)


def test_a_name_taken_at_the_very_last(
    top: Path, tmp_path: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that took the place of our folder is somebody's, and stays."""
    lock = stale(top)
    with instead_of_git(tmp_path, monkeypatch, f"rmdir {lock.path}; echo alive >{lock.path}"):
        recovery = released(lock, quarantine)
    assert recovery.released
    assert Path(lock.path).read_bytes() == b"alive\n"


# ---------------------------------------------------------------- a holder that lives after all


class Holder:
    """A real git that waits in a hook or filter, holding locks."""

    def __init__(self, top: Path, *arguments: str, hook: str = "") -> None:
        self.top = top
        self._here, self._go = top / ".git" / "here", top / ".git" / "go"
        for pipe in (self._here, self._go):
            os.mkfifo(pipe)
        once = f"[ -e {top}/.git/once ] && exit 0; touch {top}/.git/once"
        wait = f"echo here >{self._here}; read word <{self._go}"
        if hook:
            script = top / ".git" / "hooks" / hook
            script.parent.mkdir(exist_ok=True)
            script.write_text(f"#!/bin/sh\n{PREPARED if hook == 'reference-transaction' else ''}\n{once}\n{wait}\n")
            script.chmod(0o755)
        else:
            (top / ".gitattributes").write_text("0.txt filter=x\n")
            git(top, "config", "filter.x.clean", f"({once}; {wait}); cat")
        self.process = subprocess.Popen(
            ["git", *arguments], cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._here.read_text()

    def go_on(self) -> str:
        """Let it finish; what it says."""
        self._go.write_text("go\n")
        return self.process.communicate(timeout=BOUND)[0]


@pytest.mark.parametrize(
    ("hook", "arguments", "name"),
    [
        ("pre-commit", ("commit", "--all", "--message=x"), "index.lock"),
        ("pre-commit", ("commit", "--message=x", "0.txt"), "index.lock"),
        ("pre-commit", ("commit", "--message=x", "0.txt"), "next-index-*.lock"),
        ("", ("add", "0.txt"), "index.lock"),
        ("", ("stash",), "index.lock"),
        ("reference-transaction", ("commit", "--all", "--message=x"), "index.lock"),
        ("reference-transaction", ("commit", "--all", "--message=x"), "HEAD.lock"),
        ("reference-transaction", ("commit", "--all", "--message=x"), "refs/heads/main.lock"),
        ("reference-transaction", ("pack-refs", "--all"), "packed-refs.lock"),
        ("reference-transaction", ("branch", "--force", "main2"), "refs/heads/main2.lock"),
    ],
)
@pytest.mark.parametrize("skip_hash", ["false", "true"])
def test_a_live_holder_loses_nothing_to_our_folder(
    top: Path, hook: str, arguments: tuple[str, ...], name: str, skip_hash: str
) -> None:
    """A git that lives, and finds our folder in the place of its lock, fails or succeeds: no file is lost."""
    git(top, "branch", "main2")
    git(top, "config", "index.skipHash", skip_hash)
    (top / "0.txt").write_text("two\n")
    holder = Holder(top, *arguments, hook=hook)
    (place,) = (top / ".git").glob(name)
    beside = place.with_name(".orxaq-test")
    beside.mkdir()
    exchange(place, beside)
    holder.go_on()
    assert place.is_dir()
    place.rmdir()
    for commit in git(top, "rev-list", "--all").stdout.split():
        assert len(git(top, "ls-tree", "-r", commit).stdout.splitlines()) >= 20
    assert len(git(top, "ls-files").stdout.splitlines()) >= 20
    assert (top / "0.txt").read_text() == "two\n" or arguments == ("stash",)
    assert git(top, "rev-parse", "main2").returncode == 0
    git(top, "fsck")


def test_a_live_commit_is_stopped_by_our_folder(top: Path) -> None:
    """The commit that would delete every file, had its lock been removed, fails with words and changes nothing."""
    (top / "0.txt").write_text("two\n")
    before = git(top, "rev-parse", "HEAD").stdout
    holder = Holder(top, "commit", "--all", "--message=x", hook="pre-commit")
    place = top / ".git" / "index.lock"
    place.with_name(".orxaq-test").mkdir()
    exchange(place, place.with_name(".orxaq-test"))
    said = holder.go_on()
    assert holder.process.returncode == 128
    assert "unable to map index file" in said
    place.rmdir()
    assert git(top, "rev-parse", "HEAD").stdout == before
    assert git(top, "status", "--porcelain").stdout == " M 0.txt\n"


def test_a_live_holder_whose_lock_is_moved_fails(top: Path, quarantine: Path) -> None:
    """A git that lives, and guards a file that is not there yet, finds nothing to rename, and says so."""
    holder = Holder(top, "branch", "new", hook="reference-transaction")
    (lock,) = find(locate(top)).locks
    assert released(lock, quarantine).released
    holder.go_on()
    assert holder.process.returncode == 128
    assert git(top, "branch", "--list", "new").stdout == ""
    git(top, "branch", "new")


# ---------------------------------------------------------------- restored


@pytest.mark.parametrize("name", ["index.lock", "refs/heads/new.lock"])
def test_back_in_its_place(top: Path, quarantine: Path, name: str) -> None:
    """The very file comes back, and stops git as before; a few signs of the id are enough."""
    lock = stale(top, name)
    inode = os.stat(lock.path).st_ino
    recovery = released(lock, quarantine)
    back = restore(recovery.id[:-2], quarantine=quarantine)
    assert (back.lock, back.released, back.id) == (lock, False, recovery.id)
    assert os.stat(lock.path).st_ino == inode
    assert not (quarantine / recovery.id / "lock").exists()
    with pytest.raises(UsageError, match="it was put back before"):
        restore(recovery.id, quarantine=quarantine)


def test_from_another_file_system(top: Path, elsewhere: Path) -> None:
    """What had to be copied comes back with its content, times and permissions, and its note."""
    lock = stale(top)
    os.chmod(lock.path, 0o640)
    os.utime(lock.path, ns=(1, 10**18))
    (top / ".git" / "index~pid.lock").write_bytes(b"pid 4194305\n")
    recovery = released(lock, elsewhere)
    kept = elsewhere / recovery.id / "lock"
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (b"stale", 0o600)
    restore(recovery.id, quarantine=elsewhere)
    status = os.stat(lock.path)
    assert (status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (10**18, 0o640)
    assert Path(lock.path).read_bytes() == b"stale"
    assert (top / ".git" / "index~pid.lock").read_bytes() == b"pid 4194305\n"
    assert not kept.exists()
    assert not strays(top)


def test_ids_that_name_nothing(top: Path, quarantine: Path) -> None:
    """An id that is unknown, empty or meant for several is a mistake."""
    for _ in range(2):
        released(stale(top), quarantine)
    with pytest.raises(UsageError, match="no lock is kept as nonsense"):
        restore("nonsense", quarantine=quarantine)
    with pytest.raises(UsageError, match="no lock is kept as"):
        restore("", quarantine=quarantine)
    with pytest.raises(UsageError, match="may be any of"):
        restore("2", quarantine=quarantine)


def test_a_name_that_is_taken(top: Path, quarantine: Path) -> None:
    """A lock is not put in the place of another, and stays kept."""
    recovery = released(stale(top), quarantine)
    stale(top, content=b"alive")
    with pytest.raises(UsageError, match="there is another lock of that name"):
        restore(recovery.id, quarantine=quarantine)
    assert (top / ".git" / "index.lock").read_bytes() == b"alive"
    assert (quarantine / recovery.id / "lock").read_bytes() == b"stale"
    (top / ".git" / "index.lock").unlink()
    restore(recovery.id, quarantine=quarantine)


def test_a_folder_that_is_gone(top: Path, quarantine: Path) -> None:
    """Without its folder, a lock cannot be put back."""
    recovery = released(stale(top), quarantine)
    (top / ".git").rename(top / "elsewhere")
    with pytest.raises(UsageError, match="its folder is gone"):
        restore(recovery.id, quarantine=quarantine)


def test_a_file_system_that_refuses(top: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a lock cannot be put back for any other reason, that is the machine's fault, and it stays kept."""
    recovery = released(stale(top), quarantine)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        with pytest.raises(MachineError, match="Read-only file system"):
            restore(recovery.id, quarantine=quarantine)
    restore(recovery.id, quarantine=quarantine)


def test_a_record_that_is_damaged(top: Path, quarantine: Path) -> None:
    """What cannot be read is said, and never deleted."""
    recovery = released(stale(top), quarantine)
    (quarantine / recovery.id / "record.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        restore(recovery.id, quarantine=quarantine)
    assert (quarantine / recovery.id / "lock").exists()
    assert recent(quarantine, 0.0) == {}


# ---------------------------------------------------------------- repaired


def play(scenario: str, top: Path, quarantine: Path) -> None:
    """Play a scenario in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("interrupted.py")), scenario, str(top), str(quarantine)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=2 * BOUND, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "scenario",
    [
        *("exchange", "exchange-refused", "exchange-replaced", "move", "move-refused", "move-replaced"),
        *("unsupported", "restore", "repair"),
    ],
)
@pytest.mark.parametrize("place", ["quarantine", "elsewhere"])
def test_a_kill_at_any_moment(top: Path, scenario: str, place: str, request: pytest.FixtureRequest) -> None:
    """Killed before any of its deeds, a release ends with the lock in its place or kept: never lost, never two."""
    play(scenario, top, request.getfixturevalue(place))


def test_a_name_taken_between_the_last_look_and_its_release(top: Path, quarantine: Path) -> None:
    """Freeing the name can remove nothing but our folder."""
    play("late", top, quarantine)


def test_nothing_to_repair(top: Path, quarantine: Path, tmp_path: Path) -> None:
    """Where nothing was interrupted, nothing is said; nor where there is no quarantine."""
    released(stale(top), quarantine)
    assert repair(quarantine) == ()
    assert repair(tmp_path / "nowhere") == ()


def test_an_interrupted_release_that_cannot_be_read(quarantine: Path) -> None:
    """A folder with nothing in it was never begun; one that holds what nobody can read is left, and said."""
    (quarantine / ".empty").mkdir()
    (quarantine / ".torn").mkdir()
    (quarantine / ".torn" / ".record.json.12.ab").touch()
    (quarantine / ".odd").mkdir()
    (quarantine / ".odd" / "lock").write_bytes(b"stale")
    (said,) = repair(quarantine)
    assert f"{quarantine}/.odd cannot be read" in said
    assert [path.name for path in quarantine.iterdir()] == [".odd"]
    (quarantine / ".odd" / "record.json").write_text('{"schema": 1}')
    (said,) = repair(quarantine)
    assert (quarantine / ".odd" / "lock").read_bytes() == b"stale"


# ---------------------------------------------------------------- how often, and one at a time


def test_how_often_it_happened(top: Path, quarantine: Path) -> None:
    """Releases of one path are counted since a moment, also those that were put back."""
    path = str(top / ".git" / "index.lock")
    released(stale(top), quarantine, now=1000.0)
    released(stale(top), quarantine, now=2000.0)
    last = released(stale(top), quarantine, now=3000.0)
    released(stale(top, "HEAD.lock"), quarantine, now=3000.0)
    restore(last.id, quarantine=quarantine)
    assert recent(quarantine, 0.0) == {path: 3, str(top / ".git" / "HEAD.lock"): 1}
    assert recent(quarantine, 2000.0)[path] == 2
    assert recent(quarantine, 3000.5) == {}


def test_old_releases_are_deleted(top: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than a month goes, unless it is among the latest; what is under way or unreadable stays whatever it is."""
    monkeypatch.setattr(quarantines, "KEPT", 2)
    day = 86400.0
    ids = [released(stale(top), quarantine, now=number * day).id for number in (1, 2, 3, 4, 40)]
    restore(ids[1], quarantine=quarantine)
    (top / ".git" / "index.lock").unlink()
    (quarantine / ids[2] / "record.json").write_text("nothing that makes sense")
    (quarantine / ids[3]).rename(quarantine / f".{ids[3]}")
    strange = quarantine / "19700101-by-hand"
    shutil.copytree(quarantine / ids[0], strange)
    prune(quarantine, 20 * day)
    assert sorted(os.listdir(quarantine)) == sorted([f".{ids[3]}", *ids[:3], ids[4], strange.name]), "none is old"
    prune(quarantine, 34 * day)
    assert sorted(os.listdir(quarantine)) == sorted([f".{ids[3]}", ids[2], ids[4], strange.name])
    assert (quarantine / ids[2] / "lock").exists()
    prune(quarantine, 400 * day)
    assert {ids[2], ids[4]} <= set(os.listdir(quarantine)), "the latest stay"
    prune(quarantine / "nowhere", 400 * day)


def test_one_at_a_time(tmp_path: Path) -> None:
    """Who comes second is told so; whoever is killed holds nothing."""
    holder = (
        "import sys, pathlib\n"
        "from pytest_orxaq.repository.quarantine import mutex\n"
        "with mutex(pathlib.Path(sys.argv[1]), 5.0):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="another process recovers"), mutex(tmp_path, 0.0):
            raise AssertionError
        process.send_signal(signal.SIGKILL)
        process.wait(BOUND)
        with mutex(tmp_path, BOUND):
            pass


def test_what_is_raised_inside_is_raised_outside(tmp_path: Path) -> None:
    """The mutex does not take the words of its user's errors."""
    with pytest.raises(BusyError, match="something else"), mutex(tmp_path, 1.0):
        raise BusyError("something else")


def test_kinds_of_an_index() -> None:
    """Every kind that ends as an index is looked at as one."""
    from pytest_orxaq.repository.indexes import _OF_AN_INDEX

    assert {
        kind for kind in LockKind if "index" in kind and "multi" not in kind and "object" not in kind
    } == _OF_AN_INDEX
