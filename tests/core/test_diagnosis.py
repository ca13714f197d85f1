"""From what happened to why."""

from dataclasses import replace
from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.actions import Action
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
    Signature,
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


def saw(action: Action, line: str = "LINE", *, fact: str = "", advice: str = "wait") -> Symptoms:
    """That a rule knew a line, or something else."""
    return Symptoms(signature=Signature(rule="a-rule", action=action, advice=advice, line=line, number=7, fact=fact))


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
    ("killed below a make that exits 1", Exit(code=1), TESTED, Symptoms(make_signal="Killed"), TESTS, Cause.KILLED),
    ("a test prints that make was killed", Exit(code=0), TESTED, Symptoms(make_signal="Killed"), TESTS, Cause.PASSED),
    (
        "a test prints that make saw a crash",
        Exit(code=0),
        TESTED,
        Symptoms(make_signal="Segmentation fault"),
        TESTS,
        Cause.PASSED,
    ),
    (
        "the leader's own signal outranks what make said",
        Exit(signal=9),
        Evidence(),
        Symptoms(make_signal="Segmentation fault"),
        EXIT,
        Cause.KILLED,
    ),
    (
        "what make said outranks the code",
        Exit(code=137),
        Evidence(),
        Symptoms(make_signal="Segmentation fault"),
        EXIT,
        Cause.CRASHED,
    ),
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
        saw(Action.RETRY, "reset"),
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
    ("git locked", Exit(code=128), Evidence(), saw(Action.REPAIR, "Unable to create"), EXIT, Cause.GIT_LOCKED),
    ("too much at once", Exit(code=2), Evidence(), saw(Action.RETRY_REDUCED), TESTS, Cause.OVERLOADED),
    ("the disk is full", Exit(code=2), Evidence(), saw(Action.ENVIRONMENT), TESTS, Cause.ENVIRONMENT),
    ("known to be for good", Exit(code=2), Evidence(), saw(Action.NO_RETRY), TESTS, Cause.COMMAND_FAILED),
    ("transient", Exit(code=2), Evidence(), saw(Action.RETRY, "Could not resolve host"), TESTS, Cause.TRANSIENT),
    (
        "transient words, yet exit 0",
        Exit(code=0),
        TESTED,
        saw(Action.RETRY, "Could not resolve host"),
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
        "evidence against itself below a command that failed",
        Exit(code=2),
        replace(TESTED, contradictions=("a",)),
        Symptoms(),
        TESTS,
        Cause.COMMAND_FAILED,
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


# What makes each rule apply where none before it does, surest first: fields of exit, evidence and symptoms.
ORDER: tuple[tuple[Cause, dict[str, Any], dict[str, Any], dict[str, Any]], ...] = (
    (Cause.CANCELLED, {"cancelled": 15}, {}, {}),
    (Cause.MISCONFIGURED, {"not_started": "no such file"}, {}, {}),
    (Cause.TIMED_OUT, {"timed_out": True}, {}, {}),
    (Cause.OUT_OF_MEMORY, {"resources": OOM}, {}, {}),
    (Cause.CRASHED, {}, {}, {"make_signal": "Aborted"}),
    (Cause.KILLED, {}, {"cut_off": ("j",)}, {}),
    (Cause.TESTS_FAILED, {}, {"failures": BAD}, {}),
    (Cause.FINDINGS, {}, {"findings": (FINDING,)}, {}),
    (Cause.MISCONFIGURED, {}, {}, {"missing_target": "No rule"}),
    (Cause.GIT_LOCKED, {}, {}, {"signature": saw(Action.REPAIR, "Unable to create").signature}),
    (Cause.COMMAND_FAILED, {"code": 2}, {}, {}),
)


@pytest.mark.parametrize("first", range(len(ORDER)), ids=[f"{n}-{row[0].value}" for n, row in enumerate(ORDER)])
def test_the_surest_evidence_decides(first: int) -> None:
    """Of all that went wrong at once, the first in the order is named."""
    exit: dict[str, Any] = {}
    evidence: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    for _, of_exit, of_evidence, of_symptoms in ORDER[first:]:
        exit |= of_exit
        evidence |= of_evidence
        seen |= of_symptoms
    found = diagnose(Exit(**exit), Evidence(**evidence), Symptoms(**seen), kind=FINDINGS)
    assert found.cause is ORDER[first][0]
    assert found.line in {"", "Unable to create", *(said for said in seen.values() if isinstance(said, str))}


def test_what_is_missing_is_told_surest_first() -> None:
    """Of several reasons not to believe exit code 0 the sentence gives the surest: contradiction, nothing run, no test."""
    idle = Symptoms(nothing_done="make: 'test' is up to date.")
    both = Evidence(contradictions=("junit.xml has 3 tests, the witness 2",))
    assert "junit.xml has 3 tests" in diagnose(Exit(code=0), both, idle, kind=TESTS).why
    assert diagnose(Exit(code=0), Evidence(), idle, kind=TESTS).line == idle.nothing_done
    masked = replace(idle, ignored_failure="Error 1 (ignored)")
    assert diagnose(Exit(code=0), Evidence(), masked, kind=FINDINGS).line == idle.nothing_done


# Linux's numbers, as signal(7) has them, and what a shell or make calls them.
SIGNALS = (
    (1, "SIGHUP", "Hangup", Cause.KILLED),
    (2, "SIGINT", "Interrupt", Cause.KILLED),
    (3, "SIGQUIT", "", Cause.KILLED),
    (4, "SIGILL", "Illegal instruction", Cause.CRASHED),
    (5, "SIGTRAP", "Trace/breakpoint trap", Cause.CRASHED),
    (6, "SIGABRT", "Aborted", Cause.CRASHED),
    (7, "SIGBUS", "Bus error", Cause.CRASHED),
    (8, "SIGFPE", "Floating point exception", Cause.CRASHED),
    (9, "SIGKILL", "Killed", Cause.KILLED),
    (11, "SIGSEGV", "Segmentation fault", Cause.CRASHED),
    (13, "SIGPIPE", "", Cause.KILLED),
    (14, "SIGALRM", "", Cause.KILLED),
    (15, "SIGTERM", "Terminated", Cause.KILLED),
    (31, "SIGSYS", "", Cause.CRASHED),
)


@pytest.mark.parametrize(("number", "name", "words", "cause"), SIGNALS, ids=[row[1] for row in SIGNALS])
def test_a_signal_is_known_by_all_its_names(number: int, name: str, words: str, cause: Cause) -> None:
    """The leader's signal, a shell's 128 + n, and make's number, name or words for it give one cause, and name it."""
    ends = [(Exit(signal=number), ""), (Exit(code=128 + number), "")]
    ends += [(Exit(code=2), said) for said in (str(number), name, words) if said]
    for exit, said in ends:
        found = diagnose(exit, Evidence(), Symptoms(make_signal=said), kind=EXIT)
        assert found.cause is cause
        assert name in found.why


@pytest.mark.parametrize("number", [10, 40])
def test_a_signal_without_name(number: int) -> None:
    """A signal that we have no name for is given as its number, also when it asked to stop; a code like it is a code."""
    assert f"signal {number} " in f"{diagnose(Exit(signal=number), Evidence(), Symptoms(), kind=EXIT).why} "
    assert diagnose(Exit(cancelled=number), Evidence(), Symptoms(), kind=EXIT).why.startswith(f"{number} ")
    assert diagnose(Exit(code=128 + number), Evidence(), Symptoms(), kind=EXIT).cause is Cause.COMMAND_FAILED


def test_a_cut_off_session_without_a_signal_names_none() -> None:
    """A pytest that vanished under a command that exited 0 was killed by nobody knows what."""
    assert "signal" not in diagnose(Exit(code=0), KILLED, Symptoms(), kind=TESTS).why


def test_who_asked_to_stop_is_named() -> None:
    """The sentence about a cancellation begins with the signal's name."""
    assert diagnose(Exit(cancelled=2), Evidence(), Symptoms(), kind=EXIT).why == "SIGINT asked to stop"


@pytest.mark.parametrize(
    ("exit", "seen"),
    [
        (Exit(cancelled=2), Symptoms()),
        (Exit(timed_out=True), Symptoms()),
        (Exit(code=2, resources=OOM), Symptoms()),
        (Exit(code=2), Symptoms(make_signal="Aborted")),
        (Exit(code=2), Symptoms(make_signal="Killed")),
    ],
    ids=["cancelled", "timed out", "out of memory", "crashed", "killed"],
)
def test_the_running_tests_are_named(exit: Exit, seen: Symptoms) -> None:
    """Whatever stopped an attempt, the tests that were running are named: all as data, a few of many in the sentence."""
    many = tuple(f"t{n}" for n in range(5))
    for running, said in ((many, " while t0, t1, t2 and 2 more ran"), (many[:3], " while t0, t1, t2 ran")):
        found = diagnose(exit, Evidence(running=running, cut_off=("j",)), seen, kind=TESTS)
        assert found.tests == running
        assert found.why.endswith(said)


@pytest.mark.parametrize(
    ("exit", "seen", "cause"),
    [
        (Exit(code=2, resources=OOM), Symptoms(make_signal_line="LINE"), Cause.OUT_OF_MEMORY),
        (Exit(code=2), Symptoms(make_signal="Aborted", make_signal_line="LINE"), Cause.CRASHED),
        (Exit(signal=6), Symptoms(crash="LINE", make_signal_line="make's"), Cause.CRASHED),
        (Exit(code=2), Symptoms(make_signal="Killed", make_signal_line="LINE"), Cause.KILLED),
        (Exit(code=0), Symptoms(unclean_linter="LINE"), Cause.FINDINGS),
        (Exit(code=2), Symptoms(missing_target="LINE"), Cause.MISCONFIGURED),
        (Exit(code=2), saw(Action.REPAIR), Cause.GIT_LOCKED),
        (Exit(code=2), saw(Action.RETRY), Cause.TRANSIENT),
        (Exit(code=2), saw(Action.RETRY_REDUCED), Cause.OVERLOADED),
        (Exit(code=2), saw(Action.ENVIRONMENT), Cause.ENVIRONMENT),
        (Exit(code=2), replace(saw(Action.NO_RETRY), make_failure="make's"), Cause.COMMAND_FAILED),
        (Exit(code=2), Symptoms(make_failure="LINE"), Cause.COMMAND_FAILED),
        (Exit(code=0), Symptoms(nothing_done="LINE"), Cause.UNPROVEN),
        (Exit(code=0), Symptoms(ignored_failure="LINE"), Cause.UNPROVEN),
    ],
    ids=[f"line{number}" for number in range(14)],
)
def test_the_line_that_decided_is_kept(exit: Exit, seen: Symptoms, cause: Cause) -> None:
    """Where a line of output decided, it stands in the diagnosis."""
    found = diagnose(exit, Evidence(), seen, kind=FINDINGS)
    assert (found.cause, found.line) == (cause, "LINE")


def test_the_closing_line_that_decided_is_kept() -> None:
    """Where only closing lines speak of failures, the last of them is the one that is quoted."""
    later = replace(CLAIM, line="  1 failing  ", counts=Counts(failed=1), runner="mocha")
    found = diagnose(Exit(code=1), Evidence(closing=(CLAIM, later)), Symptoms(), kind=TESTS)
    assert found.line == "1 failing"
    assert found.why == "1 test failed, says the closing line of mocha"


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.IGNORE])
def test_a_signature_brings_its_own_advice(action: Action) -> None:
    """What a rule advises is what is advised, and the diagnosis says which rule it was."""
    seen = saw(action, "reset by peer", advice="wait for the mirror")
    found = diagnose(Exit(code=1), Evidence(), seen, kind=TESTS)
    assert found.advice == "wait for the mirror"
    assert found.signature == seen.signature


