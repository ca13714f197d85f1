"""Retries that many processes share: no more than there are, whoever comes at once, and no harm where the file is gone."""

import os
import stat
import subprocess
import sys
import threading

from pathlib import Path

import pytest

from pytest_orxaq.core import environment
from pytest_orxaq.system.purse import Purse, spend


SPENDER = "import sys; from pytest_orxaq.system.purse import spend; print(sum(spend(sys.argv[1]) for _ in range(50)))"


def test_no_more_than_there_are(tmp_path: Path) -> None:
    """A purse of three pays for three retries, here and below, and then for none; only then is it overdrawn."""
    mine = Purse(tmp_path / "retries", 3)
    assert [mine.spend(), spend(mine.handed), mine.spend()] == [True, True, True]
    assert mine.overdrawn() is None
    assert [spend(mine.handed), mine.spend(), spend(mine.handed)] == [False, False, False]
    assert mine.overdrawn() == 3
    assert (tmp_path / "retries").stat().st_size == 4, "who is refused leaves one mark, not one each time"


def test_many_at_once(tmp_path: Path) -> None:
    """Processes and threads that spend at the same time get exactly as many as there are."""
    mine = Purse(tmp_path / "retries", 97)
    spenders = [
        subprocess.Popen([sys.executable, "-c", SPENDER, mine.handed], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.extend(spend(mine.handed) for _ in range(50))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) + sum(int(spender.communicate(timeout=60)[0]) for spender in spenders) == 97


def test_an_empty_purse(tmp_path: Path) -> None:
    """None at all is a number too."""
    mine = Purse(tmp_path / "retries", 0)
    assert not spend(mine.handed)
    assert mine.overdrawn() == 0


def test_purses_around_it(tmp_path: Path) -> None:
    """A run within a run spends from both: the smaller one decides."""
    outer = Purse(tmp_path / "outer", 1)
    inner = Purse(tmp_path / "inner", 5, outer=outer.handed)
    assert [spend(inner.handed), spend(inner.handed)] == [True, False]
    assert (outer.overdrawn(), inner.overdrawn()) == (1, 1)
    assert not outer.spend()


@pytest.mark.parametrize("what", ["missing", "a folder", "a pipe", "a link", "nothing readable"])
def test_a_file_that_cannot_be_used(tmp_path: Path, what: str) -> None:
    """Then nothing is bounded below, at once and without an error; the gate's own count holds."""
    path = tmp_path / "retries"
    mine = Purse(path, 2)
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a link":
        path.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").touch()
    handed = "nonsense" if what == "nothing readable" else mine.handed
    assert all(spend(handed) for _ in range(4))
    assert mine.overdrawn() is None
    assert [mine.spend(), mine.spend(), mine.spend()] == [True, True, False]
    assert mine.overdrawn() == 2
    assert what != "a link" or (tmp_path / "elsewhere").stat().st_size == 0


def test_a_pipe_that_somebody_reads(tmp_path: Path) -> None:
    """Even then it is no file to be counted in."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert spend(f"0:{path}")
        assert os.read(reader, 1) == b""
    except BlockingIOError:
        pass  # nothing was written
    finally:
        os.close(reader)


def test_no_room_for_the_file(tmp_path: Path) -> None:
    """Where it cannot be made, what is around is handed down as it was."""
    mine = Purse(tmp_path / "no such folder" / "retries", 1, outer="7:/somewhere")
    assert mine.handed == "7:/somewhere"
    assert [mine.spend(), mine.spend()] == [True, False]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be counted is not refused."""
    monkeypatch.setattr(stat, "S_ISREG", lambda _: True)
    assert spend("5:/dev/full")


def test_a_path_of_two_lines() -> None:
    """It cannot be said in a variable of lines: then only what is around is."""
    assert environment.hand_retries("1:/a", 2, "/b\nc") == "1:/a"
    assert environment.read_retries(environment.hand_retries("1:/a", 2, "/b:c")) == ((1, "/a"), (2, "/b:c"))
