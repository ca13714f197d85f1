"""Closing lines: real outputs under data/, documented shapes, and lines that only look alike."""

import time

from pathlib import Path

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_orxaq.core.closing import closing_lines
from pytest_orxaq.model import Counts


DATA = Path(__file__).with_name("data")

# Captured from the runners themselves: the file, the runner, and what it counted.
CAPTURED = (
    ("bats_pretty", "bats", Counts(passed=2, skipped=1)),
    ("bats_pretty_failed", "bats", Counts(passed=1, failed=1, skipped=1)),
    ("bats_tap", "tap", Counts(passed=2, skipped=1)),
    ("bats_tap_failed", "tap", Counts(passed=1, failed=1, skipped=1)),
    ("cargo_failed", "cargo test", Counts(passed=3, failed=1, skipped=1)),
    ("cargo_ok", "cargo test", Counts(passed=4, skipped=1)),
    ("ctest_failed", "ctest", Counts(passed=1, failed=1, skipped=1)),
    ("ctest_none", "ctest", Counts()),
    ("ctest_ok", "ctest", Counts(passed=2, skipped=1)),
    ("go_failed", "go test", Counts(failed=1)),
    ("go_json", "go test", Counts(passed=1, failed=1, skipped=1)),
    ("go_ok", "go test", Counts(passed=1)),
    ("go_verbose", "go test", Counts(passed=2, skipped=1)),
    ("go_verbose_failed", "go test", Counts(passed=1, failed=1, skipped=1)),
    ("jest_failed", "jest", Counts(passed=1, failed=1, skipped=2)),
    ("jest_ok", "jest", Counts(passed=3, skipped=2)),
    ("maven_failed", "surefire", Counts(passed=2, failed=1, skipped=1)),
    ("maven_ok", "surefire", Counts(passed=3, skipped=1)),
    ("mocha_failed", "mocha", Counts(passed=1, failed=1, skipped=1)),
    ("mocha_ok", "mocha", Counts(passed=2, skipped=1)),
    ("mocha_tap", "tap", Counts(passed=2, skipped=1)),
    ("node_spec_failed", "node", Counts(passed=1, failed=1, skipped=2)),
    ("node_tap", "node", Counts(passed=2, skipped=2)),
    ("nose2", "unittest", Counts(passed=1, skipped=1)),
    ("phpunit_failed", "phpunit", Counts(passed=1, failed=1, skipped=1)),
    ("phpunit_none", "phpunit", Counts()),
    ("phpunit_ok", "phpunit", Counts(passed=3)),
    ("prove_failed", "prove", Counts(passed=3, failed=1)),
    ("prove_ok", "prove", Counts(passed=2)),
    ("prove_verbose", "prove", Counts(passed=2)),
    ("pytest7", "pytest", Counts(passed=1, failed=3, skipped=1, xfailed=1)),
    ("pytest_collect_only", "pytest", Counts()),
    ("pytest_colour", "pytest", Counts(passed=1, failed=1, errors=1, skipped=1, xfailed=1, xpassed=1)),
    ("pytest_deselected", "pytest", Counts()),
    ("pytest_no_tests", "pytest", Counts()),
    ("pytest_quiet", "pytest", Counts(passed=1, failed=1, errors=1, skipped=1, xfailed=1, xpassed=1)),
    ("pytest_rerun", "pytest", Counts(passed=1)),
    ("pytest_subtests", "pytest", Counts(failed=2)),
    ("rspec_failed", "rspec", Counts(passed=1, failed=1, skipped=1)),
    ("rspec_ok", "rspec", Counts(passed=1)),
    ("unittest_failed", "unittest", Counts(passed=1, failed=2, errors=1, skipped=1, xfailed=1)),
    ("unittest_ok", "unittest", Counts(passed=1, skipped=1)),
    ("vitest_failed", "vitest", Counts(passed=1, failed=1, skipped=2)),
    ("vitest_ok", "vitest", Counts(passed=2, skipped=2)),
    ("vitest_unhandled", "vitest", Counts(passed=2, errors=1, skipped=2)),
)

