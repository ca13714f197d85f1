"""The JUnit reader: dialects, limits, broken files, and a public corpus where it is at hand."""

import csv
import os
import time
import tracemalloc

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_orxaq.core.junit import Limits, read
from pytest_orxaq.model import Counts, Failure, JUnitFile, JUnitState, Section, TestOutcome, TestResult


def of(text: str | bytes, **limits: int) -> JUnitFile:
    """A file with these contents, read."""
    data = text.encode() if isinstance(text, str) else text
    return read([data], path="r.xml", limits=Limits(**limits) if limits else None)


def suite(*cases: str, attributes: str = "") -> str:
    """A suite with these cases."""
    return f'<testsuite name="s" {attributes}>{"".join(cases)}</testsuite>'


FAILED = '<testcase classname="a.B" name="bad"><failure type="E" message="m">trace</failure></testcase>'
PASSED = '<testcase classname="a.B" name="good" time="0.5"/>'


# ---------------------------------------------------------------- what a test is


def test_a_report() -> None:
    """Tests that passed are ids; the others have outcome, duration, failures, output, file and line."""
    xml = f"""<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="s" tests="3" failures="1">{PASSED}
    <testcase classname="a.B" name="bad" time="1,234.5" file="a.py" line="7"><system-out>o</system-out>
    <failure type="AssertionError" message="m">trace<!-- not this -->back</failure><system-err>e</system-err></testcase>
    <testcase name="lone"><skipped type="x" message="why"/></testcase></testsuite></testsuites>"""
    file = of(xml)
    assert (file.state, file.why, file.path) == (JUnitState.OK, "", "r.xml")
    assert file.counts == Counts(passed=1, failed=1, skipped=1)
    assert file.passed == {"a.B::good"}
    bad, lone = file.results
    assert (bad.id, bad.outcome, bad.duration, bad.file, bad.line) == (
        "a.B::bad",
        TestOutcome.FAILED,
        1234.5,
        "a.py",
        7,
    )
    (failure,) = bad.failures
    assert (failure.exception, failure.message, failure.traceback) == ("AssertionError", "m", "traceback")
    assert [(section.title, section.text) for section in failure.sections] == [("stdout", "o"), ("stderr", "e")]
    assert (lone.id, lone.outcome, lone.line, lone.failures[0].message) == ("lone", TestOutcome.SKIPPED, None, "why")


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("<testcase name='t'/>", None),
        ("<testcase name='t' status='run' result='completed'/>", None),
        ("<testcase name='t' status='PASSED'/>", None),
        ("<testcase name='t'><properties><property name='failure'/></properties></testcase>", None),
        ("<testcase name='t'><x><failure/></x></testcase>", None),
        ("<testcase name='t'><x><flakyFailure/></x></testcase>", None),
        ("<testcase name='t'><system-out>x<failure/></system-out></testcase>", None),
        ("<testcase name='t'><flakyFailure message='x'>y<system-out>z</system-out></flakyFailure></testcase>", None),
        ("<testcase name='t'><flakyError/><system-out>x</system-out></testcase>", None),
        ("<testcase name='t'><failure/><rerunFailure/></testcase>", TestOutcome.FAILED),
        ("<testcase name='t'><skipped/><failure/></testcase>", TestOutcome.FAILED),
        ("<testcase name='t'><failure/><skipped/></testcase>", TestOutcome.FAILED),
        ("<testcase name='t'><failure/><error/></testcase>", TestOutcome.ERROR),
        ("<testcase name='t'><skipped/></testcase>", TestOutcome.SKIPPED),
        ("<testcase name='t'><skipped type='pytest.xfail' message='m'/></testcase>", TestOutcome.XFAILED),
        ("<testcase name='t' status='notrun'/>", TestOutcome.SKIPPED),
        ("<testcase name='t' status='disabled'/>", TestOutcome.SKIPPED),
        ("<testcase name='t' status='run' result='suppressed'/>", TestOutcome.SKIPPED),
        ("<testcase name='t' status='Failed'/>", TestOutcome.FAILED),
        ("<testcase name='t' status='errored'/>", TestOutcome.ERROR),
        ("<testcase name='t' status='who knows'/>", TestOutcome.SKIPPED),
        ("<testcase name='t' status='passed'><failure/></testcase>", TestOutcome.FAILED),
    ],
    ids=repr,
)
def test_outcomes(case: str, outcome: TestOutcome | None) -> None:
    """Children decide, the worst first; without a child the attributes do; other attempts do not."""
    file = of(suite(case))
    assert file.state is JUnitState.OK
    assert [result.outcome for result in file.results] == ([outcome] if outcome else [])
    assert file.passed == (set() if outcome else {"t"})


