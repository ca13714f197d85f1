"""What earlier runs remember: clocks, sightings and deaths, and how little it takes to forget them."""

import json
import time

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_orxaq.core.steadiness import Anchor, steadiness
from pytest_orxaq.model import Clock, Lock, LockKind, OwnDeath, Snapshot
from pytest_orxaq.repository import memory
from pytest_orxaq.repository.memory import Memory, recall, record_clock, record_death, record_sightings
from pytest_orxaq.system import clocks, resources


LOCK = Lock(path="/r/.git/\udcff.lock", kind=LockKind.REF, target="/r/.git/\udcff", directory="/r/.git")
SNAPSHOT = Snapshot(device=1, inode=2, modified_at=3, changed_at=4, size=0, digest="e3b0", content="empty")


@pytest.fixture(autouse=True)
def _no_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No anchor but ours."""
    monkeypatch.setattr(clocks, "DEVICES", tmp_path / "no devices")


def ours(folder: Path) -> tuple[Anchor, ...]:
    """The anchors that are remembered."""
    return recall(folder).anchors


# ---------------------------------------------------------------- clocks


def test_a_clock_is_remembered_once(tmp_path: Path) -> None:
    """The same clock is written down at its first reading; what is made from then on has a steady clock."""
    assert (
        steadiness(time.time(), ours(tmp_path), offset=recall(tmp_path).offset, since_boot=clocks.since_boot()).clock
        is Clock.UNKNOWN
    )
    record_clock(tmp_path)
    written = (tmp_path / memory.CLOCK).stat().st_mtime_ns
    record_clock(tmp_path)
    assert (tmp_path / memory.CLOCK).stat().st_mtime_ns == written
    (anchor,) = ours(tmp_path)
    assert abs(anchor.at - clocks.since_boot()) < 60
    assert (
        steadiness(time.time(), (anchor,), offset=recall(tmp_path).offset, since_boot=clocks.since_boot()).clock
        is Clock.STEADY
    )


def test_a_clock_that_was_set_is_remembered_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each clock has its row, those of other boots do not count, and the number of rows is bounded."""
    record_clock(tmp_path)
    real = clocks.offset_now()
    for number in range(memory.MOMENTS_KEPT + 5):
        monkeypatch.setattr(clocks, "offset_now", lambda number=number: real + number * 100)
        record_clock(tmp_path)
    assert len(ours(tmp_path)) == memory.MOMENTS_KEPT
    monkeypatch.setattr(memory, "boot_id", lambda: "another")
    assert not ours(tmp_path)
    record_clock(tmp_path)
    assert len(ours(tmp_path)) == 1


def test_the_boots_own_anchor_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device files' anchor is from the boot's first seconds, so before all of ours."""
    monkeypatch.setattr(clocks, "offset_at_boot", lambda: 5.0)
    record_clock(tmp_path)
    assert ours(tmp_path)[0] == Anchor(at=0.0, offset=5.0, rough=True)
    assert len(ours(tmp_path)) == 2


# ---------------------------------------------------------------- sightings


def test_a_lock_is_known_as_long_as_it_stays_the_same(tmp_path: Path) -> None:
    """The first sighting of the very same lock stays; another lock under that name is seen for the first time."""
    record_sightings(tmp_path, [(LOCK, SNAPSHOT)], recall(tmp_path))
    first = recall(tmp_path).sighting_of(LOCK.path, SNAPSHOT)
    assert first is not None
    written = (tmp_path / memory.SIGHTINGS).stat().st_mtime_ns
    record_sightings(tmp_path, [(LOCK, SNAPSHOT)], recall(tmp_path))
    assert (tmp_path / memory.SIGHTINGS).stat().st_mtime_ns == written
    other = replace(SNAPSHOT, changed_at=5)
    assert recall(tmp_path).sighting_of(LOCK.path, other) is None
    record_sightings(tmp_path, [(LOCK, other)], recall(tmp_path))
    assert recall(tmp_path).sighting_of(LOCK.path, SNAPSHOT) is None
    record_sightings(tmp_path, [], recall(tmp_path))
    assert not recall(tmp_path).sightings


# ---------------------------------------------------------------- deaths


def died(folder: Path, actor: str, began_at: float, ended_at: float, present: list[str] | None) -> None:
    """Remember a death."""
    record_death(folder, actor=actor, began_at=began_at, ended_at=ended_at, present=present)


AT_TEN = replace(SNAPSHOT, changed_at=10 * 10**9)


def test_a_death_counts_for_what_was_changed_in_its_time(tmp_path: Path) -> None:
    """Neither earlier nor later, and rather the one that did not find the lock when it began."""
    assert recall(tmp_path).death_of(LOCK.path, AT_TEN) is None
    died(tmp_path, "blind", 5, 15, None)
    died(tmp_path, "late", 11, 15, [])
    died(tmp_path, "early", 5, 9, [])
    assert recall(tmp_path).death_of(LOCK.path, AT_TEN) == OwnDeath(
        actor="blind", began_at=5, ended_at=15, absent_before=False
    )
    died(tmp_path, "found it", 5, 16, [LOCK.path, "/other"])
    found = recall(tmp_path).death_of(LOCK.path, AT_TEN)
    assert found is not None
    assert not found.absent_before
    assert recall(tmp_path).death_of(LOCK.path, replace(AT_TEN, changed_at=4_985_000_000)) is not None, "clocks tick"
    assert recall(tmp_path).death_of(LOCK.path, replace(AT_TEN, changed_at=4_900_000_000)) is None
    died(tmp_path, "it", 5, 12, ["/other"])
    found = recall(tmp_path).death_of(LOCK.path, AT_TEN)
    assert found == OwnDeath(actor="it", began_at=5, ended_at=12, absent_before=True)


def test_a_death_of_another_boot_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of other boots, perhaps of other machines, are not compared."""
    died(tmp_path, "it", 5, 15, [])
    monkeypatch.setattr(memory, "boot_id", lambda: "another")
    assert recall(tmp_path).death_of(LOCK.path, AT_TEN) is None


