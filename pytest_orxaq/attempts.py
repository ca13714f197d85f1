"""Take one checkpoint through its attempts, until one of them settles it."""

import os
import sys
import threading
import time

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from . import clearing, mailbox
from .audience import Audience
from .core import environment, redaction, retry, transcript
from .model import Attempt, Cause, Checkpoint, EvidenceKind, Exit, Recovery, Settings
from .repository.grounds import Grounds
from .system import process, resources
from .system.journal import Journal, Severity, Trace
from .system.purse import Purse


CARRIED = Path(__file__).parent / "carried"  # what is offered to a pytest that has never heard of us
_SHARE = 0.1  # of the time that is left, for locks before an attempt
_AT_LEAST = 5.0  # seconds, which are enough for a hundred, unless it is more than half of what is left
_TAIL_LINES, _TAIL_CHARACTERS = 60, 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every attempt of a run works with."""

    run: str
    top: Path  # where commands run
    folder: Path  # the run's own, for mailboxes
    environment: Mapping[str, str]  # scrubbed and non-interactive
    secrets: redaction.Secrets
    settings: Settings
    deadline: float  # CLOCK_MONOTONIC
    purse: Purse  # the retries that are left to all levels
    boot: str
    cancellation: process.Cancellation
    journal: Journal
    trace: Trace  # handed down, so that what runs below can join it
    audience: Audience
    grounds: Grounds  # where git's locks are looked for

    @property
    def remaining(self) -> float:
        """Seconds until the deadline of everything."""
        return self.deadline - time.monotonic()


def take(bench: Bench, checkpoint: Checkpoint) -> tuple[Attempt, ...]:
    """Every attempt at *checkpoint*, in order; the last one settles it."""
    attempts: tuple[Attempt, ...] = ()
    waited = 0.0
    while True:
        before = clearing.clear(bench.grounds, seconds=_for_locks(bench.remaining), pause=bench.cancellation.wait)
        began_at = time.time()
        number = len(attempts) + 1
        reduced = _reduced(bench, checkpoint, attempts)
        attempts += (
            _attempt(bench, checkpoint, number=number, waited=waited, reduced=reduced, recoveries=before.recoveries),
        )
        _bury(bench, checkpoint, attempts[-1], began_at=began_at, present=before.present)
        delay = _delay(bench, checkpoint, attempts)
        if attempts[-1].diagnosis.cause is Cause.GIT_LOCKED:
            attempts, free = _wait_for_lock(bench, attempts, patience=0.0 if delay is None else bench.remaining)
            delay = delay if free else None
        if delay is not None and not bench.purse.spend():
            attempts, delay = _unpaid(attempts), None
        if delay is None:
            return attempts
        _tell_retry(bench, checkpoint, attempts[-1], delay)
        since = time.monotonic()
        bench.cancellation.wait(delay)  # a signal ends it, and then the next attempt before it begins
        waited = time.monotonic() - since


def _unpaid(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """The attempts, with a word on why there is no other."""
    *before, last = attempts
    evidence = replace(
        last.evidence, notes=(*last.evidence.notes, "not tried again: the retries of this run are spent")
    )
    return (*before, replace(last, evidence=evidence))


def _for_locks(remaining: float) -> float:
    """Seconds that may be spent on locks before an attempt."""
    return min(max(_SHARE * remaining, _AT_LEAST), 0.5 * remaining)


def _reduced(bench: Bench, checkpoint: Checkpoint, attempts: tuple[Attempt, ...]) -> Mapping[str, str]:
    """Variables for less parallelism, once too much of it may have been the reason of a failure."""
    if not any(attempt.diagnosis.cause.reduces for attempt in attempts):
        return {}
    return environment.reduced(dict(bench.environment) | dict(checkpoint.environment), resources.cpus())


def _wait_for_lock(bench: Bench, attempts: tuple[Attempt, ...], *, patience: float) -> tuple[tuple[Attempt, ...], bool]:
    """Wait for the lock that stopped the last attempt; the attempts with what came of it, and whether it is gone."""
    *before, last = attempts
    waited = clearing.wait_for(
        bench.grounds,
        last.diagnosis.line,
        patience=patience,
        pause=bench.cancellation.wait,
        waiting=bench.audience.blocked,
    )
    last = replace(last, recoveries=(*last.recoveries, *waited.recoveries))
    if waited.in_the_way:
        last = replace(last, diagnosis=clearing.explained(last.diagnosis, waited))
    return (*before, redaction.redacted(last, bench.secrets)), not waited.in_the_way


def _bury(bench: Bench, checkpoint: Checkpoint, attempt: Attempt, *, began_at: float, present: frozenset[str]) -> None:
    """Remember that an attempt is gone to its last process: a lock that came with it has no holder any more."""
    # Elsewhere than on Linux orphans are not ours to count, so that nobody can say that all are gone.
    if sys.platform == "linux" and not attempt.exit.survivors:
        actor = f"{checkpoint.name} #{attempt.number} of run {bench.run}"
        ended_at = attempt.exit.emptied_at
        clearing.bury(bench.grounds, actor, began_at=began_at, ended_at=ended_at, present=present)


def _tell_retry(bench: Bench, checkpoint: Checkpoint, attempt: Attempt, delay: float) -> None:
    bench.journal.emit(
        "orxaq.recovery.attempt",
        f"retrying {checkpoint.name} in {delay:.1f} s",
        severity=Severity.WARN,
        attributes={
            **_names(checkpoint, attempt.number),
            "orxaq.recovery.kind": "retry",
            "error.type": attempt.diagnosis.cause.value,
        },
    )
    bench.audience.retrying(attempt, delay)


def _delay(bench: Bench, checkpoint: Checkpoint, attempts: tuple[Attempt, ...]) -> float | None:
    """Seconds until the next attempt, or None to stop here."""
    if bench.cancellation.signal is not None:
        return None
    return retry.next_delay(
        attempts[-1].diagnosis.cause,
        attempts=tuple(attempt.diagnosis.cause for attempt in attempts[:-1]),
        retries=checkpoint.retries,
        first_delay=bench.settings.first_delay,
        longest_delay=bench.settings.longest_delay,
        jitter=int.from_bytes(os.urandom(4)) / 2**32,
        remaining=bench.remaining,
    )


def _attempt(
    bench: Bench,
    checkpoint: Checkpoint,
    *,
    number: int,
    waited: float,
    reduced: Mapping[str, str],
    recoveries: tuple[Recovery, ...],
) -> Attempt:
    threading.Thread(target=_make_ready, daemon=True).start()
    box = mailbox.create(bench.folder, f"{checkpoint.name}-{number}", os.urandom(16).hex())
    bench.audience.begun(checkpoint, number)
    bench.journal.emit("orxaq.attempt.start", f"{checkpoint.name} #{number}", attributes=_names(checkpoint, number))
    before = mailbox.junit_before(checkpoint.junit, bench.top)
    started_at = time.time()
    exit = _run(bench, checkpoint, box, reduced)
    from . import inquest  # noqa: PLC0415 - see _make_ready
    from .core import diagnosis  # noqa: PLC0415

    evidence, symptoms = inquest.hold(
        box,
        checkpoint,
        exit,
        output=_output(box),
        top=bench.top,
        since=started_at,
        before=before,
        own=bench.settings.signatures,
    )
    found = diagnosis.diagnose(exit, evidence, symptoms, kind=checkpoint.evidence)
    attempt = Attempt(
        number=number,
        mailbox=str(box.folder),
        started_at=started_at,
        exit=exit,
        evidence=evidence,
        diagnosis=found,
        waited=waited,
        reduced=tuple(reduced.items()),
        recoveries=recoveries,
        output_tail=_tail(_output(box)),
    )
    _tell(bench, checkpoint, attempt)
    return redaction.redacted(attempt, bench.secrets)


def _make_ready() -> None:
    """Import what is needed after the command while the command runs; a stored pass never needs it."""
    from . import inquest  # noqa: PLC0415
    from .core import diagnosis  # noqa: PLC0415
    from .report import render  # noqa: PLC0415

    del inquest, diagnosis, render


def _run(bench: Bench, checkpoint: Checkpoint, box: mailbox.Mailbox, reduced: Mapping[str, str]) -> Exit:
    timeout = min(bench.remaining, checkpoint.timeout or bench.remaining)
    if timeout <= 0:
        return Exit(timed_out=True, started_at=time.monotonic())
    own = dict(bench.environment) | dict(checkpoint.environment) | dict(reduced)
    own["ORXAQ_DEADLINE"] = environment.spell_deadline(time.monotonic() + timeout, bench.boot)
    own["ORXAQ_RETRIES"] = bench.purse.handed
    own["ORXAQ_RUN_ID"] = bench.run
    own["TRACEPARENT"] = str(bench.trace)
    own["ORXAQ_WITHIN"] = environment.within(own.get("ORXAQ_WITHIN", ""), checkpoint.name, str(bench.top))
    return process.run(
        checkpoint.command,
        directory=bench.top,
        # A linter needs no witness, and may look at what PYTHONPATH holds.
        environment=mailbox.offer(box, own, carried=None if checkpoint.evidence is EvidenceKind.FINDINGS else CARRIED),
        output=_output(box),
        timeout=timeout,
        cancellation=bench.cancellation,
        watch=bench.audience.heard,
        tick=bench.audience.beat,
        sampler=resources.Meter(),
    )


def _output(box: mailbox.Mailbox) -> Path:
    """Where the command's output is kept: beside the mailbox, in which only witnesses have business."""
    return box.folder.with_name(f"{box.folder.name}.log")


