"""From causes to verdicts and exit codes."""

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core import verdicts
from pytest_orxaq.model import (
    Attempt,
    Cause,
    Checkpoint,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Exit,
    ExitCode,
    Outcome,
    TestOutcome,
    TestResult,
    Verdict,
)


CHECKPOINT = Checkpoint(name="test", command=("make", "test"), evidence=EvidenceKind.TESTS)


def attempt(cause: Cause, *, recovered: bool = False, cancelled: int | None = None) -> Attempt:
    """An attempt that ended for *cause*."""
    came_back = (TestResult(id="t", outcome=TestOutcome.FAILED),) if recovered else ()
    return Attempt(
        number=1,
        mailbox="",
        started_at=0.0,
        exit=Exit(cancelled=cancelled),
        evidence=Evidence(recovered=came_back),
        diagnosis=Diagnosis(cause=cause, why=""),
    )


def outcome(verdict: Verdict, *attempts: Attempt) -> Outcome:
    """An outcome with its attempts."""
    return Outcome(checkpoint=CHECKPOINT, verdict=verdict, why="", attempts=attempts)


@pytest.mark.parametrize("cause", Cause)
def test_only_passed_passes(cause: Cause) -> None:
    """Every cause has a verdict, and only a pass is called passed."""
    assert (verdicts.of_attempts((attempt(cause),)) is Verdict.PASSED) == (cause is Cause.PASSED)


def test_second_try_is_flaky() -> None:
    """What passed at the second try says so."""
    assert verdicts.of_attempts((attempt(Cause.KILLED), attempt(Cause.PASSED))) is Verdict.FLAKY


def test_recovered_test_is_flaky() -> None:
    """A test that failed and passed later in the same attempt makes the checkpoint flaky."""
    assert verdicts.of_attempts((attempt(Cause.PASSED, recovered=True),)) is Verdict.FLAKY


@given(st.lists(st.sampled_from(Verdict)))
def test_a_run_is_as_good_as_its_worst(seen: list[Verdict]) -> None:
    """A run passes only if it has checkpoints and every one of them passed or was flaky."""
    found = verdicts.of_run(seen)
    assert (found in {Verdict.PASSED, Verdict.FLAKY}) == (bool(seen) and set(seen) <= {Verdict.PASSED, Verdict.FLAKY})


@given(st.sampled_from(Verdict), st.booleans())
def test_exit_code_0_only_for_passes(verdict: Verdict, fail_on_flaky: bool) -> None:
    """Exit code 0 means passed, or flaky where that is not asked to fail."""
    code = verdicts.exit_code(verdict, (), fail_on_flaky=fail_on_flaky)
    assert (code == 0) == (verdict is Verdict.PASSED or (verdict is Verdict.FLAKY and not fail_on_flaky))


@pytest.mark.parametrize(
    ("signal", "code"), [(2, ExitCode.INTERRUPTED), (15, ExitCode.TERMINATED), (1, ExitCode.TERMINATED)]
)
def test_cancelled_says_by_what(signal: int, code: ExitCode) -> None:
    """An interrupt exits 130, every other cancellation 143."""
    ended = outcome(Verdict.CANCELLED, attempt(Cause.CANCELLED, cancelled=signal))
    assert verdicts.exit_code(Verdict.CANCELLED, (ended,), fail_on_flaky=False) == code


def test_nothing_to_run_is_a_usage_error() -> None:
    """A missing target exits 2, unless something else failed too."""
    missing = outcome(Verdict.FAILED, attempt(Cause.MISCONFIGURED))
    failed = outcome(Verdict.FAILED, attempt(Cause.TESTS_FAILED))
    assert verdicts.exit_code(Verdict.FAILED, (missing,), fail_on_flaky=False) == ExitCode.USAGE
    assert verdicts.exit_code(Verdict.FAILED, (missing, failed), fail_on_flaky=False) == ExitCode.FAILED
