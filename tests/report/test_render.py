"""Reports are written whole, in four formats, and say what a reviewer needs."""

import json
import os
import stat

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml
from markdown_it import MarkdownIt

from pytest_orxaq.core.redaction import redacted, secrets_of
from pytest_orxaq.errors import MachineError
from pytest_orxaq.model import (
    Cause,
    Counts,
    Evidence,
    Exit,
    GitState,
    LeakedProcess,
    Machine,
    Resources,
    RunRecord,
    Section,
    Strength,
    Verdict,
)
from pytest_orxaq.report.assemble import assemble
from pytest_orxaq.report.html import render as page_of
from pytest_orxaq.report.markdown import render as markdown_of
from pytest_orxaq.report.render import html, markdown, write
from pytest_orxaq.report.terminal import summary
from pytest_orxaq.report.verdicts import headline

from . import records


NOWHERE = Path("/nonexistent/tree")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The work tree that the records speak of."""
    folder = tmp_path / "shop"
    for name, text in {
        "shop/cart.py": records.CART,
        "tests/test_cart.py": "x\n" * 20,
        "tests/test_api.py": "from shop.api import pages\n\ndef test_paging():\n    assert pages(3) == [1, 2]\n",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (records.NOW - 1000, records.NOW - 1000))
    return folder


class Page(HTMLParser):
    """The elements of a page, its attributes and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.headings: list[int] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember element and attributes."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag in {"h1", "h2", "h3", "h4"}:
            self.headings.append(int(tag[1]))

    def handle_data(self, data: str) -> None:
        """Remember the text."""
        self.text += data


def page(record: RunRecord, top: Path = NOWHERE) -> Page:
    """The HTML of a record, read again."""
    return Page(html(assemble(record, top=top, now=records.NOW)))


MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def every_format(record: RunRecord, folder: Path, **options: object) -> Iterator[str]:
    """Every file that is written on a record, and what is printed."""
    written = write(record, folder, top=folder, now=records.NOW, **options)  # type: ignore[arg-type]
    for path in (written.html, written.markdown, written.junit, written.json):
        yield path.read_text(encoding="utf-8")
    yield summary(record, width=80, colour=False)


# ---------------------------------------------------------------- content


@pytest.mark.parametrize(
    "record", [pytest.param(r, id=f"{n}-{r.verdict}") for n, r in enumerate(records.of_every_verdict())]
)
def test_every_verdict_and_cause_makes_a_report(record: RunRecord, tmp_path: Path) -> None:
    """Whatever became of a run, each format is written and begins with the same sentence."""
    written = write(record, tmp_path, top=tmp_path, now=records.NOW)
    sentence = headline(record)
    assert sentence in " ".join(Page(written.html.read_text()).text.split())
    assert sentence in Page(MARKDOWN.render(written.markdown.read_text())).text.splitlines()[0]
    assert sentence in " ".join(summary(record, width=80, colour=False).split())
    suite = JUnitXml.fromfile(str(written.junit))
    assert suite.tests == len(record.outcomes) + (record.verdict is None)
    good = record.verdict in {Verdict.PASSED, Verdict.FLAKY}
    assert (suite.failures + suite.errors + suite.skipped == 0) is good
    assert json.loads(written.json.read_text())["verdict"] == record.verdict


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (records.failing_run(), "Failed: lint left 3 findings; 4 of 409 tests failed in test."),
        (records.passing_run(), "Passed: lint and test, 412 tests ran, in part from a stored pass."),
        (records.record(Verdict.PASSED), "Passed: no checkpoint was asked for."),
        (records.record(Verdict.CANCELLED), "Cancelled, so not passed."),
        (records.record(None), "Cut off: not passed. The run began and never ended."),
        (
            records.record(None, records.outcome(Verdict.PASSED, records.attempt())),
            "Cut off: not passed. The run began, got as far as test and never ended.",
        ),
        (
            replace(records.passing_run(), finished_at=None),
            "Cut off: not passed. The run began, got as far as test and never ended.",
        ),
        (
            records.record(
                Verdict.FAILED,
                records.outcome(Verdict.INFRASTRUCTURE, why="A lock."),
                records.outcome(Verdict.FLAKY, why="Odd."),
                records.outcome(Verdict.FAILED, why="No."),
            ),
            "Failed: test: No; test: A lock.",
        ),
        (
            records.record(Verdict.FAILED, *[records.outcome(Verdict.FAILED, why="No.") for _ in range(4)]),
            "Failed: test: No; test: No; and 2 checkpoints more.",
        ),
    ],
)
def test_headlines(record: RunRecord, sentence: str) -> None:
    """One sentence gives verdict, checkpoint and reason; a run without an end is never passed."""
    assert headline(record) == sentence


