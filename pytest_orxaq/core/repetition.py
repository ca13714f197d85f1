"""When a failure has shown itself often enough: three times in a row, in the very same way, on the very same content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..model import Attempt, Cause, Outcome, TestResult, Verdict


TIMES = 3
LASTING = 3600.0  # seconds that such a failure is believed; the world outside of the content changes too


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a checkpoint ended that really ran."""

    at: float  # Unix time
    verdict: Verdict
    signature: tuple[str, ...] = ()  # of its failure; empty where that is none to be relied on


def repeats(endings: Sequence[Ending], now: float) -> bool:
    """Whether the last endings at one content, the latest first, are the same failure time and again."""
    last = endings[:TIMES]
    return len(last) == TIMES and all(
        ending.verdict is Verdict.FAILED
        and ending.signature == last[0].signature != ()
        and 0 <= now - ending.at <= LASTING
        for ending in last
    )


def ending_of(outcome: Outcome, mark: Callable[[TestResult], str], plain: Callable[[str], str]) -> Ending:
    """The ending that an outcome with attempts shows.

    ``mark`` says what a test failed of, ``plain`` is a line without what differs from run to run.
    """
    last = outcome.attempts[-1]
    return Ending(
        at=last.started_at + last.exit.duration,
        verdict=outcome.verdict,
        signature=_signature(outcome, last, mark, plain) if last.diagnosis.cause is not Cause.MISCONFIGURED else (),
    )


def _signature(
    outcome: Outcome, last: Attempt, mark: Callable[[TestResult], str], plain: Callable[[str], str]
) -> tuple[str, ...]:
    """Cause, what failed and of what, and what it ran with; nothing of a program that is missing, which costs no time."""
    found, diagnosis = last.evidence, last.diagnosis
    failed = [f"{test.id} {test.outcome}: {mark(test)}" for test in found.failures]
    failed += [f"{finding.path}:{finding.line}: {finding.code} {finding.message}" for finding in found.findings]
    means = [f"{name} {looks}" for name, looks in outcome.interpreters]
    return (
        diagnosis.cause.value,
        *(sorted(failed) or [plain(diagnosis.line or diagnosis.why)]),
        *map(plain, sorted(found.contradictions)),
        *sorted(means),
    )
