"""The closing words of a run on a terminal."""

import textwrap

from ..core.escaping import plain
from ..core.frames import foreign, frames
from ..core.grouping import leading, meaningful_line
from ..model import Outcome, RunRecord, TestResult, Verdict
from .tone import Tone
from .verdicts import TONES, finished, headline, steps
from .words import brief, count, seconds


_FAILURES = 10
_NOTES = 5
_LINES = 5  # of the output of a command that was not run this time
_SIGNS = {Tone.GOOD: "✓", Tone.WARN: "!", Tone.BAD: "✗", Tone.QUIET: "·"}
_COLOURS = {Tone.GOOD: "32", Tone.WARN: "33", Tone.BAD: "31", Tone.QUIET: "2"}


def summary(record: RunRecord, *, width: int, colour: bool) -> str:
    """Verdict, checkpoints, failing tests, what to do and what to know; nothing in it steers the terminal but our own colours."""
    paint = _Paint(width=max(40, width), colour=colour)
    tone = TONES[record.verdict] if record.verdict and finished(record) else Tone.BAD
    lines = [*paint.wrapped(f"{_SIGNS[tone]} ", headline(record), style=f"1;{_COLOURS[tone]}"), ""]
    for outcome in record.outcomes:
        lines += _checkpoint(outcome, paint)
    todo = steps(record)
    if todo and tone is not Tone.GOOD:
        lines += ["", paint.styled("What to do", "1")]
        for step in todo:
            lines += paint.wrapped("  ", step.text)
            # A command is copied from here, so it is never broken over lines.
            lines += [f"    {plain(step.command)}"] if step.command else []
    lines += [""] * bool(record.notes)
    for note in record.notes[:_NOTES]:
        lines += paint.wrapped("note: ", note)
    lines += [f"… and {count(len(record.notes) - _NOTES, 'note')} more"] if len(record.notes) > _NOTES else []
    return "\n".join(lines) + "\n"


class _Paint:
    """Lays out and colours lines."""

    def __init__(self, *, width: int, colour: bool) -> None:
        self._width = width
        self._colour = colour

    def styled(self, text: str, style: str) -> str:
        """The text in a colour, where colours are wanted."""
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour and style else text

    def wrapped(self, lead: str, text: str, *, style: str = "") -> list[str]:
        """Lines no wider than the terminal, the later ones under the first."""
        said = brief(plain(text), 2_000)
        lines = textwrap.wrap(said, self._width - len(lead), break_on_hyphens=False) or [""]
        return [self.styled((lead if n == 0 else " " * len(lead)) + line, style) for n, line in enumerate(lines)]


def _checkpoint(outcome: Outcome, paint: _Paint) -> list[str]:
    tone = TONES[outcome.verdict]
    lines = paint.wrapped(f"  {_SIGNS[tone]} ", _told(outcome), style=_COLOURS[tone])
    last = outcome.attempts[-1] if outcome.attempts else None
    if last is None or tone is Tone.GOOD:
        return lines
    if outcome.replayed and not last.evidence.failures:
        # Elsewhere the output has just gone by.
        said = [line for line in last.output_tail.splitlines() if line.strip()]
        for line in said[-_LINES:]:
            lines += paint.wrapped("      ", brief(line), style=_COLOURS[Tone.QUIET])
    for test in last.evidence.running[:3]:
        lines += paint.wrapped("      ", f"running when it ended: {brief(test)}")
    for text in last.evidence.contradictions[:3]:
        lines += paint.wrapped("      ", f"contradiction: {brief(text)}")
    for result in last.evidence.failures[:_FAILURES]:
        lines += _failure(result, paint)
    recovered = last.evidence.recovered if outcome.verdict is Verdict.FLAKY else ()
    for result in recovered[:_FAILURES]:
        lines += _failure(result, paint)
    for found in last.evidence.findings[:_FAILURES] if tone is Tone.BAD else ():
        lines += paint.wrapped("      ", f"{found.path}:{found.line}: {found.code} {brief(found.message)}")
    rest = [
        (last.evidence.failures, "failing test"),
        (recovered, "flaky test"),
        (last.evidence.findings if tone is Tone.BAD else (), "finding"),
    ]
    lines += [f"      … and {count(len(all_) - _FAILURES, noun)} more" for all_, noun in rest if len(all_) > _FAILURES]
    return lines


def _told(outcome: Outcome) -> str:
    name = f"{outcome.checkpoint.name} {outcome.verdict}"
    if outcome.stored:
        return f"{name}: the same content passed before"
    if not outcome.attempts:
        return f"{name}: {brief(outcome.why)}"
    spent = sum(attempt.exit.duration + attempt.waited for attempt in outcome.attempts)
    tried = f", {len(outcome.attempts)} attempts" if len(outcome.attempts) > 1 else ""
    return f"{name} ({seconds(spent)}{tried}): {brief(outcome.why)}"


def _failure(result: TestResult, paint: _Paint) -> list[str]:
    failure = leading(result)
    own = [frame for frame in frames(failure.traceback) if not foreign(frame.path)]
    place = f"{own[-1].path}:{own[-1].line}: " if own else ""
    lines = paint.wrapped("      ", brief(result.id))
    said = f"{place}{meaningful_line(failure)}".strip()
    return lines + (paint.wrapped("        ", brief(said), style=_COLOURS[Tone.QUIET]) if said else [])