def _tail(output: Path) -> str:
    data, _ = mailbox.read_output(output)
    return transcript.tail(
        transcript.decode(data[-4 * _TAIL_CHARACTERS :]), lines=_TAIL_LINES, characters=_TAIL_CHARACTERS
    )


def _tell(bench: Bench, checkpoint: Checkpoint, attempt: Attempt) -> None:
    cause = attempt.diagnosis.cause
    names = _names(checkpoint, attempt.number)
    for leaked in (*attempt.exit.leaked, *attempt.exit.survivors):
        words = f"{leaked.command} outlived {checkpoint.name}"
        bench.journal.emit("orxaq.leak", words, severity=Severity.WARN, attributes={**names, "process.pid": leaked.pid})
    bench.journal.emit(
        "orxaq.attempt.end",
        attempt.diagnosis.why,
        severity=Severity.INFO if cause is Cause.PASSED else Severity.ERROR,
        attributes={
            **names,
            "orxaq.cause": cause.value,
            "orxaq.checkpoint.duration": attempt.exit.duration,
            "orxaq.checkpoint.memory.peak": attempt.exit.resources.peak_memory or 0,
            "orxaq.checkpoint.cpu.time": attempt.exit.resources.cpu,
            "orxaq.tests": attempt.evidence.counts.total,
        },
    )


def _names(checkpoint: Checkpoint, number: int) -> dict[str, str | int]:
    return {
        "cicd.pipeline.task.name": checkpoint.name,
        "cicd.pipeline.task.run.id": f"{checkpoint.name}#{number}",
        "orxaq.checkpoint.name": checkpoint.name,
        "orxaq.checkpoint.attempt": number,
    }