def test_a_test_known_by_its_status_only() -> None:
    """Where nothing but an attribute tells, the failure says so, and carries the output."""
    (result,) = of(suite("<testcase name='t' status='failed'><system-out>x</system-out></testcase>")).results
    said = 'The report says no more than status="failed".'
    output = (Section(title="stdout", text="x"),)
    failure = Failure(phase="", exception="", message=said, traceback="", sections=output)
    assert result == TestResult(id="t", outcome=TestOutcome.FAILED, failures=(failure,))
    (other,) = of(suite("<testcase name='t' status='run' result='failed'/>")).results
    assert other.failures[0].message == 'The report says no more than status="run" result="failed".'


def test_what_is_quoted_is_cut() -> None:
    """Names, types and statuses of any length are told, but not at any length."""
    case = f"<testcase name='t' status='{'x' * 150}'/><testcase name='u'><error type='{'E' * 1500}'/></testcase>"
    file = of(f"<testsuite name='{'n' * 300}' failures='2'>{case}</testsuite>")
    status, error = (result.failures[0] for result in file.results)
    assert status.message == f'The report says no more than status="{"x" * 100}".'
    assert error.exception == "E" * 1000
    assert file.why.startswith(f"the suite '{'n' * 200}' declares 2 failures")


def test_what_a_failure_leaves_out_is_empty() -> None:
    """A failure without type, message and text is one nevertheless."""
    (result,) = of(suite("<testcase name='t'><failure/></testcase>")).results
    failure = Failure(phase="", exception="", message="", traceback="")
    assert result == TestResult(id="t", outcome=TestOutcome.FAILED, failures=(failure,))


def test_expected_failures_are_counted_apart() -> None:
    """A test that was expected to fail is neither skipped nor failed."""
    expected = "<testcase name='t'><skipped type='pytest.xfail'/></testcase>"
    assert of(suite(PASSED, expected, expected)).counts == Counts(passed=1, xfailed=2)


def test_suite_level_errors() -> None:
    """A suite that could not begin is an error under the suite's name."""
    file = of(
        f"<testsuites><error message='top'/>{suite('<error message=chr>x</error>'.replace('chr', chr(39) + 'm' + chr(39)))}</testsuites>"
    )
    assert file.counts == Counts(errors=2)
    assert [(result.id, result.failures[0].message, result.failures[0].traceback) for result in file.results] == [
        ("(unnamed suite)", "top", ""),
        ("s", "m", "x"),
    ]
    assert of(suite("<failure/>", PASSED)).counts == Counts(passed=1, failed=1)
    assert of(suite("<properties><error/></properties>", PASSED)).counts == Counts(passed=1)


def test_a_name_that_failed_once_has_not_passed() -> None:
    """Of two tests with one name the worse counts: the id is not among the passed, and both are in the counts."""
    file = of(suite(FAILED, FAILED.replace("failure", "x")))
    assert file.counts == Counts(passed=1, failed=1)
    assert file.passed == frozenset()


@pytest.mark.parametrize(
    ("attributes", "id"),
    [
        ("classname='c' name='n'", "c::n"),
        ("class='c' name='n'", "c::n"),
        ("classname='' name='n'", "n"),
        ("classname='c'", "c"),
        ("", "(unnamed test)"),
    ],
)
def test_ids(attributes: str, id: str) -> None:
    """A test's id is its class and name, as far as it has them."""
    assert of(suite(f"<testcase {attributes}/>")).passed == {id}


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        *(("0.5", 0.5), ("0,5", 0.5), ("1,234.5", 1234.5), ("1E-1", 0.1), ("0.5s", 0.5), (" 2 ", 2.0)),
        *(("", 0.0), ("-1", 0.0), ("NaN", 0.0), ("inf", 0.0), ("{duration}", 0.0), ("9" * 99, float("9" * 50))),
    ],
)
def test_durations(time: str, seconds: float) -> None:
    """Durations are read in every spelling, and nonsense is no time at all."""
    (result,) = of(suite(f"<testcase name='t' time='{time}'><failure/></testcase>")).results
    assert result.duration == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("name", "line", "shown"),
    [
        ("s", "7", 7),
        ("pytest", "7", 8),
        ("pytest tests", "7", 8),
        ("pytest", "", None),
        ("s", "٣", None),
        ("s", "x", None),
        ("s", "-1", None),
    ],
)
def test_lines_count_from_one(name: str, line: str, shown: int | None) -> None:
    """pytest's line numbers begin at 0, all others at 1."""
    xml = f"<testsuite name='{name}'><testcase name='t' line='{line}'><failure/></testcase></testsuite>"
    assert of(xml).results[0].line == shown


