"""Weigh what an attempt left behind: which evidence is strongest, and whether the pieces contradict each other."""

from collections.abc import Iterable

from ..model import (
    ClosingLine,
    Counts,
    Evidence,
    Finding,
    JUnitFile,
    JUnitState,
    Session,
    Strength,
    TestOutcome,
    TestResult,
)


SLOWEST = 10  # durations kept for people


def weigh(
    *,
    sessions: tuple[Session, ...] = (),
    still_failing: tuple[TestResult, ...] = (),
    recovered: tuple[TestResult, ...] = (),
    junit: tuple[JUnitFile, ...] = (),
    closing: tuple[ClosingLine, ...] = (),
    findings: tuple[Finding, ...] = (),
    notes: tuple[str, ...] = (),
) -> Evidence:
    """Everything an attempt left, as one value; *still_failing* and *recovered* are the fold over *sessions*."""
    own = tuple(session for session in sessions if not session.nested)
    read = tuple(file for file in junit if file.state is not JUnitState.MISSING)
    witnessed = _witnessed(own, still_failing)
    filed = _sum(file.counts for file in read if file.state is not JUnitState.STALE)
    unexplained = _unexplained(closing, sessions)
    claimed = _sum(line.counts for line in closing)
    strength, counts = _strongest(witnessed, filed, claimed)
    return Evidence(
        strength=strength,
        counts=counts,
        failures=still_failing + _filed_failures(read, still_failing, recovered),
        recovered=recovered + _filed_recoveries(read, own),
        # Also of a session that was interrupted and could still close: what ran then is what hung.
        running=tuple(test for session in own for test in session.running),
        contradictions=(*_session_doubts(own), *_junit_doubts(junit), *_closing_doubts(unexplained, strength)),
        findings=findings,
        closing=unexplained if strength > Strength.CLOSING_LINE else closing,
        junit=tuple(file.path for file in read),
        interpreters=_interpreters(own),
        notes=notes,
        durations=_slowest(own),
        cut_off=tuple(session.name for session in own if session.closed_at is None),
    )


def _strongest(witnessed: Counts, filed: Counts, claimed: Counts) -> tuple[Strength, Counts]:
    """The strongest kind of evidence that speaks of an executed test, else of any test, and what it counts."""
    ranking = ((Strength.WITNESS, witnessed), (Strength.JUNIT, filed), (Strength.CLOSING_LINE, claimed))
    for strength, counts in ranking:
        if counts.executed:
            return strength, counts
    return next(((strength, counts) for strength, counts in ranking if counts.total), (Strength.NONE, Counts()))


def _witnessed(sessions: tuple[Session, ...], still_failing: tuple[TestResult, ...]) -> Counts:
    """Tests by outcome over all sessions; of tests that failed, only those that no later session saw pass."""
    outcomes = [result.outcome for session in sessions for result in session.others if not result.outcome.bad]
    outcomes += [result.outcome for result in still_failing]
    return Counts(
        passed=sum(len(session.passed) for session in sessions),
        failed=outcomes.count(TestOutcome.FAILED),
        errors=outcomes.count(TestOutcome.ERROR),
        skipped=outcomes.count(TestOutcome.SKIPPED),
        xfailed=outcomes.count(TestOutcome.XFAILED),
        xpassed=outcomes.count(TestOutcome.XPASSED),
    )


def _sum(parts: Iterable[Counts]) -> Counts:
    total = Counts()
    for part in parts:
        total = Counts(
            passed=total.passed + part.passed,
            failed=total.failed + part.failed,
            errors=total.errors + part.errors,
            skipped=total.skipped + part.skipped,
            xfailed=total.xfailed + part.xfailed,
            xpassed=total.xpassed + part.xpassed,
        )
    return total


def _filed_failures(
    files: tuple[JUnitFile, ...], still_failing: tuple[TestResult, ...], recovered: tuple[TestResult, ...]
) -> tuple[TestResult, ...]:
    """Failures that only a JUnit file tells of."""
    known = {result.id for result in (*still_failing, *recovered)}
    return tuple(
        result
        for file in files
        if file.state is not JUnitState.STALE
        for result in file.results
        if result.outcome.bad and result.id not in known
    )


