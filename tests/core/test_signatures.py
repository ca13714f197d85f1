"""What a failure looks like to rules, what make says, and hostile text."""

import time

from dataclasses import replace

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_orxaq.actions import Action
from pytest_orxaq.catalogue.shipped import shipped
from pytest_orxaq.core.signatures import (
    Facts,
    applies,
    make_failures,
    missing_target,
    nothing_done,
    recognise,
)
from pytest_orxaq.model import Rule


def rule(id: str = "a-rule", action: Action = Action.RETRY, **other: object) -> Rule:
    """A rule about lines that begin with its id, unless told otherwise."""
    usual: dict[str, object] = {"advice": "wait", "programs": ("tool",)}
    if not {"exits", "signals", "errnos", "exceptions"} & other.keys():
        usual |= {"needles": (id,), "regex": f"{id}.*"}
    return Rule(id=id, action=action, **usual | other)  # type: ignore[arg-type]


def decisive(text: str, *rules: Rule, **facts: object) -> str:
    """The id of the rule that decides, and the number of its line; empty if none does."""
    found = recognise(Facts(text=text, **facts), rules).decisive  # type: ignore[arg-type]
    return f"{found.rule}@{found.number}" if found else ""


RETRY, OTHER = rule("retry"), rule("other", programs=("another",))
NEVER = rule("never", Action.NO_RETRY)
LOCK, LESS = rule("lock", Action.REPAIR, programs=("git",)), rule("less", Action.RETRY_REDUCED)
EVER = rule("ever", Action.NO_RETRY, programs=())


@pytest.mark.parametrize(
    ("text", "rules", "told"),
    [
        ("", (RETRY,), ""),
        ("say retry\nre\ntry", (RETRY,), ""),
        ("noise\nretry 1\nretry 2\nnoise", (RETRY,), "retry@3"),
        ("  \x1b[1;31mretry\x1b[0m \r\n", (RETRY,), "retry@1"),
        ("retry\nless\n", (RETRY, LESS), "less@2"),
        ("less\nretry\n", (RETRY, LESS), "retry@2"),
        ("lock\nretry\n", (RETRY, LOCK), "lock@1"),
        ("lock\nlock\nretry\n", (RETRY, LOCK), "lock@2"),
        ("never\nretry\n", (RETRY, NEVER), "never@1"),
        ("retry\nnever\n", (RETRY, NEVER), "never@2"),
        ("never\nother\n", (OTHER, NEVER), "other@2"),
        ("other\nnever\n", (OTHER, NEVER), "other@1"),
        ("other\never\n", (OTHER, EVER), "ever@2"),
        ("never\nnever\n", (NEVER,), "never@2"),
        ("never\nother\nretry\n", (RETRY, OTHER, NEVER), "other@2"),
    ],
)
def test_what_decides(text: str, rules: tuple[Rule, ...], told: str) -> None:
    """The last line does, a lock before it; and what is for good outweighs what the same program says beside it."""
    assert decisive(text, *rules) == told


def test_of_rules_that_know_a_line_the_first_counts() -> None:
    """A rule further down does not see what another one took, also to pass it over."""
    same = rule("never", Action.NO_RETRY, needles=("retry",), regex="retry.*")
    assert decisive("retry", RETRY, same) == "retry@1"
    assert decisive("retry", same, RETRY) == "never@1"
    passed_over = rule("nothing", Action.IGNORE, needles=("retry 1",), regex="retry 1")
    assert decisive("retry 1\nretry 2\nretry 1", passed_over, RETRY) == "retry@2"
    assert decisive("retry 1", passed_over, RETRY) == ""


def test_above_and_unless() -> None:
    """What must stand above does not stand below or in the line; with what forbids a rule it knows nothing."""
    below = rule("retry", above=("first", "1st"))
    assert decisive("first\nretry", below) == "retry@2"
    assert decisive("retry\nfirst\nretry", below) == "retry@3"
    assert decisive("first\nretry\nfirst", below) == "retry@2"
    assert decisive("retry", below) == decisive("x\nretry\n", below) == ""
    assert decisive("retry first\n", below) == ""
    assert decisive("retry\nfirst", below) == ""
    assert decisive("x\n1st\nretry\nfirst", below) == "retry@3"
    but = rule("retry", unless=("denied.*",))
    assert decisive("retry\n  denied: x", but) == ""
    assert decisive("retry\nnot denied", but) == "retry@1"
    assert decisive("retry\ndenied" + "!" * 1494, but) == ""
    assert decisive("retry\ndenied" + "!" * 1495, but) == "retry@1"


