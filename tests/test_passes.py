"""Stored passes answer for the same content only, as long as they hold, and whatever the clocks and the disk do."""

import json
import os

from pathlib import Path

import pytest

from pytest_orxaq import passes
from pytest_orxaq.core import keys
from pytest_orxaq.model import (
    Attempt,
    Cause,
    Checkpoint,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Exit,
    Outcome,
    Verdict,
)
from pytest_orxaq.repository.trees import TreeDigest
from pytest_orxaq.system.state import State, open_state


NOW = 1_800_000_000.0
DAY = 24 * 3600.0
CHECKPOINT = Checkpoint(name="test", command=("make", "test"), evidence=EvidenceKind.TESTS)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """An empty state."""
    return open_state(tmp_path / "git", tmp_path / "git", {}, repository_id="id")


def manifest(tree: str = "t") -> keys.Manifest:
    """What a pass of the checkpoint depends on."""
    return passes.manifest_of(CHECKPOINT, tree, {"PATH": os.defpath}, (), Path("/none"))


def passed(*interpreters: str) -> Outcome:
    """A pass, by tests under these interpreters."""
    attempt = Attempt(
        number=1,
        mailbox="m",
        started_at=NOW,
        exit=Exit(code=0),
        evidence=Evidence(interpreters=interpreters),
        diagnosis=Diagnosis(cause=Cause.PASSED, why="fine"),
    )
    return Outcome(checkpoint=CHECKPOINT, verdict=Verdict.PASSED, why="fine", attempts=(attempt,))


def keep(state: State, outcome: Outcome, *, at: float = NOW) -> None:
    """File a pass."""
    passes.keep(state, passes.look_up(state, manifest(), now=at), outcome, run="r1", now=at)


@pytest.mark.parametrize(
    ("later", "holds"),
    [(0.0, True), (6 * DAY, True), (8 * DAY, False), (-1.0, False), (-400 * DAY, False)],
    ids=["at once", "six days", "eight days", "clock set back", "clock of another year"],
)
def test_a_pass_holds_for_a_week(state: State, later: float, holds: bool) -> None:
    """A pass is believed for seven days; one from the future, after the clock was set back, is not."""
    keep(state, passed())
    looked = passes.look_up(state, manifest(), now=NOW + later)
    assert (looked.found is not None) is holds
    assert looked.story == (
        ("nothing that it depends on has changed since run r1",)
        if holds
        else ("the stored pass is too old, or from the future",)
    )


def test_a_pass_is_of_its_interpreters(state: State, tmp_path: Path) -> None:
    """When the interpreter that ran the tests, or what is installed beside it, is another, the pass holds no more."""
    python = tmp_path / "python"
    python.write_text("3.11")
    noted = f"{python}|3.11.7|{tmp_path}"
    keep(state, passed(noted))
    assert passes.look_up(state, manifest(), now=NOW).found
    (tmp_path / "lib" / "python3.11" / "site-packages" / "a-2.dist-info").mkdir(parents=True)
    looked = passes.look_up(state, manifest(), now=NOW)
    assert (looked.found, looked.story) == (None, (f"the interpreter that ran the tests has changed: {python}",))
    keep(state, passed(noted))
    assert passes.look_up(state, manifest(), now=NOW).found
    python.unlink()
    assert passes.look_up(state, manifest(), now=NOW).found is None


def test_another_content_is_told_apart(state: State) -> None:
    """A miss says what has changed since the last pass here, or that there was none, or that it has been removed."""
    assert passes.look_up(state, manifest(), now=NOW).story == ("this checkpoint has not passed here yet",)
    keep(state, passed())
    assert "the tree differs" in passes.look_up(state, manifest("other"), now=NOW).story[0]
    for path in state.passes.iterdir():
        path.unlink()
    assert passes.look_up(state, manifest(), now=NOW).story == ("the stored pass of this content has been removed",)


DAMAGED = (
    "{",
    "[]",
    '{"schema": 99}',
    '{"schema": 1}',
    '{"schema": 1, "stored": {}, "interpreters": {}}',
    '{"schema": 1, "stored": {"key": "KEY", "run": "r", "passed_at": 1800000000.0}, "interpreters": 3}',
    '{"schema": 1, "stored": {"key": "KEY", "run": "r", "passed_at": 1800000000.0}, "interpreters": {"x": ""}}',
    '{"schema": 1, "stored": {"key": "other", "run": "r", "passed_at": 1800000000.0}, "interpreters": {}}',
)


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_pass_is_none(state: State, content: str) -> None:
    """Whatever stands in a stored pass's place and is none is not believed, and costs nothing but time."""
    keep(state, passed())
    for path in state.passes.iterdir():
        path.write_text(content.replace("KEY", path.stem))
    assert passes.look_up(state, manifest(), now=NOW).found is None


def test_a_damaged_memory_of_the_last_pass(state: State) -> None:
    """Without a readable last pass a miss cannot be explained, which is said."""
    keep(state, passed())
    (latest,) = state.own.glob("latest-*")
    latest.write_text(json.dumps({"schema": 1, "manifest": "x"}))
    story = passes.look_up(state, manifest("other"), now=NOW).story
    assert story == ("the last pass of this checkpoint cannot be read",)


def test_what_could_not_be_named_is_not_stored(state: State) -> None:
    """Content without a name has no key, and nothing is filed for it."""
    dropped = passes.dropped(TreeDigest(why_not="a merge is not finished"))
    assert dropped.story == ("no pass can be stored or found: a merge is not finished",)
    passes.keep(state, dropped, passed(), run="r1", now=NOW)
    assert list(state.passes.iterdir()) == []
