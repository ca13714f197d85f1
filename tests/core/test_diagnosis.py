"""From what happened to why."""

from dataclasses import replace

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.diagnosis import diagnose
from pytest_orxaq.model import (
    Cause,
    ClosingLine,
    Counts,
    Evidence,
    EvidenceKind,
    Exit,
    Finding,
    Resources,
    Strength,
    Symptoms,
    TestOutcome,
    TestResult,
)


TESTED = Evidence(strength=Strength.WITNESS, counts=Counts(passed=3))
BAD = (TestResult(id="tests/test_a.py::test_b", outcome=TestOutcome.FAILED),)
FINDING = Finding(path="a.py", line=1, column=5, code="F401", message="unused")
CLAIM = ClosingLine(runner="pytest", line="= 2 failed in 0.1s =", counts=Counts(failed=2))
KILLED = Evidence(cut_off=("tests-1.jsonl",), running=("tests/test_a.py::test_big",))
OOM = Resources(oom_kills=1)
TESTS, FINDINGS, EXIT = EvidenceKind.TESTS, EvidenceKind.FINDINGS, EvidenceKind.EXIT

CASES = [
    # what it is, exit, evidence, symptoms, kind, cause
    ("tests ran and passed", Exit(code=0), TESTED, Symptoms(), TESTS, Cause.PASSED),
    ("a plain command", Exit(code=0), Evidence(), Symptoms(), EXIT, Cause.PASSED),
    ("a silent linter", Exit(code=0), Evidence(), Symptoms(), FINDINGS, Cause.PASSED),
    (
        "cancelled while tests fail",
        Exit(code=2, cancelled=2),
        Evidence(failures=BAD),
        Symptoms(),
        TESTS,
        Cause.CANCELLED,
    ),
    ("no such program", Exit(not_started="make: not found"), Evidence(), Symptoms(), TESTS, Cause.MISCONFIGURED),
    ("time ran out", Exit(signal=9, timed_out=True), KILLED, Symptoms(), TESTS, Cause.TIMED_OUT),
    ("out of memory", Exit(code=2, resources=OOM), KILLED, Symptoms(), TESTS, Cause.OUT_OF_MEMORY),
    ("out of memory, make exits 0", Exit(code=0, resources=OOM), KILLED, Symptoms(), TESTS, Cause.OUT_OF_MEMORY),
    ("a neighbour ran out of memory", Exit(code=0, resources=OOM), TESTED, Symptoms(), TESTS, Cause.PASSED),
    ("killed, make exits 0", Exit(code=0), KILLED, Symptoms(), TESTS, Cause.KILLED),
    ("killed before a test began", Exit(code=0), replace(KILLED, running=()), Symptoms(), TESTS, Cause.KILLED),
    ("killed by a signal", Exit(signal=9), Evidence(), Symptoms(), EXIT, Cause.KILLED),
    ("killed below make", Exit(code=2), TESTED, Symptoms(make_signal="Killed"), TESTS, Cause.KILLED),
    ("killed below a shell", Exit(code=137), TESTED, Symptoms(), TESTS, Cause.KILLED),
    ("an unknown deadly signal", Exit(signal=40), Evidence(), Symptoms(), EXIT, Cause.KILLED),
    (
        "segmentation fault below make",
        Exit(code=2),
        KILLED,
        Symptoms(make_signal="Segmentation fault"),
        TESTS,
        Cause.CRASHED,
    ),
    ("segmentation fault as a code", Exit(code=139), KILLED, Symptoms(), TESTS, Cause.CRASHED),
    ("abort by number", Exit(code=2), Evidence(), Symptoms(make_signal="6"), TESTS, Cause.CRASHED),
    (
        "crash, make exits 0",
        Exit(code=0),
        KILLED,
        Symptoms(crash="Fatal Python error: Segmentation fault"),
        TESTS,
        Cause.CRASHED,
    ),
    ("a test prints about a crash", Exit(code=0), TESTED, Symptoms(crash="Segmentation fault"), TESTS, Cause.PASSED),
    (
        "a word that is no signal",
        Exit(code=2),
        Evidence(),
        Symptoms(make_signal="Whatever"),
        EXIT,
        Cause.COMMAND_FAILED,
    ),
    ("tests failed", Exit(code=2), Evidence(failures=BAD), Symptoms(), TESTS, Cause.TESTS_FAILED),
    ("tests failed, make exits 0", Exit(code=0), Evidence(failures=BAD), Symptoms(), TESTS, Cause.TESTS_FAILED),
    ("only a closing line says so", Exit(code=0), Evidence(closing=(CLAIM,)), Symptoms(), TESTS, Cause.TESTS_FAILED),
    (
        "tests failed over a dead network",
        Exit(code=2),
        Evidence(failures=BAD),
        Symptoms(transient="reset"),
        TESTS,
        Cause.TESTS_FAILED,
    ),
    ("findings", Exit(code=2), Evidence(findings=(FINDING,)), Symptoms(), FINDINGS, Cause.FINDINGS),
    (
        "findings although make exits 0",
        Exit(code=0),
        Evidence(findings=(FINDING,)),
        Symptoms(),
        FINDINGS,
        Cause.FINDINGS,
    ),
    (
        "text that looks like a finding",
        Exit(code=0),
        Evidence(findings=(replace(FINDING, code=""),)),
        Symptoms(),
        FINDINGS,
        Cause.PASSED,
    ),
    (
        "a note",
        Exit(code=0),
        Evidence(findings=(replace(FINDING, severity="note"),)),
        Symptoms(),
        FINDINGS,
        Cause.PASSED,
    ),
    (
        "a linter's word against exit 0",
        Exit(code=0),
        Evidence(),
        Symptoms(unclean_linter="Found 1 error."),
        FINDINGS,
        Cause.FINDINGS,
    ),
    (
        "a linter's word",
        Exit(code=1),
        Evidence(),
        Symptoms(unclean_linter="Found 1 error."),
        FINDINGS,
        Cause.COMMAND_FAILED,
    ),
    (
        "findings are no business of tests",
        Exit(code=0),
        replace(TESTED, findings=(FINDING,)),
        Symptoms(),
        TESTS,
        Cause.PASSED,
    ),
    ("no such target", Exit(code=2), Evidence(), Symptoms(missing_target="No rule"), TESTS, Cause.MISCONFIGURED),
    ("git locked", Exit(code=128), Evidence(), Symptoms(git_lock="Unable to create"), EXIT, Cause.GIT_LOCKED),
    ("transient", Exit(code=2), Evidence(), Symptoms(transient="Could not resolve host"), TESTS, Cause.TRANSIENT),
    (
        "transient words, yet exit 0",
        Exit(code=0),
        TESTED,
        Symptoms(transient="Could not resolve host"),
        TESTS,
        Cause.PASSED,
    ),
    ("tests passed, then something failed", Exit(code=2), TESTED, Symptoms(), TESTS, Cause.COMMAND_FAILED),
    ("pytest found no tests", Exit(code=5), Evidence(), Symptoms(), TESTS, Cause.COMMAND_FAILED),
    (
        "evidence against itself",
        Exit(code=0),
        replace(TESTED, contradictions=("a", "b")),
        Symptoms(),
        TESTS,
        Cause.UNPROVEN,
    ),
    (
        "a claim against the witness",
        Exit(code=0),
        replace(TESTED, closing=(CLAIM,), contradictions=("c",)),
        Symptoms(),
        TESTS,
        Cause.UNPROVEN,
    ),
    (
        "up to date",
        Exit(code=0),
        Evidence(),
        Symptoms(nothing_done="make: 'lint' is up to date."),
        FINDINGS,
        Cause.UNPROVEN,
    ),
    ("output lost, tests", Exit(code=0, output_error="full"), TESTED, Symptoms(), TESTS, Cause.TRANSIENT),
    ("output lost, findings", Exit(code=2, output_error="full"), Evidence(), Symptoms(), FINDINGS, Cause.TRANSIENT),
    ("output lost, exit believed", Exit(code=0, output_error="full"), Evidence(), Symptoms(), EXIT, Cause.PASSED),
    ("make ran nothing", Exit(code=0), Evidence(), Symptoms(ran_nothing=True), FINDINGS, Cause.UNPROVEN),
    ("make ran nothing, exit believed", Exit(code=0), Evidence(), Symptoms(ran_nothing=True), EXIT, Cause.UNPROVEN),
    ("no test ran", Exit(code=0), Evidence(), Symptoms(), TESTS, Cause.UNPROVEN),
    ("pytest ran without tests", Exit(code=0), Evidence(interpreters=("p|3|x",)), Symptoms(), TESTS, Cause.UNPROVEN),
    ("all skipped", Exit(code=0), Evidence(counts=Counts(skipped=5)), Symptoms(), TESTS, Cause.UNPROVEN),
    ("a masked linter", Exit(code=0), Evidence(), Symptoms(masked="`flake8 | cat`"), FINDINGS, Cause.UNPROVEN),
    (
        "an ignored linter",
        Exit(code=0),
        Evidence(),
        Symptoms(ignored_failure="Error 1 (ignored)"),
        FINDINGS,
        Cause.UNPROVEN,
    ),
    (
        "a masked linter that says all is well",
        Exit(code=0),
        Evidence(),
        Symptoms(masked="x", clean_linter="All checks passed!"),
        FINDINGS,
        Cause.PASSED,
    ),
]


