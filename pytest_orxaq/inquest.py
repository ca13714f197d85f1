"""From an attempt's folder, output and exit to evidence and symptoms: every reader, in order."""

import errno
import os
import signal

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from . import mailbox as mailboxes
from .core import closing, evidence, findings, junit, recipes, signatures, testimony, transcript
from .model import Checkpoint, Evidence, EvidenceKind, Exit, Rule, Signature, Symptoms


_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")  # in make's own order of preference
_FAULTS = (
    "Fatal Python error: Segmentation fault",
    "Fatal Python error: Aborted",
    "Fatal Python error: Bus error",
    "Fatal Python error: Illegal instruction",
    "Fatal Python error: Floating point exception",
    "Fatal Python error: Floating-point exception",
    "Segmentation fault",
    "Aborted",
    "Bus error",
    "Illegal instruction",
    "Floating point exception",
)


def hold(
    box: mailboxes.Mailbox,
    checkpoint: Checkpoint,
    exit: Exit,
    *,
    output: Path,
    top: Path,
    since: float,
    before: Mapping[Path, mailboxes.Seen],
    own: tuple[Rule, ...] = (),
) -> tuple[Evidence, Symptoms]:
    """Evidence and symptoms of one attempt; *since* (wall clock) and *before* tell JUnit files of earlier ones.

    *own* are the user's signatures.
    """
    data, unreadable = mailboxes.read_output(output)
    text = transcript.decode(data)
    sessions, notes = mailboxes.read_sessions(box)
    still_failing, recovered = testimony.recovered(sessions)
    lines = closing.closing_lines(text)
    found = findings.findings(text) if checkpoint.evidence is EvidenceKind.FINDINGS else ()
    weighed = evidence.weigh(
        sessions=sessions,
        still_failing=still_failing,
        recovered=recovered,
        junit=mailboxes.read_junit(box, checkpoint.junit, top, since_wall=since, before=before, read=junit.read),
        closing=lines,
        findings=found,
        notes=notes,
    )
    if unreadable and exit.output_size:
        words = f"the output was written and cannot be read again: {unreadable}"
        weighed = replace(weighed, contradictions=(*weighed.contradictions, words))
    symptoms = _symptoms(checkpoint, exit, text, _makefile(top))
    known = _recognised(checkpoint, exit, transcript.outside_tests(data, exit, sessions, lines), own)
    weighed = replace(weighed, notes=(*weighed.notes, *map(_told, known.passive)))
    return weighed, replace(symptoms, signature=known.decisive)


def _recognised(checkpoint: Checkpoint, exit: Exit, outside: str, own: tuple[Rule, ...]) -> signatures.Recognition:
    """What the rules make of it; what ended well is not looked at, and costs nothing."""
    if exit.code == 0:
        return signatures.Recognition()
    from .catalogue import shipped  # noqa: PLC0415 - reads files, which only a failure is worth

    facts = signatures.Facts(
        text=outside,
        program=Path(checkpoint.command[0]).name,
        exit=exit.code,
        signal=_signal_name(exit.signal),
        errno=_errno(exit.not_started),
    )
    return signatures.recognise(facts, shipped.in_force(own))


def _signal_name(number: int | None) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, "") if number is not None else ""


def _errno(words: str) -> str:
    """The name of the error with whose words a reason for not starting ends."""
    said = words.rpartition(": ")[2]
    return next((name for number, name in errno.errorcode.items() if said and os.strerror(number) == said), "")


def _told(known: Signature) -> str:
    where = f"line {known.number}: {known.line}" if known.line else known.fact
    return f"the passive signature {known.rule} applies and decides nothing: {where}"


def _symptoms(
    checkpoint: Checkpoint,
    exit: Exit,
    text: str,
    makefile: str,
) -> Symptoms:
    failed = signatures.make_failures(text)
    deadly = [failure for failure in failed if failure.signal_name or failure.code in _DEADLY_CODES]
    real = [failure.line for failure in failed if not failure.ignored]
    words = findings.linter_words(text) if checkpoint.evidence is EvidenceKind.FINDINGS else ()
    return Symptoms(
        make_signal=_signal(deadly[-1]) if deadly else "",
        make_signal_line=deadly[-1].line if deadly else "",
        make_failure=real[-1] if real else "",
        ignored_failure=next((failure.line for failure in failed if failure.ignored), ""),
        missing_target=signatures.missing_target(text) if _is_make(checkpoint) else "",
        nothing_done=signatures.nothing_done(text, checkpoint.command[-1]) if _is_make(checkpoint) else "",
        ran_nothing=exit.ran_nothing and _is_make(checkpoint),
        crash=next((line for line in reversed(text.splitlines()) if line.strip().startswith(_FAULTS)), ""),
        masked=recipes.masked(makefile, checkpoint.command[-1]) if _is_make(checkpoint) else "",
        clean_linter=next((word.line for word in words if word.clean), ""),
        unclean_linter=next((word.line for word in words if not word.clean), ""),
    )


_DEADLY_CODES = {128 + number for number in (4, 5, 6, 7, 8, 9, 11, 15, 31)}


def _signal(failure: signatures.MakeFailure) -> str:
    return failure.signal_name or str((failure.code or 0) - 128)


def _is_make(checkpoint: Checkpoint) -> bool:
    return Path(checkpoint.command[0]).name in {"make", "gmake"}


def _makefile(top: Path) -> str:
    """The text of the Makefile that make would read, or nothing."""
    for name in _MAKEFILES:
        path = top / name
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace")
    return ""