@pytest.mark.parametrize(
    ("message", "phase"),
    [
        ("failed on setup with &quot;E&quot;", "setup"),
        ("test setup failure", "setup"),
        ("failed on teardown with &quot;E&quot;", "teardown"),
        ("test teardown failure", "teardown"),
        ("collection failure", "collect"),
        ("it failed on setup", ""),
    ],
)
def test_phases(message: str, phase: str) -> None:
    """pytest says in the message in which phase a test ended."""
    xml = suite(f'<testcase name="t"><error message="{message}"/></testcase>')
    assert of(xml).results[0].failures[0].phase == phase


def test_nested_suites_and_namespaces() -> None:
    """Suites nest, and namespaces are no obstacle."""
    assert of(f"<testsuites>{suite(suite(PASSED), FAILED)}</testsuites>").counts == Counts(passed=1, failed=1)
    assert of(suite(FAILED).replace("<testsuite", "<testsuite xmlns='http://x.org/j'", 1)).counts == Counts(failed=1)
    assert of(f"<j:testsuites xmlns:j='http://x.org/j'>{FAILED}</j:testsuites>").counts == Counts(failed=1)


def test_odd_nesting_loses_nothing() -> None:
    """A test within a test, or within a failure's text, is a test of its own."""
    assert of(suite(f"<testcase name='outer'>{FAILED}</testcase>")).counts == Counts(passed=1, failed=1)
    assert of(suite(f"<testcase name='o'><failure>a{FAILED}b</failure></testcase>")).counts.bad >= 1


# ---------------------------------------------------------------- how far it is believed


@pytest.mark.parametrize(
    ("xml", "state"),
    [
        ("", JUnitState.EMPTY),
        (" \n\t", JUnitState.EMPTY),
        (suite(), JUnitState.OK),
        ("<testsuites/>", JUnitState.OK),
        ("hello", JUnitState.MALFORMED),
        ("\n<?xml version='1.0'?><testsuites/>", JUnitState.MALFORMED),
        ("<?xml version='1.0'?>", JUnitState.TRUNCATED),
        ("<testsui", JUnitState.TRUNCATED),
        ("<testsuites><testsuite>", JUnitState.TRUNCATED),
        (suite(PASSED) + suite(PASSED), JUnitState.MALFORMED),
        (suite("<testcase name='a<b'/>"), JUnitState.MALFORMED),
        (suite("<testcase name='t'>\x1b[31m</testcase>"), JUnitState.MALFORMED),
        (suite("<testcase name='&#27;'/>"), JUnitState.MALFORMED),
        (suite("<testcase name='&nbsp;'/>"), JUnitState.MALFORMED),
        (suite("<x:y/>"), JUnitState.MALFORMED),
        ("<testsuite>\x00</testsuite>", JUnitState.MALFORMED),
        ("<TestRun/>", JUnitState.NOT_JUNIT),
        ("<html>", JUnitState.NOT_JUNIT),
        ("<!DOCTYPE testsuite><testsuite/>", JUnitState.REFUSED),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite/>", JUnitState.REFUSED),
        ("<?xml version='1.0' encoding='gb18030'?><testsuite/>", JUnitState.REFUSED),
        ("<?xml version='1.0' encoding='nonsense'?><testsuite/>", JUnitState.REFUSED),
        (suite(PASSED, attributes="tests='9' failures='0'"), JUnitState.OK),
        (suite(PASSED, attributes="failures='1'"), JUnitState.INCONSISTENT),
        (suite(PASSED, attributes="errors='1.0'"), JUnitState.INCONSISTENT),
        (suite(PASSED, attributes="errors='x'"), JUnitState.OK),
        (f"<testsuites failures='2'>{suite(FAILED)}</testsuites>", JUnitState.INCONSISTENT),
        (suite("<testcase name='t'><flakyFailure/></testcase>", attributes="failures='1'"), JUnitState.OK),
        (suite("<testcase name='t'><failure/><rerunError/></testcase>", attributes="failures='2'"), JUnitState.OK),
        (suite("<testcase name='t'><failure/><failure/></testcase>", attributes="failures='2'"), JUnitState.OK),
        (
            suite("<testcase name='t'><failure/><rerunError/></testcase>", attributes="failures='3'"),
            JUnitState.INCONSISTENT,
        ),
        (suite("<testcase name='t'><flakyError/><flakyFailure/></testcase>", attributes="errors='2'"), JUnitState.OK),
        (suite(PASSED, attributes="errors='١'"), JUnitState.OK),
        (suite("<testcase name='t' status='failed'/>", attributes="failures='1'"), JUnitState.OK),
        (suite("<error/>", attributes="errors='1'"), JUnitState.OK),
    ],
    ids=repr,
)
def test_states(xml: str, state: JUnitState) -> None:
    """What became of a file is said, with a reason unless all is well."""
    file = of(xml)
    assert file.state is state
    assert bool(file.why) is (state is not JUnitState.OK)


