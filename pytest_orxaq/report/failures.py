"""Failing tests as a reader wants them: by cause, each cause once in full."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core.frames import Frame, frames, innermost_own
from ..core.grouping import FailureGroup, groups, leading
from ..core.redaction import Secrets
from ..model import Failure, TestResult
from .source import Sources
from .view import Excerpt, Fact, FailureView, GroupView, Text
from .words import brief, count, repeating, seconds, shortened


_GROUPS = 40  # shown in full
_NAMED = 200  # shown by name
_TESTS = 50  # listed in a group
_LONGEST_ID = 400
_TRACEBACK = (12_000, 6_000)
_MESSAGE = (3_000, 1_000)
_SECTION = (3_000, 6_000)
_FAILURES = 4  # of one test
_SECTIONS = 6
_PARAMETERS = 30


@dataclass(slots=True)
class Failures:
    """Makes the views, and remembers what had to be left out."""

    sources: Sources
    secrets: Secrets
    _cuts: list[str] = field(default_factory=list)

    @property
    def cuts(self) -> tuple[str, ...]:
        """What was left out, in sentences."""
        return tuple(self._cuts)

    def groups(
        self, results: Sequence[TestResult], anchor: str, *, since: float, full: bool, pytest: bool
    ) -> tuple[GroupView, ...]:
        """The results by cause; those beyond the bounds by name only, or not at all."""
        found = groups(results, self._place)
        if len(found) > _NAMED:
            tests = sum(len(group.results) for group in found[_NAMED:])
            self._cuts.append(f"{count(len(found) - _NAMED, 'cause')} with {count(tests, 'failing test')} left out.")
        detailed = _GROUPS if full else 5
        if full and len(found) > detailed:
            self._cuts.append(f"{count(min(len(found), _NAMED) - detailed, 'cause')} without traceback and output.")
        return tuple(
            self._group(group, f"{anchor}f{n}", since, full=n <= detailed, pytest=pytest)
            for n, group in enumerate(found[:_NAMED], 1)
        )

    def _place(self, failure: Failure) -> str:
        frame = self._frame(failure)
        # The function says it better than the line, which moves with every edit above it.
        return f"{self.sources.path_of(frame.path)}:{frame.function or frame.line}" if frame else ""

    def _frame(self, failure: Failure) -> Frame | None:
        return innermost_own(frames(failure.traceback), self.sources.knows)

    def _group(self, group: FailureGroup, anchor: str, since: float, *, full: bool, pytest: bool) -> GroupView:
        first = group.results[0]
        frame = self._frame(leading(first))
        ids = [result.id for result in group.results]
        return GroupView(
            anchor=anchor,
            exception=brief(group.exception, 120),
            message=brief(group.message),
            place=f"{self.sources.path_of(frame.path)}:{frame.line}" if frame else _stated_place(first),
            total=len(ids),
            tests=tuple(brief(id, _LONGEST_ID) for id in ids[:_TESTS]),
            more=max(0, len(ids) - _TESTS),
            duration=seconds(first.duration),
            parameters=tuple(
                Fact(name=brief(name, 100), value=shortened(value, 500))
                for name, value in first.parameters[:_PARAMETERS]
            ),
            failures=tuple(self._failure(first, f, since) for f in first.failures[:_FAILURES]) if full else (),
            command=repeating(ids) if pytest else "",
        )

    def _failure(self, result: TestResult, failure: Failure, since: float) -> FailureView:
        return FailureView(
            phase=brief(failure.phase, 40),
            exception=brief(failure.exception, 120),
            message=shortened(failure.message, *_MESSAGE),
            traceback=shortened(failure.traceback, *_TRACEBACK),
            excerpt=self._excerpt(result, failure, since),
            sections=tuple(
                Text(title=brief(section.title, 100), text=shortened(section.text, *_SECTION))
                for section in failure.sections[:_SECTIONS]
                if section.text.strip()
            ),
        )

    def _excerpt(self, result: TestResult, failure: Failure, since: float) -> Excerpt | None:
        frame = self._frame(failure)
        if frame is None and result.file and result.line:
            frame = Frame(path=result.file, line=result.line)
        return self.sources.excerpt(frame, since) if frame else None


def _stated_place(result: TestResult) -> str:
    if not result.file:
        return ""
    return f"{brief(result.file)}:{result.line}" if result.line else brief(result.file)
