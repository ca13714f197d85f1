"""What stands before the words of a program in a log is taken away, and what tests write before theirs is not."""

import time

from itertools import pairwise

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.actions import Action
from pytest_orxaq.catalogue.shipped import shipped
from pytest_orxaq.core.prefixes import forms
from pytest_orxaq.core.signatures import Facts, applies, recognise
from pytest_orxaq.model import Rule


RULE = Rule(id="x", action=Action.RETRY, advice="x", needles=("tool:",), regex=r"tool: busy \d\.\d")
CARRIED = (
    "2026-01-02T03:04:05.1234567Z ",
    "2026-01-02 03:04:05,678 ERROR my.module: ",
    "2026-01-02T03:04:05Z [error] ",
    "2026-01-02T03:04:05.123456789Z stderr F ERROR ",
    "[2026-01-02T03:04:05.678Z] ",
    "03:04:05 ",
    "[03:04:05] ",
    "Jan  2 03:04:05 host prog[123]: ",
    "[142428.678649] ",
    "E0102 03:04:05.678901   12345 file.go:12] ",
    "#10 5.897 ",
    "#10 ",
    "18.23 ",
    "=> => # ",
    "##[error]",
    "::error file=a.py,line=1::",
    "web_1  | ",
    "build\tRun tests\t2026-01-02T03:04:05.6Z ",
    "[2K",
    "\x1b[2K\x1b[31m",
    " 10% [====>    ] 3 kB\r",
    "web_1  | 2026-01-02 03:04:05 #7 1.5 ",
)
PASSED_ON = (
    "error: ",
    "ERROR: ",
    "[ERROR] ",
    "Error: Caused by: ",
    "npm ERR! npm ERR! ",
    "npm error ",
    "lerna ERR! ",
    "  × ",
    "│ ",
    "  ├─▶ ",
    "  ╰─▶ ",
    "Caused by: ",
    "  0: ",
    "> ",
    "stderr: '",
    "E:",
    "fatal: remote: ",
    "##[error]Error: ",
    "#12 3.4 npm error ",
)
SHOWN_BY_TESTS = (
    "E   ",
    "E       ",
    ">       ",
    "- ",
    "+ ",
    "? ",
    "x_test.go:8: ",
    "    x_test.go:8: Error: ",
    "ok 1 - ",
    "assert '",
    "WARNING: ",
)


@pytest.mark.parametrize("before", CARRIED, ids=repr)
def test_what_carries_a_line_does_not_hide_it(before: str) -> None:
    """Any rule sees the words behind it, be they the ones with which it does not apply, and the line is quoted whole."""
    line = f"{before}tool: busy 1.2"
    above = Rule(id="x", action=Action.RETRY, advice="x", needles=RULE.needles, regex=RULE.regex, above=("first",))
    assert applies(RULE, line)
    assert applies(above, f"first\n{line}")
    other = Rule(id="x", action=Action.RETRY, advice="x", needles=RULE.needles, regex=RULE.regex, unless=("closed",))
    assert not applies(other, f"{before}closed\ntool: busy 1.2")
    found = recognise(Facts(text=f"{before}tool: busy 1.2\n"), [RULE]).decisive
    assert found is not None
    assert found.line.endswith("tool: busy 1.2")
    assert "\x1b" in before or found.line == line.strip()


@pytest.mark.parametrize("before", PASSED_ON, ids=repr)
def test_who_passes_words_on_does_not_hide_them(before: str) -> None:
    """A rule sees them behind an "error:", unless others must stand above them, for then anybody may say them."""
    line = f"{before}tool: busy 1.2"
    above = Rule(id="x", action=Action.RETRY, advice="x", needles=RULE.needles, regex=RULE.regex, above=("first",))
    assert applies(RULE, line)
    assert not applies(above, f"first\n{line}")
    other = Rule(id="x", action=Action.RETRY, advice="x", needles=RULE.needles, regex=RULE.regex, unless=("closed",))
    assert not applies(other, f"{before}closed\ntool: busy 1.2")


@pytest.mark.parametrize("before", SHOWN_BY_TESTS, ids=repr)
def test_what_tests_show_stays_hidden(before: str) -> None:
    """Before values that tests show, and before warnings, stands no prefix of a log."""
    assert not applies(RULE, f"{before}tool: busy 1.2")


@given(st.text(alphabet="[]|>:#×│ 0123456789-TZerorERROR!npm\r\t", max_size=80), st.booleans())
def test_forms_are_ends_of_the_line(line: str, passed_on: bool) -> None:
    """Each is shorter than the one before and an end of the line, there are few, and the line itself comes first."""
    found = list(forms(line, passed_on=passed_on))
    assert found[0] == line
    assert all(line.endswith(form) for form in found)
    assert len(found) <= 10
    assert all(len(later) < len(earlier) for earlier, later in pairwise(found))


HOSTILE = (
    "error: " * 200 + "curl: (56) x",
    "[" * 700 + "curl: (56) ",
    "A" * 60 + " " * 700 + "| curl: (56) ",
    "2026-01-02 03:04:05 ERROR a" + ".a" * 600 + " curl: (56)",
    "::error " + "a" * 1300 + " curl: (56)",
    "error: Failed to fetch Get https://x " + "Get https://x/v2/: dial tcp: " * 40 + "EOF. No",
    "│ × ├─▶ " * 150 + " (os error 104) class=Net",
    "a\t" * 600 + "rpc error: code = ",
    " " * 1300 + "npm ERR! " * 10,
)


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_megabyte_of_nasty_lines_takes_linear_time(line: str) -> None:
    """All shipped rules read four times as much in about four times the time, not in sixteen."""

    def spent(megabytes: float) -> float:
        text = (line[:1499] + "\n") * int(megabytes * 1_000_000 / min(len(line), 1500))
        started = time.process_time()
        recognise(Facts(text=text), shipped())
        return time.process_time() - started

    spent(0.01)  # compiles what is needed
    assert spent(1.0) < 6 * spent(0.25) + 1