def test_types_come_first_then_ends_then_lines() -> None:
    """The surest knowledge decides, but never against what the same program says for good."""
    typed = rule("typed", exceptions=("ssl.SSLError", "OSError"), programs=())
    numbered = rule("numbered", errnos=("ETXTBSY",), programs=())
    code, signal = rule("code", exits=(6, 7)), rule("signal", signals=("SIGXCPU",), programs=())
    rules = (RETRY, NEVER, OTHER, code, signal, numbered, typed)
    assert decisive("", *rules, exceptions=("x.Error", "OSError")) == "typed@0"
    assert decisive("retry", *rules, exceptions=("OSError",), exit=6, program="tool") == "typed@0"
    assert decisive("retry", *rules, errno="ETXTBSY", exit=6, program="tool") == "numbered@0"
    assert decisive("other", *rules, exit=7, program="tool") == "code@0"
    assert decisive("other", *rules, exit=7, program="make") == "other@1"
    assert decisive("other", *rules, signal="SIGXCPU", program="make") == "signal@0"
    assert decisive("never", *rules, exit=7, program="tool") == "never@1"
    final = rule("final", Action.NO_RETRY, exits=(6,))
    assert decisive("other", final, OTHER, exit=6, program="tool") == "final@0"
    another = rule("another", exceptions=("OSError",), programs=("another",))
    told = {"exceptions": ("OSError",), "exit": 6, "program": "tool"}
    assert decisive("", final, another, **told) == "another@0"
    nothing = rule("nothing", Action.IGNORE, exits=(6,))
    assert decisive("", nothing, exit=6, program="tool") == ""


def test_what_the_machine_lacks_comes_before_what_is_said_because_of_it() -> None:
    """A full disk decides over what the same and other programs complain of for good, wherever it stands; not over a type."""
    full = rule("full", Action.ENVIRONMENT, programs=(), needles=("full",), regex="full")
    assert decisive("full\nnever\nretry", full, NEVER, RETRY) == "full@1"
    assert decisive("never\nfull", full, NEVER) == "full@2"
    assert decisive("full", full, rule("final", Action.NO_RETRY, exits=(6,)), exit=6, program="tool") == "final@0"


def test_what_told_is_kept() -> None:
    """A signature says by what it was known, what to do, and where the words come from."""
    known = recognise(Facts(exit=6, program="tool"), [rule(exits=(6,), source="tool.c")]).decisive
    assert known is not None
    assert (known.fact, known.line, known.advice, known.source) == ("exit code 6", "", "wait", "tool.c")
    facts = Facts(exceptions=("x.Error", "OSError"), errno="EIO", signal="SIGXCPU", exit=6, program="tool")
    for by, fact in (
        (rule(exceptions=("OSError",)), "OSError"),
        (rule(errnos=("EIO",)), "EIO"),
        (rule(signals=("SIGXCPU",)), "SIGXCPU"),
    ):
        known = recognise(facts, [by]).decisive
        assert known is not None
        assert known.fact == fact
    known = recognise(Facts(text="retry  now "), [RETRY]).decisive
    assert known is not None
    assert (known.fact, known.line, known.programs) == ("", "retry  now", ("tool",))


def test_a_passive_rule_changes_nothing() -> None:
    """It is told, once, with its last line; it neither decides nor takes a line from others."""
    passive = rule("passive", Action.NO_RETRY, needles=("retry",), regex="retry.*", passive=True)
    ended = rule("ended", exits=(6,), passive=True)
    seen = recognise(Facts(text="retry 1\nretry 2", exit=6, program="tool"), [passive, ended, RETRY])
    assert seen.decisive is not None
    assert seen.decisive.rule == "retry"
    assert [(each.rule, each.number, each.fact) for each in seen.passive] == [
        ("ended", 0, "exit code 6"),
        ("passive", 2, ""),
    ]


def test_a_rule_alone() -> None:
    """Whether a rule knows a text does not depend on others, nor on its action."""
    assert applies(rule(action=Action.IGNORE), "x\na-rule")
    assert not applies(rule(), "a rule")


@pytest.mark.parametrize("before", ["", "noise\n" * 2000], ids=["first line", "after much"])
@pytest.mark.parametrize("after", ["", "\nnoise\n"], ids=["last line", "more follows"])
def test_lines_are_read_wherever_they_stand(before: str, after: str) -> None:
    """Neither the first nor the last line is passed over, with colours or without, and each is read once."""
    red = "\x1b[1m\x1b[31m{}\x1b[0m"
    lines = ["make: *** [a] Error 1", "make: make: [b]", "make: *** [c] Error 2"]
    text = before + "\n".join((lines[0], lines[1], red.format(lines[2]))) + after
    assert [(failure.target, failure.line) for failure in make_failures(text)] == [("a", lines[0]), ("c", lines[2])]
    assert decisive(before + red.format("retry") + after, RETRY) == f"retry@{before.count(chr(10)) + 1}"


