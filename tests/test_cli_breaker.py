"""``orxaq breaker``: what is known of breakers is listed, and set by hand for all processes."""

import contextlib
import json
import sqlite3

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.__main__ import main
from pytest_orxaq.model import ExitCode
from pytest_orxaq.resilience import Breaker, BreakerOpenError
from pytest_orxaq.system import breakers


@pytest.fixture
def top(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which we are, with two breakers: one that has counted a failure, and one that is open."""
    here: Path = project().top
    monkeypatch.chdir(here)
    Breaker("pypi").acquire().failure("reset by peer")
    Breaker("npm", threshold=1).acquire().failure("503\x1b[2J")
    return here


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run ``orxaq breaker``: code, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["breaker", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.usefixtures("top")
def test_breakers_are_listed(say: Say) -> None:
    """Each in a line with its state and why, safe for a terminal; one of them by its name."""
    code, out, _ = say()
    npm, pypi = out.splitlines()
    assert code == 0
    assert npm.split()[:2] == ["npm", "open"]
    assert "1 failure, the last: 503" in npm
    assert "\x1b" not in out
    assert "probe in 3" in npm
    assert pypi.split()[:2] == ["pypi", "closed"]
    assert "failures in a row: 1; set by process " in pypi
    assert say("list", "pypi")[1].splitlines() == [pypi]


def test_a_probe_that_is_due(top: Path, say: Say) -> None:
    """Once the time is over no time is told."""
    with contextlib.closing(sqlite3.connect(top / ".git" / "orxaq" / "breakers.db")) as connection, connection:
        connection.execute("UPDATE breaker SET since = 1 WHERE name = 'npm'")
    assert "; the next call is the probe; set by process " in say("list", "npm")[1]


@pytest.mark.usefixtures("top")
def test_a_breaker_is_one_line(say: Say) -> None:
    """Whatever the words are for which it was opened."""
    assert len(say("open", "pypi", "--why", "by me\nnpm   closed")[1].splitlines()) == 1


@pytest.mark.usefixtures("top")
def test_breakers_as_data(say: Say) -> None:
    """For programs: seconds, and none where nobody knows when."""
    say("open", "pypi", "--why", "maintenance")
    found = json.loads(say("--format", "json")[1])
    npm, pypi = found["breakers"]
    assert found["schema"] == 1
    assert 0 < npm["retry_after"] <= 33
    assert (npm["name"], npm["state"], npm["trips"], npm["failures"]) == ("npm", "open", 1, 1)
    assert pypi.items() >= {"state": "forced-open", "why": "maintenance", "retry_after": None, "failures": 0}.items()


@pytest.mark.usefixtures("top")
def test_breakers_by_hand(say: Say) -> None:
    """Opened, disabled and reset by hand, for those who use them; what came of it is shown."""
    assert say("open", "pypi")[1].split()[:4] == ["pypi", "forced-open", "by", "hand;"]
    with pytest.raises(BreakerOpenError):
        Breaker("pypi").acquire()
    assert say("disable", "npm", "--why", "no more")[1].split()[:4] == ["npm", "disabled", "no", "more;"]
    Breaker("npm").acquire()
    assert say("reset", "pypi")[1].split()[:2] == ["pypi", "closed"]
    Breaker("pypi").acquire()


@pytest.mark.usefixtures("top")
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["open", "pypy"], "there is no circuit breaker 'pypy' here\nDid you mean 'pypi'?"),
        (["list", "zzz"], "`orxaq breaker` lists those that are known: it has to be used first."),
        (["reset"], "`orxaq breaker reset` needs a name\n`orxaq breaker` lists those that are known."),
    ],
)
def test_names_that_are_unknown(words: list[str], hint: str, say: Say) -> None:
    """A misspelt name gets the likely one, and nothing is made of it."""
    code, out, err = say(*words)
    assert (code, out) == (ExitCode.USAGE, "")
    assert hint in err
    assert len(json.loads(say("--format", "json")[1])["breakers"]) == 2


def test_nothing_to_list(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    """Where none was used it is said, and no database is made."""
    monkeypatch.chdir(project().top)
    assert say() == (0, "", "no circuit breaker has been used here yet\n")
    assert not Path(".git/orxaq/breakers.db").exists()


def test_a_store_that_cannot_be_used(top: Path, monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    """Neither reading nor writing it fails silently."""
    monkeypatch.setattr(breakers, "PATIENCE", 0.02)
    monkeypatch.setattr(breakers, "_stores", {})
    path = top / ".git" / "orxaq" / "breakers.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, _, err = say("open", "pypi")
        assert code == ExitCode.INFRASTRUCTURE
        assert "the circuit breaker 'pypi' was not changed" in err
    for file in path.parent.glob("breakers.db*"):
        file.unlink()
    path.write_bytes(b"no database" * 1000)
    code, _, err = say()
    assert code == ExitCode.INFRASTRUCTURE
    assert "cannot be used" in err
    assert "Breakers work without it, each process for itself." in err