def test_what_a_program_said_by_its_end_is_told() -> None:
    """Where no line decided, the exit code or the signal that did is named."""
    seen = saw(Action.RETRY, "", fact="exit code 6")
    assert diagnose(Exit(code=6), Evidence(), seen, kind=EXIT).why == "exit code 6 means trouble that usually passes"
    seen = saw(Action.NO_RETRY, "", fact="SIGXCPU", advice="look at ulimit")
    found = diagnose(Exit(signal=24), Evidence(), seen, kind=EXIT)
    assert (found.cause, found.why) == (Cause.COMMAND_FAILED, "it was ended by SIGXCPU")
    assert found.advice == "look at ulimit"
    seen = saw(Action.ENVIRONMENT, "", fact="exit code 74")
    words = "exit code 74 means what the machine lacks, and another try does not give it"
    assert diagnose(Exit(code=74), Evidence(), seen, kind=EXIT).why == words
    seen = saw(Action.ENVIRONMENT, "", fact="SIGXFSZ")
    assert diagnose(Exit(signal=25), Evidence(), seen, kind=EXIT).cause is Cause.ENVIRONMENT


def test_a_line_does_not_say_why_a_signal_came() -> None:
    """Words about something permanent do not turn a kill from outside into the command's own fault."""
    assert diagnose(Exit(signal=9), Evidence(), saw(Action.NO_RETRY), kind=EXIT).cause is Cause.KILLED


