"""A strict, streaming reader of JUnit XML, which trusts neither the file's bytes nor its counters.

There is no standard, so the tests are what is walked, not what is declared; the declared numbers can only
make a file less credible. Whatever the bytes are, the answer is a :class:`JUnitFile` and never an exception.
A parser that recovers from errors would show failed tests as passed: what stands before the first error is
kept, a test that it cuts through is an error, and the file's state says that the rest is unknown.
"""

import math
import re

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from xml.parsers import expat

from ..model import Counts, Failure, JUnitFile, JUnitState, Section, TestOutcome, TestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a file is read and kept. What is only long is cut; what is endless is refused."""

    depth: int = 64
    cases: int = 1_000_000
    size: int = 2 << 30  # bytes of the whole file
    token: int = 8 << 20  # bytes of one tag or comment
    head: int = 64 << 10  # characters kept of one text's beginning, and of an attribute
    tail: int = 16 << 10  # and of its end
    kept: int = 32 << 20  # characters kept of the whole file; beyond, of each text only the first line


# expat parses a token that grows over several feeds again from its start (CVE-2023-52425).
_FEED = 1 << 20

_CUT_OFF = frozenset(
    {
        3,  # XML_ERROR_NO_ELEMENTS: the end came before the root was closed
        5,  # XML_ERROR_UNCLOSED_TOKEN
        6,  # XML_ERROR_PARTIAL_CHAR
        20,  # XML_ERROR_UNCLOSED_CDATA_SECTION
    }
)
_FORMATS = {
    "TestRun": "Visual Studio TRX",
    "test-results": "NUnit 2",
    "test-run": "NUnit 3",
    "assemblies": "xUnit.net",
    "test-suite": "Allure 1",
    "testng-results": "TestNG",
    "coverage": "a coverage report",
    "Site": "CTest",
    "html": "HTML",
}
_BAD = {"failure": TestOutcome.FAILED, "error": TestOutcome.ERROR}
# Children that tell of another attempt of the same test: not its outcome, but they explain counters.
_ATTEMPTS = frozenset({"flakyFailure", "flakyError", "rerunFailure", "rerunError"})
_OUTPUTS = {"system-out": "stdout", "system-err": "stderr"}
_STATUS = {
    **dict.fromkeys(("failed", "fail", "failure"), TestOutcome.FAILED),
    **dict.fromkeys(("error", "errored", "broken"), TestOutcome.ERROR),
    **dict.fromkeys(
        ("", "run", "passed", "pass", "ok", "success", "successful", "completed", "complete", "executed", "finished"),
        TestOutcome.PASSED,
    ),
}  # any other word, as notrun, disabled, suppressed: the test proves nothing, and accuses nobody


def read(chunks: Iterable[bytes], *, path: str, limits: Limits | None = None) -> JUnitFile:
    """What one JUnit file says, and how far it can be believed."""
    walk = _Walk(limits or Limits())
    state, why = _parse(chunks, walk)
    walk.abandon(why)
    if state is JUnitState.OK and walk.inconsistent:
        state, why = JUnitState.INCONSISTENT, walk.inconsistent
    return JUnitFile(
        path=path,
        state=state,
        why=why,
        counts=_counts(walk),
        results=tuple(walk.results),
        again=tuple(walk.again),
        passed=frozenset(walk.passed) - {result.id for result in walk.results if result.outcome.bad},
    )


class _RefusedError(Exception):
    """The file is read no further."""

    def __init__(self, state: JUnitState, why: str) -> None:
        super().__init__(why)
        self.state = state
        self.why = why


def _parse(chunks: Iterable[bytes], walk: "_Walk") -> tuple[JUnitState, str]:
    parser = _parser(walk)
    fed = 0
    blank = True
    try:
        for chunk in _large(chunks):
            fed += len(chunk)
            blank = blank and not chunk.strip()
            if fed > walk.limits.size:
                raise _RefusedError(JUnitState.REFUSED, f"it is larger than {walk.limits.size} bytes")
            parser.Parse(chunk, False)
            if fed - max(parser.CurrentByteIndex, 0) > walk.limits.token:
                raise _RefusedError(JUnitState.REFUSED, f"one tag is longer than {walk.limits.token} bytes")
        if blank:
            return JUnitState.EMPTY, "it is empty" if not fed else "there is nothing but blanks in it"
        parser.Parse(b"", True)
    except _RefusedError as refused:
        return refused.state, refused.why
    except expat.ExpatError as error:
        return _broken(error, walk)
    except (LookupError, ValueError) as error:  # from Python's table of encodings
        return JUnitState.REFUSED, f"its encoding cannot be read: {error}"
    return JUnitState.OK, ""


def _broken(error: expat.ExpatError, walk: "_Walk") -> tuple[JUnitState, str]:
    said = expat.ErrorString(error.code)
    where = f"line {error.lineno}, column {error.offset + 1}"
    if error.code in _CUT_OFF:
        return JUnitState.TRUNCATED, f"it ends at {where}, after {walk.complete} complete tests ({said})"
    return (
        JUnitState.MALFORMED,
        f"it is not well-formed XML from {where} on, after {walk.complete} complete tests: {said}",
    )


def _large(chunks: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= _FEED:
            whole = b"".join(gathered)
            gathered, size = [], 0
            yield from (whole[start : start + _FEED] for start in range(0, len(whole), _FEED))
    yield b"".join(gathered)


def _parser(walk: "_Walk") -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.buffer_size = 64 << 10
    parser.StartDoctypeDeclHandler = walk.doctype
    parser.StartElementHandler = walk.start
    parser.EndElementHandler = walk.end
    parser.CharacterDataHandler = walk.text
    return parser


# ---------------------------------------------------------------- the walk


@dataclass(slots=True)
class _Suite:
    """An element that holds test cases: what it declares against what is in it."""

    name: str
    declared: int
    bad: int = 0
    attempts: int = 0


@dataclass(slots=True)
class _Case:
    """A test whose element is open."""

    attributes: Mapping[str, str]
    depth: int
    failures: list[Failure] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    again: list[Failure] = field(default_factory=list)  # of earlier attempts
    outcome: TestOutcome | None = None


class _Text:
    """The head and the tail of a text that may be endless."""

    __slots__ = ("_end", "_head", "_omitted", "_room", "_tail")

    def __init__(self, head: int, tail: int) -> None:
        self._head: list[str] = []
        self._room = head
        self._tail = tail
        self._end = ""
        self._omitted = 0

    def add(self, text: str) -> None:
        kept = text[: self._room]
        if kept:
            self._head.append(kept)
            self._room -= len(kept)
        rest = text[len(kept) :]
        if rest:
            end = self._end + rest
            self._end = end[-self._tail :] if self._tail else ""
            self._omitted += len(end) - len(self._end)

    def __str__(self) -> str:
        cut = f"\n[... {self._omitted} characters left out ...]\n" if self._omitted else ""
        return "".join(self._head) + cut + self._end


class _Walk:
    """The handlers: where in the document we are, and what was found so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cases = 0
        self.results: list[TestResult] = []
        self.again: list[TestResult] = []
        self.passed: list[str] = []
        self.inconsistent = ""
        self._depth = 0
        self._suites: list[tuple[int, _Suite]] = []
        self._cases: list[_Case] = []
        self._text: _Text | None = None
        self._text_depth = 0
        self._open: tuple[str, Mapping[str, str]] = ("", {})
        self._kept = 0
        self._pytest = False

    @property
    def complete(self) -> int:
        """How many tests were read to their end."""
        return self.cases - len(self._cases)

    # -- what expat calls

    def doctype(self, *_: object) -> None:
        raise _RefusedError(JUnitState.REFUSED, "it has a document type declaration (DOCTYPE), which no report needs")

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        tag = qualified.rpartition(" ")[2]
        self._depth += 1
        if self._depth == 1 and tag not in {"testsuites", "testsuite"}:
            known = f", which is {_FORMATS[tag]}" if tag in _FORMATS else ""
            raise _RefusedError(JUnitState.NOT_JUNIT, f"its root element is <{tag[:100]}>{known}")
        if self._depth > self.limits.depth:
            raise _RefusedError(JUnitState.REFUSED, f"its elements are nested more than {self.limits.depth} deep")
        if tag == "testcase":
            self._start_case(attributes)
        elif tag in {"testsuite", "testsuites"}:
            self._start_suite(attributes)
        elif tag in _ATTEMPTS:
            for _, suite in self._suites:
                suite.attempts += 1
            if self._tells(tag):
                self._start_text(tag, attributes)
        elif self._tells(tag):
            self._start_text(tag, attributes)

    def end(self, _qualified: str) -> None:
        if self._text is not None and self._depth == self._text_depth:
            self._end_text()
        elif self._cases and self._depth == self._cases[-1].depth:
            self._end_case(self._cases.pop())
        elif self._suites and self._depth == self._suites[-1][0]:
            self._end_suite(self._suites.pop()[1])
        self._depth -= 1

    def text(self, data: str) -> None:
        if self._text is not None:
            self._text.add(data)

    def abandon(self, why: str) -> None:
        """The document ended inside these tests: what became of them is not known."""
        while self._cases:
            case = self._cases.pop()
            case.failures.append(
                Failure(phase="", exception="", message=f"Unfinished in the report: {why}", traceback="")
            )
            self._end_case(replace(case, outcome=TestOutcome.ERROR))

    # -- what it means

    def _tells(self, tag: str) -> bool:
        """Whether this child decides about, or belongs to, the open case or suite."""
        if self._text is not None:
            return False
        if self._cases:
            known = tag in _BAD or tag in _OUTPUTS or tag in _ATTEMPTS or tag == "skipped"
            return known and self._depth == self._cases[-1].depth + 1
        return tag in _BAD and self._depth == self._suites[-1][0] + 1

    def _start_suite(self, attributes: Mapping[str, str]) -> None:
        name = attributes.get("name", "")
        self._pytest = self._pytest or name in {"pytest", "pytest tests"}
        declared = _integer(attributes.get("failures")) + _integer(attributes.get("errors"))
        self._suites.append((self._depth, _Suite(name[: self.limits.head], declared)))

    def _start_case(self, attributes: Mapping[str, str]) -> None:
        if self.cases >= self.limits.cases:
            raise _RefusedError(JUnitState.REFUSED, f"it has more than {self.limits.cases} tests")
        self.cases += 1
        self._cases.append(_Case(attributes, self._depth))

    def _start_text(self, tag: str, attributes: Mapping[str, str]) -> None:
        generous = self._kept < self.limits.kept
        self._text = _Text(self.limits.head, self.limits.tail) if generous else _Text(200, 0)
        self._text_depth = self._depth
        self._open = (tag, attributes)

    def _end_text(self) -> None:
        (tag, attributes), text = self._open, str(self._text)
        self._text = None
        self._kept += len(text)
        if tag in _OUTPUTS:
            self._cases[-1].sections.append(Section(title=_OUTPUTS[tag], text=text))
        elif tag in _ATTEMPTS:
            self._cases[-1].again.append(self._failure(attributes, text))
        elif self._cases:
            self._judge(self._cases[-1], tag, self._failure(attributes, text))
        else:  # a suite that could not even begin
            self._note_bad()
            name = self._suites[-1][1].name or "(unnamed suite)"
            self.results.append(TestResult(id=name, outcome=_BAD[tag], failures=(self._failure(attributes, text),)))

    def _judge(self, case: _Case, tag: str, failure: Failure) -> None:
        if tag in _BAD:
            self._note_bad()
        outcome = _BAD.get(tag, TestOutcome.SKIPPED)
        if tag == "skipped" and failure.exception == "pytest.xfail":
            outcome = TestOutcome.XFAILED
        case.outcome = max(outcome, case.outcome or outcome, key=_rank)
        case.failures.append(failure)

    def _note_bad(self) -> None:
        for _, suite in self._suites:
            suite.bad += 1

    def _failure(self, attributes: Mapping[str, str], text: str) -> Failure:
        message = self._cut(attributes.get("message", ""))
        exception = attributes.get("type", "")[:1000]
        return Failure(phase=_phase(message), exception=exception, message=message, traceback=text)

    def _cut(self, attribute: str) -> str:
        room = self.limits.head if self._kept < self.limits.kept else 200
        self._kept += min(len(attribute), room)
        return attribute[:room]

    def _end_case(self, case: _Case) -> None:
        attributes = case.attributes
        outcome = case.outcome
        if outcome is None:
            outcome = _spoken(attributes)
            if outcome.bad:
                self._note_bad()
        name = _identity(attributes, self.limits.head)
        if outcome is TestOutcome.PASSED:
            self.passed.append(name)
            if case.again:
                self.again.append(TestResult(id=name, outcome=TestOutcome.FAILED, failures=tuple(case.again)))
            return
        failures = case.failures or [Failure(phase="", exception="", message=_said(attributes), traceback="")]
        failures[-1] = replace(failures[-1], sections=tuple(case.sections))
        self.results.append(
            TestResult(
                id=name,
                outcome=outcome,
                duration=_seconds(attributes.get("time", "")),
                failures=tuple(failures),
                file=attributes.get("file", "")[: self.limits.head],
                line=self._line(attributes.get("line", "")),
            )
        )

    def _line(self, text: str) -> int | None:
        # pytest counts lines from 0, everyone else from 1.
        return _integer(text) + self._pytest if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None

    def _end_suite(self, suite: _Suite) -> None:
        missing = suite.declared - suite.bad - suite.attempts
        if missing > 0 and not self.inconsistent:
            self.inconsistent = (
                f"the suite {suite.name[:200]!r} declares {suite.declared} failures and errors, "
                f"but its tests carry only {suite.bad}"
            )


