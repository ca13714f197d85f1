"""Reading a journal, and which failures a later session took back."""

import json

from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.testimony import clean, read, recovered
from pytest_orxaq.model import Counts, Failure, Section, Session, TestOutcome, TestResult


NONCE = "nonce"
ZERO = dict.fromkeys(("passed", "failed", "errors", "skipped", "xfailed", "xpassed"), 0)
KEY = {"failed": "failed", "error": "errors"}

Record: TypeAlias = list[object]


def header(**changes: object) -> Record:
    return ["session", {"nonce": NONCE, "pid": 7, "python": "/py", "opened_at": 1.0, "arguments": ["-q"], **changes}]


def finish(records: list[Record], **changes: object) -> Record:
    """The closing line that a witness writes after these."""
    counts = dict(ZERO)
    for record in records:
        if record[0] in {"-", "collect"}:
            outcome = str(record[2])
            counts[KEY.get(outcome, outcome)] += 1
    closing = {"exit_status": 0, "counts": counts, "closed_at": 2.0, "lines": len(records) + 1}
    return ["finish", {**closing, "missing": [], "missing_number": 0, "repeated": [], **changes}]


def journal(*tests: tuple[str, str], closed: bool = True, **changes: object) -> list[Record]:
    """A whole journal of tests with their outcomes."""
    records: list[Record] = [header(), ["collected", len(tests)]]
    for id, outcome in tests:
        records.append(["+", id])
        records.append(["-", id, outcome, 0.5] if outcome == "passed" else ["-", id, outcome, 0.5, {"file": "f"}])
    return [*records, finish(records, **changes)] if closed else records


def lines(records: list[Record]) -> list[bytes]:
    return [json.dumps(record).encode() + b"\n" for record in records]


def of(records: list[Record]) -> Session:
    return read(lines(records), name="tests-7-00000000.jsonl", nonce=NONCE)


# ------------------------------------------------------------------ whole journals


def test_a_whole_journal_is_clean() -> None:
    """What a witness writes about passing tests reads as a clean session."""
    session = of(journal(("a", "passed"), ("b", "skipped"), ("c", "xfailed"), ("d", "xpassed")))
    assert clean(session)
    assert session.name == "tests-7-00000000.jsonl"
    assert session.passed == {"a": 0.5}
    assert [str(result.outcome) for result in session.others] == ["skipped", "xfailed", "xpassed"]
    assert (session.pid, session.python, session.arguments, session.collected) == (7, "/py", ("-q",), 4)
    assert (session.opened_at, session.closed_at, session.exit_status) == (1.0, 2.0, 0)
    assert session.counts == Counts(passed=1, skipped=1, xfailed=1, xpassed=1)


@pytest.mark.parametrize("outcome", ["failed", "error"])
def test_a_bad_test_is_not_clean(outcome: str) -> None:
    """A failed test and one in error each spoil a session that is otherwise whole."""
    session = of(journal(("a", "passed"), ("b", outcome)))
    assert session.damage == ""
    assert not clean(session)


def test_failures_are_read_whole() -> None:
    """Everything that the witness says of a failure arrives."""
    failure = {"phase": "call", "exception": "E", "message": "m", "traceback": "t", "sections": [["out", "text"]]}
    details = {"file": "f.py", "line": 3, "failures": [failure], "parameters": [["n", "1"]]}
    records: list[Record] = [header(), ["collected", 1], ["+", "a"], ["-", "a", "failed", 1, details]]
    (result,) = of([*records, finish(records)]).others
    (read_failure,) = result.failures
    assert (result.file, result.line, result.parameters, result.duration) == ("f.py", 3, (("n", "1"),), 1.0)
    assert read_failure == Failure(
        phase="call", exception="E", message="m", traceback="t", sections=(Section(title="out", text="text"),)
    )