def test_a_line_that_is_too_long_is_not_read() -> None:
    """Lines of up to 1500 characters are."""
    assert decisive("retry" + "!" * 1495, RETRY) == "retry@1"
    assert decisive("retry" + "!" * 1496, RETRY) == ""


MAKE = {
    "make: *** [Makefile:2: lint] Error 5": ("lint", 5, None, False),
    "make: *** [lint] Error 5": ("lint", 5, None, False),
    "make[1]: *** [sub/a.mk:12: out/x.o] Error 1": ("out/x.o", 1, None, False),
    "/usr/bin/make: *** [Makefile:2: t] Error 137": ("t", 137, None, False),
    "mingw32-make.exe: *** [C:/x/Makefile:2: t] Error 2": ("t", 2, None, False),
    "make: *** [Makefile:2: lint] Fehler 5": ("lint", 5, None, False),
    "make: *** [Makefile:2 : lint] Erreur 5": ("Makefile:2 : lint", 5, None, False),
    "make: [Makefile:2: lint] Error 1 (ignored)": ("lint", 1, None, True),
    "make: [Makefile:2: lint] Fehler 1 (ignoriert)": ("lint", 1, None, True),
    "make: [Makefile:2: lint] Error 1": ("lint", 1, None, False),
    "make: *** [Makefile:2: lint] Error 1 (odd)": ("lint", 1, None, False),
    "make: *** [Makefile:2: t] Killed": ("t", None, "SIGKILL", False),
    "gmake: *** [Makefile:2: t] Killed: 9": ("t", None, "SIGKILL", False),
    "make: *** [Makefile:2: t] Terminated": ("t", None, "SIGTERM", False),
    "make: *** [Makefile:2: t] Segmentation fault (core dumped)": ("t", None, "SIGSEGV", False),
    "make: [Makefile:2: t] Segmentation fault (core dumped) (ignored)": ("t", None, "SIGSEGV", True),
    "make: [Makefile:2: t] Segmentation fault (core dumped)": ("t", None, "SIGSEGV", False),
    "make: *** [Makefile:2: t] Aborted": ("t", None, "SIGABRT", False),
    "make: *** [Makefile:2: out/[x]] Error 1": ("out/[x]", 1, None, False),
}


@pytest.mark.parametrize("line", MAKE, ids=repr)
def test_make_failures(line: str) -> None:
    """Make says which recipe failed, and how; an ignored failure is told apart."""
    (failure,) = make_failures(f"noise\n{line}\nnoise")
    assert (failure.target, failure.code, failure.signal_name, failure.ignored) == MAKE[line]
    assert failure.line == line


@pytest.mark.parametrize(
    "line",
    [
        "make: *** [Makefile:3: foo] Deleting file 'foo'",
        "make: *** No rule to make target 'x'.  Stop.",
        "make: *** Waiting for unfinished jobs....",
        "make: Entering directory '/x'",
        "cmake: [a] Error",
        "we make: *** [x] Error 1",
    ],
)
def test_other_words_of_make(line: str) -> None:
    """Make's other lines are no failures of recipes."""
    assert make_failures(line) == ()


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("make: *** No rule to make target 'lint'.  Stop.", True),
        ("make: *** No rule to make target `lint'.  Stop.", True),
        ("make: *** No rule to make target 'a.c', needed by 'a.o'.  Stop.", True),
        ("make: *** No targets specified and no makefile found.  Stop.", True),
        ("make: *** No targets.  Stop.", True),
        ("No rule to make target 'lint'.  Stop.", False),
        ("echo make: *** No targets.  Stop.", False),
    ],
)
def test_missing_target(line: str, missing: bool) -> None:
    """Make says that it knows no such target."""
    assert missing_target(f"noise\n{line}\n") == (line if missing else "")


@pytest.mark.parametrize(
    ("line", "nothing"),
    [
        ("make: 'test' is up to date.", True),
        ("make: `test' is up to date.", True),
        ("make[1]: Nothing to be done for 'test'.", True),
        ("make: 'tests' is up to date.", False),
        ("make: Nothing to be done for 'lint'.", False),
        ("'test' is up to date.", False),
    ],
)
def test_nothing_done(line: str, nothing: bool) -> None:
    """Make says that it ran nothing for this very target."""
    assert nothing_done(f"noise\n{line}\n", "test") == (line if nothing else "")


