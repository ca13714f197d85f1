"""What a report shows, in reading order; plain values that every format renders.

All text here is untrusted and as it was: making it harmless is the business of each format.
"""

from dataclasses import dataclass, field

from .tone import Step, Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and a value, with a share of 1 where a bar helps."""

    name: str
    value: str
    share: float | None = None
    tone: Tone = Tone.QUIET


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """A line of source code."""

    number: int
    text: str
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The source around a place, or why it cannot be shown."""

    place: str  # path:line
    function: str = ""
    lines: tuple[SourceLine, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A titled text to be folded."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureView:
    """One thing that went wrong in a test, in full."""

    phase: str
    exception: str
    message: str
    traceback: str
    excerpt: Excerpt | None = None
    sections: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """Failing tests of one cause; the first of them in full."""

    anchor: str
    exception: str
    message: str  # one line
    place: str
    total: int
    tests: tuple[str, ...]
    more: int  # tests not listed
    duration: str
    parameters: tuple[Fact, ...] = ()
    failures: tuple[FailureView, ...] = ()
    command: str = ""  # that reproduces it


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """A complaint of a linter."""

    place: str
    code: str
    message: str
    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One execution of a checkpoint."""

    number: int
    cause: str
    environmental: bool
    tone: Tone
    why: str
    line: str
    rule: str  # that knew the failure, and where; empty if none did
    started: str
    waited: str  # empty where nothing was waited for
    duration: str
    ending: str
    counts: str
    strength: str
    contradictions: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    groups: tuple[GroupView, ...] = ()
    recovered: tuple[GroupView, ...] = ()
    findings: tuple[FindingView, ...] = ()
    findings_total: int = 0
    resources: tuple[Fact, ...] = ()
    leaked: tuple[Fact, ...] = ()
    survivors: tuple[Fact, ...] = ()
    locks: tuple[Fact, ...] = ()  # what was done about git's locks
    slowest: tuple[Fact, ...] = ()
    details: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    output: str = ""
    output_note: str = ""
    failing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointView:
    """One checkpoint and what became of it."""

    anchor: str
    name: str
    command: str
    verdict: str
    tone: Tone
    why: str
    cause: str
    time: str
    counts: str
    attempts: tuple[AttemptView, ...] = ()
    stored: str = ""
    key: str = ""
    key_story: tuple[str, ...] = ()

    @property
    def last(self) -> AttemptView | None:
        """The attempt that decided."""
        return self.attempts[-1] if self.attempts else None

    @property
    def earlier(self) -> tuple[AttemptView, ...]:
        """The attempts before it."""
        return self.attempts[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list of names, cut where it is long."""

    title: str
    names: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report."""

    repository: str
    headline: str  # the verdict in one sentence
    verdict: str
    tone: Tone
    where: str  # branch and commit
    when: str
    steps: tuple[Step, ...]
    checkpoints: tuple[CheckpointView, ...]
    git: tuple[Fact, ...]
    paths: tuple[Listed, ...]
    machine: tuple[Fact, ...]
    limits: tuple[Fact, ...]
    tools: tuple[Fact, ...]
    parameters: tuple[Fact, ...]
    environment: tuple[Fact, ...]
    notes: tuple[str, ...]
    cuts: tuple[str, ...] = field(default=())  # what this report leaves out
    run: str = ""
    version: str = ""
    made: str = ""
