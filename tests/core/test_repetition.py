"""A failure is believed to come again after three in a row that are the same, on one content, not long ago."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hypothesis import example, given
from hypothesis import strategies as st

from pytest_orxaq.core.repetition import LASTING, TIMES, Ending, ending_of, repeats
from pytest_orxaq.model import (
    Attempt,
    Cause,
    Checkpoint,
    Counts,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Exit,
    Failure,
    Finding,
    Outcome,
    TestOutcome,
    TestResult,
    Verdict,
)


NOW = 1_800_000_000.0
FAILED = Ending(at=NOW - 10, verdict=Verdict.FAILED, signature=("tests failed", "a"))


def outcome(cause: Cause = Cause.TESTS_FAILED, **evidence: object) -> Outcome:
    """A failure with this evidence."""
    found = Evidence(counts=Counts(failed=1), **evidence)  # type: ignore[arg-type]
    attempt = Attempt(
        number=1,
        mailbox="m",
        started_at=NOW,
        exit=Exit(code=1, duration=5.0),
        evidence=found,
        diagnosis=Diagnosis(cause=cause, why="why 1", line="line 1"),
    )
    checkpoint = Checkpoint(name="test", command=("make",), evidence=EvidenceKind.TESTS)
    return Outcome(checkpoint=checkpoint, verdict=Verdict.FAILED, why="why", attempts=(attempt,))


def failing(name: str, message: str) -> TestResult:
    """A test that failed of this."""
    failure = Failure(phase="call", exception="E", message=message, traceback="")
    return TestResult(id=name, outcome=TestOutcome.FAILED, failures=(failure,))


def ending(told: Outcome) -> Ending:
    """Its ending, where messages and lines count as they are but for digits."""

    def plain(line: str) -> str:
        return "".join(letter for letter in line if not letter.isdigit())

    return ending_of(told, lambda test: plain(test.failures[0].message), plain)


def test_three_of_a_kind() -> None:
    """Three that are alike repeat, and what was before them does not matter; two do not."""
    assert repeats([FAILED] * TIMES, NOW)
    assert repeats([FAILED] * TIMES + [replace(FAILED, verdict=Verdict.PASSED)], NOW)
    assert not repeats([FAILED] * (TIMES - 1), NOW)


@given(st.floats(0, LASTING))
@example(0.0)
@example(LASTING)
def test_how_long_it_is_believed(age: float) -> None:
    """A failure counts from the moment it was seen until its time is up, both ends among it."""
    assert repeats([replace(FAILED, at=0.0)] * TIMES, age)


OTHERS: dict[str, Callable[[Ending], Ending]] = {
    "another failure": lambda one: replace(one, signature=("tests failed", "b")),
    "too long ago": lambda one: replace(one, at=NOW - LASTING - 1),
    "from the future": lambda one: replace(one, at=NOW + 1),
    **{
        f"{verdict}": lambda one, verdict=verdict: replace(one, verdict=verdict)  # type: ignore[misc]
        for verdict in Verdict
        if verdict is not Verdict.FAILED
    },
}


@pytest.mark.parametrize("place", range(TIMES))
@pytest.mark.parametrize("other", OTHERS)
def test_one_that_is_not_alike(other: str, place: int) -> None:
    """One of the three that is of another kind, or another time, and nothing repeats."""
    endings = [FAILED] * TIMES
    endings[place] = OTHERS[other](FAILED)
    assert not repeats(endings, NOW)


@given(st.sampled_from([verdict for verdict in Verdict if verdict is not Verdict.FAILED]), st.integers(0, 6))
def test_nothing_but_failures_repeats(verdict: Verdict, more: int) -> None:
    """However often anything else came: flaky, infrastructure, timed out, cancelled, unproven are tried again."""
    assert not repeats([replace(FAILED, verdict=verdict)] * (TIMES + more), NOW)


def test_what_nothing_is_known_of_never_repeats() -> None:
    """A failure without a signature, as of a program that is missing, is run again each time."""
    missing = ending(outcome(Cause.MISCONFIGURED))
    assert missing.signature == ()
    assert not repeats([missing] * TIMES, missing.at)


def test_the_signature_is_of_the_failing_tests() -> None:
    """Which tests failed, and of what; their order and what differs from run to run do not count."""
    one, two = failing("a", "boom 1"), failing("b", "bang")
    told = ending(outcome(failures=(one, two)))
    assert told == ending(outcome(failures=(two, failing("a", "boom 2"))))
    assert (told.at, told.verdict) == (NOW + 5, Verdict.FAILED)
    different = [
        outcome(failures=(one,)),
        outcome(failures=(one, failing("b", "other"))),
        outcome(failures=(one, failing("c", "bang"))),
        outcome(failures=(one, replace(two, outcome=TestOutcome.ERROR))),
        outcome(Cause.CRASHED, failures=(one, two)),
        outcome(failures=(one, two), contradictions=("they differ",)),
        replace(outcome(failures=(one, two)), interpreters=(("python", "other packages"),)),
    ]
    assert all(ending(each).signature != told.signature for each in different)


def test_without_tests_it_is_of_the_line_or_the_findings() -> None:
    """What a linter found counts with its line, else the line that decided without its numbers, else the reason."""
    found = Finding(path="a.py", line=1, column=2, code="E1", message="m")
    lint = ending(outcome(Cause.FINDINGS, findings=(found,)))
    assert lint.signature != ending(outcome(Cause.FINDINGS, findings=(replace(found, line=2),))).signature
    failed = outcome(Cause.COMMAND_FAILED)
    assert ending(failed).signature == ("command failed", "line ")
    (attempt,) = failed.attempts
    silent = replace(attempt, diagnosis=Diagnosis(cause=Cause.COMMAND_FAILED, why="exit code 3"))
    assert ending(replace(failed, attempts=(silent,))).signature == ("command failed", "exit code ")
