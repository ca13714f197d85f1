"""Recovery from finding to release, on locks of real gits: what is dead goes, what lives stays, whatever it looks like."""

import contextlib
import errno
import json
import os
import subprocess
import sys

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import recovery
from pytest_orxaq.cli.locks import _lock_lines
from pytest_orxaq.errors import BusyError, UsageError
from pytest_orxaq.faults.handles import GitLock
from pytest_orxaq.faults.isolation import Git
from pytest_orxaq.faults.recipes import KINDS, LockKind
from pytest_orxaq.model import LockState, Proof, ReleasePolicy
from pytest_orxaq.repository import custody, locks, quarantine
from pytest_orxaq.repository.locks import Survey
from pytest_orxaq.system import census


Repositories = Callable[..., Git]
Make = Callable[..., GitLock]

LEFT_TO_GIT = {"gc.pid"}  # git itself knows when this one is stale
JUDGED: list[LockKind] = [kind for kind in KINDS if kind not in LEFT_TO_GIT]


def at_once(_seconds: float) -> bool:
    """No time between the gatherings: whoever holds a lock in these tests does so all the time."""
    return False


def survey(place: os.PathLike[str], *, floor: float = 0.0, release: bool = True, tenancy: bool = False) -> Survey:
    """Judge the locks of a repository, and release the dead."""
    with recovery.opened(Path(place), os.environ, floor=floor, tenancy=tenancy) as opened:
        grounds = opened
        if not (Path(place) / "orxaq.toml").exists():
            grounds = replace(opened, terms=replace(opened.terms, policy=ReleasePolicy.ELIMINATION))
        return locks.survey(grounds, release=release, pause=at_once)


# ---------------------------------------------------------------- every kind


@pytest.mark.parametrize("kind", JUDGED)
def test_a_stale_lock_is_released_after_the_floor_and_not_before(
    kind: LockKind, isolated_git: Repositories, stale_git_lock: Make
) -> None:
    """What a killed git left is unknown while it is young, and dead by elimination later; it is kept, and git works again.

    All but the empty lock of a configuration, where a Python is around that is older.
    """
    lock = stale_git_lock(isolated_git(), kind)
    young = survey(lock.where, floor=300.0)
    assert {each.judgement.state for each in young.examined} == {LockState.UNKNOWN}, young
    assert lock.held, "nothing was touched"
    old = survey(lock.where)
    assert {str(path) for path in lock.paths} == {each.lock.path for each in old.examined}
    for each in old.examined:
        if kind == "config":  # the Pythons that run this test may be GitPythons, which keep such a lock
            assert each.judgement.state is LockState.UNKNOWN
            assert any("GitPython" in gap for gap in each.judgement.unseen)
            return
        assert (each.judgement.state, each.judgement.proof) == (LockState.DEAD, Proof.ELIMINATION), each.judgement
        assert each.recovery is not None
        assert each.recovery.released, each.recovery.why_not
    assert not any(os.path.lexists(path) for path in lock.paths)
    assert survey(lock.where).examined == ()


@pytest.mark.parametrize("kind", JUDGED)
def test_a_live_lock_is_never_released(kind: LockKind, isolated_git: Repositories, live_git_lock: Make) -> None:
    """However old a held lock looks, and whether or not its holder has it open, it stays; so does its holder's work."""
    lock = live_git_lock(isolated_git(), kind, age=86400.0)
    found = survey(lock.where)
    by_path = {each.lock.path: each for each in found.examined}
    assert {str(path) for path in lock.paths} <= by_path.keys()
    for path in lock.paths:
        assert by_path[str(path)].judgement.state is LockState.LIVE, by_path[str(path)].judgement
        assert by_path[str(path)].remains
    assert lock.held


def test_a_declared_tenancy_does_not_kill(isolated_git: Repositories, live_git_lock: Make) -> None:
    """Who declares that nobody else works here is not believed against a process that is seen to hold the lock."""
    lock = live_git_lock(isolated_git(), "index-hook", age=86400.0)
    assert survey(lock.where, tenancy=True).examined[0].judgement.state is LockState.LIVE
    assert lock.held