def test_reasons_name_what_was_found() -> None:
    """The reason names the other format, the root, the place, or the suite."""
    assert of("<TestRun/>").why == "its root element is <TestRun>, which is Visual Studio TRX"
    assert of("<weather/>").why == "its root element is <weather>"
    assert "line 1, column" in of(suite(PASSED, "<")).why
    assert of(suite(PASSED, attributes="failures='2' errors='1'")).why == (
        "the suite 's' declares 3 failures and errors, but its tests carry only 0"
    )
    assert "declares 1234 failures" in of(suite(PASSED, attributes="failures='1,234'")).why
    refused = "it has a document type declaration (DOCTYPE), which no report needs"
    assert of("<!DOCTYPE testsuite><testsuite/>").why == refused
    assert of("").why == "it is empty"
    assert of(" \n").why == "there is nothing but blanks in it"


def test_the_place_of_the_damage_is_named() -> None:
    """Line and column, both from 1, and the parser's own words for it."""
    assert of("<testsuite>\n  <a></b>").why == (
        "it is not well-formed XML from line 2, column 8 on, after 0 complete tests: mismatched tag"
    )
    assert of("<testsuite>\n  <a>").why == "it ends at line 2, column 6, after 0 complete tests (no element found)"


def test_what_stands_before_the_damage_is_kept() -> None:
    """A malformed or cut file keeps its complete tests; the one that was open is an error, never passed."""
    for broken in ("\x1b", ""):
        file = of(f"<testsuite>{PASSED}{FAILED}<testcase name='open'>{broken}")
        assert file.state in {JUnitState.MALFORMED, JUnitState.TRUNCATED}
        assert "after 2 complete tests" in file.why
        assert file.passed == {"a.B::good"}
        assert [(result.id, result.outcome) for result in file.results] == [
            ("a.B::bad", TestOutcome.FAILED),
            ("open", TestOutcome.ERROR),
        ]
        (failure,) = file.results[1].failures
        assert failure == Failure(phase="", exception="", message=f"Unfinished in the report: {file.why}", traceback="")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252", "koi8-r"])
def test_encodings(encoding: str) -> None:
    """Unicode and declared 8-bit encodings are read."""
    name = "тест" if encoding == "koi8-r" else "prüf"
    declared = f"<?xml version='1.0' encoding='{encoding.removesuffix('-sig')}'?>"
    assert of((declared + suite(f"<testcase name='{name}'/>")).encode(encoding)).passed == {name}


# ---------------------------------------------------------------- limits


def test_limits_refuse_what_is_endless() -> None:
    """Depth, tests, bytes and the length of one tag are limited, and what was read before is kept."""
    assert of("<testsuite>" * 64 + "</testsuite>" * 64).state is JUnitState.OK
    deep = of("<testsuite>" * 65)
    assert (deep.state, deep.why) == (JUnitState.REFUSED, "its elements are nested more than 64 deep")
    many = of(suite(PASSED, PASSED, PASSED), cases=2)
    assert (many.state, many.counts.passed, many.why) == (JUnitState.REFUSED, 2, "it has more than 2 tests")
    assert of(suite(PASSED, PASSED), cases=2).state is JUnitState.OK
    large = of(suite(PASSED), size=len(suite(PASSED)) - 1)
    assert (large.state, large.why) == (JUnitState.REFUSED, f"it is larger than {len(suite(PASSED)) - 1} bytes")
    assert of(suite(PASSED), size=len(suite(PASSED))).state is JUnitState.OK
    assert of("<testsuite name='" + "x" * 200_000, token=100_000).why == "one tag is longer than 100000 bytes"


