"""Which part of the output tests had no hand in."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.transcript import decode, outside_tests, tail
from pytest_orxaq.model import ClosingLine, Counts, Exit, Session


DATA = (
    b"pip: Connection reset by peer\n=== test session starts ===\nrude words of a test\n=== 1 passed ===\nmake: done\n"
)
OPENED = DATA.index(b"=== test")
CLOSED = DATA.index(b"=== 1 passed")
CLOSING = ClosingLine(runner="pytest", line="=== 1 passed ===", counts=Counts(passed=1), offset=CLOSED, opened=OPENED)


def test_without_a_runner_everything_is_outside() -> None:
    """Where no test ran, no test wrote."""
    assert outside_tests(DATA, Exit(), (), ()) == decode(DATA)


def test_by_closing_line() -> None:
    """What a runner printed between its opening and its closing words is left out."""
    assert outside_tests(DATA, Exit(), (), (CLOSING,)) == "pip: Connection reset by peer\n\n\n\nmake: done\n"


def test_of_several_runners_the_first_opening_and_the_last_end_count() -> None:
    """What stands between two runners may be a test's too."""
    data = b"pip\n" + DATA + DATA
    second = replace(CLOSING, offset=len("pip\n") + len(DATA) + CLOSED, opened=len("pip\n") + len(DATA) + OPENED)
    first = replace(CLOSING, offset=len("pip\n") + CLOSED, opened=len("pip\n") + OPENED)
    for closing in ((first, second), (second, first)):
        seen = outside_tests(data, Exit(), (), closing)
        assert seen == "pip\npip: Connection reset by peer" + "\n" * 9 + "make: done\n"


def test_a_runner_without_opening_words() -> None:
    """Where a runner does not say that it begins, its closing line is all that is known of it."""
    seen = outside_tests(DATA, Exit(), (), (replace(CLOSING, opened=None),))
    assert seen == decode(DATA[:CLOSED]) + "\nmake: done\n"


def test_journals_count_bytes_and_closing_lines_characters() -> None:
    """Letters of more than one byte before a runner move nothing, by whichever it is known."""
    words = "Übertragung abgebrochen: größer\n"
    data = words.encode() + b"rude words of a test\n"
    exit = Exit(marks=((1.0, len(words.encode())),))
    assert outside_tests(data, exit, (Session(name="s", opened_at=1.0),), ()) == words + "\n"
    closing = ClosingLine(runner="go", line="rude words of a test", counts=Counts(), offset=len(words))
    assert outside_tests(data, Exit(), (), (closing,)) == words + "\n"


def test_by_the_journal() -> None:
    """What had been written before a session opened is outside, whatever the words are."""
    exit = Exit(marks=((1.0, OPENED), (2.0, CLOSED)))
    seen = outside_tests(DATA, exit, (Session(name="s", opened_at=1.5),), ())
    assert "Connection reset" in seen
    assert "rude" not in seen
    assert "make: done" not in seen


def test_a_session_older_than_all_marks() -> None:
    """Without a mark before the session nothing counts as outside."""
    assert outside_tests(DATA, Exit(), (Session(name="s", opened_at=1.5),), ()).strip() == ""


def test_halves_of_lines_stay_apart() -> None:
    """What was written before a runner, and not ended, is no part of the line after it."""
    closing = ClosingLine(runner="go", line="passed", counts=Counts(), offset=6)
    assert outside_tests(b"curl: passed (6)", Exit(), (), (closing,)) == "curl: \n (6)"


@given(st.lists(st.sampled_from(["a", "b", ""]), max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_every_line_outside_keeps_its_number(lines: list[str], first: int, size: int) -> None:
    """A line that tests had no hand in stands at the number at which it stands in the output."""
    whole = [*lines[:first], *["===="] * (size + 1), *lines[first:]]
    text = "\n".join(whole)
    opened = len("".join(f"{line}\n" for line in lines[:first]))
    closing = ClosingLine(runner="x", line="====", counts=Counts(), offset=opened + 5 * size, opened=opened)
    seen = outside_tests(text.encode(), Exit(), (), (closing,)).split("\n")
    assert seen == ["" if line == "====" else line for line in whole]


@given(st.binary(), st.lists(st.tuples(st.floats(0, 9), st.integers(0, 99))), st.floats(0, 9))
def test_any_bytes(data: bytes, marks: list[tuple[float, int]], opened: float) -> None:
    """No bytes and no marks are too odd."""
    outside_tests(data, Exit(marks=tuple(marks)), (Session(name="s", opened_at=opened),), ())


def test_tail() -> None:
    """The tail is the last lines, and never more than so many characters."""
    assert tail("a\nb\nc\n\n", lines=2, characters=100) == "b\nc"
    assert tail("a\nbcdef", lines=2, characters=3) == "def"
