"""The demonstration is a test of the gate: it says what was not found out."""

import shutil

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_orxaq import demonstration
from pytest_orxaq.model import (
    Attempt,
    Cause,
    Checkpoint,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Exit,
    GitState,
    Judgement,
    LeakedProcess,
    Lock,
    LockKind,
    LockState,
    Outcome,
    Proof,
    Recovery,
    RunRecord,
    Verdict,
)


FOUND = {
    "lint": (Verdict.PASSED, Cause.PASSED),
    "test": (Verdict.FAILED, Cause.TESTS_FAILED),
    "fetch": (Verdict.FLAKY, Cause.PASSED),
    "serve": (Verdict.PASSED, Cause.PASSED),
    "commit": (Verdict.PASSED, Cause.PASSED),
}


RELEASED = (
    Recovery(
        lock=Lock(path="/x/.git/index.lock", kind=LockKind.INDEX, target="/x/.git/index", directory="/x/.git"),
        judgement=Judgement(state=LockState.DEAD, why="nobody can hold it", proof=Proof.ELIMINATION),
        released=True,
    ),
)


def outcome(name: str, verdict: Verdict, cause: Cause) -> Outcome:
    """A checkpoint that ended like this; the server was left running, and the first one met the stale lock."""
    leaked = (LeakedProcess(pid=7, command="server", age=1.0),) if name == "serve" else ()
    attempt = Attempt(
        number=1,
        mailbox="m",
        started_at=0.0,
        exit=Exit(leaked=leaked),
        evidence=Evidence(),
        diagnosis=Diagnosis(cause=cause, why=""),
        recoveries=RELEASED if name == "lint" else (),
    )
    checkpoint = Checkpoint(name=name, command=("make", name), evidence=EvidenceKind.EXIT)
    return Outcome(checkpoint=checkpoint, verdict=verdict, why="", attempts=(attempt,))


def run(**changed: Outcome | None) -> RunRecord:
    """A run that found everything, but for what is changed."""
    outcomes = {name: outcome(name, *found) for name, found in FOUND.items()} | changed
    kept = tuple(each for each in outcomes.values() if each is not None)
    return RunRecord(id="r", version="1", started_at=0.0, git=GitState(top="/x"), outcomes=kept)


def test_what_was_found_out_is_not_missed() -> None:
    """With every trouble found, nothing is missed."""
    assert demonstration.missed(run()) == ()


def test_what_was_not_found_out_is_told() -> None:
    """A checkpoint that did not run, came out otherwise, or whose leak went unnoticed, is missed in words."""
    skipped = replace(outcome("test", *FOUND["test"]), verdict=Verdict.SKIPPED, attempts=())
    unnoticed = outcome("serve", *FOUND["serve"])
    quiet = replace(unnoticed, attempts=(replace(unnoticed.attempts[0], exit=Exit()),))
    failed = outcome("fetch", Verdict.FAILED, Cause.COMMAND_FAILED)
    assert demonstration.missed(run(lint=None, test=skipped, fetch=failed, serve=quiet)) == (
        "lint did not run",
        "test did not run",
        "fetch is failed (command failed)",
        "the server that serve left running was not noticed",
        "the stale lock was not released",
    )
    assert demonstration.missed(run(serve=None)) == ("serve did not run",)


def test_a_gate_that_misses_something_fails_the_demonstration(project: Callable[..., Any], tmp_path: Path) -> None:
    """Where the machine lacks what the demonstration needs, it fails and says what went wrong."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git") or "git")
    place = str(tmp_path / "demo")
    ran = project().orxaq("demo", "--directory", place, environment={"PATH": str(tmp_path / "bin")})
    assert ran.code == 1
    assert "not as it should be: lint is failed (misconfigured)" in ran.err