def test_what_is_left_out_is_empty() -> None:
    """A header, a result and a failure need not say everything."""
    records: list[Record] = [
        ["session", {"nonce": NONCE}],
        ["collected", 1],
        ["-", "a", "failed", 0, {"failures": [{}]}],
    ]
    session = of([*records, finish(records)])
    failure = Failure(phase="", exception="", message="", traceback="")
    failed = TestResult(id="a", outcome=TestOutcome.FAILED, failures=(failure,))
    counts = Counts(failed=1)
    assert session == Session(
        name=session.name, closed_at=2.0, exit_status=0, collected=1, others=(failed,), counts=counts
    )


def test_collectors_count_on_both_sides() -> None:
    """A skipped or broken collector is one more that was collected and one more that ended."""
    records: list[Record] = [header(), ["collect", "f.py", "skipped", {}], ["collect", "g.py", "skipped", {}]]
    records.append(["collected", 0])
    session = of([*records, finish(records)])
    assert clean(session)
    assert session.collected == 2
    assert session.others == tuple(TestResult(id=name, outcome=TestOutcome.SKIPPED) for name in ("f.py", "g.py"))


def test_a_nested_session_is_its_counts() -> None:
    """A nested session has counts and an end, and is never clean: it proves nothing."""
    records: list[Record] = [header(nested=True)]
    session = of([*records, finish(records, counts={**ZERO, "failed": 3}, exit_status=1)])
    assert session.nested
    assert session.damage == ""
    assert session.counts == Counts(failed=3)
    assert not clean(session)
    forged = of([*records, finish(records, missing="text")])
    assert "not the witness's" in forged.damage
    assert forged.closed_at is None


# ------------------------------------------------------------------ journals cut short


def test_a_cut_journal_names_the_running_tests() -> None:
    """Without a closing line, tests that began and did not end are running."""
    session = of([*journal(("a", "passed"), closed=False), ["+", "b"], ["+", "c"]])
    assert session.running == ("b", "c")
    assert session.closed_at is None
    assert session.damage == ""


def test_a_torn_last_line_is_what_a_kill_leaves() -> None:
    """A last line without an end is left out, and is no damage."""
    session = read([*lines(journal(("a", "passed"), closed=False)), b'["+", "b'], name="n", nonce=NONCE)
    assert (session.damage, session.running, session.closed_at) == ("", (), None)
    assert set(session.passed) == {"a"}


def test_missing_tests_are_named() -> None:
    """A closing line that names tests without an outcome leaves them missing, also the one that ran."""
    records: list[Record] = [header(), ["collected", 3], ["+", "a"], ["+", "b"], ["-", "b", "passed", 0]]
    session = of([*records, finish(records, missing=["a", "c"], missing_number=2)])
    assert (session.missing, session.running, session.damage) == (("a", "c"), ("a",), "")
    assert not clean(session)


def test_of_two_outcomes_the_worst_stands() -> None:
    """A test that passed and failed has failed, whichever came first, and is named as repeated."""
    passed: Record = ["-", "a", "passed", 0]
    failed: Record = ["-", "a", "failed", 0, {}]
    skipped: Record = ["-", "a", "skipped", 0, {}]
    for ends in ([passed, failed], [failed, passed], [failed, skipped], [skipped, failed]):
        records: list[Record] = [header(), ["collected", 1], *ends]
        session = of([*records, finish(records)])
        assert (session.damage, session.repeated, session.passed) == ("", ("a",), {})
        assert [result.outcome for result in session.others] == [TestOutcome.FAILED]
        assert not clean(session)


@pytest.mark.parametrize(
    "blame",
    [
        {"closed_at": None},
        {"damage": "torn"},
        {"collected": 2},
        {"collected": None},
        {"running": ("b",)},
        {"missing": ("b",)},
        {"repeated": ("a",)},
        {"internal_errors": ("boom",)},
    ],
    ids=lambda blame: "-".join(f"{name}={value}" for name, value in blame.items()),
)
def test_each_blame_alone_spoils_a_session(blame: dict[str, Any]) -> None:
    """A session is clean only if nothing at all speaks against it."""
    whole = of(journal(("a", "passed")))
    assert clean(whole)
    assert not clean(replace(whole, **blame))


