"""A failure that came three times in a row on one content is played back, with words, and never longer than it is true."""

import html
import sys
import time

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import history, passes, replays
from pytest_orxaq.core.repetition import LASTING
from pytest_orxaq.model import Outcome, RunRecord, StoredPass, Verdict
from pytest_orxaq.system.state import State, open_state


FAILING = """
import pathlib
def test_broken():
    with open("../ran", "a") as file:
        file.write("x")
    assert 1 + 1 == 3
def test_sometimes():
    assert not pathlib.Path("../other").exists()
"""
FILES = {
    "Makefile": ".PHONY: test\ntest:\n\t{python} -m pytest -q -p no:cacheprovider\n",
    "test_it.py": FAILING,
    ".gitignore": "__pycache__/\n",
}


@pytest.fixture
def here(project: Callable[..., Any]) -> Any:
    """A project with a test that fails each time."""
    return project(FILES)


def ran(here: Any) -> int:
    """How often the test ran."""
    size: int = (here.top.parent / "ran").stat().st_size
    return size


def gate(here: Any, *arguments: str, code: int = 1) -> Any:
    """The outcome of a gate that is no pass."""
    done = here.gate("test", *arguments)
    assert done.code == code, done.err
    return done.outcomes["test"]


def test_the_fourth_is_played_back(here: Any) -> None:
    """It is failed as the third was, reports and explanation as if it had run, and all of them say that it did not."""
    first = [gate(here) for _ in range(3)]
    assert [outcome["replayed"] for outcome in first] == ["", "", ""]
    (here.top / ".orxaq" / "report.md").unlink()
    played = gate(here)
    assert ran(here) == 3
    assert (played["verdict"], played["attempts"]) == ("failed", first[-1]["attempts"])
    assert played["replayed"] in first[-1]["attempts"][0]["mailbox"]
    assert f"played back from run {played['replayed']}" in played["why"]
    report = html.unescape((here.top / ".orxaq" / "report.md").read_text(encoding="utf-8"))
    assert "test_broken" in report
    assert f"played back from run {played['replayed']}" in report
    assert "Nothing was run, for the content is still the same. To run it all the same" in report
    assert report.count("orxaq gate test --fresh") == 1
    assert "test_broken" in (here.top / ".orxaq" / "junit.xml").read_text(encoding="utf-8")
    assert f"what follows was in run {played['replayed']}; nothing was run" in here.orxaq("runs", "explain").out
    assert gate(here)["replayed"] == played["replayed"], "what is played back is played back again, and is no new proof"


def test_what_is_played_back_is_shown(project: Callable[..., Any]) -> None:
    """Where no test says what failed, the end of the output does: nobody has seen it go by."""
    lines = "".join(f"\t@echo line {n}\n" for n in range(1, 9))
    here = project({"Makefile": f".PHONY: lint\nlint:\n{lines}\t@exit 1\n"})
    for _ in range(3):
        assert here.gate("lint").code == 1
    played = here.gate("lint")
    assert played.outcomes["lint"]["replayed"]
    shown = [line.strip() for line in played.err.splitlines() if line.startswith("      ")]
    assert shown[:4] == ["line 5", "line 6", "line 7", "line 8"]
    assert shown[4].startswith("make: ")
    assert len(shown) == 5


def test_fresh_runs_it(here: Any) -> None:
    """--fresh asks nobody, and what it finds is the last word."""
    for _ in range(3):
        gate(here)
    (here.top.parent / "other").touch()
    assert gate(here, "--fresh")["attempts"][0]["evidence"]["counts"]["failed"] == 2
    assert not gate(here)["replayed"], "the last three are not alike"
    assert ran(here) == 5


def test_a_change_is_run(here: Any) -> None:
    """Another content runs at once, and so does the old one after it: its failures are in a row no more."""
    for _ in range(3):
        gate(here)
    here.write({"test_it.py": "def test_fine(): pass\n"})
    assert here.gate("test").code == 0
    here.write({"test_it.py": FAILING})
    assert not gate(here)["replayed"]