# ---------------------------------------------------------------- small rules


def _rank(outcome: TestOutcome) -> int:
    return (TestOutcome.XFAILED, TestOutcome.SKIPPED, TestOutcome.FAILED, TestOutcome.ERROR).index(outcome)


def _spoken(attributes: Mapping[str, str]) -> TestOutcome:
    """The outcome of a test without a deciding child: passed, unless an attribute says otherwise."""
    said = [_STATUS.get(attributes.get(name, "").strip().lower(), TestOutcome.SKIPPED) for name in ("status", "result")]
    good = TestOutcome.SKIPPED if TestOutcome.SKIPPED in said else TestOutcome.PASSED
    return next((outcome for outcome in said if outcome.bad), good)


def _said(attributes: Mapping[str, str]) -> str:
    """What stands in for a message where a test has no deciding child."""
    words = (f'{name}="{attributes[name][:100]}"' for name in ("status", "result") if name in attributes)
    return f"The report says no more than {' '.join(words)}."


def _identity(attributes: Mapping[str, str], longest: int) -> str:
    classname = attributes.get("classname") or attributes.get("class", "")
    name = attributes.get("name", "")
    return "::".join(part[:longest] for part in (classname, name) if part) or "(unnamed test)"


def _phase(message: str) -> str:
    """Where pytest says that it happened; other producers do not."""
    for words, phase in (
        ("failed on setup with", "setup"),
        ("test setup failure", "setup"),
        ("failed on teardown with", "teardown"),
        ("test teardown failure", "teardown"),
        ("collection failure", "collect"),
    ):
        if message.startswith(words):
            return phase
    return ""


def _integer(text: str | None) -> int:
    """A count, leniently: some producers write ``1.0`` or ``1,234``, and nonsense counts nothing."""
    match = re.fullmatch(r"\s*(\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.0*)?\s*", text, re.ASCII) if text else None
    return int(match[1].replace(",", "")) if match else 0


def _seconds(text: str) -> float:
    """A duration, leniently: ``0.1``, ``0,1``, ``1,234.5``, ``1E-7``, ``0.1s``; nonsense and negatives are 0."""
    text = text.strip().removesuffix("s")
    text = text.replace(",", "") if "." in text else text.replace(",", ".")
    try:
        seconds = float(text[:50])
    except ValueError:
        return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _counts(walk: _Walk) -> Counts:
    number = dict.fromkeys(TestOutcome, 0)
    for result in walk.results:
        number[result.outcome] += 1
    return Counts(
        passed=len(walk.passed),
        failed=number[TestOutcome.FAILED],
        errors=number[TestOutcome.ERROR],
        skipped=number[TestOutcome.SKIPPED],
        xfailed=number[TestOutcome.XFAILED],
    )