def test_internal_errors_spoil_a_session() -> None:
    """An internal error leaves no session clean."""
    records: list[Record] = [header(), ["collected", 0], ["internal", "boom"]]
    session = of([*records, finish(records)])
    assert session.internal_errors == ("boom",)
    assert not clean(session)


# ------------------------------------------------------------------ doubt


WHOLE = journal(("a", "passed"), ("b", "passed"))


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([], "no header"),
        (WHOLE[1:], "begin with its header"),
        ([header(nonce="other"), *WHOLE[1:]], "not of this attempt"),
        ([WHOLE[0], *WHOLE], "several headers"),
        ([*WHOLE, WHOLE[-1]], "after its end"),
        ([*WHOLE[:-2], WHOLE[-1]], "lines are missing"),
        ([*WHOLE[:2], WHOLE[1], *WHOLE[2:]], "twice"),
        ([*WHOLE[:-1], ["trouble", "no disk"]], "no disk"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], missing_number=-1)], "not the witness's"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], counts=ZERO)], "closing counts"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], missing_number=1)], "contradicts itself"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], missing=["x"])], "contradicts itself"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], missing=["x"], missing_number=1)], "other tests than it closed"),
        ([*WHOLE[:-1], ["+", "c"], finish([*WHOLE[:-1], ["+", "c"]])], "while a test was running"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], closed_at=-1)], "not the witness's"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], closed_at=float("inf"))], "not the witness's"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], closed_at=10**400)], "not the witness's"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], exit_status=True)], "not the witness's"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], counts={**ZERO, "passed": -2})], "not the witness's"),
        ([*WHOLE[:-1], finish(WHOLE[:-1], missing="text")], "not the witness's"),
        ([*WHOLE[:-1], ["unheard of"]], "not the witness's"),
        ([*WHOLE[:-1], ["-", "c", "wonderful", 0, {}]], "not the witness's"),
        ([*WHOLE[:-1], ["-", "c", "failed", 0]], "not the witness's"),
        ([*WHOLE[:-1], ["-", "c", "failed", True, {}]], "not the witness's"),
        ([*WHOLE[:-1], ["-", "c", "failed", 0, {"parameters": [["one"]]}]], "not the witness's"),
        ([*WHOLE[:-1], ["+", 3]], "not the witness's"),
        ([*WHOLE[:-1], [["finish"]]], "not the witness's"),
        ([*WHOLE[:-1], []], "not the witness's"),
        ([["session", "text"]], "not the witness's"),
        ([header(pid="x"), *WHOLE[1:]], "header is not the witness's"),
        ([header(arguments=[1]), *WHOLE[1:]], "header is not the witness's"),
    ],
)
def test_what_no_witness_writes_is_damage(records: list[Record], why: str) -> None:
    """A journal that was cut, edited or forged says why it is not believed, and has no end."""
    session = of(records)
    assert why in session.damage
    assert session.closed_at is None
    assert not clean(session)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"\xff\xfe\n",
        b"null\n",
        b"[" * 100_000 + b"\n",
        b'["+", NaN]\n',
        b"9" * 10_000 + b"\n",
        b"\0" * 99 + b"\n",
        b'{"0": "+"}\n',
        b"1\n",
    ],
    ids=["empty", "no UTF-8", "null", "deep", "NaN", "a long number", "zeros", "an object", "a number"],
)
def test_garbage_among_the_lines_is_damage_and_no_more(line: bytes) -> None:
    """Garbage spoils a journal, and the failures beside it are still told."""
    records = lines(journal(("a", "failed")))
    session = read([*records[:-1], line, records[-1]], name="n", nonce=NONCE)
    assert session.damage
    assert [result.id for result in session.others] == ["a"]