def test_a_declared_tenancy_needs_no_age(isolated_git: Repositories, stale_git_lock: Make) -> None:
    """On the operator's word a lock goes at once, and the word stands in the record."""
    lock = stale_git_lock(isolated_git(), "index")
    (each,) = survey(lock.where, floor=300.0, tenancy=True).examined
    assert each.judgement.proof is Proof.TENANCY
    assert not each.remains


# ---------------------------------------------------------------- usefulness


# How often a killed git leaves what: of 568 kills at random moments of 25 kinds of work, per lock.
LEFT_BEHIND: dict[LockKind, int] = {
    "index": 71,
    "index-hook": 23,
    "maintenance": 32,
    "index-partial": 18,
    "packed-refs": 16,
    "head+ref": 15,
    "commit-graph": 13,
    "ref": 3,
    "tag": 1,
    "rebase-todo": 1,
}


def test_nearly_all_that_killed_gits_leave_is_released_beside_busy_others(
    isolated_git: Repositories, stale_git_lock: Make, live_git_lock: Make
) -> None:
    """Of the locks that killed gits leave, in their natural proportions, at least 95 % go; work elsewhere is no hindrance."""
    elsewhere = live_git_lock(isolated_git("elsewhere"), "index-hook")
    released = total = 0
    for number, (kind, weight) in enumerate(LEFT_BEHIND.items()):
        lock = stale_git_lock(isolated_git(f"repo{number}"), kind)
        assert all(each.remains for each in survey(lock.where, floor=300.0).examined), "none goes before the floor"
        found = survey(lock.where)
        total += weight
        released += weight * (not found.remaining)
        assert elsewhere.held
    assert released / total >= 0.95


# ---------------------------------------------------------------- restoring, repeating, sharing


def test_a_released_lock_can_be_put_back(isolated_git: Repositories, stale_git_lock: Make) -> None:
    """The very bytes come back under their name, by the beginning of an id; once, and not over another lock."""
    lock = stale_git_lock(isolated_git(), "index-hook")
    before = lock.path.read_bytes()
    (each,) = survey(lock.where).examined
    assert each.recovery is not None
    with recovery.opened(lock.where, os.environ, floor=None, tenancy=False) as grounds:
        with pytest.raises(UsageError, match="no lock is kept"):
            recovery.restore(grounds, "zzz")
        restored = recovery.restore(grounds, each.recovery.id[:-2])
        assert restored.lock.path == str(lock.path)
        assert lock.path.read_bytes() == before
        with pytest.raises(UsageError, match="put back"):
            recovery.restore(grounds, each.recovery.id)


def test_a_lock_that_keeps_coming_back_is_surfaced(isolated_git: Repositories, stale_git_lock: Make) -> None:
    """After three releases within the hour the next one stays, says why, and goes on the operator's word only."""
    repo = isolated_git()
    for _ in range(locks.TOO_OFTEN):
        assert not survey(stale_git_lock(repo, "index").where).remaining
    lock = stale_git_lock(repo, "index")
    (each,) = survey(repo).examined
    assert each.recovery is not None
    assert f"released {locks.TOO_OFTEN} times within an hour" in each.recovery.why_not
    assert lock.held
    assert not survey(repo, tenancy=True).remaining


