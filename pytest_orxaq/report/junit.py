"""The gate itself as JUnit: a test case a checkpoint."""

import io

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ..core.escaping import plain
from ..model import Outcome, RunRecord, Verdict
from .verdicts import finished, headline
from .words import brief, listing, moment, shell, shortened


_LONGEST = 64_000

_RESULTS = {
    Verdict.FAILED: Failure,
    Verdict.UNPROVEN: Error,
    Verdict.INFRASTRUCTURE: Error,
    Verdict.TIMED_OUT: Error,
    Verdict.CANCELLED: Error,
    Verdict.SKIPPED: Skipped,
}


def render(record: RunRecord) -> bytes:
    """The XML of a run; in that of a run which was cut off stands an error."""
    suite = TestSuite("orxaq gate")
    suite.timestamp = moment(record.started_at).removesuffix(" UTC").replace(" ", "T")
    suite.add_testcases([_case(outcome) for outcome in record.outcomes])
    if not finished(record):
        case = TestCase("run", "orxaq.gate", 0.0)
        case.result = Error(plain(headline(record)), "cut off")
        suite.add_testcase(case)
    whole = JUnitXml("orxaq gate")
    whole.add_testsuite(suite)
    whole.update_statistics()  # type: ignore[no-untyped-call]
    file = io.BytesIO()
    whole.write(file)
    return file.getvalue()


def _case(outcome: Outcome) -> TestCase:
    spent = sum(attempt.exit.duration + attempt.waited for attempt in outcome.attempts)
    case = TestCase(plain(brief(outcome.checkpoint.name)), "orxaq.gate", spent)
    made = _RESULTS.get(outcome.verdict)
    if made is not None:
        result = made(plain(brief(outcome.why, 1_000)), str(outcome.verdict))
        result.text = plain(shortened(_details(outcome), _LONGEST))
        case.result = result
    if outcome.attempts and outcome.attempts[-1].output_tail:
        case.system_out = plain(shortened(outcome.attempts[-1].output_tail, 0, _LONGEST))
    return case


def _details(outcome: Outcome) -> str:
    """What a reader of a JUnit viewer needs, who sees no other report."""
    lines = [outcome.why, f"$ {shell(outcome.checkpoint.command)}"]
    for attempt in outcome.attempts:
        lines.append(f"attempt {attempt.number}: {attempt.diagnosis.cause.value}: {attempt.diagnosis.why}")
        lines += [f"contradiction: {text}" for text in attempt.evidence.contradictions]
    if outcome.attempts:
        last = outcome.attempts[-1].evidence
        if last.running:
            lines.append(f"running when it ended: {listing(last.running, 5)}")
        for result in last.failures[:200]:
            said = brief(result.failures[0].message) if result.failures else ""
            lines.append(f"{result.outcome}: {brief(result.id)}" + (f": {said}" if said else ""))
        lines += [f"{brief(f.path)}:{f.line}: {brief(f'{f.code} {f.message}'.strip())}" for f in last.findings[:200]]
    return "\n".join(lines)
