"""What the machine spoils three times in a row on one content is skipped for a while, said in words, and never passed."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys

from collections.abc import Callable
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import circuits
from pytest_orxaq.circuits import THRESHOLD, Circuit
from pytest_orxaq.core.breaker import Row, State, forgettable
from pytest_orxaq.resilience.breaker import Breaker
from pytest_orxaq.resilience.premises import BREAKERS
from pytest_orxaq.system.breakers import Shared
from pytest_orxaq.system.journal import Journal, make_trace
from pytest_orxaq.system.state import State as Folders
from pytest_orxaq.system.state import open_state


# Fails as a machine does while ../broken is there; ../wait holds it up.
RECIPE = """.PHONY: test
test:
\t@echo ran >> ../ran
\t@if [ -p ../wait ]; then echo waiting; read line < ../wait; fi
\t@if [ -e ../broken ]; then echo 'curl: (56) Recv failure: Connection reset by peer' >&2; exit 56; fi
\t@if [ -e ../wrong ]; then echo wrong; exit 1; fi
"""
SETTINGS = 'checkpoints = ["test"]\n[checkpoint.test]\nretries = 0\nevidence = "exit"\n'
DAY = 86400.0


@pytest.fixture
def here(project: Callable[..., Any]) -> Any:
    """A project whose only checkpoint the machine spoils."""
    made = project({"Makefile": RECIPE, "orxaq.toml": SETTINGS})
    (made.top.parent / "broken").touch()
    return made


def ran(here: Any) -> int:
    """How often the recipe ran."""
    path: Path = here.top.parent / "ran"
    return len(path.read_text().splitlines()) if path.exists() else 0


def store(here: Any) -> Path:
    """The database of breakers."""
    found: Path = here.top / ".git" / "orxaq" / BREAKERS
    return found


def opened(here: Any) -> str:
    """Open the breaker; its name."""
    for _ in range(THRESHOLD):
        assert here.gate().code == 4
    (name,) = Shared(str(store(here))).rows()
    return name


def later(here: Any, seconds: float) -> None:
    """Let the rows grow older by so much."""
    with closing(sqlite3.connect(store(here))) as connection, connection:
        connection.execute(
            "UPDATE breaker SET since = max(0, since - ?), failed_at = max(0, failed_at - ?)", (seconds, seconds)
        )


def test_it_opens_and_says_so(here: Any) -> None:
    """After three in a row the fourth gate runs nothing, exits 5, and says what failed, until when, and how to insist."""
    name = opened(here)
    skipped = here.gate()
    assert (skipped.code, skipped.record["verdict"], ran(here)) == (5, "skipped", THRESHOLD), skipped.err
    outcome = skipped.outcomes["test"]
    assert (outcome["breaker"], outcome["attempts"], outcome["stored"]) == (name, [], None)
    until = r"not run before \d\d:\d\d:\d\d UTC \(in \d\d s\): 3 failures in a row, the last: "
    assert re.fullmatch(f"{until}curl: .*Connection reset by peer", outcome["why"])
    explained = here.orxaq("runs", "explain").out
    assert f"circuit breaker: {name}, open" in explained
    assert f"`orxaq breaker reset {name}` closes it" in explained
    for report in ("report.html", "report.md"):
        assert "3 failures in a row" in (here.top / ".orxaq" / report).read_text(encoding="utf-8")
    assert "Then take it through the gate again" not in skipped.err, "it would be refused again"
    assert skipped.err.count("orxaq gate test --fresh") == 1
    assert (here.top / ".orxaq" / "report.md").read_text(encoding="utf-8").count("orxaq gate test --fresh") == 1
    events = "".join(path.read_text() for path in (here.top / ".git" / "orxaq" / "events").iterdir())
    assert '"orxaq.breaker.open"' in events
    assert here.orxaq("breaker", "list", name).code == 0


def test_another_content_is_not_kept_waiting(here: Any) -> None:
    """A change to a file, committed or not, runs at once, and so does what was there before, once it is back."""
    opened(here)
    here.write({"new.txt": "x"})
    assert here.gate().code == 4
    here.commit()
    (here.top.parent / "broken").unlink()
    assert here.gate().code == 0
    here.git("reset", "-q", "--hard", "HEAD~1")
    assert here.gate().code == 5


def test_content_without_a_key_goes_by_its_commit(here: Any) -> None:
    """Where git is told to look away the commit names the content, as long as nothing else is seen to differ from it."""
    here.git("update-index", "--assume-unchanged", "orxaq.toml")
    name = opened(here)
    skipped = here.gate()
    assert (skipped.code, skipped.outcomes["test"]["key"], skipped.outcomes["test"]["breaker"]) == (5, "", name)
    here.write({"new.txt": "x"})
    assert here.gate().code == 4, "what has no name has no breaker"
    here.commit()
    assert here.gate().code == 4


def test_fresh_insists(here: Any) -> None:
    """--fresh runs, be it open or not; what it shows closes the breaker, and a failure leaves it as it is."""
    opened(here)
    assert here.gate("--fresh").code == 4
    assert here.gate().code == 5
    (here.top.parent / "broken").unlink()
    (here.top.parent / "wrong").touch()
    assert here.gate("--fresh").code == 1, "that it fails is an answer"
    assert here.gate().code == 1
    assert ran(here) == THRESHOLD + 3


def test_by_hand(here: Any) -> None:
    """A person may reset it, or keep it open, which not even --fresh undoes though it runs."""
    name = opened(here)
    assert here.orxaq("breaker", "reset", name).code == 0
    assert here.gate().code == 4
    assert here.orxaq("breaker", "open", name, "--why", "maintenance").code == 0
    skipped = here.gate()
    assert skipped.code == 5
    assert skipped.outcomes["test"]["why"] == f"not run until `orxaq breaker reset {name}`: maintenance"
    (here.top.parent / "broken").unlink()
    (here.top.parent / "wrong").touch()
    assert here.gate("--fresh").code == 1
    assert here.gate().code == 5


def test_a_probe(here: Any) -> None:
    """When its time has come one gate tries: a failure opens it again, an answer closes it."""
    opened(here)
    later(here, 2 * circuits.COOLDOWN)
    assert here.gate().code == 4
    assert here.gate().code == 5
    later(here, 4 * circuits.COOLDOWN)
    (here.top.parent / "broken").unlink()
    assert here.gate().code == 0
    (row,) = (row for row, _ in Shared(str(store(here))).rows().values())
    assert (row.state, row.fails) == (State.CLOSED, 0)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_probe_that_is_stopped_or_killed(here: Any, how: signal.Signals) -> None:
    """The next gate in the work tree is the probe at once: what was cancelled or killed says nothing, and blocks nobody."""
    opened(here)
    later(here, 2 * circuits.COOLDOWN)
    os.mkfifo(here.top.parent / "wait")
    command = [sys.executable, "-m", "pytest_orxaq", "gate"]
    with subprocess.Popen(command, cwd=here.top, stderr=subprocess.PIPE, text=True) as gate:
        assert gate.stderr is not None
        assert any("waiting" in line for line in gate.stderr)
        gate.send_signal(how)
        gate.stderr.read()
    (here.top.parent / "wait").unlink()
    (here.top.parent / "broken").unlink()
    done = here.gate()
    assert done.code == 0, done.err


@pytest.mark.parametrize("what", ["damaged", "a folder"])
def test_a_store_that_cannot_be_used(here: Any, what: str) -> None:
    """Then nothing is skipped, and the verdict is what it would be."""
    here.gate()
    store(here).unlink()
    if what == "damaged":
        store(here).write_bytes(b"no database" * 1000)
    else:
        store(here).mkdir()
    for _ in range(2):
        assert here.gate().code == 4


def test_answers_leave_no_trace(here: Any) -> None:
    """A checkpoint that the machine never spoiled makes no breaker; one that answers in between begins anew."""
    (here.top.parent / "broken").rename(here.top.parent / "wrong")
    assert here.gate().code == 1
    assert not store(here).exists()
    (here.top.parent / "wrong").rename(here.top.parent / "broken")
    assert [here.gate().code for _ in range(2)] == [4, 4]
    (here.top.parent / "broken").rename(here.top.parent / "wrong")
    assert here.gate().code == 1
    (here.top.parent / "wrong").rename(here.top.parent / "broken")
    assert [here.gate().code for _ in range(THRESHOLD + 1)] == [4, 4, 4, 5]


def test_a_command_of_its_own_has_none(here: Any) -> None:
    """`orxaq run` names no content, so nothing is ever skipped."""
    for _ in range(THRESHOLD + 1):
        assert json.loads(here.orxaq("run", "--retries", "0", "--format", "json", "--", "make", "test").out)[
            "verdict"
        ] == ("infrastructure")
    assert not store(here).exists()


# ---------------------------------------------------------------- a circuit by itself


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """An empty state."""
    return open_state(tmp_path / "git", tmp_path / "git", {}, repository_id="id")


def circuit(folders: Folders, name: str = "test@0123456789abcdef") -> Circuit:
    """A circuit over it."""
    trace = make_trace(None, random=bytes(range(24)))
    return Circuit(name, folders, Journal(folders.events, run="r", trace=trace, resource={}), bound=-1.0)


def test_a_trial_of_another_work_tree(folders: Folders) -> None:
    """While it is out nobody else tries, and the words say so; what is left of a lease of another breaker is let be."""
    name = "test@0123456789abcdef"
    breaker = Breaker(name, threshold=1, cooldown=1e-9, store=folders.common / BREAKERS)
    breaker.acquire().failure("down")
    probe = breaker.acquire()
    assert probe.probe
    (folders.own / "probe").write_text(f"lint@0123456789abcdef {probe.token}")
    assert "another gate is trying it right now; if that is killed, the next may at " in circuit(folders).ask()
    assert (folders.own / "probe").exists()
    (folders.own / "probe").write_text(f"{name} {probe.token}")
    assert circuit(folders).ask() == ""


def test_old_ones_are_forgotten(here: Any) -> None:
    """With each failure those of contents that nobody asked for in a day go, and their numbers are used again; a user's stay."""
    opened(here)
    Breaker("pypi", store=store(here)).reset()
    Breaker("by-hand@0123456789abcdef", store=store(here)).force_open()
    later(here, 2 * DAY)
    here.write({"new.txt": "x"})
    here.gate()
    here.write({"new.txt": "y"})
    here.gate()
    names = set(Shared(str(store(here))).rows())
    assert {"pypi", "by-hand@0123456789abcdef"} < names
    assert len(names) == 4, names
    with closing(sqlite3.connect(store(here))) as connection:
        assert connection.execute("SELECT max(id) FROM breaker").fetchone() == (4,)


@pytest.mark.parametrize(
    ("row", "gone"),
    [
        (Row(since=0.0, failed_at=10.0), True),
        (Row(since=0.0, failed_at=DAY), False),
        (Row(state=State.OPEN, since=0.0, wait=1800.0), False),
        (Row(state=State.OPEN, since=0.0, wait=10.0), True),
        (Row(state=State.HALF_OPEN, since=0.0, wait=inf), False),
        (Row(state=State.FORCED_OPEN, since=0.0), False),
        (Row(state=State.DISABLED, since=0.0), False),
        (Row(since=9 * DAY), False),
    ],
)
def test_which_are_forgettable(row: Row, gone: bool) -> None:
    """Those in which nothing happened for a day, no wait of theirs included; none that a person has set."""
    assert forgettable(row, DAY + 100, DAY) is gone