def test_a_torn_line_in_the_middle_or_after_the_end_is_damage() -> None:
    """Only a last line may be torn, and none after the closing one."""
    whole = lines(WHOLE)
    assert "torn" in read([*whole[:2], b"[", *whole[2:]], name="n", nonce=NONCE).damage
    after = read([*whole, b"["], name="n", nonce=NONCE)
    assert "after its end" in after.damage
    assert after.closed_at is None


def test_only_the_beginning_of_long_trouble_is_kept() -> None:
    """The witness's own trouble is told, but not at any length."""
    assert of([*WHOLE[:-1], ["trouble", "x" * 9999]]).damage.count("x") == 500


def test_half_a_surrogate_pair_becomes_printable() -> None:
    """Ids that no terminal takes are shown escaped."""
    records = journal(("half\ud83d", "passed"), ("whole 🦊", "passed"))
    session = of(records)
    assert clean(session)
    assert set(session.passed) == {"half\\ud83d", "whole 🦊"}


# ------------------------------------------------------------------ rules


ids = st.sampled_from(["a", "b", "c", "d"])
outcomes = st.sampled_from(["passed", "passed", "failed", "error", "skipped", "xfailed", "xpassed"])
whole_journals = st.dictionaries(ids, outcomes, max_size=4).map(lambda tests: journal(*tests.items()))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a", "passed", "failed"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["lines", "counts", "pid"]), inner),
    max_leaves=8,
)
kinds = st.sampled_from(["session", "collected", "+", "-", "collect", "internal", "trouble", "finish"])
odd_records = st.builds(lambda kind, rest: [kind, *rest], kinds, st.lists(values, max_size=4))


@given(st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: data + b"\n")))
def test_no_bytes_raise(data: list[bytes]) -> None:
    """Reading takes any bytes, and none of them for a clean session."""
    assert not clean(read(data, name="n", nonce=NONCE))


@given(whole_journals, st.lists(st.tuples(st.integers(0, 12), odd_records), max_size=3))
def test_no_records_raise_and_a_clean_session_is_complete(
    records: list[Record], inserted: list[tuple[int, Record]]
) -> None:
    """Whatever stands among the lines, a session that reads as clean is complete and without a bad test."""
    for place, record in inserted:
        records.insert(place, record)
    session = of(records)
    recovered([session, session])
    if clean(session):
        assert session.closed_at is not None
        assert (session.running, session.missing, session.damage) == ((), (), "")
        assert session.collected == len(session.passed) + len(session.others)
    if session.closed_at is not None:
        assert not session.running
        assert not session.damage


@given(whole_journals, st.data())
def test_dropping_lines_never_makes_a_session_clean(records: list[Record], data: st.DataObject) -> None:
    """No journal of which lines are gone reads as clean, whatever it was before."""
    kept = data.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records)))
    session = of([record for record, keep in zip(records, kept, strict=True) if keep])
    assert clean(session) == (all(kept) and clean(of(records)))


@given(whole_journals, st.integers(0, 3000))
def test_cutting_anywhere_never_makes_a_session_clean(records: list[Record], place: int) -> None:
    """A journal that ends too early, in mid-line or not, is not clean, and not damaged unless it lost its header."""
    data = b"".join(lines(records))
    cut = data[:place]
    session = read(cut.splitlines(keepends=True), name="n", nonce=NONCE)
    if len(cut) < len(data):
        assert not clean(session)
        assert (session.damage == "") is (b"\n" in cut)


# ------------------------------------------------------------------ reruns


def result(id: str, outcome: TestOutcome = TestOutcome.FAILED) -> TestResult:
    return TestResult(id=id, outcome=outcome)


