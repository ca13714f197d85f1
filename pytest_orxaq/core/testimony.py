"""Read a witness's journal, and see which failures a later session of the same thing took back.

The journal's form is told in ``carried/orxaq_witness_py3.py``. Tests can write to the mailbox too, so every line is
doubted: what does not fit is *damage*, and a damaged session proves nothing.
"""

import json
import re

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite

from ..model import Counts, Failure, Section, Session, TestOutcome, TestResult


_COUNTED = tuple(each.name for each in fields(Counts))
_RERUN_FLAGS = re.compile(
    r"--(lf|last-failed|ff|failed-first|nf|new-first|sw|stepwise|sw-skip|stepwise-skip|sw-reset|stepwise-reset)$"
)
_RERUN_CHOICE = re.compile(r"--(lfnf|last-failed-no-failures)(=.*)?$", re.DOTALL)
_VALUELESS = re.compile(r"-[qvxsl]+$")


def read(lines: Iterable[bytes], *, name: str, nonce: str) -> Session:
    """What a journal says; never raises, whatever the bytes are."""
    reading = _Reading(nonce=nonce)
    for line in lines:
        if reading.torn:
            reading.doubt("a line is torn")
        if not line.endswith(b"\n"):
            reading.torn = True  # cut off while it was written: the last line may be
        else:
            reading.take(_parsed(line))
        if reading.foreign:
            break
    return reading.session(name)


def clean(session: Session) -> bool:
    """Whether a session alone is without blame: closed, whole, all that was collected ended well."""
    return (
        session.closed_at is not None
        and not session.damage
        and session.collected == len(session.passed) + len(session.others)
        and not (session.running or session.missing or session.repeated or session.internal_errors)
        and not any(result.outcome.bad for result in session.others)
    )


def recovered(sessions: Iterable[Session]) -> tuple[tuple[TestResult, ...], tuple[TestResult, ...]]:
    """Bad results that stand, and those that passed when run again: by a plugin, or in a later session."""
    top = [session for session in sessions if not session.nested]
    standing: list[TestResult] = []
    passed_later: list[TestResult] = []
    for session in top:
        reruns = [later for later in top if _reruns(later, session)]
        for result in session.others:
            if result.outcome.bad:
                again = any(result.id in later.passed and result.id not in later.repeated for later in reruns)
                (passed_later if again else standing).append(result)
        passed_later += [result for result in session.again if result.id in session.passed]
    return tuple(standing), tuple(passed_later)


def _reruns(later: Session, earlier: Session) -> bool:
    """Whether one session is, beyond doubt, another one's rerun."""
    return (
        earlier.closed_at is not None
        and later.opened_at >= earlier.closed_at
        and later.closed_at is not None
        and not (later.damage or later.internal_errors)
        and _matrix(later) == _matrix(earlier)
    )


def _matrix(session: Session) -> tuple[object, ...]:
    """What two sessions share that test the same thing in the same way."""
    return (
        session.python,
        session.python_version,
        session.prefix,
        session.packages,
        session.pytest_version,
        session.root,
        session.directory,
        session.environment,
        _without_selection(session.arguments),
    )


