"""The last words of test runners: the weakest evidence that tests ran, and often the only one.

A line counts only when it is, whole, in the exact shape in which its runner prints it; colours are ignored.
Whatever runs under test may print such a line too, so nothing stronger than "probably ran" follows from one.

Each reader below is told every line that starts like a closing line. Lines that are longer than any runner
prints are skipped unread, and no pattern can backtrack far, so the time is linear in the text.
"""

import re

from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from functools import cache

from ..model import ClosingLine, Counts


_LONGEST_LINE = 1000

# What a line may start with (blanks aside) to be worth a reader's look.
_STARTS = (
    *"0123456789=#ℹ[?",
    *("no ", "Ran ", "OK", "FAIL", "NO TESTS", "ok ", "not ok ", "Bail out!", "--- ", '{"Time"', "test result:"),
    *("Finished ", "running ", "Summary ", "Starting ", "Test", "RUN ", "Errors ", "T E S T S", "PHPUnit "),
    *("No tests", "ERRORS!", "WARNINGS!", "Files=", "Result: ", "orxaq: "),
)

_OPENINGS = (
    ("pytest", r"=+ test session starts(?: \(.*\))? =+"),
    ("cargo test", r"running \d+ tests?"),
    ("nextest", r" +Starting \d+ tests? across \d+ binar(?:y|ies).*"),
    ("vitest", r" (?:RUN|DEV)  v\d\S* .*"),
    ("surefire", r"(?:\[INFO\] +)? ?T E S T S"),
    ("ctest", r"Test project .+"),
    ("phpunit", r"PHPUnit \d\S* by Sebastian Bergmann and contributors\."),
)


def closing_lines(text: str) -> tuple[ClosingLine, ...]:
    """Every test runner's closing line in an output, in order of appearance."""
    page = _Page()
    readers = _readers()
    for page.offset, page.line in _lines(text):
        page.ordinal += 1
        if not page.line.lstrip().startswith(_STARTS) and "(Wstat: " not in page.line:
            continue
        page.note_opening()
        for reader in readers:
            reader(page)
    return tuple(page.closed)


class _Page:
    """The line being read, and what was understood of the lines before it."""

    def __init__(self) -> None:
        self.closed: list[ClosingLine] = []
        self.line = ""
        self.offset = 0
        self.ordinal = 0  # among the lines that are not blank
        self._opened: dict[str, int] = {}

    def match(self, pattern: str) -> re.Match[str] | None:
        """The whole line, if it has this shape."""
        return _shape(pattern).fullmatch(self.line)

    def note_opening(self) -> None:
        for runner, pattern in _OPENINGS:
            if self.match(pattern):
                self._opened.setdefault(runner, self.offset)

    def close(self, runner: str, counts: Counts, *, line: str = "", offset: int = -1) -> None:
        """A run ended with this line, or with the one given where this one says little."""
        self.closed.append(
            ClosingLine(
                runner=runner,
                line=line or self.line.strip(),
                counts=counts,
                offset=self.offset if offset < 0 else offset,
                opened=self._opened.pop(runner, None),
            )
        )

    def extend(self, runner: str, counts: Counts) -> None:
        """The run that the last closing line told of went on, and its last word is this line."""
        if not self.last_is(runner):
            self.close(runner, counts)
            return
        self._opened.pop(runner, None)
        self.amend(runner, counts)
        self.closed[-1] = replace(self.closed[-1], line=self.line.strip(), offset=self.offset)

    def amend(self, runner: str, counts: Counts) -> None:
        """This line adds to the last closing line, if that is the same runner's."""
        if self.last_is(runner):
            self.closed[-1] = replace(self.closed[-1], counts=_sum(self.closed[-1].counts, counts))

    def supersede(self, runner: str, counts: Counts) -> None:
        """Drop what a lower layer said just before; never a failure that the upper layer does not admit."""
        while self.last_is(runner) and (counts.bad or not self.closed[-1].counts.bad):
            self.closed.pop()

    def last_is(self, runner: str) -> bool:
        """Whether the last closing line is this runner's."""
        return bool(self.closed) and self.closed[-1].runner == runner