@pytest.mark.parametrize(
    ("action", "cause"),
    [
        (Action.RETRY, Cause.TRANSIENT),
        (Action.RETRY_REDUCED, Cause.OVERLOADED),
        (Action.ENVIRONMENT, Cause.ENVIRONMENT),
        (Action.NO_RETRY, Cause.MISCONFIGURED),
    ],
)
def test_a_command_that_could_not_start(action: Action, cause: Cause) -> None:
    """Why it could not start may be a passing thing."""
    seen = saw(action, "", fact="ETXTBSY")
    found = diagnose(Exit(not_started="tool: Text file busy"), Evidence(), seen, kind=EXIT)
    assert (found.cause, found.why) == (cause, "the command could not be started: tool: Text file busy")


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    "evidence",
    [Evidence(failures=BAD), Evidence(closing=(CLAIM,)), Evidence(findings=(FINDING,))],
    ids=["tests", "closing line", "findings"],
)
def test_a_green_exit_code_over_red_evidence_is_said(evidence: Evidence, code: int) -> None:
    """Where the evidence speaks against exit code 0, the sentence says that the command exited 0; else it does not."""
    assert (
        ", although the command exited 0" in diagnose(Exit(code=code), evidence, Symptoms(), kind=FINDINGS).why
    ) == (code == 0)


