"""The runner that has git change something: it strands no lock without a word of it."""

import time

from pathlib import Path

import pytest

from pytest_orxaq.repository import memory
from pytest_orxaq.repository.changes import change
from pytest_orxaq.repository.places import Places, locate
from pytest_orxaq.system import process
from pytest_orxaq.system.process import ask


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A repository with one commit."""
    top = tmp_path / "repo"
    top.mkdir()
    (top / "file").write_text("one\n")
    author = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "one")):
        assert ask(("git", *words), directory=top, environment=None).code == 0
    return locate(top)


def test_it_waits_for_locks_and_leaves_word_of_its_own(places: Places, tmp_path: Path) -> None:
    """git is told to wait for others' locks, to note who holds its own, and to start no maintenance."""
    told = {
        "core.lockfilePid": b"true\n",
        "core.packedRefsTimeout": b"5000\n",
        "gc.auto": b"0\n",
    }
    for name, value in told.items():
        assert change(places, "config", "--get", name, remembered=tmp_path).out == value
    assert memory.recall(tmp_path).deaths == ()


def test_a_git_that_is_asked_to_end_takes_its_lock_along(places: Places, tmp_path: Path) -> None:
    """When the time is over git is asked first: it removes its lock, and its hooks end with it."""
    top = places.own.parent
    (top / "file").write_text("two\n")
    hook = places.own / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntest -e .git/index.lock && touch {tmp_path}/held\nexec sleep 60\n")
    hook.chmod(0o755)
    author = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
    answer = change(places, *author, "commit", "-qam", "two", remembered=tmp_path, timeout=1.0)
    assert answer.timed_out
    assert answer.gone
    assert (tmp_path / "held").exists()
    assert not (places.own / "index.lock").exists()


def test_a_git_that_had_to_be_killed_is_remembered_with_its_lock(places: Places, tmp_path: Path) -> None:
    """A git that cannot answer to SIGTERM (it is stopped) is killed; its death is on record, its lock was not there before."""
    top = places.own.parent
    (top / ".gitattributes").write_text("other filter=stop\n")
    (top / "other").write_text("two\n")
    before = time.time()
    stop = ("-c", "filter.stop.clean=kill -STOP $PPID; cat")
    answer = change(places, *stop, "add", "other", remembered=tmp_path, timeout=1.0, grace=0.2)
    assert answer.timed_out
    assert answer.gone
    lock = places.own / "index.lock"
    assert lock.exists(), "nobody was left to take it away"
    (death,) = memory.recall(tmp_path).deaths
    assert death.present == ()
    assert before <= death.began_at
    assert death.began_at - memory.COARSE <= lock.stat().st_ctime <= death.ended_at
    assert death.actor == "git add"


def test_what_leaves_its_group_is_nobodys_death(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the group does not empty in time, no death is put on record: somebody may still hold the lock."""
    monkeypatch.setattr(process, "_group_lives", lambda _: True)
    answer = change(places, "-c", "alias.wait=!exec sleep 60", "wait", remembered=tmp_path, timeout=0.2, grace=0.1)
    assert answer.timed_out
    assert not answer.gone
    assert memory.recall(tmp_path).deaths == ()


def test_no_such_folder(tmp_path: Path) -> None:
    """A place that is gone is the caller's mistake, in words."""
    gone = Places(own=tmp_path / "no", common=tmp_path / "no", top=tmp_path / "no")
    with pytest.raises(Exception, match="is not a folder"):
        change(gone, "status", remembered=tmp_path)
