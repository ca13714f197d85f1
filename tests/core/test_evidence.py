"""What an attempt left behind, weighed."""

from dataclasses import replace

from pytest_orxaq.core.evidence import weigh
from pytest_orxaq.model import (
    ClosingLine,
    Counts,
    Finding,
    JUnitFile,
    JUnitState,
    Session,
    Strength,
    TestOutcome,
    TestResult,
)


def result(id: str, outcome: TestOutcome = TestOutcome.FAILED) -> TestResult:
    """A test that ended so."""
    return TestResult(id=id, outcome=outcome)


CLEAN = Session(
    name="tests-1.jsonl",
    closed_at=2.0,
    collected=2,
    exit_status=0,
    passed={"a": 0.1, "b": 0.2},
    python="/p",
    python_version="3.13",
    prefix="/v",
)
RED = Session(name="tests-2.jsonl", closed_at=2.0, collected=2, passed={"a": 0.1}, others=(result("b"),))


def closing(runner: str = "pytest", **counts: int) -> ClosingLine:
    """A closing line."""
    return ClosingLine(runner=runner, line=f"= {counts} =", counts=Counts(**counts))


def test_nothing_is_nothing() -> None:
    """Without any evidence there is none."""
    assert weigh().strength is Strength.NONE


def test_the_witness_outweighs_the_rest() -> None:
    """Counts are the strongest evidence's; interpreters and slow tests are noted."""
    file = JUnitFile(path="j.xml", state=JUnitState.OK, counts=Counts(passed=9))
    weighed = weigh(sessions=(CLEAN,), junit=(file,), closing=(closing(passed=7),))
    assert (weighed.strength, weighed.counts) == (Strength.WITNESS, Counts(passed=2))
    assert weighed.interpreters == ("/p|3.13|/v",)
    assert weighed.durations[0] == ("b", 0.2)
    assert weighed.junit == ("j.xml",)
    assert not weighed.contradictions


def test_what_is_only_handed_on() -> None:
    """Recovered tests, findings and notes reach the evidence as they are."""
    finding = Finding(path="a.py", line=1, column=None, code="F401", message="unused")
    weighed = weigh(recovered=(result("again"),), findings=(finding,), notes=("odd",))
    assert (weighed.recovered, weighed.findings, weighed.notes) == ((result("again"),), (finding,), ("odd",))


def test_the_slowest_tests_are_kept_in_one_order() -> None:
    """Slowest first, whatever their outcome; of equally slow ones in the order of their names."""
    slow = TestResult(id="s", outcome=TestOutcome.FAILED, duration=9.0)
    session = Session(name="s", closed_at=1.0, passed={"c": 0.1, "a": 0.1, "b": 0.1}, others=(slow,))
    assert weigh(sessions=(session,)).durations == (("s", 9.0), ("a", 0.1), ("b", 0.1), ("c", 0.1))
    many = Session(name="s", closed_at=1.0, passed=dict.fromkeys("abcdefghijklmnop", 0.1))
    assert [test for test, _ in weigh(sessions=(many,)).durations] == list("abcdefghij")


def test_every_outcome_is_counted() -> None:
    """Skipped, expected failures and the rest have their own numbers; failures are those that stand."""
    others = (result("s", TestOutcome.SKIPPED), result("x", TestOutcome.XFAILED), result("X", TestOutcome.XPASSED))
    session = Session(name="s", closed_at=1.0, others=(*others, result("f"), result("again")))
    still = (result("f"), result("e", TestOutcome.ERROR))
    weighed = weigh(sessions=(session,), still_failing=still, recovered=(result("again"),))
    assert weighed.counts == Counts(failed=1, errors=1, skipped=1, xfailed=1, xpassed=1)
    assert weighed.counts.total == 5
    assert weighed.failures == still


def test_counts_of_several_producers_are_added() -> None:
    """Each outcome is summed over all JUnit files, or over all closing lines where those are all there is."""
    one = Counts(passed=1, failed=2, errors=3, skipped=4, xfailed=5, xpassed=6)
    twice = Counts(passed=2, failed=4, errors=6, skipped=8, xfailed=10, xpassed=12)
    files = tuple(JUnitFile(path=path, state=JUnitState.OK, counts=one) for path in ("a.xml", "b.xml"))
    lines = tuple(ClosingLine(runner=runner, line="", counts=one) for runner in ("jest", "mocha"))
    assert weigh(junit=files).counts == twice
    assert weigh(closing=lines).counts == twice


def test_weaker_evidence_counts_where_there_is_no_stronger() -> None:
    """JUnit files count before closing lines; a kind that saw only skipped tests gives way to one that saw them run."""
    skipped = Session(name="s", closed_at=1.0, others=(result("s", TestOutcome.SKIPPED),))
    file = JUnitFile(path="j.xml", state=JUnitState.OK, counts=Counts(passed=9))
    assert weigh(junit=(file,), closing=(closing(passed=7),)).strength is Strength.JUNIT
    assert weigh(closing=(closing("go", passed=7),)).strength is Strength.CLOSING_LINE
    assert weigh(sessions=(skipped,), junit=(file,)).strength is Strength.JUNIT
    assert weigh(sessions=(skipped,)).counts == Counts(skipped=1)