FIRST = Session(
    name="1", python="/py", root="/r", directory="/r", arguments=("-q",), opened_at=1.0, closed_at=2.0,
    collected=2, passed={"b": 0.1}, others=(result("a"),),
)  # fmt: skip
SECOND = replace(FIRST, name="2", opened_at=3.0, closed_at=4.0, arguments=("-q", "--lf"), passed={"a": 0.1}, others=())


def test_what_a_later_rerun_passed_is_recovered() -> None:
    """A failure that the same thing's later session passed is recovered, in whatever order they are told."""
    at_once = replace(SECOND, opened_at=2.0)
    for sessions in ([FIRST, SECOND], [SECOND, FIRST], [FIRST, at_once]):
        assert recovered(sessions) == ((), (result("a"),))


@pytest.mark.parametrize(
    "second",
    [
        replace(SECOND, passed={}),
        replace(SECOND, passed={"x": 0.1}),
        replace(SECOND, others=(), passed={}, missing=("a",)),
        replace(SECOND, opened_at=1.5),
        replace(SECOND, closed_at=None),
        replace(SECOND, damage="torn"),
        replace(SECOND, internal_errors=("boom",)),
        replace(SECOND, repeated=("a",)),
        replace(SECOND, nested=True),
        replace(SECOND, python="/other"),
        replace(SECOND, python_version="3.99"),
        replace(SECOND, prefix="/venv"),
        replace(SECOND, packages="other"),
        replace(SECOND, pytest_version="1"),
        replace(SECOND, environment="other"),
        replace(SECOND, root="/elsewhere"),
        replace(SECOND, directory="/elsewhere"),
        replace(SECOND, arguments=("-q", "--lf", "--backend=b")),
    ],
)
def test_another_thing_recovers_nothing(second: Session) -> None:
    """A session that is cut, damaged, earlier, nested or of another matrix takes no failure back."""
    standing, passed_later = recovered([FIRST, second])
    assert standing == (result("a"),)
    assert passed_later == ()


def test_a_session_that_was_cut_off_is_not_recovered() -> None:
    """Nobody knows when a session without an end was over."""
    assert recovered([replace(FIRST, closed_at=None), SECOND]) == ((result("a"),), ())


def test_only_bad_results_are_told() -> None:
    """Skipped and xfailed tests neither stand nor recover; a failure of the rerun stands."""
    first = replace(FIRST, others=(result("a"), result("s", TestOutcome.SKIPPED)))
    second = replace(SECOND, others=(result("c", TestOutcome.ERROR),))
    assert recovered([first, second]) == ((result("c", TestOutcome.ERROR),), (result("a"),))


@pytest.mark.parametrize(
    ("earlier", "later", "same"),
    [
        ((), ("--lf",), True),
        (("-q",), ("-q", "--last-failed", "--lfnf=none"), True),
        (("-q",), ("--lfnf", "none", "--lf", "-q"), True),
        (("-q",), ("--last-failed-no-failures", "all", "-q"), True),
        (("--ff",), ("--nf",), True),
        ((), ("--sw", "--stepwise-skip"), True),
        (("tests",), ("tests", "tests/test_a.py::test_a"), True),
        (("-x",), ("-x", "a.py::b"), True),
        (("-qq",), ("-qq", "--lf", "a.py::b"), True),
        (("a.py::a",), ("a.py::b",), True),
        (("-o", "x=a::b"), ("-o", "x=c::d"), False),
        (("--dsn", "pg::1"), ("--dsn", "pg::2"), False),
        (("--dsn=pg::1",), ("--dsn=pg::2",), False),
        (("-k", "a"), ("-k", "b"), False),
        (("-n2",), ("--lf",), False),
        ((), ("--lfx",), False),
    ],
)
def test_a_rerun_may_select_and_nothing_else(earlier: tuple[str, ...], later: tuple[str, ...], same: bool) -> None:
    """Arguments that only choose tests make no other thing; all others do."""
    _, passed_later = recovered([replace(FIRST, arguments=earlier), replace(SECOND, arguments=later)])
    assert bool(passed_later) is same