def test_failures_that_differ_are_run(here: Any) -> None:
    """Three failures of which one is of other tests are no reason not to run."""
    gate(here)
    (here.top.parent / "other").touch()
    gate(here)
    (here.top.parent / "other").unlink()
    gate(here)
    gate(here)
    assert ran(here) == 4


# ---------------------------------------------------------------- over records


@pytest.fixture
def state(here: Any) -> State:
    """The state of a project that failed three times."""
    for _ in range(3):
        gate(here)
    folder = here.top / ".git" / "orxaq"
    return open_state(folder, folder, {}, repository_id="id")


def change(state: State, newest: Callable[[RunRecord], RunRecord]) -> None:
    """Write the latest record otherwise."""
    history.save(state, newest(next(history.latest_first(state))))


def found(state: State, *, after: float = 0.0) -> object:
    """The run that would be played back."""
    (outcome,) = history.find(state, history.names(state)[-1]).outcomes
    hit = replays.find(state, "test", outcome.key, now=time.time() + after)
    return hit and hit[0]


def edited(**changes: Any) -> Callable[[RunRecord], RunRecord]:
    """A record whose only outcome has these."""
    return lambda record: replace(record, outcomes=(replace(record.outcomes[0], **changes),))


def test_what_is_played_back_is_the_last(state: State) -> None:
    """As long as an hour; another checkpoint has none."""
    assert found(state) == history.names(state)[0]
    assert found(state, after=LASTING + 1) is None
    assert replays.find(state, "lint", "key", now=time.time()) is None


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.FAILED])
def test_nothing_but_a_failure_is_played_back(state: State, verdict: Verdict) -> None:
    """Whatever else the last one was, it is run."""
    change(state, edited(verdict=verdict))
    assert found(state) is None


def test_another_last_word(state: State) -> None:
    """A pass that was stored, or another content, was the last word; what was not run says nothing."""
    change(state, edited(attempts=(), stored=StoredPass(key="k", run="r", passed_at=0.0)))
    assert found(state) is None
    change(state, edited(attempts=(), stored=None))
    assert found(state) is None, "only two are left"


def test_attempts_of_another_run_count_once(state: State) -> None:
    """What was taken over from another gate, or played back, is no further proof."""
    (outcome,) = next(history.latest_first(state)).outcomes
    older = history.read(state, history.names(state)[1])
    assert older is not None
    change(state, edited(attempts=older.outcomes[0].attempts))
    assert found(state) is None
    assert outcome.attempts != older.outcomes[0].attempts


def test_other_packages_are_another_content(state: State) -> None:
    """Whoever has installed what was missing since then is not told of the old failure."""

    def installed(record: RunRecord) -> RunRecord:
        (outcome,) = record.outcomes
        return edited(interpreters=tuple((noted, "other") for noted, _ in outcome.interpreters))(record)

    records = [history.read(state, name) for name in history.names(state)]
    for record in records:
        assert record is not None
        assert record.outcomes[0].interpreters
        history.save(state, installed(record))
    assert found(state) is None


def test_interpreters_look_as_they_did(tmp_path: Path) -> None:
    """The path of the one that has changed is told."""
    noted = f"{sys.executable}|3.11|{sys.prefix}"
    (pair,) = passes.looks_of(_evidence(noted))
    assert passes.changed_since((pair,)) == ""
    assert passes.changed_since((pair, (f"{tmp_path}/python|3.11|{tmp_path}", "then"))) == f"{tmp_path}/python"


def _evidence(noted: str) -> Any:
    from pytest_orxaq.model import Evidence

    return Evidence(interpreters=(noted, noted))


def test_it_is_an_outcome(state: State) -> None:
    """What is found is what was written."""
    hit = replays.find(state, "test", history.find(state, "").outcomes[0].key, now=time.time())
    assert hit is not None
    assert isinstance(hit[1], Outcome)
