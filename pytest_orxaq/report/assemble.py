"""Make a report's content of a run record and of the files on disk; knows no template.

Everything that grows with the run is bounded here, so that no format can be flooded; what is left out is said.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..core.redaction import NONE, Secrets, redacted
from ..model import Attempt, Counts, Diagnosis, LeakedProcess, Outcome, Recovery, RunRecord, StoredPass, Strength
from .failures import Failures
from .source import Sources
from .state import git_facts, git_paths, machine_facts, resource_facts
from .tone import Tone
from .verdicts import TONES, finished, headline, steps
from .view import AttemptView, CheckpointView, Fact, FindingView, Report
from .words import ago, brief, count, counts, ending, moment, number, seconds, sentence, shell, shortened, size


_FINDINGS = 300
_NAMES = 50
_OUTPUT = 24_000
_LONGEST_VALUE = 2_000
_NONE = "—"

_STRENGTHS = {
    Strength.NONE: "none",
    Strength.CLOSING_LINE: "the runner's closing line only: weaker than a witness",
    Strength.JUNIT: "JUnit files",
    Strength.WITNESS: "our witness inside pytest",
}


def assemble(record: RunRecord, *, top: Path, now: float, secrets: Secrets = NONE) -> Report:
    """The report on a run; `now` is the time on the wall clock."""
    failures = Failures(sources=Sources(top), secrets=secrets)
    checkpoints = tuple(_checkpoint(outcome, n, failures, now) for n, outcome in enumerate(record.outcomes, 1))
    largest = {view.name: view.last.groups[0].command for view in checkpoints if view.last and view.last.groups}
    cut_off = not finished(record)
    report = Report(
        repository=brief(Path(record.git.top).name or top.name, 80),
        headline=headline(record),
        verdict="cut off" if cut_off else str(record.verdict),
        tone=Tone.BAD if record.verdict is None or cut_off else TONES[record.verdict],
        where=_where(record),
        when=_when(record),
        steps=steps(record, largest),
        checkpoints=checkpoints,
        git=git_facts(record.git),
        paths=git_paths(record.git),
        machine=machine_facts(record.machine),
        limits=_facts(record.machine.limits),
        tools=_facts(record.machine.tools),
        parameters=_facts(record.parameters),
        environment=_facts(record.environment),
        notes=_notes(record),
        cuts=failures.cuts,
        run=record.id,
        version=record.version,
        made=moment(now),
    )
    return redacted(report, secrets)


def _where(record: RunRecord) -> str:
    commit = record.git.commit[:12] or "no commit yet"
    return f"{brief(record.git.branch, 80) or 'detached'} at {commit}" + (", with changes" if record.git.dirty else "")


def _when(record: RunRecord) -> str:
    began = moment(record.started_at)
    if record.finished_at is None:
        return f"{began}, no end"
    return f"{began}, took {seconds(max(0.0, record.finished_at - record.started_at))}"


def _notes(record: RunRecord) -> tuple[str, ...]:
    shared = (
        (f"This result was taken over from run {record.shared_from} of another gate.",) if record.shared_from else ()
    )
    return shared + _few(record.notes)


def _facts(pairs: Iterable[tuple[str, str]]) -> tuple[Fact, ...]:
    return tuple(Fact(name=brief(name, 100), value=shortened(value, _LONGEST_VALUE)) for name, value in pairs)


def _few(texts: Sequence[str]) -> tuple[str, ...]:
    shown = tuple(shortened(text, _LONGEST_VALUE) for text in texts[:_NAMES])
    return shown if len(texts) <= _NAMES else (*shown, f"… and {len(texts) - _NAMES:,} more")


# ---------------------------------------------------------------- checkpoints


def _checkpoint(outcome: Outcome, position: int, failures: Failures, now: float) -> CheckpointView:
    attempts = tuple(
        _attempt(attempt, f"c{position}a{attempt.number}", failures, last=attempt is outcome.attempts[-1])
        for attempt in outcome.attempts
    )
    spent = sum(attempt.exit.duration + attempt.waited for attempt in outcome.attempts)
    return CheckpointView(
        anchor=f"c{position}",
        name=outcome.checkpoint.name,
        command=shortened(shell(outcome.checkpoint.command), _LONGEST_VALUE),
        verdict=str(outcome.verdict),
        tone=TONES[outcome.verdict],
        why=sentence(shortened(outcome.why, _LONGEST_VALUE)),
        cause=attempts[-1].cause if attempts else "stored pass" if outcome.stored else "not run",
        time=seconds(spent) if attempts else _NONE,
        counts=_counted(outcome),
        attempts=attempts,
        stored=_stored(outcome.stored, now) if outcome.stored else "",
        key=outcome.key,
        key_story=_few(outcome.key_story),
    )


def _counted(outcome: Outcome) -> str:
    if outcome.stored:
        return counts(outcome.stored.counts) if outcome.stored.counts != Counts() else _NONE
    if not outcome.attempts:
        return _NONE
    evidence = outcome.attempts[-1].evidence
    if evidence.counts == Counts() and evidence.findings:
        return count(len(evidence.findings), "finding")
    return counts(evidence.counts) if evidence.counts != Counts() else _NONE


def _stored(stored: StoredPass, now: float) -> str:
    return (
        f"The same content passed before, in run {stored.run} {ago(stored.passed_at, now)}"
        f" ({moment(stored.passed_at)}); nothing was run again."
    )


def _attempt(attempt: Attempt, anchor: str, failures: Failures, *, last: bool) -> AttemptView:
    evidence, exit, diagnosis = attempt.evidence, attempt.exit, attempt.diagnosis
    return AttemptView(
        number=attempt.number,
        cause=diagnosis.cause.value,
        environmental=diagnosis.cause.environmental,
        tone=_tone(attempt),
        why=sentence(shortened(diagnosis.why, _LONGEST_VALUE)),
        line=brief(diagnosis.line, 500),
        rule=_rule(diagnosis),
        started=moment(attempt.started_at),
        waited=seconds(attempt.waited) if attempt.waited else "",
        duration=seconds(exit.duration),
        ending=ending(exit),
        counts=counts(evidence.counts),
        strength=_STRENGTHS[evidence.strength],
        contradictions=_few(evidence.contradictions),
        running=_few(evidence.running),
        groups=failures.groups(evidence.failures, anchor, since=attempt.started_at, full=last, pytest=_by_pytest(attempt)),
        recovered=failures.groups(evidence.recovered, f"{anchor}r", since=attempt.started_at, full=last, pytest=_by_pytest(attempt)),
        findings=_findings(attempt),
        findings_total=len(evidence.findings),
        resources=resource_facts(exit),
        leaked=_processes(exit.leaked),
        survivors=_processes(exit.survivors),
        locks=tuple(Fact(name=recovery.lock.path, value=_recovered(recovery)) for recovery in attempt.recoveries[:50]),
        slowest=tuple(Fact(name=brief(name), value=seconds(took)) for name, took in evidence.durations[:10]),
        details=_details(attempt),
        notes=_few(evidence.notes),
        output=shortened(attempt.output_tail, 0, _OUTPUT) if len(attempt.output_tail) > _OUTPUT else attempt.output_tail,
        output_note=_output_note(attempt),
        failing=len(evidence.failures),
    )  # fmt: skip


def _rule(diagnosis: Diagnosis) -> str:
    """Which signature knew the failure, and by what."""
    known = diagnosis.signature
    if known is None:
        return ""
    told = f"line {known.number} of the output" if known.line else known.fact
    return f"{told}, by the signature {brief(known.rule)} ({brief(known.source or 'of the configuration')})"


def _recovered(recovery: Recovery) -> str:
    """What was done about a git lock, and how to take it back."""
    why = sentence(recovery.judgement.why).rstrip(".")
    if recovery.released:
        return f"{why}. It was released; orxaq locks --restore {recovery.id} puts it back."
    return f"{why}. It stays: {recovery.why_not}."


def _tone(attempt: Attempt) -> Tone:
    if attempt.diagnosis.cause.value == "passed":
        return Tone.GOOD
    return Tone.WARN if attempt.diagnosis.cause.environmental else Tone.BAD


def _by_pytest(attempt: Attempt) -> bool:
    return attempt.evidence.strength is Strength.WITNESS


def _findings(attempt: Attempt) -> tuple[FindingView, ...]:
    return tuple(
        FindingView(
            place=f"{brief(found.path)}:{found.line}" + (f":{found.column}" if found.column is not None else ""),
            code=brief(found.code, 60),
            message=shortened(found.message, 1_000),
            severity=brief(found.severity, 20),
        )
        for found in attempt.evidence.findings[:_FINDINGS]
    )


def _processes(processes: Sequence[LeakedProcess]) -> tuple[Fact, ...]:
    return tuple(
        Fact(name=f"{process.pid}", value=f"{shortened(process.command, 500)} ({seconds(process.age)} old)")
        for process in processes[:_NAMES]
    )


def _details(attempt: Attempt) -> tuple[Fact, ...]:
    evidence = attempt.evidence
    facts = [
        Fact(name="Evidence", value=_STRENGTHS[evidence.strength]),
        Fact(name="Tests", value=counts(evidence.counts)),
    ]
    facts += [Fact(name="Interpreter", value=_interpreter(text)) for text in evidence.interpreters[:_NAMES]]
    facts += [Fact(name="JUnit file", value=brief(path)) for path in evidence.junit[:_NAMES]]
    facts += [
        Fact(name=f"Closing line of {brief(c.runner, 40)}", value=brief(c.line)) for c in evidence.closing[:_NAMES]
    ]
    if attempt.reduced:
        facts.append(
            Fact(name="Less parallelism", value=" ".join(f"{name}={value}" for name, value in attempt.reduced))
        )
    facts.append(Fact(name="Mailbox", value=brief(attempt.mailbox)))
    return tuple(facts)


def _interpreter(text: str) -> str:
    path, _, rest = text.partition("|")
    return brief(f"Python {rest.partition('|')[0]}, {path}" if rest else path)


def _output_note(attempt: Attempt) -> str:
    written, omitted = attempt.exit.output_size, attempt.exit.output_omitted
    said = f"The command wrote {size(written)}" if written else "The command wrote nothing"
    return said + (f"; {size(omitted)} of it ({number(omitted)} bytes) were not kept." if omitted else ".")
