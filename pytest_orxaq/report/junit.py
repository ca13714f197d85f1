"""The gate itself as JUnit: a test case a checkpoint."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ..core.escaping import plain
from ..model import Outcome, RunRecord, Verdict
from .verdicts import finished, headline
from .words import brief, listing, moment, shell, shortened


_LONGEST = 64_000

_RESULTS = {
    Verdict.FAILED: "failure",
    Verdict.UNPROVEN: "error",
    Verdict.INFRASTRUCTURE: "error",
    Verdict.TIMED_OUT: "error",
    Verdict.CANCELLED: "error",
    Verdict.SKIPPED: "skipped",
}


def render(record: RunRecord) -> bytes:
    """The XML of a run; in that of a run which was cut off stands an error.

    Made with the standard library: the gate is waited for, and a library for this takes longer to import than the
    whole report takes to write.
    """
    cases = [_case(outcome) for outcome in record.outcomes]
    if not finished(record):
        case = _element("testcase", name="run", classname="orxaq.gate", time="0")
        case.append(_element("error", message=plain(headline(record)), type="cut off"))
        cases.append(case)
    timestamp = moment(record.started_at).removesuffix(" UTC").replace(" ", "T")
    suite = _element("testsuite", name="orxaq gate", **_statistics(cases), timestamp=timestamp)
    suite.extend(cases)
    whole = _element("testsuites", name="orxaq gate", **_statistics(cases))
    whole.append(suite)
    data: bytes = ET.tostring(whole, encoding="utf-8", xml_declaration=True)
    return data


def _element(tag: str, **attributes: str) -> ET.Element:
    return ET.Element(tag, attributes)


def _statistics(cases: Sequence[ET.Element]) -> dict[str, str]:
    """The counters that every reader expects, for a suite and for all suites."""
    found = [child.tag for case in cases for child in case]
    spent = sum(float(case.get("time", "0")) for case in cases)
    counted = {name: str(found.count(tag)) for name, tag in _COUNTERS.items()}
    return {"tests": str(len(cases)), **counted, "time": f"{spent:.3f}"}


_COUNTERS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def _case(outcome: Outcome) -> ET.Element:
    spent = sum(attempt.exit.duration + attempt.waited for attempt in outcome.attempts)
    name = plain(brief(outcome.checkpoint.name))
    case = _element("testcase", name=name, classname="orxaq.gate", time=f"{spent:.3f}")
    if (tag := _RESULTS.get(outcome.verdict)) is not None:
        result = _element(tag, message=plain(brief(outcome.why, 1_000)), type=outcome.verdict.value)
        result.text = plain(shortened(_details(outcome), _LONGEST))
        case.append(result)
    if outcome.attempts and outcome.attempts[-1].output_tail:
        ET.SubElement(case, "system-out").text = plain(shortened(outcome.attempts[-1].output_tail, 0, _LONGEST))
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