def _without_selection(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command line without what a rerun may change: --lf and its kin, and node ids."""
    kept: list[str] = []
    previous, skip = "", False
    for argument in arguments:
        choice = _RERUN_CHOICE.match(argument)
        # After another option it may be that option's value, and "-o x=a::b" is not "-o x=c::d".
        positional = not previous.startswith("-") or _VALUELESS.match(previous) or _RERUN_FLAGS.match(previous)
        node_id = "::" in argument and not argument.startswith("-") and positional
        if not (skip or choice or node_id or _RERUN_FLAGS.match(argument)):
            kept.append(argument)
        previous, skip = argument, choice is not None and choice[2] is None
    return tuple(kept)


# ------------------------------------------------------------------ reading


class _Odd(Exception):  # noqa: N818  # never leaves this module
    """A line that no witness writes."""


def _parsed(line: bytes) -> list[object]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    return record if isinstance(record, list) and record else [None]


@dataclass(slots=True, kw_only=True)
class _Reading:
    """A journal read so far."""

    nonce: str
    lines: int = 0
    torn: bool = False
    foreign: bool = False  # nothing in it is ours
    damage: str = ""
    header: Mapping[str, object] | None = None
    finish: Mapping[str, object] | None = None
    collected: int | None = None
    collectors: int = 0
    started: dict[str, None] = field(default_factory=dict)  # in order
    passed: dict[str, float] = field(default_factory=dict)
    others: dict[str, TestResult] = field(default_factory=dict)
    again: dict[str, TestResult] = field(default_factory=dict)
    repeated: dict[str, None] = field(default_factory=dict)
    internal_errors: list[str] = field(default_factory=list)

    def doubt(self, why: str) -> None:
        """Note damage; the first one is the one that tells."""
        self.damage = self.damage or why

    def take(self, record: list[object]) -> None:
        """Read one line."""
        self.lines += 1
        try:
            self._take(record[0], record[1:])
        except (_Odd, IndexError, OverflowError):
            self.doubt(f"line {self.lines} is not the witness's")

    def _take(self, kind: object, rest: list[object]) -> None:
        if (self.lines == 1) is not (kind == "session"):
            self.foreign = self.lines == 1
            self.doubt("it does not begin with its header" if self.foreign else "it has several headers")
        elif self.finish is not None:
            self.doubt("it goes on after its end")
        else:
            take = _KINDS.get(kind) if isinstance(kind, str) else None
            if take is None:
                raise _Odd
            take(self, rest)

    def open(self, rest: list[object]) -> None:
        self.header = _mapping(rest[0])
        self.foreign = self.header.get("nonce") != self.nonce
        if self.foreign:
            self.doubt("it is not of this attempt")

    def collect(self, rest: list[object]) -> None:
        if self.collected is not None:
            self.doubt("it counts the collected tests twice")
        self.collected = _count(rest[0])

    def start(self, rest: list[object]) -> None:
        self.started[_text(rest[0])] = None

    def end(self, rest: list[object]) -> None:
        id, seconds = _text(rest[0]), _seconds(rest[2])
        self.started.pop(id, None)
        if rest[1] != TestOutcome.PASSED:
            self._file(_result(id, _text(rest[1]), seconds, _mapping(rest[3])))
        elif id in self.passed or id in self.others:
            self.repeated[id] = None
        else:
            self.passed[id] = seconds

    def try_again(self, rest: list[object]) -> None:
        id = _text(rest[0])
        self.again[id] = _result(id, TestOutcome.FAILED, 0.0, _mapping(rest[1]))

    def end_collector(self, rest: list[object]) -> None:
        self.collectors += 1
        self._file(_result(_text(rest[0]), _text(rest[1]), 0.0, _mapping(rest[2])))

    def fail(self, rest: list[object]) -> None:
        self.internal_errors.append(_text(rest[0]))

    def stumble(self, rest: list[object]) -> None:
        self.doubt(f"the witness had trouble: {_text(rest[0])[:500]}")

    def _file(self, result: TestResult) -> None:
        """Keep a result that is no pass; of several with one id, the worst."""
        if result.id in self.passed or result.id in self.others:
            self.repeated[result.id] = None
            self.passed.pop(result.id, None)
        known = self.others.get(result.id)
        if known is None or not known.outcome.bad:
            self.others[result.id] = result

    def close(self, rest: list[object]) -> None:
        finish = _mapping(rest[0])
        self.finish = finish
        _seconds(finish.get("closed_at"))
        _count(finish.get("exit_status"))
        _texts(finish.get("missing", []))
        counts = _counts(finish.get("counts"))
        if _count(finish.get("lines")) != self.lines:
            self.doubt("lines are missing from it")
        elif self.header is not None and self.header.get("nested") is not True:
            self._balance(finish, counts)

    def _balance(self, finish: Mapping[str, object], counts: Counts) -> None:
        """Doubt a closing line that says something else than the lines before it."""
        ended = len(self.passed) + len(self.others)
        missing = _count(finish.get("missing_number"))
        if not self.repeated and counts.total != ended:
            self.doubt("its closing counts are not those of its tests")
        elif (missing > 0) is not bool(_texts(finish.get("missing", []))):
            self.doubt("its closing line contradicts itself")
        elif not self.repeated and self.collected is not None and self.collected - missing != ended - self.collectors:
            self.doubt("it collected other tests than it closed")
        elif missing == 0 and self.started:
            self.doubt("it closed while a test was running")

    # -------------------------------------------------------------- the result

    def session(self, name: str) -> Session:
        """The words for all of it."""
        header, finish = self.header or {}, self.finish or {}
        if self.header is None:
            self.doubt("it has no header")
        try:
            claimed = _claimed(header)
        except _Odd:
            self.doubt("its header is not the witness's")
            claimed = {}
        closed = self.finish is not None and not self.damage
        if self.torn and self.finish is not None:
            self.doubt("it goes on after its end")
            closed = False
        missing = _texts(finish.get("missing", [])) if closed else ()
        return Session(
            name=name,
            closed_at=_seconds(finish["closed_at"]) if closed else None,
            exit_status=_count(finish["exit_status"]) if closed else None,
            collected=None if self.collected is None else self.collected + self.collectors,
            passed=self.passed,
            others=tuple(self.others.values()),
            again=tuple(self.again.values()),
            running=tuple(self.started),  # in a closed session (it was interrupted) these are among the missing
            missing=missing,
            repeated=tuple(self.repeated),
            internal_errors=tuple(self.internal_errors),
            damage=self.damage,
            counts=_counts(finish["counts"]) if closed else Counts(),
            **claimed,  # type: ignore[arg-type]
        )


_KINDS: Mapping[str, Callable[[_Reading, list[object]], None]] = {
    "session": _Reading.open,
    "collected": _Reading.collect,
    "+": _Reading.start,
    "-": _Reading.end,
    "again": _Reading.try_again,
    "collect": _Reading.end_collector,
    "internal": _Reading.fail,
    "trouble": _Reading.stumble,
    "finish": _Reading.close,
}


def _claimed(header: Mapping[str, object]) -> dict[str, object]:
    """What a header says of its process."""
    texts = ("python", "python_version", "prefix", "packages", "pytest_version", "directory", "root", "environment")
    return {
        "pid": _count(header.get("pid", 0)),
        "nested": header.get("nested") is True,
        "arguments": _texts(header.get("arguments", [])),
        "opened_at": _seconds(header.get("opened_at", 0)),
        **{name: _text(header.get(name, "")) for name in texts},
    }


def _result(id: str, outcome: str, seconds: float, details: Mapping[str, object]) -> TestResult:
    try:
        known = TestOutcome(outcome)
    except ValueError:
        raise _Odd from None
    line = details.get("line")
    return TestResult(
        id=id,
        outcome=known,
        duration=seconds,
        failures=tuple(_failure(_mapping(each)) for each in _list(details.get("failures", []))),
        parameters=_pairs(details.get("parameters", [])),
        file=_text(details.get("file", "")),
        line=None if line is None else _count(line),
    )


def _failure(record: Mapping[str, object]) -> Failure:
    return Failure(
        phase=_text(record.get("phase", "")),
        exception=_text(record.get("exception", "")),
        message=_text(record.get("message", "")),
        traceback=_text(record.get("traceback", "")),
        sections=tuple(Section(title=title, text=text) for title, text in _pairs(record.get("sections", []))),
    )


def _counts(value: object) -> Counts:
    record = _mapping(value)
    return Counts(**{name: _count(record.get(name)) for name in _COUNTED})


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    pairs = [_list(each) for each in _list(value)]
    return tuple((_text(pair[0]), _text(pair[1])) for pair in pairs)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(value))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _Odd
    return value


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _Odd
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Odd
    # JSON can smuggle half a surrogate pair, which no file and no terminal takes.
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _Odd
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Odd
    seconds = float(value)
    if not isfinite(seconds) or seconds < 0:
        raise _Odd
    return seconds