HOSTILE = {
    "one long line": "make: *** [" * 500_000,
    "one long line of needles": "retry never " * 500_000,
    "lines of make": ("make: *** [" * 130 + "\n") * 500,
    "lines of brackets": ("make: *** [" + "x] " * 450 + "\n") * 300,
    "lines of needles": "retry\nnever\nother\n" * 10_000,
    "repeated needles": ("retry never other " * 80 + "\n") * 1000,
    "colours": ("make\x1b[" + "0" * 1400 + "\n") * 300,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_output_takes_linear_time(text: str) -> None:
    """Long lines and masses of lookalikes are read in seconds; quadratic time would be hours."""
    started = time.process_time()
    make_failures(text)
    missing_target(text)
    nothing_done(text, "test")
    recognise(Facts(text=text), [RETRY, NEVER, rule("other", above=("no such words",), unless=("never",))])
    assert time.process_time() - started < 20


RULES = st.lists(st.sampled_from([RETRY, OTHER, NEVER, EVER, LOCK, LESS, rule("nothing", Action.IGNORE)]), unique=True)


@given(st.lists(st.sampled_from(["retry", "other", "never", "ever", "lock", "less", "nothing", ""])), RULES)
def test_never_against_what_is_for_good(lines: list[str], rules: list[Rule]) -> None:
    """Whatever else is said, no program is tried again that said that it is for good, and every line has its number."""
    found = recognise(Facts(text="\n".join(lines)), rules).decisive
    known = {each.id: each for each in rules}
    final = {
        program
        for line in lines
        if line in known and known[line].action.permanent
        for program in (known[line].programs or ("any",))
    }
    if found is None:
        assert not [line for line in lines if line in known and line != "nothing"]
    else:
        assert lines[found.number - 1] == found.line == found.rule
        assert found.action.permanent or not final & {*found.programs, "any"}


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="make: *[]Error1'.lock\n\x1b", max_size=200), st.text(max_size=10))
def test_any_text_is_read(text: str, target: str) -> None:
    """No text makes the readers fail, and what they quote comes from it."""
    assert all(failure.line in text.replace("\x1b", "") or "\x1b" in text for failure in make_failures(text))
    missing_target(text)
    nothing_done(text, target)
    recognise(Facts(text=text), [rule("lock"), rule("make"), rule("Error")])


@pytest.mark.parametrize("before", ["#10 18.23 ", "320.0 ", "  0.512 ", "#7 \x1b[31m1.2 "])
def test_lines_numbered_by_docker(before: str) -> None:
    """What docker build writes before the output of its steps does not hide a line; other numbers do."""
    rule = Rule(id="x", action=Action.RETRY, advice="x", needles=("tool:",), regex=r"tool: busy \d\.\d")
    assert applies(rule, f"a\n{before}  tool: busy 1.2\nb\n")
    assert not applies(rule, f"see {before}tool: busy 1.2\n")
    assert not applies(replace(rule, unless=("tool: closed",)), f"a\n{before}tool: closed\n{before}tool: busy 1.2\nb\n")
    assert not applies(rule, "3 tool: busy 1.2\n")


# ---------------------------------------------------------------- what stands before a program's words


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


@pytest.mark.parametrize(
    "before", ["2026-01-02 03:04:05 ", "[vcs 2026-01-02T03:04:05.678Z] ", "Jan  2 03:04:05 "], ids=repr
)
@pytest.mark.parametrize("own", ["fatal: busy", "error: busy", "ERROR busy", "host tool: busy"])
def test_behind_a_time_the_programs_own_level_is_not_lost(before: str, own: str) -> None:
    """A time alone is taken away before a level and a sender are, which may be the program's own words."""
    rule = Rule(id="x", action=Action.RETRY, advice="x", needles=("busy",), regex=own, above=("first",))
    assert applies(rule, f"first\n{before}{own}")
    assert applies(replace(rule, regex="busy"), f"first\n{before}{own}")
    assert not applies(replace(rule, regex="busy"), f"first\n{own}")


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
def test_what_stands_before_words_changes_nothing_else(line: str, above: bool) -> None:
    """Whatever stands before it, a line with the words at its end is quoted whole if it is known."""
    rule = replace(RULE, above=("first",) * above)
    found = recognise(Facts(text=f"first\n{line} tool: busy 1.2"), [rule]).decisive
    assert found is None or found.line == f"{line} tool: busy 1.2".strip()


NASTY = (
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


@pytest.mark.parametrize("line", NASTY, ids=range(len(NASTY)))
def test_a_megabyte_of_nasty_lines_takes_linear_time(line: str) -> None:
    """All shipped rules read four times as much in about four times the time, not in sixteen."""

    def spent(megabytes: float) -> float:
        text = (line[:1499] + "\n") * int(megabytes * 1_000_000 / min(len(line), 1500))
        started = time.process_time()
        recognise(Facts(text=text), shipped())
        return time.process_time() - started

    spent(0.01)  # compiles what is needed
    assert spent(1.0) < 6 * spent(0.25) + 1
