"""From an attempt's folder, output and exit to evidence and symptoms: every reader, in order."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from . import mailbox as mailboxes
from .core import closing, evidence, findings, junit, recipes, signatures, testimony, transcript
from .model import Checkpoint, ClosingLine, Evidence, EvidenceKind, Exit, Session, Symptoms


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
) -> tuple[Evidence, Symptoms]:
    """Evidence and symptoms of one attempt; *since* (wall clock) and *before* tell JUnit files of earlier ones."""
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
    return weighed, _symptoms(checkpoint, exit, data, sessions, lines, _makefile(top))


def _symptoms(
    checkpoint: Checkpoint,
    exit: Exit,
    data: bytes,
    sessions: tuple[Session, ...],
    lines: tuple[ClosingLine, ...],
    makefile: str,
) -> Symptoms:
    outside = transcript.outside_tests(data, exit, sessions, lines)
    text = transcript.decode(data)
    transient = signatures.transient_line(outside)
    failed = signatures.make_failures(text)
    deadly = [failure for failure in failed if failure.signal_name or failure.code in _DEADLY_CODES]
    real = [failure.line for failure in failed if not failure.ignored]
    words = findings.linter_words(text) if checkpoint.evidence is EvidenceKind.FINDINGS else ()
    return Symptoms(
        git_lock=signatures.git_lock_complaint(outside),
        transient=transient.line if transient else "",
        transient_advice=transient.advice if transient else "",
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
