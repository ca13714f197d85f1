"""The verdict of a run in one sentence, and what to do about it."""

from collections.abc import Mapping

from ..model import Attempt, Cause, Outcome, RunRecord, Strength, Verdict
from .tone import Step, Tone
from .words import brief, count, listing, repeating, seconds, sentence, shell


TONES = {
    Verdict.PASSED: Tone.GOOD,
    Verdict.FLAKY: Tone.WARN,
    Verdict.FAILED: Tone.BAD,
    Verdict.UNPROVEN: Tone.BAD,
    Verdict.INFRASTRUCTURE: Tone.BAD,
    Verdict.TIMED_OUT: Tone.BAD,
    Verdict.SKIPPED: Tone.WARN,
    Verdict.CANCELLED: Tone.WARN,
}

_OPENING = {
    Verdict.FLAKY: "Passed, but flaky",
    Verdict.FAILED: "Failed",
    Verdict.UNPROVEN: "Unproven, so not passed",
    Verdict.INFRASTRUCTURE: "Not passed: the machine got in the way",
    Verdict.TIMED_OUT: "Timed out",
    Verdict.SKIPPED: "Skipped, so not passed",
    Verdict.CANCELLED: "Cancelled, so not passed",
}

_ADVICE = {
    Cause.TIMED_OUT: "Find out what hung or grew slow, or raise the timeout of this checkpoint.",
    Cause.OUT_OF_MEMORY: "Give the machine more memory, or run fewer tests at once.",
    Cause.KILLED: "Somebody or something killed the command; the machine's log may say who.",
    Cause.CRASHED: "Run the crashing test alone, with faulthandler on.",
    Cause.TESTS_FAILED: "Mend the failing tests, the most frequent cause first.",
    Cause.FINDINGS: "Mend the findings listed below.",
    Cause.GIT_LOCKED: "Look for another git process in this repository; orxaq locks judges what is left.",
    Cause.TRANSIENT: "If it repeats, a service that it needs is down.",
    Cause.ENVIRONMENT: "Mend the machine first: the advice says what it lacks.",
    Cause.OVERLOADED: "Run less at once, or give the machine more memory.",
    Cause.MISCONFIGURED: "Correct the command or the configuration of this checkpoint.",
    Cause.COMMAND_FAILED: "Read the end of the output below.",
    Cause.UNPROVEN: 'Make sure that tests run and leave evidence, or set evidence = "exit" if none are meant to.',
}  # fmt: skip


def finished(record: RunRecord) -> bool:
    """Whether the run came to its end; one that did not has not passed, whatever it says."""
    return record.finished_at is not None and record.verdict is not None


def headline(record: RunRecord) -> str:
    """The verdict in one sentence."""
    verdict = record.verdict
    if verdict is None or not finished(record):
        return f"Cut off: not passed. The run began{_of(record.outcomes)} and never ended."
    if verdict is Verdict.PASSED:
        return f"Passed: {_proof(record.outcomes)}."
    # The checkpoints that share the run's verdict explain it best.
    told = [o for o in record.outcomes if o.verdict is verdict]
    told += [o for o in record.outcomes if o.verdict not in {verdict, Verdict.PASSED, Verdict.FLAKY}]
    reasons = [_reason(outcome) for outcome in told[:2]]
    if len(told) > len(reasons):
        reasons.append(f"and {count(len(told) - len(reasons), 'checkpoint')} more")
    return f"{_OPENING[verdict]}: {'; '.join(reasons)}." if reasons else f"{_OPENING[verdict]}."


def _name(outcome: Outcome) -> str:
    return brief(outcome.checkpoint.name, 60)  # a sentence that scrolls is no headline


def _of(outcomes: tuple[Outcome, ...]) -> str:
    done = [_name(outcome) for outcome in outcomes if outcome.attempts or outcome.stored]
    return f", got as far as {done[-1]}" if done else ""


def _proof(outcomes: tuple[Outcome, ...]) -> str:
    if not outcomes:
        return "no checkpoint was asked for"
    names = listing([_name(outcome) for outcome in outcomes], 4)
    executed = sum(o.stored.counts.executed if o.stored else o.attempts[-1].evidence.counts.executed
                   for o in outcomes if o.stored or o.attempts)  # fmt: skip
    ran = f", {count(executed, 'test')} ran" if executed else ""
    stored = sum(1 for outcome in outcomes if outcome.stored)
    known = "" if not stored else ", from a stored pass" if stored == len(outcomes) else ", in part from a stored pass"
    return f"{names}{ran}{known}"


def _reason(outcome: Outcome) -> str:
    name = _name(outcome)
    last = outcome.attempts[-1] if outcome.attempts else None
    said = _said(outcome, last) if last else ""
    if said and outcome.replayed:
        said += f" (played back from run {brief(outcome.replayed, 32)})"
    return said or brief(f"{name}: {outcome.why}".rstrip(". "), 200)