def test_a_release_that_was_cut_off_is_finished_without_another_lock(
    isolated_git: Repositories, stale_git_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recovery that dies after the name is free and before the lock is kept leaves work, which the next look does."""
    lock = stale_git_lock(isolated_git(), "index")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(custody, "_carry", dies)
        with pytest.raises(KeyboardInterrupt):
            survey(lock.where)
    assert not os.path.lexists(lock.path)
    found = survey(lock.where, release=False)
    assert found.examined == ()
    assert "It is kept as" in found.repaired[0]
    assert survey(lock.where).repaired == ()


def test_one_recoverer_at_a_time(
    isolated_git: Repositories, stale_git_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process recovers, nobody else touches a lock, and says so in the end."""
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    lock = stale_git_lock(isolated_git(), "index")
    with (
        recovery.opened(lock.where, os.environ, floor=0.0, tenancy=False) as grounds,
        quarantine.mutex(grounds.state.common, timeout=1.0),
        pytest.raises(BusyError, match="another process recovers"),
    ):
        survey(lock.where)
    assert lock.held


def test_policies(isolated_git: Repositories, stale_git_lock: Make) -> None:
    """What the configuration forbids is judged all the same, stays, and is told."""
    lock = stale_git_lock(isolated_git(), "index")
    for policy in ("proof", "never"):
        (lock.where / "orxaq.toml").write_text(f'[locks]\nrelease = "{policy}"\n')
        (each,) = survey(lock.where).examined
        assert each.judgement.state is LockState.DEAD
        assert each.recovery is not None
        assert f'release = "{policy}"' in each.recovery.why_not
    assert lock.held


# ---------------------------------------------------------------- the command


def orxaq(*words: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command as people do."""
    command = [sys.executable, "-m", "pytest_orxaq", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_lists_releases_and_restores(isolated_git: Repositories, stale_git_lock: Make) -> None:
    """1 while a lock remains, 0 when none is left; each line says what to do next."""
    lock = stale_git_lock(isolated_git(), "index")
    listed = orxaq("locks", cwd=lock.where)
    assert (listed.returncode, listed.stderr) == (1, "")
    assert "unknown" in listed.stdout
    assert "--assume-exclusive" in listed.stdout
    kept = orxaq("locks", "--recover", "--min-age", "0s", cwd=lock.where)
    assert (kept.returncode, lock.held) == (1, True), "by elimination only where the configuration says so"
    (lock.where / "orxaq.toml").write_text('[locks]\nrelease = "elimination"\n')
    released = orxaq("locks", "--recover", "--min-age", "0s", "--format", "json", cwd=lock.where)
    assert released.returncode == 0, released.stdout
    data: dict[str, Any] = json.loads(released.stdout)
    assert data["counts"] == {"live": 0, "dead": 1, "unknown": 0, "released": 1}
    (found,) = data["locks"]
    assert (found["path"], found["kind"], found["remains"]) == (str(lock.path), "index", False)
    assert found["judgement"]["proof"]
    assert orxaq("locks", cwd=lock.where).stdout == "no lock is in git's way\n"
    restored = orxaq("locks", "--restore", found["recovery"]["id"], cwd=lock.where)
    assert (restored.returncode, lock.path.exists()) == (0, True)


def test_the_command_terminates_a_proven_holder_only(isolated_git: Repositories, live_git_lock: Make) -> None:
    """A holder with the lock open is asked to end, upon which git takes its lock along; nothing else is killed."""
    lock = live_git_lock(isolated_git(), "index", allow_removal=True)
    done = orxaq("locks", "--terminate-holder", cwd=lock.where)
    assert "was asked to end" in done.stderr, done
    assert (done.returncode, lock.path.exists()) == (0, False)


def test_the_command_lets_a_likely_holder_alone(
    isolated_git: Repositories, live_git_lock: Make, stale_git_lock: Make
) -> None:
    """Of a git that waits for its hook it is likely that it holds the lock, and no more: it is not asked to end."""
    stale_git_lock(isolated_git(), "config")
    lock = live_git_lock(isolated_git("other"), "index-hook")
    done = orxaq("locks", "--terminate-holder", os.fspath(lock.where), cwd=lock.where)
    assert "was let alone: that it holds" in done.stderr
    assert "not proven" in done.stderr
    assert (done.returncode, lock.held) == (1, True)
    assert "live" in done.stdout


def test_a_holder_that_does_not_end_is_told(
    isolated_git: Repositories, live_git_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that cannot hear (it is stopped) is not killed; another one's lock beside it is not its business."""
    monkeypatch.setattr(recovery, "_PATIENCE", 0.1)
    lock = live_git_lock(isolated_git(), "config")
    with recovery.opened(lock.where, os.environ, floor=0.0, tenancy=False) as grounds:
        (words,) = recovery.terminate_holders(grounds, pause=at_once)
    assert f"process {lock.pid}" in words
    assert "is still there" in words
    assert lock.held


def accused(top: Path, accused: int, **changed: Any) -> str:
    """What comes of accusing a process of a lock that it has to do with; the suspect may be said to be another one."""
    with recovery.opened(top, os.environ, floor=0.0, tenancy=False) as grounds:
        (each,) = locks.survey(grounds, release=False, pause=at_once).examined
        (suspect,) = (suspect for suspect in each.signals.suspects if suspect.pid == accused)
        return recovery._terminate(grounds, each, replace(suspect, **changed))[0]


@pytest.fixture
def reader(isolated_git: Repositories, stale_git_lock: Make) -> Iterator["subprocess.Popen[bytes]"]:
    """A git that works in the repository "read" and has its stale lock open for reading."""
    lock = stale_git_lock(isolated_git("read"), "index")
    with opening(lock, os.O_RDONLY, "git", "cat-file", "--batch") as process:
        yield process


@contextlib.contextmanager
def opening(lock: GitLock, flags: int, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that has a lock open, and ends with the test."""
    descriptor = os.open(lock.path, flags)
    process = subprocess.Popen(command, cwd=lock.where, stdin=subprocess.PIPE, pass_fds=[descriptor])
    os.close(descriptor)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def told(top: Path) -> tuple[str, ...]:
    """What is said when the holders are asked to end."""
    with recovery.opened(top, os.environ, floor=0.0, tenancy=False) as grounds:
        return recovery.terminate_holders(grounds, pause=at_once)


def test_a_reader_beside_the_holder_is_let_alone(isolated_git: Repositories, live_git_lock: Make) -> None:
    """Of two that have it open only the git that may write it is asked to end, however long the other was there."""
    lock = live_git_lock(isolated_git(), "index", allow_removal=True)
    with opening(lock, os.O_RDONLY, "tail", "-f", os.fspath(lock.path)) as tail:
        words = sorted(told(lock.where), key=lambda sentence: f"process {tail.pid} " in sentence)
        assert [("was asked to end" in each, "it is no git" in each) for each in words] == [
            (True, False),
            (False, True),
        ]
        assert tail.poll() is None
    assert not lock.path.exists()


@pytest.mark.parametrize(
    ("flags", "command", "why"),
    [
        (os.O_RDWR, ("cat",), "it is no git"),
        (os.O_RDONLY, ("git", "cat-file", "--batch"), "open, but not for writing"),
    ],
)
def test_who_only_looks_like_a_holder_is_let_alone(
    flags: int, command: tuple[str, ...], why: str, isolated_git: Repositories, stale_git_lock: Make
) -> None:
    """An editor is no git, however it opened the lock; a git that reads it did not make it."""
    lock = stale_git_lock(isolated_git(), "index")
    with opening(lock, flags, *command) as process:
        (words,) = told(lock.where)
        assert f"process {process.pid} " in words
        assert "was let alone" in words
        assert why in words
        assert process.poll() is None


def test_a_git_that_its_pid_file_names_is_asked_to_end(isolated_git: Repositories, live_git_lock: Make) -> None:
    """Its own note proves that a git that waits for its hook holds the lock, which it has not open."""
    lock = live_git_lock(isolated_git(), "index-hook", allow_removal=True)
    lock.path.with_name("index~pid.lock").write_text(f"pid {lock.pid}\n")
    (words,) = (words for words in told(lock.where) if f"process {lock.pid} " in words)
    assert "was asked to end" in words


def test_a_git_elsewhere_that_has_the_number_is_let_alone(
    isolated_git: Repositories, stale_git_lock: Make, live_git_lock: Make
) -> None:
    """A number that was given anew may be that of any git."""
    lock = stale_git_lock(isolated_git(), "index")
    other = live_git_lock(isolated_git("other"), "index-hook")
    lock.path.with_name("index~pid.lock").write_text(f"pid {other.pid}\n")
    (words,) = told(lock.where)
    assert "has its number, but it works elsewhere" in words
    assert other.held


def test_only_the_very_process_is_asked_to_end(
    reader: "subprocess.Popen[bytes]", isolated_git: Repositories, stale_git_lock: Make
) -> None:
    """A dead lock has no holder; who is gone, or has another start by a single tick, gets no signal."""
    assert told(stale_git_lock(isolated_git(), "index").where) == ()
    top = Path(os.readlink(f"/proc/{reader.pid}/cwd"))
    started = census.look_at(reader.pid, offset=0.0)
    assert started is not None
    assert started.started_after_boot is not None
    assert "was let alone" in accused(top, reader.pid)
    assert accused(top, reader.pid, started_after_boot=started.started_after_boot + 0.01).endswith(
        "had ended by itself"
    )
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert accused(top, reader.pid, pid=gone.pid).endswith("had ended by itself")


def test_a_refusal_of_the_kernel_is_told(
    isolated_git: Repositories, live_git_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's process may not be asked."""

    def refused(*_: object) -> None:
        raise PermissionError

    lock = live_git_lock(isolated_git(), "index")
    monkeypatch.setattr("signal.pidfd_send_signal", refused)
    (words,) = told(lock.where)
    assert "belongs to another user" in words
    assert lock.held


@pytest.mark.parametrize("how", ["missing", "not implemented"])
def test_a_system_that_cannot_name_a_process_hits_nobody(
    how: str, isolated_git: Repositories, live_git_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without process descriptors the number might be another's by then: the words say what to do by hand."""

    def unknown(*_: object) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    lock = live_git_lock(isolated_git(), "index")
    if how == "missing":
        monkeypatch.delattr(os, "pidfd_open")
    else:
        monkeypatch.setattr(os, "pidfd_open", unknown)
    (words,) = told(lock.where)
    assert "this system cannot name a process so that nobody else is hit" in words
    assert words.endswith(f"end process {lock.pid} yourself: kill {lock.pid}")
    assert lock.held


@pytest.mark.parametrize("what", ["fifo", "folder", "link"])
def test_what_is_no_lock_of_gits_stays_and_is_told(isolated_git: Repositories, what: str) -> None:
    """A pipe, a folder or a link of a lock's name is never opened or moved, not even on the operator's word; it remains."""
    repo = isolated_git()
    path = repo.dir / "index.lock"
    {"fifo": os.mkfifo, "folder": os.mkdir, "link": lambda place: os.symlink("/dev/zero", place)}[what](path)
    (each,) = survey(repo, tenancy=True).examined
    assert each.judgement.state is LockState.UNKNOWN
    assert each.remains
    assert each.recovery is None
    done = orxaq("locks", "--recover", "--assume-exclusive", cwd=repo.path)
    assert (done.returncode, os.path.lexists(path)) == (1, True)


def test_the_list_tells_all_that_is_known(isolated_git: Repositories, stale_git_lock: Make) -> None:
    """What stays says why, what was not looked at and what was left half done is told, and so is what to do next."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "rebase-todo")
    repo.write("orxaq.toml", '[locks]\nrelease = "never"\nmin-age = 0\n')
    repo.write(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = ./x\n')
    repo.write("x/.git", "gitdir: nowhere\n")
    listed = orxaq("locks", cwd=repo.path).stdout
    assert "take the dead away:  orxaq locks --recover" in listed
    assert "left half done, not touched: A rebase was begun" in listed
    assert "not looked at: " in listed
    kept = orxaq("locks", "--recover", cwd=repo.path).stdout
    assert 'not released: the policy (release = "never") does not allow it' in kept
    assert lock.held


@pytest.mark.parametrize(("age", "words"), [(-1.0, "from the future"), (7200.0, "2 h old"), (180000.0, "2 d old")])
def test_ages_are_told_in_words(age: float, words: str, isolated_git: Repositories, stale_git_lock: Make) -> None:
    """In the largest unit that fits."""
    (each,) = survey(stale_git_lock(isolated_git(), "index").where, release=False).examined
    lines = _lock_lines(replace(each, signals=replace(each.signals, age=age)))
    assert words in lines[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--min-age", "soon"], "not a duration"),
        (["nowhere"], "is not a folder"),
        (["--restore", ""], "no lock is kept"),
    ],
)
def test_mistakes_are_told_in_words(words: list[str], said: str, isolated_git: Repositories) -> None:
    """Exit 2, a sentence, and no traceback."""
    done = orxaq("locks", *words, cwd=isolated_git().path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_of_a_repository(tmp_path: Path) -> None:
    """Exit 2 and advice."""
    done = orxaq("locks", cwd=tmp_path)
    assert (done.returncode, "not in a git repository" in done.stderr) == (2, True)


def test_a_broken_configuration_is_told(isolated_git: Repositories) -> None:
    """A mistake in the file is told with its line, and nothing is done."""
    repo = isolated_git()
    repo.write("orxaq.toml", "[locks]\nmin_age = 3\n")
    done = orxaq("locks", "--recover", cwd=repo.path)
    assert (done.returncode, 'orxaq.toml:2: unknown key "min_age"' in done.stderr) == (2, True)