# From documentation and source of the runners, or other versions of those above.
DOCUMENTED = (
    # as pytest has it in src/_pytest/terminal.py, summary_stats
    ("= 1 passed in 0.12s =", "pytest", Counts(passed=1)),
    ("=== 3 passed, 2 warnings in 0.12 seconds ===", "pytest", Counts(passed=3)),
    ("== 3 passed, 1 subtests passed in 3723.00s (1:02:03) ==", "pytest", Counts(passed=3)),
    ("== 3 passed in 90000.00s (1 day, 1:00:00) ==", "pytest", Counts(passed=3)),
    ("1 failed, 2 subtests failed, 1 rerun in 1.00s", "pytest", Counts(failed=3)),
    ("== no tests collected (3 deselected) in 0.00s ==", "pytest", Counts()),
    ("== 3/5 tests collected (2 deselected) in 0.01s ==", "pytest", Counts()),
    ("== 3 tests collected, 1 error in 0.10s ==", "pytest", Counts(errors=1)),
    ("== 2 errors in 0.10s ==", "pytest", Counts(errors=2)),
    # as unittest has it in Lib/unittest/runner.py
    ("Ran 0 tests in 0.000s\n\nNO TESTS RAN", "unittest", Counts()),
    ("Ran 2 tests in 0.000s\n\nNO TESTS RAN (skipped=2)", "unittest", Counts(skipped=2)),
    ("Ran 1 test in 0.001s\n\nOK", "unittest", Counts(passed=1)),
    ("Ran 0 tests in 0.001s\n\nFAILED (errors=1)", "unittest", Counts(errors=1)),
    ("Ran 1 test in 0.001s\n\nFAILED", "unittest", Counts(errors=1)),
    # as go has it in cmd/go/internal/test
    ("ok  \tx.org/a\t(cached)", "go test", Counts(passed=1)),
    ("ok  \tx.org/a\t0.003s\tcoverage: 80.0% of statements", "go test", Counts(passed=1)),
    ("ok  \tx.org/a\t0.003s\tcoverage: 0.0% of statements [no tests to run]", "go test", Counts()),
    ("?   \tx.org/a\t[no test files]", "go test", Counts()),
    ("FAIL\tx.org/a [build failed]", "go test", Counts(errors=1)),
    ("FAIL\tx.org/a\t0.003s", "go test", Counts(errors=1)),
    ('{"Time":"2026-01-01T00:00:00Z","Action":"fail","Package":"x.org/a","Elapsed":0.1}', "go test", Counts(errors=1)),
    # as cargo has it in library/test/src/formatters/pretty.rs
    ("test result: ok. 3 passed; 0 failed; 0 ignored; 2 measured", "cargo test", Counts(passed=5)),
    ("test result: FAILED. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", "cargo test", Counts(errors=1)),
    # as nextest has it in nextest-runner/src/reporter
    ("     Summary [   0.012s] 3 tests run: 3 passed, 0 skipped", "nextest", Counts(passed=3)),
    (
        "     Summary [   1.2s] 3/5 tests run: 1 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 2 exec failed, 4 skipped",
        "nextest",
        Counts(passed=1, failed=2, errors=2, skipped=4),
    ),
    ("     Summary [   0.000s] 0 tests run: 0 passed, 0 skipped", "nextest", Counts()),
    # as jest has it in packages/jest-reporters/src/getSummary.ts
    ("Test Suites: 1 failed, 1 total\nTests:       0 total", "jest", Counts(errors=1)),
    # as vitest has it in packages/vitest/src/node/reporters/base.ts
    (" Test Files  1 failed (1)\n      Tests  no tests", "vitest", Counts(errors=1)),
    (" Test Files  no tests\n      Tests  no tests", "vitest", Counts()),
    (" Test Files  1 passed (1)\n      Tests  1 passed | 1 expected fail (2)", "vitest", Counts(passed=1, xfailed=1)),
    ("  0 passing (1ms)", "mocha", Counts()),
    ("  3 passing (2m)\n  1 failing", "mocha", Counts(passed=3, failed=1)),
    ("# tests 2\n# pass 1\n# fail 0\n# cancelled 1\n# duration_ms 3.5", "node", Counts(passed=1, errors=1)),
    ("100% tests passed, 0 tests failed out of 12", "ctest", Counts(passed=12)),
    # as Surefire has it in DefaultReporterFactory.java; before 2.20 without a level
    ("Tests run: 5, Failures: 1, Errors: 1, Skipped: 1", "surefire", Counts(passed=2, failed=1, errors=1, skipped=1)),
    ("[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 0, Flakes: 1", "surefire", Counts(passed=5)),
    # as Gradle has it in TestCountLogger.java
    ("3 tests completed, 1 failed, 1 skipped", "gradle", Counts(passed=1, failed=1, skipped=1)),
    ("1 test completed, 1 failed", "gradle", Counts(failed=1)),
    # as RSpec has it in core/notifications.rb
    ("0 examples, 0 failures, 2 errors occurred outside of examples", "rspec", Counts(errors=2)),
    # as PHPUnit has it in TextUI/ResultPrinter and Output/Default
    ("OK (1 test, 1 assertion)", "phpunit", Counts(passed=1)),
    (
        "OK, but there were issues!\nTests: 3, Assertions: 4, PHPUnit Deprecations: 2, Incomplete: 1.",
        "phpunit",
        Counts(passed=2, skipped=1),
    ),
    ("ERRORS!\nTests: 3, Assertions: 4, Errors: 1, Failures: 1.", "phpunit", Counts(passed=1, failed=1, errors=1)),
    # as bats has it in libexec/bats-core/bats-format-pretty; of TAP, see testanything.org
    ("3 tests, 1 failure, 1 not run in 2 seconds", "bats", Counts(passed=1, failed=1, errors=1)),
    ("1..0 # skipped", "tap", Counts()),
    ("1..2\nok 1 a\nnot ok 2 b # TODO later", "tap", Counts(passed=1, skipped=1)),
    ("ok 1 a\nnot ok 2\n1..2", "tap", Counts(passed=1, failed=1)),
    # as prove has it in App::Prove, TAP::Formatter::Base
    ("Files=1, Tests=0,  0 wallclock secs ( 0.01 usr )\nResult: NOTESTS", "prove", Counts()),
    ("Files=1, Tests=2,  0 wallclock secs ( 0.01 usr )\nResult: FAIL", "prove", Counts(passed=1, errors=1)),
    # a gate inside the gate
    ("orxaq: test passed: 12 tests", "orxaq", Counts(passed=12)),
    ("orxaq: passed: lint and test agree (12 tests)", "orxaq", Counts(passed=12)),
    ("orxaq: test failed: 12 tests", "orxaq", Counts(passed=11, errors=1)),
    ("orxaq: unproven: nothing ran (0 tests)", "orxaq", Counts(errors=1)),
    ("orxaq: test skipped: 0 tests", "orxaq", Counts()),
)