def _said(outcome: Outcome, last: Attempt) -> str:
    name, evidence, cause = _name(outcome), last.evidence, last.diagnosis.cause
    if outcome.verdict is Verdict.FLAKY and len(outcome.attempts) > 1:
        return f"{name} passed on attempt {len(outcome.attempts)}, the first was {outcome.attempts[0].diagnosis.cause.value}"
    if outcome.verdict is Verdict.FLAKY and evidence.recovered:
        return f"{count(len(evidence.recovered), 'test')} in {name} failed first and passed when repeated"
    if cause is Cause.TESTS_FAILED and evidence.failures:
        failed = len(evidence.failures)
        many = (
            f"{failed:,} of {evidence.counts.executed:,} tests"
            if evidence.counts.executed >= failed
            else count(failed, "test")
        )
        return f"{many} failed in {name}"
    if cause is Cause.FINDINGS and evidence.findings:
        return f"{name} left {count(len(evidence.findings), 'finding')}"
    if cause in {Cause.KILLED, Cause.CRASHED, Cause.TIMED_OUT, Cause.OUT_OF_MEMORY}:
        during = evidence.running or last.diagnosis.tests
        verb = {
            Cause.TIMED_OUT: f"did not end within {seconds(last.exit.duration)}",
            Cause.OUT_OF_MEMORY: "ran out of memory",
            Cause.CRASHED: "crashed",
        }.get(cause, "was killed")
        return f"{name} {verb}" + (f" while {brief(listing(during, 1), 120)} ran" if during else "")
    return ""


def steps(record: RunRecord, commands: Mapping[str, str] | None = None) -> tuple[Step, ...]:
    """What to do, most useful first; `commands` may know by a checkpoint's name what repeats its main failure."""
    if record.verdict is Verdict.PASSED and finished(record):
        return (Step(text="Nothing to do."),)
    told = [o for o in record.outcomes if finished(record) or o.attempts]
    made = [step for outcome in told for step in _steps(outcome, (commands or {}).get(outcome.checkpoint.name, ""))]
    ended = {Verdict.PASSED, Verdict.FLAKY}
    # Behind an open breaker the same command would be refused again: its own step has the one that is not.
    open_names = [o.checkpoint.name for o in record.outcomes if o.verdict not in ended and not o.breaker]
    if record.command and (open_names or not finished(record)):
        made.append(Step(text="Then run it again:", command=shell(("orxaq", "run", "--", *record.command))))
    elif not finished(record):
        made.append(Step(text="Nothing of this run counts. Run the gate again:", command=shell(("orxaq", "gate"))))
    elif open_names:
        lead = "Then take it through the gate again:" if made else "Take it through the gate again:"
        made.append(Step(text=lead, command=shell(("orxaq", "gate", *open_names))))
    return tuple(made)


def _steps(outcome: Outcome, command: str) -> list[Step]:
    if outcome.verdict in {Verdict.PASSED, Verdict.CANCELLED}:
        return []
    name = _name(outcome)
    if outcome.breaker:
        insist = shell(("orxaq", "gate", outcome.checkpoint.name, "--fresh"))
        text = "Its circuit breaker is open for this content; a changed one is run at once. To run it all the same:"
        return [Step(text=f"{name}: {text}", command=insist)]
    if not outcome.attempts:
        return [Step(text=f"{name}: {sentence(brief(outcome.why))}")]
    if outcome.verdict is Verdict.FLAKY:
        # Whether that fails, the exit code decides, of which a record knows nothing.
        return [
            Step(text=f"{name}: It passed in the end, but is unsteady. Only --fail-on-flaky takes that for a failure.")
        ]
    last = outcome.attempts[-1]
    diagnosis = last.diagnosis
    if diagnosis.cause is Cause.PASSED:  # a leftover, or a contradiction: the outcome says it
        return [Step(text=f"{name}: {sentence(brief(outcome.why))}")]
    text = f"{name}: {sentence(brief(diagnosis.advice or _ADVICE.get(diagnosis.cause, outcome.why)))}"
    made = [Step(text=text, command=command or _repeating(last))]
    if outcome.replayed:
        again = shell(("orxaq", "gate", outcome.checkpoint.name, "--fresh"))
        made.append(
            Step(
                text=f"{name}: Nothing was run, for the content is still the same. To run it all the same:",
                command=again,
            )
        )
    return made


def _repeating(attempt: Attempt) -> str:
    """The command for the first failing tests, else for those that ran when it ended; only of tests that pytest knows."""
    if attempt.evidence.strength is not Strength.WITNESS:
        return repeating(attempt.evidence.running)
    return repeating([result.id for result in attempt.evidence.failures[:3]] or attempt.evidence.running)
