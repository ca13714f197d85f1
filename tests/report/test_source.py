"""Source is shown from the work tree and from nowhere else."""

import os

from pathlib import Path

import pytest

from pytest_orxaq.core.frames import Frame
from pytest_orxaq.report.source import Sources


AFTER = 4_000_000_000.0  # later than any file's time


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A work tree with one source file."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.py").write_text("".join(f"line {n}\n" for n in range(1, 21)))
    return folder


def test_lines_around_the_place(top: Path) -> None:
    """Five lines before and after are shown, the place itself marked."""
    sources = Sources(top)
    excerpt = sources.excerpt(Frame(path="a.py", line=10, function="f"), AFTER)
    assert [line.number for line in excerpt.lines] == list(range(5, 16))
    assert [line.text for line in excerpt.lines if line.marked] == ["line 10"]
    assert sources.excerpt(Frame(path="./a.py", line=10, function="f"), AFTER) == excerpt
    assert (excerpt.place, excerpt.function, excerpt.note) == ("a.py:10", "f", "")


@pytest.mark.parametrize(("line", "first", "last"), [(1, 1, 6), (20, 15, 20)])
def test_the_ends_of_a_file(top: Path, line: int, first: int, last: int) -> None:
    """Near an end of the file fewer lines are shown."""
    lines = Sources(top).excerpt(Frame(path="a.py", line=line), AFTER).lines
    assert (lines[0].number, lines[-1].number) == (first, last)


def test_an_absolute_path_inside(top: Path) -> None:
    """A path that a traceback gives in full is shown from the top."""
    assert Sources(top).excerpt(Frame(path=str(top / "a.py"), line=2), AFTER).place == "a.py:2"


def test_a_changed_file_says_so(top: Path) -> None:
    """What was edited after the run began may not be what failed."""
    assert "changed since" in Sources(top).excerpt(Frame(path="a.py", line=2), 0.0).note


@pytest.mark.parametrize("line", [0, 21, 10**8])
def test_a_line_that_is_not_there(top: Path, line: int) -> None:
    """A file that became shorter is not shown, and that is said."""
    excerpt = Sources(top).excerpt(Frame(path="a.py", line=line), AFTER)
    assert not excerpt.lines
    assert "20 lines now" in excerpt.note


def test_a_missing_file(top: Path) -> None:
    """A file that is gone is named."""
    assert Sources(top).excerpt(Frame(path="gone.py", line=3), AFTER).note == "This file is no longer there."


@pytest.mark.parametrize(
    "path", ["../secret.txt", "link.py", "/etc/hostname", "x\0y", "", "a" * 5000, "loop", ".git/config", "\udc80"]
)
def test_nothing_outside_is_read(top: Path, path: str) -> None:
    """No path, link or loop leads out of the work tree, or into git's own folder."""
    (top.parent / "secret.txt").write_text("secret\n")
    (top / "link.py").symlink_to(top.parent / "secret.txt")
    (top / "loop").symlink_to(top / "loop")
    (top / ".git").mkdir()
    (top / ".git" / "config").write_text("[core]\n")
    sources = Sources(top)
    assert not sources.knows(path)
    assert not sources.excerpt(Frame(path=path, line=1), AFTER).lines


def test_a_large_file_is_not_read(top: Path) -> None:
    """A file beyond the bound is named and left alone."""
    (top / "big.py").write_bytes(b"x\n" * (1 << 20))
    assert "too large" in Sources(top).excerpt(Frame(path="big.py", line=1), AFTER).note


def test_a_pipe_in_the_place_of_a_file_holds_nobody(top: Path) -> None:
    """What became a pipe after it was looked at is neither read nor waited for."""
    sources = Sources(top)
    assert sources.knows("a.py")
    (top / "a.py").unlink()
    os.mkfifo(top / "a.py")
    assert sources.excerpt(Frame(path="a.py", line=1), AFTER).note == "This is not a file."


def test_a_link_in_the_place_of_a_file_is_not_followed(top: Path) -> None:
    """What became a link after it was looked at is not read."""
    sources = Sources(top)
    assert sources.knows("a.py")
    (top / "a.py").unlink()
    (top / "a.py").symlink_to("/etc/hostname")
    assert "cannot be read" in sources.excerpt(Frame(path="a.py", line=1), AFTER).note


def test_odd_bytes_and_long_lines(top: Path) -> None:
    """A form feed is no line end, what is not UTF-8 is replaced, and long lines are cut with a sign."""
    (top / "odd.py").write_bytes(b"one\x0cstill one\r\n\xff\n" + b"y" * 500)
    texts = [line.text for line in Sources(top).excerpt(Frame(path="odd.py", line=2), AFTER).lines]
    assert texts == ["one\x0cstill one", "\ufffd", "y" * 240 + "…"]