def test_causes_are_named_with_the_test(top: Path) -> None:
    """The test that ran when the process died stands in the first sentence."""
    killed = next(r for r in records.of_every_cause() if r.outcomes[0].attempts[0].diagnosis.cause is Cause.KILLED)
    assert "while tests/test_x.py::test_slow ran" in headline(killed)
    assert "Running when it ended" in page(killed, top).text
    assert "python -m pytest tests/test_x.py::test_slow" in page(killed, top).text
    assert "python -m pytest tests/test_x.py::test_slow" in summary(killed, width=80, colour=False)


def test_a_page_has_all_that_a_reviewer_needs(top: Path) -> None:
    """Causes, attempts, source, commands, processes, state of repository and machine, and input are on the page."""
    text = " ".join(page(records.failing_run(), top).text.split())
    for wanted in (
        "git locked", "The machine's fault.", "1.4 s", "exit code 2",  # attempts
        "F841", "shop/rates.py:44:1", "warning",  # findings
        "3 tests, one cause", "InvalidOperation", "shop/cart.py:14", "return (net * rate).quantize(CENT)",  # failures
        "rateDecimal('0.07')", "Captured log call", "rate 0.19 is not known here",
        "python -m pytest tests/test_api.py::test_paging",
        "'tests/test_cart.py::test_total_includes_tax[0.07]'",
        "Failed first, passed when repeated", "tests/test_mail.py::test_send",
        "1 process outlived the command and was stopped", "python -m http.server 8000",
        "Peak memory", "412 MiB (by cgroup)", "78 % of the time (strained)",
        "feature/tax-per-country", "Round the total only once", "3 paths changed since", "notes.txt",
        "3.31 2.05 1.20 on 4 CPUs", "git version 2.47.3", "open files", "5.0 GiB of 16.0 GiB available",
        "orxaq gate lint test", "PYTHONHASHSEED", "MAKEFLAGS and GIT_DIR were scrubbed",
        "shop/cart.py differs from the last pass.", "our witness inside pytest", "Python 3.12.4",
        "Closing line of pytest", "build/junit/unit.xml", "Two pytest processes ran",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_markdown_has_the_same(top: Path) -> None:
    """The Markdown of a failing run names causes, places, commands and state."""
    text = Page(MARKDOWN.render(markdown(assemble(records.failing_run(), top=top, now=records.NOW)))).text
    for wanted in (
        "4 failing tests, 2 causes", "shop/cart.py:14", "return (net * rate).quantize(CENT)", "python -m http.server",
        "python -m pytest tests/test_api.py::test_paging", "git locked", "412 MiB", "PYTHONHASHSEED",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_a_stored_pass_is_told_with_its_run(top: Path) -> None:
    """What was not run again names the run that passed, and when."""
    text = page(records.passing_run(), top).text
    assert "in run 20260920-101500-11aa 2 days ago" in text
    assert "Why this came from a stored pass" in text
    all_stored = replace(records.passing_run(), outcomes=records.passing_run().outcomes[:1])
    assert headline(all_stored) == "Passed: lint, from a stored pass."


def test_trouble_that_is_not_a_test(top: Path) -> None:
    """Contradictions, processes that cannot be stopped, lost memory and omitted output are shown."""
    attempt = records.attempt(
        Cause.COMMAND_FAILED,
        "It failed.",
        exit=Exit(
            code=1,
            duration=2.0,
            survivors=(LeakedProcess(pid=9, command="sleep 999", age=3.0),),
            resources=Resources(oom_kills=1),
            output_size=1 << 30,
            output_omitted=1 << 29,
        ),
        evidence=Evidence(contradictions=("JUnit counts 3 tests, the witness 4.",), strength=Strength.JUNIT),
    )
    record = records.record(
        Verdict.FAILED,
        records.outcome(Verdict.FAILED, attempt),
        shared_from="r0",
        git=GitState(top="/t"),
        machine=Machine(cpus=2),
    )
    text = page(record, top).text
    for wanted in (
        "The evidence contradicts itself", "JUnit counts 3 tests", "nothing could stop", "sleep 999",
        "1 process killed for memory", "(critical)", "512 MiB of it", "run r0 of another gate",
        "HEAD is detached", "none yet", "none known", "CPUs",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "contradiction: JUnit counts" in summary(record, width=80, colour=False)


def test_tests_of_other_producers_get_no_pytest_command(top: Path) -> None:
    """A command is given only where it would run that test."""
    evidence = Evidence(strength=Strength.JUNIT, failures=(records.failed_test("shop.CartTest::total"),))
    record = records.record(
        Verdict.FAILED, records.outcome(Verdict.FAILED, records.attempt(Cause.TESTS_FAILED, evidence=evidence))
    )
    assert "python -m pytest" not in page(record, top).text
    assert "python -m pytest" not in summary(record, width=80, colour=False)


@pytest.mark.parametrize("id", ["-p evil", "a\0b", "tests/a.py::test[" + "x" * 5000 + "]"])
def test_no_command_that_means_something_else(id: str, top: Path) -> None:
    """An id that a shell or pytest would read otherwise, or that is absurdly long, gets none."""
    evidence = Evidence(strength=Strength.WITNESS, failures=(records.failed_test(id),))
    record = records.record(
        Verdict.FAILED, records.outcome(Verdict.FAILED, records.attempt(Cause.TESTS_FAILED, evidence=evidence))
    )
    assert "python -m pytest" not in page(record, top).text


def test_where_only_the_test_is_known(top: Path) -> None:
    """Without a place in the traceback the test's own file and line are shown."""
    evidence = Evidence(
        strength=Strength.WITNESS,
        failures=(
            replace(records.simple_failure("t::a", "boom", ""), file="shop/cart.py", line=9),
            replace(records.simple_failure("t::b", "bang", ""), file="gone.py"),
            replace(records.failed_test("t::c"), failures=()),
        ),
    )
    record = records.record(
        Verdict.FAILED, records.outcome(Verdict.FAILED, records.attempt(Cause.TESTS_FAILED, evidence=evidence))
    )
    text = page(record, top).text
    assert "def total(cart, rate):" in text
    assert "shop/cart.py:9" in text
    assert "gone.py" in text
    assert "tests/test_cart.py:6" in text


def test_a_record_with_little_in_it(top: Path) -> None:
    """What is not known is not shown, and a pass that something else spoiled is told by the outcome's reason."""
    attempt = records.attempt(exit=Exit(code=0), evidence=Evidence())
    record = records.record(
        Verdict.FAILED,
        records.outcome(Verdict.FAILED, attempt, why="The tree changed while it ran."),
        git=GitState(top="/t", last_pass="abc"),
        machine=Machine(),
        parameters=(),
        environment=(),
        notes=(),
    )
    text = page(record, top).text
    assert text.count("The tree changed while it ran.") >= 2
    assert "abc, nothing changed since" in text
    assert "Load" not in text
    assert "cores on average" not in text


# ---------------------------------------------------------------- a sound page


def test_a_page_is_sound(top: Path) -> None:
    """One title, one first heading, no level left out, every id once, every table headed, no script, nothing to fetch."""
    for record in (*records.of_every_verdict(), records.failing_run(), records.passing_run()):
        found = page(record, top)
        assert found.headings[0] == 1
        assert found.headings.count(1) == 1
        assert all(b <= a + 1 for a, b in zip(found.headings, found.headings[1:], strict=False))
        ids = [value for name, value in found.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        references = {value for name, value in found.attributes if name == "aria-labelledby"}
        references |= {value[1:] for name, value in found.attributes if name == "href" and value.startswith("#")}
        assert references <= set(ids)
        assert {"script", "img", "iframe", "object", "form"}.isdisjoint(found.tags)
        assert {value for name, value in found.attributes if name in {"src", "href"} and not value.startswith("#")} == {
            "data:,"
        }
        assert "style" not in {name for name, _ in found.attributes}
        assert not any(name.startswith("on") for name, _ in found.attributes)
        assert {"main", "header", "footer", "title"} <= set(found.tags)


HOSTILE = (
    "<script>alert(1)</script></pre></code></details>]]>&lt; | `x` ```\n```\n<img src=x onerror=y> @octocat #1 ::error::x\n"
    "::error::y\r##[error]z \x1b[31m\x1b]0;t\x07\x1b[2J \x00\x08 \u202e \udc80 \ufffe {{ 7*7 }} {% raw %} [a](javascript:b) '\"\\"
)


ELEMENTS = set(page(records.failing_run()).tags) | {"span"}


def hostile_run() -> RunRecord:
    """The failing run with hostile text in every place."""
    spoiled: RunRecord = records.everywhere(records.failing_run(), lambda text: HOSTILE + text)
    return spoiled


def test_hostile_text_makes_no_element() -> None:
    """The page has the very elements that it has without hostile text, whatever stands in every field."""
    clean, spoiled = page(records.failing_run()), page(hostile_run())
    assert set(spoiled.tags) <= set(clean.tags) | {"span"}
    assert {name for name, _ in spoiled.attributes} <= {name for name, _ in clean.attributes}
    assert "<script>alert(1)</script>" in spoiled.text
    assert "{{ 7*7 }}" in spoiled.text
    assert not set("\x00\x08\x1b\r\u202e\ufffe") & set(spoiled.text)


def test_hostile_text_leaves_markdown_whole(tmp_path: Path) -> None:
    """In Markdown too no element, table row or mention comes from the data."""
    allowed = {"h2", "h3", "h4", "p", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "ol", "ul", "li",
               "details", "summary", "blockquote", "strong", "sub"}  # fmt: skip
    text = markdown(assemble(hostile_run(), top=tmp_path, now=records.NOW))
    rendered = Page(MARKDOWN.render(text))
    assert set(rendered.tags) <= allowed
    assert not [name for name, _ in rendered.attributes if name not in {"style", "start"}]
    clean = Page(MARKDOWN.render(markdown(assemble(records.failing_run(), top=tmp_path, now=records.NOW))))
    assert rendered.tags.count("tr") == clean.tags.count("tr")
    assert rendered.tags.count("details") == clean.tags.count("details")


def test_hostile_text_leaves_every_file_readable(tmp_path: Path) -> None:
    """XML stays XML, JSON stays JSON, and a terminal is not steered."""
    record = hostile_run()
    written = write(record, tmp_path, top=tmp_path, now=records.NOW)
    cases = JUnitXml.fromfile(str(written.junit))
    assert cases.failures == 2
    assert json.loads(written.json.read_text())["id"].startswith("<script>")
    said = summary(record, width=80, colour=False)
    assert not set("\x00\x08\x1b\r\u202e") & set(said)
    said.encode()


@given(st.text(max_size=60))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_shown_and_no_more(tmp_path: Path, text: str) -> None:
    """Whatever a test is called and says, its report has no element from it and can be written."""
    evidence = Evidence(strength=Strength.WITNESS, failures=(records.simple_failure(text, text, text, text),))
    record = records.record(
        Verdict.FAILED,
        records.outcome(Verdict.FAILED, records.attempt(Cause.TESTS_FAILED, text, evidence=evidence, output_tail=text)),
    )
    for content in every_format(record, tmp_path):
        content.encode()
    assert set(Page((tmp_path / "report.html").read_text()).tags) <= ELEMENTS


# ---------------------------------------------------------------- secrets


def test_a_secret_never_survives(tmp_path: Path) -> None:
    """A secret in every field, and in the source of the work tree, is in no file and on no terminal."""
    hidden = "hunter2&<'é>hunter2"
    secrets = secrets_of({"DEPLOY_TOKEN": hidden})
    (tmp_path / "leak.py").write_text(f"password = {hidden!r}\nassert False\nghp_{'a1B2' * 9}\n")
    failure = records.simple_failure("leak.py::t", "boom", "leak.py:2: AssertionError")
    evidence = Evidence(strength=Strength.WITNESS, failures=(failure,))
    attempt = records.attempt(Cause.TESTS_FAILED, evidence=evidence)
    leaking = records.record(Verdict.FAILED, records.outcome(Verdict.FAILED, attempt))
    for record in (records.everywhere(records.failing_run(), lambda text: f"{text} {hidden}"), leaking):
        record = redacted(record, secrets)  # noqa: PLW2901 - as the gate does before anything is said
        for content in every_format(record, tmp_path, secrets=secrets):
            assert "hunter2" not in content
            assert "hunter2" not in Page(content).text
    shown = Page((tmp_path / "report.html").read_text()).text
    assert "assert False" in shown
    assert "ghp_" not in shown


# ---------------------------------------------------------------- size


def flood(many: int, message: str = "boom") -> RunRecord:
    """A run with very many failing tests, each of a cause of its own."""
    names = [f"tests/test_{n}.py::test_{'abcdefghij'[n % 10]}_{n}" for n in range(many)]
    failures = tuple(
        records.simple_failure(
            name, f"{message} {chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676 % 26)}", ""
        )
        for n, name in enumerate(names)
    )
    evidence = Evidence(strength=Strength.WITNESS, counts=Counts(failed=many), failures=failures)
    return records.record(
        Verdict.FAILED, records.outcome(Verdict.FAILED, records.attempt(Cause.TESTS_FAILED, "Many.", evidence=evidence))
    )


def test_ten_thousand_failures_stay_small(tmp_path: Path) -> None:
    """A flood of failing tests is counted whole, shown in part, and the report says so."""
    written = write(flood(10_000), tmp_path, top=tmp_path, now=records.NOW)
    assert written.html.stat().st_size < 2_000_000
    assert written.markdown.stat().st_size <= 1_000_000
    text = written.html.read_text()
    assert "10,000 failing tests" in text
    assert "9,800 causes with 9,800 failing tests left out." in text
    assert "160 causes without traceback and output." in text


def test_a_megabyte_of_message_stays_small(tmp_path: Path) -> None:
    """One huge message, traceback, id and section are cut in the middle with a count of what is missing."""
    huge = "x" * 1_000_000
    test = records.simple_failure(f"t::{huge}", huge, huge, huge)
    test = replace(test, failures=tuple(replace(f, sections=(Section(title=huge, text=huge),)) for f in test.failures))
    evidence = Evidence(strength=Strength.WITNESS, failures=(test,) * 3)
    record = records.record(
        Verdict.FAILED,
        records.outcome(Verdict.FAILED, records.attempt(Cause.TESTS_FAILED, huge, evidence=evidence, output_tail=huge)),
        parameters=((huge, huge),),
    )
    written = write(record, tmp_path, top=tmp_path, now=records.NOW)
    assert written.html.stat().st_size < 300_000
    assert written.junit.stat().st_size < 200_000
    assert "characters left out" in written.html.read_text()
    assert len(summary(record, width=80, colour=False)) < 20_000


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (1_000_000, "4 failing tests"),
        (6_500, "Tracebacks, captured output"),
        (3_000, "Only the names"),
        (1_400, "Only counts"),
        (300, "Only the verdict"),
        (10, "Only the verdict"),
    ],
)
def test_markdown_says_less_and_less(budget: int, said: str, top: Path) -> None:
    """What does not fit is left out by rank, never the verdict, and the cut is told."""
    text = markdown_of(assemble(records.failing_run(), top=top, now=records.NOW), budget=budget)
    assert len(text.encode()) <= max(budget, 300)
    assert said in text
    assert "Failed: lint left 3 findings" in text


def test_long_lists_say_how_much_is_missing(tmp_path: Path) -> None:
    """Findings, notes and paths beyond the bounds are counted."""
    run = records.failing_run()
    lint = run.outcomes[0].attempts[0]
    many = replace(lint, evidence=replace(lint.evidence, findings=lint.evidence.findings * 200))
    run = replace(
        run,
        outcomes=(replace(run.outcomes[0], attempts=(many,)),),
        git=replace(run.git, dirty=tuple(f"p{n}" for n in range(150))),
        notes=tuple(f"n{n}" for n in range(60)),
    )
    text = page(run, tmp_path).text
    for wanted in ("600 findings", "… and 300 more, not shown.", "… and 50 more", "… and 10 more"):
        assert wanted in text
    assert "… and 300 more findings" in Page(MARKDOWN.render(markdown(assemble(run, top=tmp_path, now=0.0)))).text
    assert "… and 590 findings more" in summary(run, width=80, colour=False)


# ---------------------------------------------------------------- writing


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    """Only the four reports are there, readable by others as the umask says, and a second run replaces them."""
    write(records.failing_run(), tmp_path / "a" / "b", top=tmp_path, now=records.NOW)
    written = write(records.passing_run(), tmp_path / "a" / "b", top=tmp_path, now=records.NOW)
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["junit.xml", "report.html", "report.json", "report.md"]
    assert "Passed:" in written.html.read_text()
    assert stat.S_IMODE(written.html.stat().st_mode) & 0o600 == 0o600


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be made is the machine's refusal, with advice."""
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be written") as caught:
        write(records.passing_run(), tmp_path / "file" / "x", top=tmp_path, now=records.NOW)
    assert "--report-dir" in caught.value.advice


def test_a_target_that_cannot_be_replaced(tmp_path: Path) -> None:
    """Where the last step fails, nothing half-written stays behind."""
    (tmp_path / "report.html" / "full").mkdir(parents=True)
    with pytest.raises(MachineError):
        write(records.passing_run(), tmp_path, top=tmp_path, now=records.NOW)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_compiled_templates_are_kept(tmp_path: Path) -> None:
    """With a folder for it, templates are compiled once; the page is the same."""
    (tmp_path / "cache").mkdir()
    pages = [
        write(records.failing_run(), tmp_path, top=tmp_path, now=records.NOW, cache=tmp_path / "cache").html.read_text()
        for _ in range(2)
    ]
    assert pages[0] == pages[1]
    assert os.listdir(tmp_path / "cache")


# ---------------------------------------------------------------- templates of the user's own


def test_a_template_of_the_users_own(tmp_path: Path) -> None:
    """A user's template is taken instead of ours, and ours can still be had from it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.md").write_text("Mine: {{ report.headline }}\n")
    (tmp_path / "mine" / "report.css").write_text("body { color: teal } </style><script>\n")
    written = write(records.passing_run(), tmp_path, top=tmp_path, now=records.NOW, overrides=tmp_path / "mine")
    assert written.markdown.read_text().startswith("Mine: Passed: lint and test")
    assert "color: teal" in written.html.read_text()
    assert "<script>" not in written.html.read_text().replace("<\\/style><script>", "")
    assert written.notes == ()


@pytest.mark.parametrize(
    ("template", "line", "why"),
    [
        ("{{ report.headline }}\n{% if %}\n", ":2", "Expected an expression"),
        ("a\nb\n{{ report.no_such_thing }}\n", ":3", "no_such_thing"),
        ("{{ 1 / 0 }}", ":1", "division by zero"),
        ("{% include 'gone.html' %}", ":1", "gone.html"),
    ],
)
def test_a_broken_template_costs_no_report(template: str, line: str, why: str, tmp_path: Path) -> None:
    """The built-in template takes over, and template, line and reason are told in the report and to the caller."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text(template)
    written = write(records.failing_run(), tmp_path, top=tmp_path, now=records.NOW, overrides=tmp_path / "mine")
    (note,) = written.notes
    assert f"report.html{line}" in note
    assert why in note
    assert "A template of yours could not be used" in written.html.read_text()
    assert "4 of 409 tests failed" in written.html.read_text()


def test_a_broken_sheet_costs_no_report(tmp_path: Path) -> None:
    """A style sheet that is not text is named by its folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.css").write_bytes(b"\xff\xfe")
    written = write(records.failing_run(), tmp_path, top=tmp_path, now=records.NOW, overrides=tmp_path / "mine")
    assert str(tmp_path / "mine") in written.notes[0]


# ---------------------------------------------------------------- terminal


def test_the_closing_words_are_narrow_and_coloured_on_demand() -> None:
    """Lines keep to the width except commands, which are copied; colours are there only when wanted."""
    said = summary(records.failing_run(), width=60, colour=False)
    commands = [line for line in said.splitlines() if line.startswith("    ") and "pytest" in line]
    assert all(len(line) <= 60 for line in said.splitlines() if line not in commands)
    assert "shop/cart.py:14: decimal.InvalidOperation" in " ".join(said.split())
    coloured = summary(records.failing_run(), width=60, colour=True)
    assert "\x1b[1;31m✗ Failed" in coloured
    assert "\x1b" not in said


def test_the_closing_words_of_a_pass_are_few() -> None:
    """When all is well there is nothing to do, and nothing about it is said."""
    said = summary(replace(records.passing_run(), notes=()), width=80, colour=False)
    assert "What to do" not in said
    assert "the same content passed before" in said
    assert len(said.splitlines()) <= 5


def test_the_closing_words_tell_what_to_know() -> None:
    """Notes, such as where state went or why there is no report, are told, five of them in full."""
    run = replace(records.passing_run(), notes=tuple(f"fact \x1b[31m{number}" for number in range(7)))
    said = summary(run, width=80, colour=False)
    assert "\nnote: fact 0\n" in said
    assert said.count("note: ") == 5
    assert said.endswith("… and 2 notes more\n")


def test_more_failures_than_fit_on_a_screen() -> None:
    """Ten failing tests are named, the others counted."""
    said = summary(flood(30), width=80, colour=False)
    assert said.count("::") <= 10 + 3 * 2
    assert "… and 20 failing tests more" in said


def test_the_style_sheet_can_be_read(top: Path) -> None:
    """The policy's digest is that of the sheet on the page."""
    import base64
    import hashlib
    import re

    text = page_of(assemble(records.failing_run(), top=top, now=records.NOW))
    sheet = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert sheet is not None
    digest = base64.b64encode(hashlib.sha256(sheet[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in text
