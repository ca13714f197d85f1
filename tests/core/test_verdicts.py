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
def test_the_machines_fault_is_told_from_the_codes(cause: Cause) -> None:
    """What the machine did is infrastructure, what the code did is failed; four causes have a verdict of their own."""
    own = {
        Cause.PASSED: Verdict.PASSED,
        Cause.CANCELLED: Verdict.CANCELLED,
        Cause.TIMED_OUT: Verdict.TIMED_OUT,
        Cause.UNPROVEN: Verdict.UNPROVEN,
    }
    whose = Verdict.INFRASTRUCTURE if cause.environmental else Verdict.FAILED
    assert verdicts.of_attempts((attempt(cause),)) is own.get(cause, whose)


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


WORST_FIRST = ["cancelled", "failed", "timed-out", "unproven", "infrastructure", "skipped", "flaky", "passed"]


@pytest.mark.parametrize("rank", range(len(WORST_FIRST) - 1), ids=WORST_FIRST[:-1])
def test_the_worst_verdict_is_the_runs(rank: int) -> None:
    """Of all verdicts at once the worst is the run's; of none at all, nothing is proven."""
    assert verdicts.of_run(Verdict(name) for name in reversed(WORST_FIRST[rank:])) is Verdict(WORST_FIRST[rank])
    assert verdicts.of_run(()) is Verdict.UNPROVEN


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        ("passed", 0),
        ("flaky", 0),
        ("failed", 1),
        ("unproven", 3),
        ("infrastructure", 4),
        ("skipped", 5),
        ("timed-out", 124),
        ("cancelled", 143),
    ],
)
def test_every_verdict_has_its_exit_code(verdict: str, code: int) -> None:
    """The scale of exit codes is a promise to scripts."""
    assert verdicts.exit_code(Verdict(verdict), (), fail_on_flaky=False) == code


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
    """A missing target exits 2, unless something else failed too; what passed beside it changes nothing."""
    missing = outcome(Verdict.FAILED, attempt(Cause.MISCONFIGURED))
    passed = outcome(Verdict.PASSED, attempt(Cause.PASSED))
    failed = outcome(Verdict.FAILED, attempt(Cause.TESTS_FAILED))
    assert verdicts.exit_code(Verdict.FAILED, (missing,), fail_on_flaky=False) == ExitCode.USAGE
    assert verdicts.exit_code(Verdict.FAILED, (missing, failed), fail_on_flaky=False) == ExitCode.FAILED
    assert verdicts.exit_code(Verdict.FAILED, (missing, passed), fail_on_flaky=False) == ExitCode.USAGE


def test_what_never_ran_is_no_usage_error() -> None:
    """A failed checkpoint without any attempt was not misconfigured, it was not run."""
    assert verdicts.exit_code(Verdict.FAILED, (outcome(Verdict.FAILED),), fail_on_flaky=False) == ExitCode.FAILED
