"""From causes to verdicts, from verdicts to the exit code."""

from collections.abc import Iterable

from ..model import Attempt, Cause, ExitCode, Outcome, Verdict


_OF_CAUSE = {
    Cause.PASSED: Verdict.PASSED,
    Cause.CANCELLED: Verdict.CANCELLED,
    Cause.TIMED_OUT: Verdict.TIMED_OUT,
    Cause.OUT_OF_MEMORY: Verdict.INFRASTRUCTURE,
    Cause.KILLED: Verdict.INFRASTRUCTURE,
    Cause.GIT_LOCKED: Verdict.INFRASTRUCTURE,
    Cause.TRANSIENT: Verdict.INFRASTRUCTURE,
    Cause.OVERLOADED: Verdict.INFRASTRUCTURE,
    Cause.ENVIRONMENT: Verdict.INFRASTRUCTURE,
    Cause.CRASHED: Verdict.FAILED,
    Cause.TESTS_FAILED: Verdict.FAILED,
    Cause.FINDINGS: Verdict.FAILED,
    Cause.MISCONFIGURED: Verdict.FAILED,
    Cause.COMMAND_FAILED: Verdict.FAILED,
    Cause.UNPROVEN: Verdict.UNPROVEN,
}

# Worst first: what a run is called when its checkpoints differ.
_WORST_FIRST = (
    Verdict.CANCELLED,
    Verdict.FAILED,
    Verdict.TIMED_OUT,
    Verdict.UNPROVEN,
    Verdict.INFRASTRUCTURE,
    Verdict.SKIPPED,
    Verdict.FLAKY,
    Verdict.PASSED,
)

_EXIT_CODES = {
    Verdict.PASSED: ExitCode.PASSED,
    Verdict.FLAKY: ExitCode.PASSED,
    Verdict.FAILED: ExitCode.FAILED,
    Verdict.UNPROVEN: ExitCode.UNPROVEN,
    Verdict.INFRASTRUCTURE: ExitCode.INFRASTRUCTURE,
    Verdict.SKIPPED: ExitCode.SKIPPED,
    Verdict.TIMED_OUT: ExitCode.TIMED_OUT,
    Verdict.CANCELLED: ExitCode.TERMINATED,
}

_SIGINT = 2


def of_attempts(attempts: tuple[Attempt, ...]) -> Verdict:
    """A checkpoint's verdict: its last attempt's, and ``flaky`` where a pass needed more than one try of anything."""
    last = attempts[-1]
    verdict = _OF_CAUSE[last.diagnosis.cause]
    if verdict is Verdict.PASSED and (len(attempts) > 1 or last.evidence.recovered):
        return Verdict.FLAKY
    return verdict


def of_run(verdicts: Iterable[Verdict]) -> Verdict:
    """A run's verdict: the worst of its checkpoints'; without any, nothing was proven."""
    seen = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in seen), Verdict.UNPROVEN)


def exit_code(verdict: Verdict, outcomes: tuple[Outcome, ...], *, fail_on_flaky: bool) -> ExitCode:
    """The process's exit code for a finished run."""
    attempts = [attempt for outcome in outcomes for attempt in outcome.attempts]
    if verdict is Verdict.CANCELLED and any(attempt.exit.cancelled == _SIGINT for attempt in attempts):
        return ExitCode.INTERRUPTED
    if verdict is Verdict.FAILED and _only_misconfigured(outcomes):
        return ExitCode.USAGE
    if verdict is Verdict.FLAKY and fail_on_flaky:
        return ExitCode.FAILED
    return _EXIT_CODES[verdict]


def _only_misconfigured(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether every failed checkpoint failed because there was nothing to run."""
    causes = [
        outcome.attempts[-1].diagnosis.cause
        for outcome in outcomes
        if outcome.verdict is Verdict.FAILED and outcome.attempts
    ]
    return bool(causes) and all(cause is Cause.MISCONFIGURED for cause in causes)