def test_old_deaths_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal stays within its bound, and the latest stay in it."""
    monkeypatch.setattr(memory, "DEATHS_READ", 1000)
    for number in range(100):
        died(tmp_path, f"run {number}", 5, 15, [])
    assert (tmp_path / memory.DEATHS).stat().st_size < 3000
    assert recall(tmp_path).deaths[-1].actor == "run 99"
    assert all(death.actor.startswith("run ") for death in recall(tmp_path).deaths)


# ---------------------------------------------------------------- boots


def test_a_boot_without_a_name_is_like_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel names no boot, nothing remembered counts, not even of another such boot, and nothing is added."""
    record_clock(tmp_path)
    record_sightings(tmp_path, [(LOCK, SNAPSHOT)], recall(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(resources, "PROC", tmp_path / "nothing")
    died(tmp_path, "it", 5, 15, [])
    found = recall(tmp_path)
    assert found.anchors == ()
    assert found.sighting_of(LOCK.path, SNAPSHOT) is None
    assert found.death_of(LOCK.path, AT_TEN) is None
    record_clock(tmp_path)
    record_sightings(tmp_path, [], found)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    unnamed = replace(Memory(), sightings=(memory.Sighting(path=LOCK.path, snapshot=SNAPSHOT, boot="", at=1.0),))
    assert unnamed.sighting_of(LOCK.path, SNAPSHOT) is None


def test_a_sighting_of_another_boot_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds since another boot say nothing of now; what was seen then is seen for the first time."""
    record_sightings(tmp_path, [(LOCK, SNAPSHOT)], recall(tmp_path))
    monkeypatch.setattr(memory, "boot_id", lambda: "another")
    assert recall(tmp_path).sighting_of(LOCK.path, SNAPSHOT) is None
    record_sightings(tmp_path, [(LOCK, SNAPSHOT)], recall(tmp_path))
    assert [seen.boot for seen in recall(tmp_path).sightings] == ["another"]


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"schema": 1}',
        '{"schema": 1, "rows": 5}',
        '{"schema": 1, "rows": [null, 5, {}, {"boot": 5}, {"path": "x", "snapshot": {"device": "x"}}]}',
        '{"schema": 99, "rows": []}',
    ],
)
def test_damage_is_no_memory(tmp_path: Path, content: str) -> None:
    """Whatever the files hold, nothing is believed, nothing raised, and what comes next is remembered."""
    for name in (memory.CLOCK, memory.SIGHTINGS, memory.DEATHS):
        (tmp_path / name).write_text(content)
    found = recall(tmp_path)
    assert (found.anchors, found.sightings, found.deaths) == ((), (), ())
    record_clock(tmp_path)
    record_sightings(tmp_path, [(LOCK, SNAPSHOT)], found)
    died(tmp_path, "it", 5, 15, [])
    again = recall(tmp_path)
    assert len(again.anchors) == len(again.sightings) == 1
    # A line that was cut off takes the next one with it, and no more.
    died(tmp_path, "it", 5, 15, [])
    assert recall(tmp_path).deaths


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    """Lines between others may be anything."""
    died(tmp_path, "one", 5, 15, [])
    with (tmp_path / memory.DEATHS).open("a") as file:
        file.write('{"boot": 5}\nnot json\n' + "[" * 100_000 + "\n" + json.dumps([]) + "\n")
    died(tmp_path, "two", 5, 15, [])
    assert [death.actor for death in recall(tmp_path).deaths] == ["one", "two"]


def test_what_cannot_be_written_is_not_remembered(tmp_path: Path) -> None:
    """A folder that is not there, or a folder in a file's place, stops nothing."""
    nowhere = tmp_path / "no" / "where"
    record_clock(nowhere)
    record_sightings(nowhere, [(LOCK, SNAPSHOT)], Memory())
    died(nowhere, "it", 5, 15, [])
    assert not recall(nowhere).deaths
    (tmp_path / memory.DEATHS).mkdir()
    died(tmp_path, "it", 5, 15, [])
    assert not recall(tmp_path).deaths