def test_a_huge_tag_is_given_up_early() -> None:
    """A tag of many megabytes that arrives in small pieces costs seconds, not minutes."""
    pieces: Iterator[bytes] = (b"x" * 4096 for _ in range(8192))
    started = time.process_time()
    file = read([b"<testsuite name='", *pieces], path="r.xml")
    assert file.state is JUnitState.REFUSED
    assert time.process_time() - started < 20


def test_long_texts_keep_head_and_tail() -> None:
    """A long trace keeps its beginning and its end, and says what was left out; attributes keep their beginning."""
    text = "h" * 10 + "x" * 100 + "t" * 5
    xml = suite(f"<testcase name='t'><failure message='{text}'>{text}</failure></testcase>")
    (failure,) = of(xml, head=10, tail=5).results[0].failures
    assert failure.message == "h" * 10
    assert failure.traceback == "h" * 10 + "\n[... 100 characters left out ...]\n" + "t" * 5
    pieces = f"<![CDATA[{'h' * 4}]]><!-- -->{'h' * 3}<b/>{'h' * 3}xx<b/>{'x' * 97}<b/>xttt<!-- -->tt"
    (same,) = (
        of(suite(f"<testcase name='t'><failure>{pieces}</failure></testcase>"), head=10, tail=5).results[0].failures
    )
    assert same.traceback == failure.traceback
    named = f"<testcase classname='{'c' * 20}' name='{'n' * 20}'/>"
    assert of(suite(named), head=10).passed == {"c" * 10 + "::" + "n" * 10}


def test_much_text_is_cut_short_in_the_end() -> None:
    """When a file's texts together are too much, later ones keep a few words each."""
    xml = suite(
        *(f"<testcase name='{n}'><failure message='{'m' * 500}'>{'x' * 500}</failure></testcase>" for n in range(9))
    )
    first, *_, last = of(xml, kept=2000).results
    assert len(first.failures[0].traceback) == 500
    assert last.failures[0].message == "m" * 200
    assert last.failures[0].traceback == "x" * 200 + "\n[... 300 characters left out ...]\n"


def test_memory_is_bounded() -> None:
    """A file with one text of 64 MB is read in a few MB."""
    pieces = (b"0123456789abcdef" * 65536 for _ in range(64))
    chunks = [b"<testsuite><testcase name='t'><failure>", *()]
    tracemalloc.start()
    try:
        file = read(_chain(chunks, pieces, [b"</failure></testcase></testsuite>"]), path="r.xml")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.counts == Counts(failed=1)
    assert peak < 16 << 20


def _chain(*parts: "list[bytes] | Iterator[bytes]") -> Iterator[bytes]:
    for part in parts:
        yield from part


# ---------------------------------------------------------------- any bytes


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    """No bytes make the reader fail, nor do they after a good beginning; the latter is never a clean pass."""
    of(data)
    file = of(b"<testsuite>" + FAILED.encode() + data)
    assert file.counts.bad


_NAMES = st.text(alphabet="abc<&\"'é\u2028", max_size=5)
_CASES = st.lists(st.tuples(_NAMES, st.sampled_from(["", "failure", "error", "skipped", "flakyFailure"])), max_size=6)


def _document(cases: list[tuple[str, str]]) -> bytes:
    root = ET.Element("testsuites")
    parent = ET.SubElement(root, "testsuite", name="s")
    for name, child in cases:
        case = ET.SubElement(parent, "testcase", name=name)
        if child:
            ET.SubElement(case, child).text = name
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


@settings(deadline=None)  # the machine may be busy
@given(_CASES, st.data())
def test_no_prefix_of_a_failure_is_a_pass(cases: list[tuple[str, str]], data: st.DataObject) -> None:
    """However a file with a failure is cut, what is left is not a clean pass; and it shows no test otherwise than the whole."""
    whole = _document([*cases, ("last", "failure")])
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    file = of(cut)
    assert file.state is not JUnitState.OK
    assert file.counts.passed <= of(whole).counts.passed
    complete = [result for result in file.results if not result.failures[-1].message.startswith("Unfinished")]
    assert complete == list(of(whole).results[: len(complete)])


@settings(deadline=None)  # the machine may be busy
@given(_CASES, st.integers(1, 50))
def test_chunks_do_not_matter(cases: list[tuple[str, str]], size: int) -> None:
    """A file reads the same in whatever pieces it arrives."""
    whole = _document(cases)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert read(pieces, path="r.xml") == of(whole)


