"""The gate and git's locks: the dead are released before an attempt, the others are waited for, and all of it is told."""

import json
import os

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.faults.handles import GitLock
from pytest_orxaq.faults.isolation import Git


Make = Callable[..., GitLock]

CONFIGURATION = """\
checkpoints = ["add"]
first-delay = "0.1s"
[locks]
min-age = "{floor}"
[checkpoint.add]
command = {command}
evidence = "exit"
"""


def configured(top: Path, *command: str, floor: str = "0s") -> None:
    """A repository whose one checkpoint is a command."""
    (top / "orxaq.toml").write_text(CONFIGURATION.format(floor=floor, command=json.dumps(command)))


def attempts(ran: Any) -> list[dict[str, Any]]:
    """The attempts of the one checkpoint."""
    found: list[dict[str, Any]] = ran.outcomes["add"]["attempts"]
    return found


@pytest.fixture
def top(project: Callable[..., Any]) -> Any:
    """A project with nothing in it yet."""
    return project({".gitignore": ".orxaq/\n"})


def test_a_dead_lock_is_released_before_the_attempt(
    top: Any, isolated_git: Callable[..., Git], stale_git_lock: Make
) -> None:
    """The command never meets it; record, report and events say what was done, and how to take it back."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "index")
    configured(repo.path, "git", "add", "orxaq.toml")
    ran = type(top)(repo.path).gate()
    assert (ran.code, ran.record["verdict"]) == (0, "passed"), ran.err
    (recovered,) = attempts(ran)[0]["recoveries"]
    assert (recovered["released"], recovered["lock"]["path"]) == (True, str(lock.path))
    assert not lock.path.exists()
    for name in ("report.html", "report.md"):
        text = (repo.path / ".orxaq" / name).read_text(encoding="utf-8")
        assert "Stale git locks" in text
        assert f"--restore {recovered['id']}" in text.replace("\\", "")
    events = "".join(path.read_text() for path in (repo.dir / "orxaq" / "events").iterdir())
    for what in ("detected", "judged", "released"):
        assert f'"orxaq.lock.{what}"' in events


def test_a_live_lock_that_nobody_needs_stops_nothing(
    top: Any, isolated_git: Callable[..., Git], live_git_lock: Make
) -> None:
    """A commit that waits for its editor somewhere else is no reason to fail, and is let alone."""
    repo = isolated_git()
    lock = live_git_lock(repo, "index-hook", age=86400.0)
    configured(repo.path, "true")
    ran = type(top)(repo.path).gate()
    assert (ran.code, len(attempts(ran))) == (0, 1), ran.err
    assert attempts(ran)[0]["recoveries"] == []
    assert lock.held


def test_a_lock_in_the_way_is_waited_for(top: Any, isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """Once its holder lets go the command is tried again; the run is flaky, and the wait was told."""
    repo = isolated_git()
    live_git_lock(repo, "index-hook", hold=3.0)
    configured(repo.path, "git", "add", "orxaq.toml")
    ran = type(top)(repo.path).gate()
    assert (ran.code, ran.record["verdict"]) == (0, "flaky"), ran.err
    assert attempts(ran)[0]["diagnosis"]["cause"] == "git locked"
    assert "waiting for a git lock" in ran.err


def test_a_lock_that_stays_is_the_machines_fault(
    top: Any, isolated_git: Callable[..., Git], live_git_lock: Make
) -> None:
    """When the time is over the run ends as infrastructure, names the holder, and has touched nothing."""
    repo = isolated_git()
    lock = live_git_lock(repo, "index-hook", age=86400.0)
    configured(repo.path, "git", "add", "orxaq.toml")
    ran = type(top)(repo.path).gate("--timeout", "4s")
    assert (ran.code, ran.record["verdict"]) == (4, "infrastructure"), ran.err
    found = attempts(ran)[-1]["diagnosis"]
    assert f"{lock.path} is live" in found["why"]
    assert "wait for that process or end it" in found["advice"]
    assert lock.held


def test_an_unknown_lock_is_not_moved(top: Any, isolated_git: Callable[..., Git], stale_git_lock: Make) -> None:
    """A lock that is too young to be dead stays; the words name what an operator may do."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "index")
    configured(repo.path, "git", "add", "orxaq.toml", floor="1h")
    ran = type(top)(repo.path).gate("--timeout", "3s")
    assert ran.code == 4, ran.err
    assert "orxaq locks --recover --assume-exclusive" in attempts(ran)[-1]["diagnosis"]["advice"]
    assert "--assume-exclusive" in ran.err
    assert lock.held


def test_what_an_attempt_left_is_known_to_be_dead(top: Any) -> None:
    """A git that is killed in an attempt leaves a lock; all of the attempt is gone, so that the next one need not wait."""
    top.write({"file": "x\n", ".gitattributes": "file filter=kill\n"})
    top.git("config", "filter.kill.clean", "test -e .git/again && cat || { touch .git/again; kill -9 $PPID; }")
    configured(top.top, "git", "add", "file", floor="1h")
    ran = top.gate("--timeout", "60s")
    assert (ran.code, ran.record["verdict"]) == (0, "flaky"), ran.err
    (recovered,) = attempts(ran)[1]["recoveries"]
    assert recovered["released"]
    assert recovered["judgement"]["proof"] == "our own process made it, and was killed"
    assert "add #1 of run" in recovered["judgement"]["why"]


def test_a_lock_elsewhere_is_not_ours_to_wait_for(
    top: Any, isolated_git: Callable[..., Git], stale_git_lock: Make
) -> None:
    """A command that trips over the lock of another repository is retried as before; that lock is not touched."""
    other = stale_git_lock(isolated_git("other"), "index")
    configured(top.top, "git", "-C", os.fspath(other.where), "add", ".")
    ran = top.gate("--timeout", "60s")
    assert (ran.code, len(attempts(ran))) == (4, 3), ran.err
    assert other.held
