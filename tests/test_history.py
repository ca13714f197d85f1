"""The past is read as it was written, and what cannot be read is no past."""

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_orxaq import history
from pytest_orxaq.errors import UsageError
from pytest_orxaq.model import GitState, RunRecord, Verdict
from pytest_orxaq.system.state import State, open_state


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state in which three runs ended, of which the middle one passed."""
    state = open_state(tmp_path / "git", tmp_path / "git", {}, repository_id="id")
    for id, verdict in (("1a", Verdict.FAILED), ("1b", Verdict.PASSED), ("2c", Verdict.FAILED)):
        keep(state, RunRecord(id=id, version="1", started_at=1.0, git=GitState(top="/x"), verdict=verdict))
    return state


def keep(state: State, record: RunRecord) -> None:
    """Write a run's record into its folder."""
    history.folder(state, record.id).mkdir()
    history.save(state, record)


def test_the_latest_comes_first(state: State) -> None:
    """Runs are told from the latest back; folders that hide and files are no runs."""
    (state.runs / ".deleted-1z").mkdir()
    (state.runs / "file").touch()
    assert [record.id for record in history.latest_first(state)] == ["2c", "1b", "1a"]


@pytest.mark.parametrize(
    "content", ["{", '{"schema": 99, "run": {}}', '{"schema": 1}', '{"schema": 1, "run": {"id": 3}}']
)
def test_what_cannot_be_read_is_passed_over(state: State, content: str) -> None:
    """A damaged, foreign or later record is left out of lists, and named when it is asked for."""
    (state.runs / "2c" / history.RECORD).write_text(content)
    assert [record.id for record in history.latest_first(state)] == ["1b", "1a"]
    with pytest.raises(UsageError, match="the record of run 2c cannot be read"):
        history.find(state, "2")


def test_a_run_is_found_by_its_beginning(state: State) -> None:
    """Enough of an id, the whole of one that others begin with, or nothing for the latest; else it is said what fits."""
    keep(state, RunRecord(id="1", version="1", started_at=1.0, git=GitState(top="/x")))
    assert [history.find(state, wanted).id for wanted in ("1b", "1", "")] == ["1b", "1", "2c"]
    with pytest.raises(UsageError, match="no run here begins with '3'"):
        history.find(state, "3")
    history.folder(state, "2d").mkdir()
    with pytest.raises(UsageError, match="2 runs begin with '2'"):
        history.find(state, "2")


def test_the_last_pass(state: State) -> None:
    """The last run that passed as a whole, flaky or not; none where none has."""
    found = history.last_pass(state)
    assert found is not None
    assert found.id == "1b"
    history.save(state, replace(found, verdict=Verdict.FLAKY))
    assert history.last_pass(state) is not None
    history.save(state, replace(found, verdict=None))
    assert history.last_pass(state) is None