_Reader = Callable[[_Page], None]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are neither blank nor too long, without colours, with the offset of the raw line's start."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        shown = start
        if "\r" in text[max(start, end - _LONGEST_LINE) : end - 1]:  # only what follows the last return is seen
            shown = text.rindex("\r", start, end - 1) + 1
        if end - shown <= _LONGEST_LINE:
            line = text[shown:end]
            if "\x1b" in line:
                line = _shape(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\([A-Z0-9])").sub("", line)
            line = line.rstrip()
            if line:
                yield shown, line
        start = end + 1


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    # Compiled at first use: most starts of the program read no output at all.
    return re.compile(pattern)


def _readers() -> tuple[_Reader, ...]:
    return (
        *(_pytest, _nextest, _ctest, _surefire, _gradle, _rspec, _bats, _orxaq),
        *(_Unittest(), _Cargo(), _Go(), _Jest(), _Vitest(), _Mocha(), _Tap(), _Node(), _PHPUnit(), _Prove()),
    )


def _sum(one: Counts, other: Counts) -> Counts:
    passed, failed, errors, skipped, xfailed, xpassed = (
        max(a + b, 0) for a, b in zip(astuple(one), astuple(other), strict=True)
    )
    return Counts(passed=passed, failed=failed, errors=errors, skipped=skipped, xfailed=xfailed, xpassed=xpassed)


def _of(ran: int, *, failed: int = 0, errors: int = 0, skipped: int = 0, xfailed: int = 0) -> Counts:
    """Counts where the runner tells a total and everything but the passed."""
    passed = max(ran - failed - errors - skipped - xfailed, 0)
    return Counts(passed=passed, failed=failed, errors=errors, skipped=skipped, xfailed=xfailed)


def _numbers(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(group or 0) for group in match.groups())


def _parts(text: str, separator: str) -> dict[str, int] | None:
    """``"1 failed, 2 passed"`` as ``{"failed": 1, "passed": 2}``; None if some part has another form."""
    parts: dict[str, int] = {}
    for part in text.split(separator):
        match = _shape(r"(\d{1,9}) ([a-z][a-z -]*)").fullmatch(part.strip())
        if not match:
            return None
        parts[match[2]] = parts.get(match[2], 0) + int(match[1])
    return parts


def _total(parts: dict[str, int], *words: str) -> int:
    return sum(parts.get(word, 0) for word in words)


# ---------------------------------------------------------------- one line says all


_PYTEST_WORDS = frozenset(
    [
        "passed",
        "failed",
        "error",
        "errors",
        "skipped",
        "xfailed",
        "xpassed",
        "deselected",
        "warning",
        "warnings",
        "rerun",
        "subtests passed",
        "subtests failed",
        "subtests skipped",
    ]
)
_PYTEST_TIME = r"(.+) in \d+(?:\.\d+)?(?:s| seconds)(?: \((?:\d+ days?, )?\d+:\d\d:\d\d\))?"


def _pytest(page: _Page) -> None:
    line = page.line
    if line.startswith("= " if line[1:2] == " " else "==") and line.endswith("="):
        line = line.strip("=").strip()
    match = _shape(_PYTEST_TIME).fullmatch(line)
    if not match or line[0] not in "0123456789n":
        return
    if _shape(r"no tests ran|(?:no|\d+|\d+/\d+) tests? collected(?:[ ,(].*)?").fullmatch(match[1]):
        collection_errors = _shape(r".*, (\d+) errors?").fullmatch(match[1])
        page.close("pytest", Counts(errors=int(collection_errors[1]) if collection_errors else 0))
        return
    parts = _parts(match[1], ",")
    if parts and not _PYTEST_WORDS.isdisjoint(parts):
        page.close("pytest", _pytest_counts(parts))


def _pytest_counts(parts: dict[str, int]) -> Counts:
    return Counts(
        passed=_total(parts, "passed"),
        failed=_total(parts, "failed", "subtests failed"),
        errors=_total(parts, "error", "errors"),
        skipped=_total(parts, "skipped"),
        xfailed=_total(parts, "xfailed"),
        xpassed=_total(parts, "xpassed"),
    )


def _nextest(page: _Page) -> None:
    match = page.match(r" +Summary \[ *[\d.]+s\] (?:\d+/)?\d+ tests? run: (.+)")
    parts = match and _parts(_shape(r" \([^()]*\)").sub("", match[1]), ",")
    if parts:
        failed = _total(parts, "failed", "timed out")
        skipped = _total(parts, "skipped")
        errors = _total(parts, "exec failed")
        page.close("nextest", Counts(passed=_total(parts, "passed"), failed=failed, errors=errors, skipped=skipped))


def _ctest(page: _Page) -> None:
    if page.line == "No tests were found!!!":
        page.close("ctest", Counts())
    if match := page.match(r"\d+% tests passed(?:, (\d+) tests? failed)? out of (\d+)"):
        failed, total = _numbers(match)
        page.close("ctest", _of(total, failed=failed))
    elif page.match(r"\t +\d+ - .+ \(Skipped\).*"):  # listed below, and counted among the passed above
        page.amend("ctest", Counts(passed=-1, skipped=1))


def _surefire(page: _Page) -> None:
    """The total of a module; the lines of its classes go on with the time that each took."""
    shape = r"(?:\[(?:INFO|WARNING|ERROR)\] +)?Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)"
    if match := page.match(shape + r"(?:, Flakes: \d+)?"):
        ran, failed, errors, skipped = _numbers(match)
        page.close("surefire", _of(ran, failed=failed, errors=errors, skipped=skipped))


def _gradle(page: _Page) -> None:
    """Gradle counts only when something failed; ``BUILD SUCCESSFUL`` says nothing of tests."""
    if match := page.match(r"(\d+) tests? completed(?:, (\d+) failed)?(?:, (\d+) skipped)?"):
        total, failed, skipped = _numbers(match)
        page.close("gradle", _of(total, failed=failed, skipped=skipped))


def _rspec(page: _Page) -> None:
    shape = r"(\d+) examples?, (\d+) failures?(?:, (\d+) pending)?(?:, (\d+) errors? occurred outside of examples)?"
    if match := page.match(shape):
        total, failed, pending, errors = _numbers(match)
        counts = Counts(passed=max(total - failed - pending, 0), failed=failed, errors=errors, skipped=pending)
        page.close("rspec", counts)


def _bats(page: _Page) -> None:
    shape = r"(\d+) tests?, (\d+) failures?(?:, (\d+) skipped)?(?:, (\d+) not run)?(?: in \d+ seconds?)?"
    if match := page.match(shape):
        total, failed, skipped, not_run = _numbers(match)
        page.close("bats", _of(total, failed=failed, errors=not_run, skipped=skipped))


def _orxaq(page: _Page) -> None:
    """A gate inside the gate."""
    shape = r"orxaq: (?:\S+ )?(passed|flaky|failed|unproven|infrastructure|timed-out|skipped|cancelled): (.+)"
    match = page.match(shape)
    tests = match and _shape(r"(?:.*\()?(\d{1,9}) tests?\)?").fullmatch(match[2])
    if not match or not tests:
        return
    if match[1] in {"passed", "flaky"}:
        page.close("orxaq", Counts(passed=int(tests[1])))
    elif match[1] == "skipped":
        page.close("orxaq", Counts())
    else:
        page.close("orxaq", _of(max(int(tests[1]), 1), errors=1))


# ---------------------------------------------------------------- several lines say it together


class _Unittest:
    """unittest and nose2: ``Ran 3 tests in 0.1s``, a blank line, and the verdict."""

    def __init__(self) -> None:
        self._ran = 0
        self._ordinal = -1

    def __call__(self, page: _Page) -> None:
        if match := page.match(r"Ran (\d+) tests? in [\d.]+s"):
            self._ran, self._ordinal = int(match[1]), page.ordinal
        elif page.ordinal == self._ordinal + 1 and (
            match := page.match(
                r"(OK|FAILED|NO TESTS RAN)(?: \(([a-z]+(?: [a-z]+)?=\d+(?:, [a-z]+(?: [a-z]+)?=\d+)*)\))?"
            )
        ):
            page.close("unittest", self._counts(match))

    def _counts(self, match: re.Match[str]) -> Counts:
        said = dict(part.split("=") for part in (match[2] or "").split(", ") if part)
        failed = int(said.get("failures", 0)) + int(said.get("unexpected successes", 0))
        errors = int(said.get("errors", 0))
        errors += match[1] == "FAILED" and not failed + errors
        skipped, xfailed = int(said.get("skipped", 0)), int(said.get("expected failures", 0))
        return _of(self._ran, failed=failed, errors=errors, skipped=skipped, xfailed=xfailed)


class _Cargo:
    """One closing line an invocation: the sum over its test binaries and doc tests."""

    def __init__(self) -> None:
        self._begins = True

    def __call__(self, page: _Page) -> None:
        match = page.match(
            r"test result: (ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; (\d+) measured"
            r"(?:; \d+ filtered out)?(?:; finished in [\d.]+s)?"
        )
        if match:
            passed, failed, ignored, measured = (int(number) for number in match.groups()[1:])
            silent = match[1] == "FAILED" and not failed
            counts = Counts(passed=passed + measured, failed=failed, errors=int(silent), skipped=ignored)
            (page.close if self._begins else page.extend)("cargo test", counts)
            self._begins = False
        elif page.match(r" +Finished .+ target\(s\) in .+"):  # it was built, and begins to run
            self._begins = True


class _Go:
    """go test: a line a package, summed over packages; with ``-v`` and ``-json`` a line a test (subtests left out).

    A plain ``ok`` says only that something ran: it counts as one test.
    """

    def __init__(self) -> None:
        self._tests = Counts()

    def __call__(self, page: _Page) -> None:
        if match := page.match(r"--- (PASS|FAIL|SKIP): \S+ \([\d.]+s\)"):
            self._add(match[1].lower())
        elif match := page.match(r"(ok  |FAIL|\?   )\t\S+(?:[\t ](.*))?"):
            self._package(page, match[1].strip(), match[2] or "")
        elif match := page.match(
            r'\{"Time":"[^"]*","Action":"(pass|fail|skip)","Package":"[^"]*"(?:,"Test":"([^"/]*)")?'
            r'(?:,"Elapsed":[\d.e+-]+)?(?:,"FailedBuild":"[^"]*")?\}'
        ):
            if match[2] is not None:
                self._add(match[1])
            else:
                self._end(page, broken=match[1] == "fail")

    def _add(self, word: str) -> None:
        one = {"pass": Counts(passed=1), "fail": Counts(failed=1), "skip": Counts(skipped=1)}[word]
        self._tests = _sum(self._tests, one)

    def _package(self, page: _Page, word: str, rest: str) -> None:
        if word == "ok":
            match = _shape(r"(?:\(cached\)|[\d.]+s)(?:\tcoverage: [^\[]*)?( ?\[no tests to run\])?").fullmatch(rest)
            if not match:
                return
            if not match[1] and not self._tests.total:
                self._tests = Counts(passed=1)
        self._end(page, broken=word == "FAIL")

    def _end(self, page: _Page, *, broken: bool) -> None:
        counts, self._tests = self._tests, Counts()
        if broken and not counts.bad:
            counts = replace(counts, errors=1)  # it did not build, or died outside of a test
        if counts.total or not page.last_is("go test"):  # a package without tests is nobody's last word
            page.extend("go test", counts)


class _Jest:
    """``Test Suites: 1 failed, 1 total`` and, below it, ``Tests: 1 failed, 2 passed, 3 total``."""

    def __init__(self) -> None:
        self._failed_suites = 0
        self._ordinal = -1

    def __call__(self, page: _Page) -> None:
        match = page.match(r"(Test Suites|Tests): +(.+ total)")
        parts = match and _parts(match[2], ",")
        if not match or parts is None:
            return
        if match[1] == "Test Suites":
            self._failed_suites, self._ordinal = _total(parts, "failed"), page.ordinal
        elif page.ordinal == self._ordinal + 1:
            page.close("jest", _script_counts(parts, self._failed_suites))


class _Vitest:
    """``Test Files  1 failed (1)``, ``Tests  1 failed | 2 passed (3)`` and perhaps ``Errors  1 error``."""

    def __init__(self) -> None:
        self._failed_files = 0
        self._ordinal = -1

    def __call__(self, page: _Page) -> None:
        if page.match(r" *Errors  \d+ errors?"):
            page.amend("vitest", Counts(errors=int(page.line.split()[1])))
            return
        match = page.match(r" *(Test Files|Tests)  (?:no tests|(.+) \(\d+\))")
        parts = match and (_parts(match[2], "|") if match[2] else {})
        if not match or parts is None:
            return
        if match[1] == "Test Files":
            self._failed_files, self._ordinal = _total(parts, "failed"), page.ordinal
        elif page.ordinal == self._ordinal + 1:
            page.close("vitest", _script_counts(parts, self._failed_files))


def _script_counts(parts: dict[str, int], failed_files: int) -> Counts:
    failed = _total(parts, "failed")
    skipped = _total(parts, "skipped", "todo")
    xfailed = _total(parts, "expected fail")
    errors = 0 if failed else failed_files  # a file that could not be loaded has no failed test
    return Counts(passed=_total(parts, "passed"), failed=failed, errors=errors, skipped=skipped, xfailed=xfailed)


class _Mocha:
    """``2 passing (5ms)``, and the lines right below it."""

    def __init__(self) -> None:
        self._ordinal = -1

    def __call__(self, page: _Page) -> None:
        if match := page.match(r"  (\d+) passing \(\d+(?:ms|s|m|h|d)\)"):
            page.close("mocha", Counts(passed=int(match[1])))
            self._ordinal = page.ordinal
        elif page.ordinal == self._ordinal + 1 and (match := page.match(r"  (\d+) (pending|failing)")):
            number = int(match[1])
            page.amend("mocha", Counts(skipped=number) if match[2] == "pending" else Counts(failed=number))
            self._ordinal = page.ordinal


class _Tap:
    """The Test Anything Protocol, as bats prints it into a pipe: a plan, and as many results as planned."""

    def __init__(self) -> None:
        self._restart(None)

    def _restart(self, planned: int | None) -> None:
        self._planned = planned
        self._seen = 0
        self._counts = Counts()

    def __call__(self, page: _Page) -> None:
        if match := page.match(r"(not )?ok (\d{1,9})(?: (.*))?"):
            self._result(int(match[2]), bad=bool(match[1]), said=match[3] or "")
        elif match := page.match(r"1\.\.(\d{1,9})(?: +#.*)?"):
            self._plan(int(match[1]))
        elif page.line.startswith("Bail out!"):
            self._restart(None)
        if self._planned == self._seen:
            page.close("tap", self._counts)
            self._restart(None)

    def _plan(self, planned: int) -> None:
        if self._planned is not None or self._seen != planned:  # a plan stands first or last
            self._restart(None)
        self._planned = planned

    def _result(self, number: int, *, bad: bool, said: str) -> None:
        if number == 1 and self._planned is None:
            self._restart(None)
        if number != self._seen + 1:
            self._restart(None)
            return
        self._seen += 1
        word = _shape(r"# *(skip|todo)\b").search(said.lower())
        one = Counts(skipped=1) if word else Counts(failed=1) if bad else Counts(passed=1)
        self._counts = _sum(self._counts, one)


class _Node:
    """``node --test``: ``tests 3`` to ``duration_ms 12.3``, each with a mark before it; it has no word for success."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}
        self._ordinal = -1
        self._line = ""
        self._offset = 0

    def __call__(self, page: _Page) -> None:
        match = page.match(r"[#ℹ] (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) (\d{1,12})(?:\.\d+)?")
        if not match:
            return
        if match[1] == "tests":
            self._said, self._line, self._offset = {}, page.line, page.offset
        elif page.ordinal != self._ordinal + 1:
            return
        self._said[match[1]] = int(match[2])
        self._ordinal = page.ordinal
        if match[1] == "duration_ms":
            counts = self._counts()
            page.supersede("tap", counts)
            page.close("node", counts, line=self._line, offset=self._offset)

    def _counts(self) -> Counts:
        said = self._said
        return Counts(
            passed=_total(said, "pass"),
            failed=_total(said, "fail"),
            errors=_total(said, "cancelled"),
            skipped=_total(said, "skipped", "todo"),
        )


class _PHPUnit:
    """``OK (3 tests, 4 assertions)``, or a verdict in words with ``Tests: 3, Assertions: 4, Failures: 1.`` below."""

    def __init__(self) -> None:
        self._ordinal = -1

    def __call__(self, page: _Page) -> None:
        if page.line == "No tests executed!":
            page.close("phpunit", Counts())
        elif match := page.match(r"OK \((\d+) tests?, \d+ assertions?\)"):
            page.close("phpunit", Counts(passed=int(match[1])))
        elif page.match(r"(?:FAILURES|ERRORS|WARNINGS)!|OK, but .+!"):
            self._ordinal = page.ordinal
        elif page.ordinal == self._ordinal + 1 and page.match(r"Tests: \d+, Assertions: \d+(?:, [A-Za-z ]+: \d+)*\."):
            said = {word: int(number) for word, number in (part.split(": ") for part in page.line[:-1].split(", "))}
            skipped = _total(said, "Skipped", "Incomplete")
            counts = _of(said["Tests"], failed=said.get("Failures", 0), errors=said.get("Errors", 0), skipped=skipped)
            page.close("phpunit", counts)


class _Prove:
    """``Files=1, Tests=3, …`` and ``Result: PASS`` right below; failures from the summary above."""

    def __init__(self) -> None:
        self._failed = 0
        self._tests = 0
        self._ordinal = -1

    def __call__(self, page: _Page) -> None:
        if match := page.match(r"\S.* \(Wstat: .* Tests: \d+ Failed: (\d+)\)"):
            self._failed += int(match[1])
        elif match := page.match(r"Files=\d+, Tests=(\d+), .*"):
            self._tests, self._ordinal = int(match[1]), page.ordinal
        elif page.ordinal == self._ordinal + 1 and (match := page.match(r"Result: (PASS|FAIL|NOTESTS)")):
            silent = match[1] == "FAIL" and not self._failed
            counts = _of(self._tests, failed=self._failed, errors=int(silent))
            page.supersede("tap", counts)
            page.close("prove", counts)
            self._failed = 0