@pytest.mark.parametrize(
    ("exit", "failure", "kind", "hinted"),
    [
        (Exit(code=5), "", TESTS, True),
        (Exit(code=2), "make: *** [Makefile:2: test] Error 5", TESTS, True),
        (Exit(code=2), "make: *** [Makefile:2: test] Error 51", TESTS, False),
        (Exit(code=2), "make: *** [Makefile:2: test] Error 2", TESTS, False),
        (Exit(code=5), "", EXIT, False),
    ],
)
def test_pytests_five_is_explained(exit: Exit, failure: str, kind: EvidenceKind, hinted: bool) -> None:
    """Exit code 5 of a pytest, also below make, means that it found no tests; no other code is explained so."""
    why = diagnose(exit, Evidence(), Symptoms(make_failure=failure), kind=kind).why
    assert why == f"the command exited {exit.code}" + (" (pytest's 5: it found no tests)" if hinted else "")


def test_failing_tests_are_named() -> None:
    """A sentence names the first failing tests and says how many there are; the data has them all."""
    failures = tuple(TestResult(id=f"t{n}", outcome=TestOutcome.FAILED) for n in range(5))
    found = diagnose(Exit(code=1), Evidence(failures=failures), Symptoms(), kind=TESTS)
    assert found.why == "5 tests failed: t0, t1, t2 and 2 more"
    assert found.tests == ("t0", "t1", "t2", "t3", "t4")
    few = diagnose(Exit(code=1), Evidence(failures=failures[:3]), Symptoms(), kind=TESTS)
    assert few.why == "3 tests failed: t0, t1, t2"


@pytest.mark.parametrize(
    ("finding", "why"),
    [
        (FINDING, "1 finding: a.py:1:5 F401 unused"),
        (replace(FINDING, column=None), "1 finding: a.py:1 F401 unused"),
        (replace(FINDING, code=""), "1 finding: a.py:1:5 unused"),
    ],
    ids=["whole", "no column", "no code"],
)
def test_the_first_finding_is_quoted(finding: Finding, why: str) -> None:
    """The sentence about findings gives the first one's place, code and message, as far as it has them."""
    assert diagnose(Exit(code=1), Evidence(findings=(finding,)), Symptoms(), kind=FINDINGS).why == why


def test_why_no_test_is_believed_to_have_run() -> None:
    """Skipped tests, a pytest without tests and no sign of any runner are told apart."""
    idle = (Evidence(counts=Counts(skipped=5)), Evidence(interpreters=("p|3|x",)), Evidence())
    skipped, empty, nothing = (diagnose(Exit(code=0), seen, Symptoms(), kind=TESTS).why for seen in idle)
    assert "5 tests were skipped" in skipped
    assert "pytest ran" in empty
    assert "nothing shows that a test was executed" in nothing


def test_what_passed_says_what_was_proven() -> None:
    """A pass gives the number of executed tests, or a linter's own word."""
    linter = Symptoms(clean_linter="All checks passed!")
    assert "3 tests" in diagnose(Exit(code=0), TESTED, linter, kind=TESTS).why
    assert diagnose(Exit(code=0), TESTED, linter, kind=FINDINGS).why == "All checks passed!"


words = st.sampled_from(["", "Killed", "139", "x"])
symptoms = st.builds(
    Symptoms,
    signature=st.none() | st.builds(Signature, rule=words, action=st.sampled_from(Action), advice=words, line=words),
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