def test_junit_failures_count_although_the_witness_saw_none() -> None:
    """A failure that only a JUnit file tells of is a failure; one that the witness saw too is not told twice."""
    file = JUnitFile(path="j.xml", state=JUnitState.OK, counts=Counts(failed=2), results=(result("b"), result("js")))
    weighed = weigh(sessions=(RED,), still_failing=(result("b"),), junit=(file,))
    assert [failure.id for failure in weighed.failures] == ["b", "js"]


def test_a_broken_junit_file_is_a_contradiction() -> None:
    """A configured file that is missing or cut off is never passed over."""
    for state in (JUnitState.MISSING, JUnitState.TRUNCATED, JUnitState.STALE):
        weighed = weigh(sessions=(CLEAN,), junit=(JUnitFile(path="j.xml", state=state, why="is not whole"),))
        assert weighed.contradictions == ("j.xml: is not whole",)


def test_an_old_file_beside_a_fresh_one_is_left_alone() -> None:
    """Files of earlier runs count for nothing, in either direction, as long as there is a fresh one."""
    old = JUnitFile(
        path="old.xml", state=JUnitState.STALE, why="is old", results=(result("gone"),), counts=Counts(failed=1)
    )
    weighed = weigh(junit=(old, JUnitFile(path="new.xml", state=JUnitState.OK, counts=Counts(passed=1))))
    assert not weighed.contradictions
    assert not weighed.failures
    assert weighed.counts == Counts(passed=1)


def test_a_closing_line_that_no_journal_accounts_for() -> None:
    """A pytest that the witness did not reach, and that failed, contradicts a clean journal."""
    weighed = weigh(sessions=(CLEAN,), closing=(closing(passed=2), closing(failed=2)))
    assert "which the other evidence does not know of" in weighed.contradictions[0]
    assert weighed.bad_closing


def test_closing_lines_that_are_all_there_is_contradict_nothing() -> None:
    """Without better evidence a runner's word is the evidence, also when a pytest that ran no test could account for it."""
    alone = weigh(closing=(closing("go", failed=1),))
    assert not alone.contradictions
    assert alone.counts == Counts(failed=1)
    idle = Session(name="s", closed_at=1.0)
    weighed = weigh(sessions=(idle,), closing=(closing(passed=2),))
    assert (weighed.strength, weighed.closing) == (Strength.CLOSING_LINE, (closing(passed=2),))


def test_each_journal_accounts_for_one_line() -> None:
    """Two failing sessions account for two failing lines, one session for one; one that broke down has failed too."""
    twice = (closing(failed=1), closing(failed=1))
    still = (result("b"),)
    assert not weigh(sessions=(RED, RED), still_failing=still, closing=twice).contradictions
    weighed = weigh(sessions=(RED,), still_failing=still, closing=twice)
    assert len(weighed.contradictions) == len(weighed.closing) == 1
    broken = Session(name="s", closed_at=1.0, passed={"a": 0.1}, internal_errors=("KeyError: 1",))
    assert len(weigh(sessions=(broken,), closing=(closing(errors=1),)).contradictions) == 1


def test_journals_account_for_their_closing_lines() -> None:
    """A failing session's line, and a nested one's, are no contradiction."""
    nested = Session(name="n", nested=True, closed_at=1.0, others=(result("inner"),))
    weighed = weigh(sessions=(CLEAN, nested), closing=(closing(failed=1), closing(passed=2)))
    assert not weighed.contradictions
    assert not weighed.closing
    assert weighed.counts == Counts(passed=2)


def test_a_session_must_account_for_every_test() -> None:
    """Missing, repeated or torn outcomes and internal errors are contradictions, a failed run's rest is not."""
    missing = Session(name="s", closed_at=1.0, exit_status=0, collected=3, passed={"a": 0.1}, missing=("b", "c"))
    assert "2 of 3 collected tests have no outcome (the first: b)" in weigh(sessions=(missing,)).contradictions[0]
    stopped = Session(name="s", closed_at=1.0, collected=3, others=(result("a"),), missing=("b", "c"))
    assert not weigh(sessions=(stopped,), still_failing=(result("a"),)).contradictions
    broken = Session(
        name="s", closed_at=1.0, damage="torn", internal_errors=("Traceback\n  frame\nKeyError: 1\n",), repeated=("a",)
    )
    torn, internal, repeated = weigh(sessions=(broken,)).contradictions
    assert "journal s " in torn
    assert torn.endswith(": torn")
    assert internal.endswith(": KeyError: 1")
    assert repeated.startswith("a ")


def test_a_session_that_was_cut_off() -> None:
    """Its running tests are named, and it is said to be cut off even if none was running."""
    weighed = weigh(sessions=(Session(name="s", running=("t",)), Session(name="q")))
    assert weighed.running == ("t",)
    assert weighed.cut_off == ("s", "q")


def test_what_passed_on_retry_in_a_junit_file() -> None:
    """Is recovered, unless the file is old, or a journal tells of the same test."""
    again = (result("tests.test_a.TestIt::test_b[x::y/z.py]"), result("com.example.It::t"))
    file = JUnitFile(path="j.xml", state=JUnitState.OK, again=again)
    assert weigh(junit=(file,)).recovered == again
    assert weigh(junit=(replace(file, state=JUnitState.STALE),)).recovered == ()
    seen = replace(CLEAN, passed={"tests/test_a.py::TestIt::test_b[x::y/z.py]": 0.1})
    assert weigh(sessions=(seen,), recovered=(result("a"),), junit=(file,)).recovered == (result("a"), again[1])