LOOKALIKES = (
    "3 passed",
    "we saw 3 passed in 0.12s",
    "=== 3 passed in 0.12s",
    "3 cars in 0.12s",
    "3 passed, maybe in 0.12s",
    "=== failures ===",
    "2 warnings, 1 thing",
    "passed in 0.12s",
    "number of tests in 1.00s",
    "OK",
    "OK (skipped=1)",
    "FAILED (failures=1)",
    "Ran 3 tests in 0.1s\n\nsomething else\nOK",
    "ok",
    "FAIL",
    "PASS",
    "ok  \tx.org/a\tsoon",
    "--- PASS: TestA (0.00s)",
    "test result: great. 3 passed",
    "Summary [ 0.1s] nothing",
    "     Summary [   0.012s] 3 tests run: who knows",
    "Tests:       3 passed, 3 total",
    "Test Suites: many total",
    "Test Suites: 1 passed, 1 total\nnoise\nTests:       3 passed, 3 total",
    "      Tests  3 passed (3)",
    "      Tests  lots (3)",
    "     Errors  1 error",
    "  1 failing",
    "3 passing (2ms)",
    "# pass 2",
    "# tests 2\nnoise\n# pass 2\n# duration_ms 3",
    "\t  3 - c (Skipped)",
    "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.05 s -- in ATest",
    "Tests run: 1, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.05 sec",
    "BUILD SUCCESSFUL in 3s",
    "Tests: 3, Assertions: 4.",
    "FAILURES!\n\nTests: many, Assertions: 4.",
    "1..3\nok 1\nok 2",
    "1..3\nok 1\nok 3\nok 2",
    "1..2\nok 1\nBail out! no database\nok 2",
    "ok 2 b\n1..2",
    "Files=1, Tests=2, 0 wallclock secs\n\nnoise\nResult: PASS",
    "Result: PASS",
    "orxaq: test passed",
    "orxaq: the test passed: 12 tests",
    "orxaq: test passed: all of 12 test runs",
)


@pytest.mark.parametrize(("name", "runner", "counts"), CAPTURED, ids=[row[0] for row in CAPTURED])
def test_captured_outputs(name: str, runner: str, counts: Counts) -> None:
    """A real output has one closing line, of this runner and with these counts."""
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    (line,) = closing_lines(text)
    assert (line.runner, line.counts) == (runner, counts)


def test_every_capture_is_listed() -> None:
    """No captured output lies about unread."""
    assert {path.stem for path in DATA.glob("*.txt")} == {row[0] for row in CAPTURED}


@pytest.mark.parametrize(("text", "runner", "counts"), DOCUMENTED, ids=[repr(row[0][:60]) for row in DOCUMENTED])
def test_documented_shapes(text: str, runner: str, counts: Counts) -> None:
    """A documented closing line is read wherever it stands, also with carriage returns and without a last newline."""
    for whole in (text, f"noise before\n{text}\nnoise after\n", text.replace("\n", "\r\n") + "\r\n"):
        (line,) = closing_lines(whole)
        assert (line.runner, line.counts) == (runner, counts)