def test_chunks_of_a_large_file_do_not_matter() -> None:
    """A file of several megabytes reads the same whole, in small pieces and in pieces of any size."""
    whole = suite(*(f"<testcase name='t{n}'><failure>{'x' * 99}</failure></testcase>" for n in range(20_000))).encode()
    for size in (4096, 1 << 20, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        file = read(pieces, path="r.xml")
        assert (file.state, file.counts) == (JUnitState.OK, Counts(failed=20_000))
        assert file.results[12_345].failures[0].traceback == "x" * 99


# ---------------------------------------------------------------- real files


CORPUS = Path(os.environ.get("ORXAQ_JUNIT_CORPUS") or Path(__file__).parents[3] / "shared" / "junit-corpus")


def _files(category: str) -> list[Path]:
    if not (CORPUS / "MANIFEST.tsv").is_file():
        pytest.skip("no corpus: set ORXAQ_JUNIT_CORPUS to a folder with MANIFEST.tsv")
    with (CORPUS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    files = [CORPUS / row["repo"].replace("/", "+") / row["path"] for row in rows if row["category"] == category]
    assert files
    return files


def _walked(path: Path) -> Counts:
    """The same rules on a tree, written without a look at the reader."""
    number = {"passed": 0, "failed": 0, "errors": 0, "skipped": 0, "xfailed": 0}
    for element in ET.fromstring(path.read_bytes()).iter():  # noqa: S314 - files of a corpus that we chose
        tag = element.tag.rpartition("}")[2]
        children = [child.tag.rpartition("}")[2] for child in element]
        if tag in {"testsuite", "testsuites"}:
            number["failed"] += children.count("failure")
            number["errors"] += children.count("error")
        if tag == "testcase":
            number[_walked_case(element, children)] += 1
    return Counts(**number)


def _walked_case(element: ET.Element, children: list[str]) -> str:
    if "error" in children:
        return "errors"
    if "failure" in children:
        return "failed"
    if "skipped" in children:
        skips = [child for child in element if child.tag.endswith("skipped")]
        return "xfailed" if all(skip.get("type") == "pytest.xfail" for skip in skips) else "skipped"
    words = {element.get(name, "").lower() for name in ("status", "result")}
    if words & {"error", "errored"}:
        return "errors"
    if words & {"fail", "failed"}:
        return "failed"
    return "passed" if words <= {"", "run", "passed", "completed"} else "skipped"


def test_real_reports() -> None:
    """Every JUnit file of the corpus is read, with the counts of an independent walk over its tree."""
    for path in _files("junit"):
        file = read([path.read_bytes()], path=str(path))
        assert file.state in {JUnitState.OK, JUnitState.INCONSISTENT}, path
        assert file.counts == _walked(path), path


@pytest.mark.parametrize("category", ["malformed", "negative"])
def test_real_files_that_are_no_reports(category: str) -> None:
    """Broken files and other formats are never taken for a good report."""
    for path in _files(category):
        assert read([path.read_bytes()], path=str(path)).state is not JUnitState.OK, path


def test_real_reports_cut_off() -> None:
    """No prefix of a real file with a failure is a clean pass."""
    for path in _files("junit")[::10]:
        data = path.read_bytes()
        if read([data], path="").counts.bad:
            for at in range(0, len(data), max(len(data) // 40, 1)):
                file = read([data[:at]], path="")
                assert file.state is not JUnitState.OK or file.counts.bad, (path, at)


def test_failed_attempts_of_a_test_that_passed_are_kept() -> None:
    """Surefire's elements of earlier attempts make no failure of a pass, and are told; those of a failure are not."""
    earlier = "<flakyFailure type='E' message='m'><stackTrace>trace</stackTrace></flakyFailure><flakyError type='F'>text</flakyError>"
    passed = f"<testcase classname='c' name='t'>{earlier}</testcase>"
    failed = "<testcase name='bad'><failure/><rerunFailure message='m'/></testcase>"
    file = read([suite(passed, failed).encode()], path="j.xml")
    assert file.state is JUnitState.OK
    assert file.passed == {"c::t"}
    (again,) = file.again
    assert (again.id, again.outcome) == ("c::t", TestOutcome.FAILED)
    told = [(failure.exception, failure.message, failure.traceback) for failure in again.failures]
    assert told == [("E", "m", "trace"), ("F", "", "text")]
    assert [(result.id, len(result.failures)) for result in file.results] == [("bad", 1)]