def _filed_recoveries(files: tuple[JUnitFile, ...], sessions: tuple[Session, ...]) -> tuple[TestResult, ...]:
    """Tests that passed when they were tried again, as only a JUnit file tells."""
    again = [result for file in files if file.state is not JUnitState.STALE for result in file.again]
    witnessed = {_as_filed(id) for session in sessions for id in session.passed} if again else set()
    return tuple(result for result in again if result.id not in witnessed)


def _as_filed(id: str) -> str:
    """What a pytest node id becomes in a JUnit file."""
    address, bracket, parameters = id.partition("[")
    path, *names = address.split("::")
    whole = [path.replace("/", ".").removesuffix(".py"), *names]
    return f"{'.'.join(whole[:-1])}::{whole[-1]}{bracket}{parameters}"


def _unexplained(closing: tuple[ClosingLine, ...], sessions: tuple[Session, ...]) -> tuple[ClosingLine, ...]:
    """Closing lines that no journal accounts for.

    A session accounts for one line of pytest's with the same answer to "did anything fail?". Nested sessions
    count here: a test that runs pytest on purpose-built failures may let that line through with ``-s``.
    """
    accounts = {bad: sum(1 for session in sessions if _is_bad(session) is bad) for bad in (True, False)}
    left = []
    for line in closing:
        bad = bool(line.counts.bad)
        if line.runner == "pytest" and accounts[bad]:
            accounts[bad] -= 1
        else:
            left.append(line)
    return tuple(left)


def _is_bad(session: Session) -> bool:
    return bool(session.internal_errors) or any(result.outcome.bad for result in session.others)


def _session_doubts(sessions: tuple[Session, ...]) -> tuple[str, ...]:
    doubts = []
    for session in sessions:
        if session.damage:
            doubts.append(f"the journal {session.name} cannot be believed: {session.damage}")
        if session.internal_errors:
            doubts.append(f"pytest had an internal error: {session.internal_errors[0].strip().splitlines()[-1]}")
        if session.closed_at is not None and session.missing and not _is_bad(session):
            # pytest-xdist can end with status 0 after a worker died of an internal error (pytest-xdist#1017).
            doubts.append(
                f"pytest ended with status {session.exit_status}, yet {len(session.missing)} of "
                f"{session.collected} collected tests have no outcome (the first: {session.missing[0]})"
            )
        if session.repeated:
            doubts.append(f"{session.repeated[0]} has more than one final outcome")
    return tuple(doubts)


def _junit_doubts(files: tuple[JUnitFile, ...]) -> tuple[str, ...]:
    fresh = any(file.state is not JUnitState.STALE for file in files)
    return tuple(
        f"{file.path}: {file.why}"
        for file in files
        if file.state is not JUnitState.OK and not (file.state is JUnitState.STALE and fresh)
    )


def _closing_doubts(unexplained: tuple[ClosingLine, ...], strength: Strength) -> tuple[str, ...]:
    if strength <= Strength.CLOSING_LINE:
        return ()  # then those lines are the evidence, not a contradiction of it
    return tuple(
        f"{line.runner} closed with {line.line.strip()!r}, which the other evidence does not know of"
        for line in unexplained
        if line.counts.bad
    )


def _interpreters(sessions: tuple[Session, ...]) -> tuple[str, ...]:
    return tuple(
        sorted(
            {f"{session.python}|{session.python_version}|{session.prefix}" for session in sessions if session.python}
        )
    )


def _slowest(sessions: tuple[Session, ...]) -> tuple[tuple[str, float], ...]:
    timed = [(test, seconds) for session in sessions for test, seconds in session.passed.items()]
    timed += [(result.id, result.duration) for session in sessions for result in session.others]
    return tuple(sorted(timed, key=lambda pair: (-pair[1], pair[0]))[:SLOWEST])