@pytest.mark.parametrize("text", LOOKALIKES, ids=repr)
def test_lookalikes(text: str) -> None:
    """What only looks like a closing line is none."""
    assert closing_lines(text) == ()


def test_several_sessions_in_one_output() -> None:
    """Each pytest process has its closing line, with the place of its opening words."""
    session = "=== test session starts ===\n...\n=== 1 passed in 0.10s ===\n"
    first, second = closing_lines("make lint\n" + session + "between\n" + session)
    assert (first.opened, second.opened) == (10, 10 + len(session) + 8)
    assert (first.offset, second.offset) == (10 + 32, 10 + len(session) + 8 + 32)


@pytest.mark.parametrize(
    "name", ["cargo_failed", "maven_ok", "vitest_failed", "phpunit_ok", "ctest_ok", "pytest_colour"]
)
def test_offsets_point_into_the_given_text(name: str) -> None:
    """Offsets count characters of the text as given, colours included."""
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    (line,) = closing_lines(text)
    assert line.opened is not None
    assert line.opened < line.offset
    for offset in (line.offset, line.opened):
        assert offset == 0 or text[offset - 1] == "\n"


def test_only_what_follows_the_last_carriage_return_is_seen() -> None:
    """A progress bar overwritten by a closing line does not hide it, and the offset is behind the return."""
    text = "50%\r100%\r=== 1 passed in 0.10s ===\r\n"
    (line,) = closing_lines(text)
    assert text[line.offset :].startswith("=== 1 passed")
    assert len(closing_lines("x" * 5000 + "\r1 passed in 0.10s\n")) == 1


def test_cargo_invocations_apart() -> None:
    """Binaries of one cargo invocation are summed, two invocations are two closing lines."""
    run = "    Finished `test` profile [unoptimized + debuginfo] target(s) in 0.00s\n"
    run += 2 * "running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n"
    assert [line.counts.passed for line in closing_lines(run + run)] == [2, 2]
    assert [line.opened for line in closing_lines(run)] == [run.index("running")]


def test_runners_side_by_side() -> None:
    """Lines of another runner in between end the sum of a runner that is summed."""
    text = "ok  \ta\t0.1s\nFAIL\tb\t0.1s\n3 examples, 0 failures\nok  \tc\t0.1s\n"
    assert [(line.runner, line.counts.bad) for line in closing_lines(text)] == [
        ("go test", 1),
        ("rspec", 0),
        ("go test", 0),
    ]


def test_tap_below_prove_is_not_counted_twice() -> None:
    """The TAP that prove shows is prove's; a failure in it stays if prove does not admit one."""
    done = "Files=1, Tests=1,  0 wallclock secs\nResult: "
    assert [line.runner for line in closing_lines("1..1\nok 1\n" + done + "PASS")] == ["prove"]
    assert [line.runner for line in closing_lines("1..1\nnot ok 1\n" + done + "FAIL")] == ["prove"]
    assert [line.runner for line in closing_lines("1..1\nnot ok 1\n" + done + "PASS")] == ["tap", "prove"]


def test_two_plans_start_over() -> None:
    """A second plan, or a first result, begins another TAP stream."""
    assert [line.counts.passed for line in closing_lines("1..3\nok 1\n1..2\nok 1\nok 2")] == [2]
    assert [line.counts.passed for line in closing_lines("ok 1\nok 1\nok 2\n1..2")] == [2]


HOSTILE = {
    "one long line": "=" * 10_000_000,
    "one long line of words": "1 passed, " * 1_000_000,
    "returns": "a\r" * 2_000_000,
    "blank lines": "\n" * 1_000_000,
    "almost pytest": "=== 3 passed, 1 failed in 0.12s ==x\n" * 100_000,
    "parts without end": ("1 passed, " * 90 + "in x\n") * 2_000,
    "times without end": ("1" + " in 11" * 160 + "\n") * 2_000,
    "almost a colour": ("\x1b[" + "0" * 900 + "\n") * 5_000,
    "almost prove": ("x (Wstat: " * 95 + "\n") * 2_000,
    "almost PHPUnit": "Tests: 3, Assertions: 4\n" * 50_000,
    "results without plan": "ok 1 x\n" * 50_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_output_takes_linear_time(text: str) -> None:
    """Long lines and masses of lookalikes are read in seconds (quadratic time would be hours) and say nothing."""
    started = time.process_time()
    assert closing_lines(text) == ()
    assert time.process_time() - started < 20


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="= \n\r\x1b[0m1passed in.s,OKRanTtest:()#", max_size=300))
def test_any_text_is_read(text: str) -> None:
    """No text makes the reader fail, and offsets lie in the text and rise."""
    lines = closing_lines(text)
    assert all(0 <= line.offset < len(text) for line in lines)
    assert [line.offset for line in lines] == sorted(line.offset for line in lines)
