"""Many locks at once: looked at in batches, within the time and the descriptors that there are."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import attempts, clearing, recovery
from pytest_orxaq.faults.handles import GitLock
from pytest_orxaq.faults.isolation import Git
from pytest_orxaq.model import Lock, LockState, Proof, Recovery
from pytest_orxaq.repository import lockfiles, locks, memory, places, quarantine, signals
from pytest_orxaq.repository.grounds import Grounds
from pytest_orxaq.system import census


Repositories = Callable[..., Git]


def at_once(_seconds: float) -> bool:
    """No time between the gatherings: in these tests nobody comes or goes meanwhile."""
    return False


@contextmanager
def declared(place: os.PathLike[str]) -> Iterator[Grounds]:
    """A repository of which it is declared that nobody else works there."""
    with recovery.opened(Path(place), os.environ, floor=0.0, tenancy=True) as grounds:
        yield grounds


def strewn(repo: Git, number: int) -> list[str]:
    """Leave locks of so many branches behind; their paths."""
    folder = repo.dir / "refs" / "heads" / "many"
    folder.mkdir(parents=True)
    made = [folder / f"{each:04}.lock" for each in range(number)]
    for path in made:
        path.touch()
    return [str(path) for path in made]


def there(repo: Git) -> list[str]:
    """The names of the locks of branches that are there."""
    return sorted(path.name for path in (repo.dir / "refs").rglob("*.lock"))


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[object]:
    """Have the calls of a function counted, which works as before."""
    calls: list[object] = []
    real = getattr(module, name)

    def counting(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, counting)
    return calls


# ---------------------------------------------------------------- how much it costs


def test_many_locks_cost_a_few_looks(isolated_git: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes are counted twice a batch and once a second, not for each lock; the history is read once."""
    repo, number = isolated_git(), 3 * locks.BATCH
    strewn(repo, number)
    censuses, histories = counted(monkeypatch, census, "take"), counted(monkeypatch, quarantine, "recent")
    began_at = time.monotonic()
    with declared(repo) as grounds:
        survey = locks.survey(grounds, release=True, pause=at_once)
    took = time.monotonic() - began_at
    assert sum(each.released for each in survey.recoveries) == number
    assert (survey.remaining, survey.unexamined, there(repo)) == ((), (), [])
    assert 2 * number / locks.BATCH <= len(censuses) <= 2 * number / locks.BATCH + took / locks.FRESH
    assert len(histories) == 1


def test_few_descriptors_are_enough(isolated_git: Repositories) -> None:
    """Who may have 64 files open releases more locks than that."""
    repo = isolated_git()
    strewn(repo, 70)
    words = f"ulimit -Sn 64; exec {sys.executable} -m pytest_orxaq locks --recover --assume-exclusive --format json"
    done = subprocess.run(["sh", "-c", words], cwd=repo.path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["counts"] == {"live": 0, "dead": 70, "unknown": 0, "released": 70}


def test_no_descriptor_is_told(isolated_git: Repositories) -> None:
    """Where not even one lock can be opened, it is said why."""
    (path,) = strewn(repo := isolated_git(), 1)
    (lock,) = lockfiles.find(places.locate(repo.path)).locks
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(signals.OddLockError, match="cannot be opened: Too many open files"):
            signals.open_pinned(lock)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert lock.path == path


# ---------------------------------------------------------------- still safe


def interfering(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]) -> None:
    """Have something done when the first release begins: all is judged by then."""
    real = quarantine.release
    done: list[object] = []

    def release(lock: Lock, *arguments: Any, **named: Any) -> Recovery:
        if not done:
            done.append(deed())
        return real(lock, *arguments, **named)

    monkeypatch.setattr(quarantine, "release", release)