@pytest.mark.parametrize(
    ("exit", "evidence", "symptoms", "kind", "cause"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_first_rule_that_applies_names_the_cause(
    exit: Exit, evidence: Evidence, symptoms: Symptoms, kind: EvidenceKind, cause: Cause
) -> None:
    """Each situation has its cause, with a sentence that is not empty."""
    found = diagnose(exit, evidence, symptoms, kind=kind)
    assert found.cause is cause
    assert found.why


def test_the_running_test_is_named() -> None:
    """A killed attempt names the tests that were running, a few of many in the sentence, all of them as data."""
    many = tuple(f"t{n}" for n in range(5))
    found = diagnose(Exit(signal=9), Evidence(running=many, cut_off=("j",)), Symptoms(), kind=TESTS)
    assert found.tests == many
    assert "t0, t1, t2 and 2 more" in found.why


def test_failing_tests_are_named() -> None:
    """A sentence names the first failing tests and says how many there are."""
    failures = tuple(TestResult(id=f"t{n}", outcome=TestOutcome.FAILED) for n in range(5))
    assert (
        diagnose(Exit(code=1), Evidence(failures=failures), Symptoms(), kind=TESTS).why
        == "5 tests failed: t0, t1, t2 and 2 more"
    )


def test_a_finding_without_column() -> None:
    """The sentence about findings gives the first one's place."""
    found = diagnose(Exit(code=1), Evidence(findings=(replace(FINDING, column=None),)), Symptoms(), kind=FINDINGS)
    assert found.why == "1 finding: a.py:1 F401 unused"


words = st.sampled_from(["", "Killed", "139", "x"])
symptoms = st.builds(
    Symptoms,
    git_lock=words,
    transient=words,
    make_signal=words,
    missing_target=words,
    nothing_done=words,
    crash=words,
    masked=words,
    ignored_failure=words,
    clean_linter=words,
    unclean_linter=words,
    ran_nothing=st.booleans(),
)
exits = st.builds(
    Exit,
    code=st.sampled_from([0, 1, 2, 137, None]),
    signal=st.sampled_from([None, 9, 11]),
    timed_out=st.booleans(),
    cancelled=st.sampled_from([None, 2]),
    not_started=words,
    output_error=words,
)
evidences = st.builds(
    Evidence,
    counts=st.builds(Counts, passed=st.integers(0, 2), failed=st.integers(0, 1), skipped=st.integers(0, 2)),
    failures=st.sampled_from([(), BAD]),
    running=st.sampled_from([(), ("t",)]),
    cut_off=st.sampled_from([(), ("j",)]),
    contradictions=st.sampled_from([(), ("c",)]),
    findings=st.sampled_from([(), (FINDING,)]),
    closing=st.sampled_from([(), (CLAIM,)]),
)


@given(exits, evidences, symptoms, st.sampled_from(EvidenceKind))
def test_passed_needs_everything(exit: Exit, evidence: Evidence, symptoms: Symptoms, kind: EvidenceKind) -> None:
    """Whatever else is seen, a pass needs exit 0 in time, nothing failed, nothing cut off, no contradiction, and proof where it is due."""
    if diagnose(exit, evidence, symptoms, kind=kind).cause is Cause.PASSED:
        assert exit.code == 0
        assert not exit.timed_out
        assert exit.cancelled is None
        assert not symptoms.ran_nothing
        assert not exit.output_error or kind is EvidenceKind.EXIT
        assert not (evidence.failures or evidence.cut_off or evidence.contradictions or evidence.bad_closing)
        assert kind is not EvidenceKind.TESTS or evidence.counts.executed
