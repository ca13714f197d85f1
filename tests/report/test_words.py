"""Figures and lists as people read them."""

import shlex
import subprocess

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.model import Counts, Exit
from pytest_orxaq.report import words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 s"),
        (0.001, "under 10 ms"),
        (0.042, "0.04 s"),
        (1.44, "1.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7384, "2 h 03 min"),
    ],
)
def test_seconds(value: float, said: str) -> None:
    """A length of time has as many places as its size deserves, and never sixty seconds."""
    assert words.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (412 << 20, "412 MiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_size(value: int, said: str) -> None:
    """Bytes are counted in the unit that fits, the largest one at the end."""
    assert words.size(value) == said


@pytest.mark.parametrize(
    ("names", "said"),
    [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c", "d", "e"), "a, b, c and 2 more")],
)
def test_listing(names: tuple[str, ...], said: str) -> None:
    """A list in a sentence says how many it leaves out."""
    assert words.listing(names) == said


def test_counts_and_shares() -> None:
    """Plurals, thousands and small shares are said as people do."""
    assert words.count(1, "test") == "1 test"
    assert words.count(2, "process", "processes") == "2 processes"
    assert words.number(12345) == "12,345"
    assert words.percent(0.001) == "under 1 %"
    assert words.percent(0.31) == "31 %"
    every = Counts(passed=1, failed=2, errors=3, skipped=4, xfailed=5, xpassed=6)
    assert words.counts(every).startswith("1 passed, 2 failed, 3 with errors, 4 skipped")
    assert words.counts(Counts()) == "no test counted"


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -1e18])
def test_an_impossible_moment(at: float) -> None:
    """A damaged record or a mad clock breaks no report."""
    assert words.moment(at) == "at no known time"


def test_moments() -> None:
    """Moments are in UTC, and the past is told from the future."""
    assert words.moment(1_790_000_000) == "2026-09-21 14:13:20 UTC"
    assert words.ago(100, 40) == "in the future, by this machine's clock"
    assert words.ago(0, 90_000) == "1 day ago"
    assert words.ago(0, 75) == "1 min 15 s ago"


@pytest.mark.parametrize(
    ("exit", "said"),
    [
        (Exit(not_started="no make"), "could not be started: no make"),
        (Exit(cancelled=2, signal=15), "cancelled by SIGINT"),
        (Exit(timed_out=True, duration=9), "stopped when its time ran out, after 9.0 s"),
        (Exit(signal=9), "ended by SIGKILL"),
        (Exit(signal=99), "ended by signal 99"),
        (Exit(code=2), "exit code 2"),
        (Exit(), "end unknown"),
    ],
)
def test_endings(exit: Exit, said: str) -> None:
    """What stopped a command is named before what it ended with."""
    assert words.ending(exit) == said


def test_long_text_says_what_is_missing() -> None:
    """Both ends stay, and the number of characters between them is told."""
    assert words.shortened("a" * 50 + "b" * 50, 2, 2) == "aa\n… 96 characters left out …\nbb"
    assert words.shortened("abc", 2, 1) == "abc"
    assert words.brief("a\n  b") == "a b"


@pytest.mark.parametrize(
    ("text", "said"), [("", ""), ("it ended", "It ended"), ("tests/a.py broke", "tests/a.py broke"), ("Done", "Done")]
)
def test_sentences_begin_large(text: str, said: str) -> None:
    """A word is made large, a path or a name with signs in it is not."""
    assert words.sentence(text) == said


def test_one_line_says_what_is_missing() -> None:
    """A text that does not fit one line is cut with its length."""
    assert words.brief("x" * 5000, 10) == "xxxxxxxxxx… (5,000 characters)"


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(st.lists(PRINTABLE, min_size=1, max_size=3))
def test_a_command_holds_nothing_that_steers_a_terminal(arguments: list[str]) -> None:
    """A command that is to be copied is one visible line, and a plain one is quoted as any shell reads it."""
    command = words.shell(arguments)
    assert all(c.isprintable() for c in command)
    if "$'" not in command:
        assert shlex.split(command) == arguments


def test_bash_reads_the_command_back() -> None:
    """Quotes, line ends, escapes, bytes that are not UTF-8 and direction marks arrive as they were."""
    arguments = [
        "it's",
        "a\nb",
        "\x1b[31m'\\",
        "\udcff",
        "\u202eabc",
        "tests/a.py::test[x y]",
        "",
        "$HOME `id` $(id)",
        "ä",
    ]
    shown = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words.shell(arguments)}"], check=True, capture_output=True, timeout=30
    ).stdout
    assert shown.decode("utf-8", "surrogateescape").split("\0")[:-1] == arguments