def test_each_lock_is_asked_once_more(isolated_git: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of the batch that is written to, replaced or opened after the verdict stays; the processes are old by then."""
    monkeypatch.setattr(locks, "FRESH", 3600.0)
    repo = isolated_git()
    written, replaced, opened, removed, untouched = map(Path, strewn(repo, 5))
    held: list[int] = []

    def deed() -> None:
        written.write_text("0" * 40 + "\n")
        (replaced.parent / "new").touch()
        (replaced.parent / "new").rename(replaced)
        held.append(os.open(opened, os.O_RDONLY))
        removed.unlink()

    interfering(monkeypatch, deed)
    censuses = counted(monkeypatch, census, "take")
    try:
        with declared(repo) as grounds:
            survey = locks.survey(grounds, release=True, pause=at_once)
    finally:
        os.close(held[0])
    assert len(censuses) == 2
    assert {each.lock.path for each in survey.examined if each.recovery and each.recovery.released} == {str(untouched)}
    assert there(repo) == [written.name, replaced.name, opened.name]


def test_a_look_that_is_old_is_taken_anew(
    isolated_git: Repositories, stale_git_lock: Callable[..., GitLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes after the verdict and names the lock is seen once the look at the processes is older than it may be."""
    monkeypatch.setattr(locks, "FRESH", -1.0)
    lock = stale_git_lock(isolated_git(), "index")
    started: list[subprocess.Popen[str]] = []

    def deed() -> None:
        environment = {**os.environ, "GIT_INDEX_FILE": str(lock.path)}
        holder = subprocess.Popen(
            ["sh", "-c", "echo ready; read line"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"

    interfering(monkeypatch, deed)
    try:
        with declared(lock.where) as grounds:
            (each,) = locks.survey(grounds, release=True, pause=at_once).examined
    finally:
        started[0].communicate("\n", timeout=60)
    assert each.judgement.state is LockState.DEAD
    assert each.recovery is not None
    assert not each.recovery.released
    assert lock.held


# ---------------------------------------------------------------- within the time


def test_time_that_is_over_ends_after_a_batch(isolated_git: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch is judged whatever the time; nothing is released any more, and the rest is not looked at."""
    monkeypatch.setattr(locks, "BATCH", 2)
    repo = isolated_git()
    paths = strewn(repo, 5)
    with declared(repo) as grounds:
        locks.survey(grounds, release=False, pause=at_once)
        since = memory.recall(grounds.state.common).sightings
        survey = locks.survey(grounds, release=True, pause=at_once, until=time.monotonic())
        assert [each.judgement.state for each in survey.remaining] == [LockState.DEAD] * 2
        assert {each.why_not for each in survey.recoveries} == {"there was no time left for it"}
        assert len(survey.unexamined) == 3
        assert memory.recall(grounds.state.common).sightings == since, "what is known of the rest stays known"
        events = "".join(path.read_text() for path in grounds.state.events.iterdir())
    assert "3 locks were not examined" in events
    assert there(repo) == [Path(path).name for path in paths]


def test_who_is_told_to_stop_releases_nothing_more(isolated_git: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that was cut short makes no second gathering, so that its batch stays as it is, and it is the last."""
    monkeypatch.setattr(locks, "BATCH", 2)
    repo = isolated_git()
    strewn(repo, 6)
    answers = iter([False, True])
    with declared(repo) as grounds:
        survey = locks.survey(grounds, release=True, pause=lambda _: next(answers))
    assert [each.remains for each in survey.examined] == [False, False, True, True]
    assert (len(survey.unexamined), len(there(repo))) == (2, 4)


def test_the_gate_goes_on_with_what_is_left(isolated_git: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks for which there is no time count as present, so that nobody takes them for those of the attempt."""
    monkeypatch.setattr(locks, "BATCH", 1)
    repo = isolated_git()
    paths = frozenset(strewn(repo, 3))
    with declared(repo) as grounds:
        censuses = counted(monkeypatch, census, "take")
        assert clearing.clear(grounds, seconds=0.0, pause=at_once) == clearing.Cleared(present=paths)
        assert censuses == []
        cleared = clearing.clear(grounds, seconds=1e-9, pause=at_once)
        assert (cleared.present, len(cleared.recoveries)) == (paths, 1)
        assert clearing.clear(grounds, seconds=600.0, pause=at_once).present == frozenset()


def test_what_comes_while_the_way_is_cleared_is_present(isolated_git: Repositories) -> None:
    """A lock that somebody makes meanwhile is not taken for one of the attempt that comes next."""
    repo = isolated_git()
    strewn(repo, 1)
    late = repo.dir / "index.lock"

    def pause(_seconds: float) -> bool:
        late.touch()
        return False

    with declared(repo) as grounds:
        cleared = clearing.clear(grounds, seconds=600.0, pause=pause)
    assert [each.released for each in cleared.recoveries] == [True]
    assert cleared.present == {str(late)}


def test_a_lock_in_the_way_that_was_not_examined(isolated_git: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git complains of a lock for which there was no time, the way is not called free."""
    monkeypatch.setattr(locks, "BATCH", 1)
    monkeypatch.setattr(clearing, "_ONE_LOOK", 0.0)
    repo = isolated_git()
    strewn(repo, 2)
    with declared(repo) as grounds:
        last = locks.survey(grounds, release=False, pause=at_once).examined[-1].lock.path
        complaint = f"fatal: Unable to create '{last}': File exists."
        waited = clearing.wait_for(grounds, complaint, patience=0.0, pause=at_once, waiting=print)
    assert waited.in_the_way == f"{last} was not examined: there are too many"


@pytest.mark.parametrize(("remaining", "seconds"), [(1800.0, 180.0), (20.0, 5.0), (4.0, 2.0), (0.0, 0.0)])
def test_the_gate_spends_little_on_locks(remaining: float, seconds: float) -> None:
    """A tenth of the time that is left, but enough for some, and never more than half."""
    assert attempts._for_locks(remaining) == seconds


# ---------------------------------------------------------------- on the operator's word


def test_a_lasting_declaration_does_not_feed_who_leaves_locks(
    isolated_git: Repositories, stale_git_lock: Callable[..., GitLock]
) -> None:
    """By the configuration a lock goes without full sight, but one that keeps coming back stays until it is looked at."""
    repo = isolated_git()
    (repo.path / "orxaq.toml").write_text("[locks]\nexclusive = true\n")

    def survey(*, insisted: bool) -> locks.Examined:
        with recovery.opened(repo.path, os.environ, floor=None, tenancy=insisted) as grounds:
            (each,) = locks.survey(grounds, release=True, pause=at_once).examined
        return each

    for _ in range(locks.TOO_OFTEN):
        stale_git_lock(repo, "index")
        each = survey(insisted=False)
        assert (each.judgement.proof, each.remains) == (Proof.TENANCY, False)
    stale_git_lock(repo, "index")
    each = survey(insisted=False)
    assert each.recovery is not None
    assert "times within an hour" in each.recovery.why_not
    assert not survey(insisted=True).remains


# ---------------------------------------------------------------- what is kept


def test_old_releases_go_when_new_ones_come(isolated_git: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a survey that releases something deletes what is kept for longer than a month."""
    monkeypatch.setattr(quarantine, "KEPT", 1)
    repo = isolated_git()
    strewn(repo, 2)
    with declared(repo) as grounds:
        locks.survey(grounds, release=True, pause=at_once)
        kept = grounds.state.quarantine
        for name in os.listdir(kept):
            record = (kept / name / "record.json").read_text().replace(name, old := f"2001{name[4:]}")
            (kept / name / "record.json").write_text(record)
            (kept / name).rename(kept / old)
        locks.survey(grounds, release=True, pause=at_once)
        shutil.rmtree(repo.dir / "refs" / "heads" / "many")
        (first, second) = strewn(repo, 2)
        locks.survey(grounds, release=False, pause=at_once)
        assert len(os.listdir(kept)) == 2
        Path(second).unlink()
        (each,) = locks.survey(grounds, release=True, pause=at_once).examined
        assert each.recovery is not None
        assert (each.lock.path, os.listdir(kept)) == (first, [each.recovery.id])
