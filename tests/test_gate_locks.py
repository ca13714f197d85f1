"""The gate and git's locks: the dead are released before an attempt, the others are waited for, and all of it is told."""

import io
import json
import os
import types

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import attempts as attempts_module
from pytest_orxaq import clearing, gate, recovery
from pytest_orxaq.cli.console import Both, Events, Plain
from pytest_orxaq.faults.handles import GitLock
from pytest_orxaq.faults.isolation import Git
from pytest_orxaq.model import (
    Attempt,
    Cause,
    Checkpoint,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Exit,
    LeakedProcess,
    Proof,
    Verdict,
)
from pytest_orxaq.repository import locks, memory, quarantine


Make = Callable[..., GitLock]

CONFIGURATION = """\
checkpoints = ["add"]
first-delay = "0.1s"
[locks]
release = "elimination"
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


def test_a_declaration_in_the_configuration_counts_for_the_gate(
    top: Any, isolated_git: Callable[..., Git], stale_git_lock: Make
) -> None:
    """A young lock of which nothing else is proven goes on the word of the configuration, which is written down."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "index")
    configured(repo.path, "git", "add", "orxaq.toml", floor="1h")
    text = (repo.path / "orxaq.toml").read_text()
    (repo.path / "orxaq.toml").write_text(text.replace('release = "elimination"', "exclusive = true"))
    ran = type(top)(repo.path).gate()
    assert (ran.code, len(attempts(ran))) == (0, 1), ran.err
    (recovered,) = attempts(ran)[0]["recoveries"]
    assert (recovered["released"], recovered["lock"]["path"]) == (True, str(lock.path))
    assert recovered["judgement"]["proof"] == Proof.TENANCY
    assert "The operator declared that nobody else works here" in (repo.path / ".orxaq" / "report.md").read_text()
    events = [
        json.loads(line) for path in (repo.dir / "orxaq" / "events").iterdir() for line in path.read_text().splitlines()
    ]
    for what in ("judged", "released"):
        assert any(f"orxaq.lock.{what}" in str(event) and "'tenancy'" in str(event) for event in events)


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


def test_a_lock_in_the_way_is_waited_for(isolated_git: Callable[..., Git], live_git_lock: Make) -> None:
    """The wait is told with what holds the lock; once it lets go the command is tried again, and the run is flaky."""
    repo = isolated_git()
    lock = live_git_lock(repo, "index-hook")
    told = []

    class Listener(Plain):
        def blocked(self, words: str) -> None:
            super().blocked(words)
            told.append(words)
            lock.release()

    configured(repo.path, "git", "add", "orxaq.toml")
    record = gate.run(gate.Request(directory=repo.path), Listener(io.StringIO()), os.environ).record
    assert record.verdict is Verdict.FLAKY
    assert record.outcomes[0].attempts[0].diagnosis.cause is Cause.GIT_LOCKED
    assert len(told) == 1
    assert f"{lock.path} is live" in told[0]


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
    top.write({".gitattributes": "file filter=kill\n"})
    top.commit()
    top.write({"file": "x\n"})
    # Only in an attempt: the gate asks git for the names of files too.
    kill = 'if test -n "$ORXAQ_ATTEMPT" && ! test -e .git/again; then touch .git/again; kill -9 $PPID; fi; cat'
    top.git("config", "filter.kill.clean", kill)
    configured(top.top, "git", "add", "file", floor="1h")
    ran = top.gate("--timeout", "60s")
    assert (ran.code, ran.record["verdict"]) == (0, "flaky"), ran.err
    (recovered,) = attempts(ran)[1]["recoveries"]
    assert recovered["released"]
    assert recovered["judgement"]["proof"] == "our own process made it, and is gone"
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


def test_a_dead_lock_that_may_not_go_is_told(isolated_git: Callable[..., Git], stale_git_lock: Make, top: Any) -> None:
    """Where the configuration forbids it, a dead lock stays: the report and the closing words say so."""
    repo = isolated_git()
    lock = stale_git_lock(repo, "index")
    configured(repo.path, "git", "add", "orxaq.toml")
    text = (repo.path / "orxaq.toml").read_text().replace('release = "elimination"', 'release = "never"')
    (repo.path / "orxaq.toml").write_text(text)
    ran = type(top)(repo.path).gate("--timeout", "3s")
    assert ran.code == 4, ran.err
    assert "the lock is dead, but stays: the policy" in attempts(ran)[-1]["diagnosis"]["advice"]
    assert "It stays: the policy" in (repo.path / ".orxaq" / "report.html").read_text().replace("&#34;", '"')
    assert lock.held


def test_another_recovery_is_no_reason_to_fail(
    isolated_git: Callable[..., Git], stale_git_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody else recovers, an attempt starts all the same; who has to wait for a lock says for whom."""
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    lock = stale_git_lock(isolated_git(), "index")
    told: list[str] = []
    with (
        recovery.opened(lock.where, os.environ, floor=0.0, tenancy=False) as grounds,
        quarantine.mutex(grounds.state.common, timeout=1.0),
    ):
        cleared = clearing.clear(grounds, seconds=60.0, pause=lambda _: False)
        assert cleared == clearing.Cleared(present=frozenset({str(lock.path)}))
        waited = clearing.wait_for(grounds, "", patience=0.5, pause=lambda _: False, waiting=told.append)
    assert told == ["another recovery is at work"]
    assert waited.in_the_way == "another recovery is at work"
    assert lock.held


def test_listeners_hear_of_the_wait() -> None:
    """Programs get an event, people a line that stays."""
    out, err = io.StringIO(), io.StringIO()
    both = Both(Plain(err), Events(out))
    both.blocked("it is live")
    assert json.loads(out.getvalue()) == {"event": "blocked", "checkpoint": "", "words": "it is live"}
    assert "waiting for a git lock: it is live" in err.getvalue()


def test_deaths_are_told_only_where_all_are_known_to_be_gone(isolated_git: Callable[..., Git]) -> None:
    """An attempt that something outlived proves nothing of the locks that it left."""
    survivor = LeakedProcess(pid=1, command="x", age=0.0)
    attempt = Attempt(
        number=1,
        mailbox="",
        started_at=0.0,
        exit=Exit(survivors=(survivor,)),
        evidence=Evidence(),
        diagnosis=Diagnosis(cause=Cause.KILLED, why=""),
    )
    checkpoint = Checkpoint(name="add", command=("true",), evidence=EvidenceKind.EXIT)
    with recovery.opened(isolated_git().path, os.environ, floor=0.0, tenancy=False) as grounds:
        (grounds.places.own / "index.lock").touch()
        bench = types.SimpleNamespace(grounds=grounds, run="r")
        attempts_module._bury(bench, checkpoint, attempt, began_at=0.0, present=frozenset())  # type: ignore[arg-type]
        assert memory.recall(grounds.state.common).deaths == ()
        gone = replace(attempt, exit=Exit(emptied_at=5.0))
        attempts_module._bury(bench, checkpoint, gone, began_at=0.0, present=frozenset())  # type: ignore[arg-type]
        (death,) = memory.recall(grounds.state.common).deaths
        # The lock that is there now was made later, by somebody else: it is not of the time of that attempt.
        assert (death.actor, death.ended_at) == ("add #1 of run r", 5.0)
