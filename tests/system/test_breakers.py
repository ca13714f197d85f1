"""The store of circuit breakers: rows shared by connections, threads and processes, hints that are never too loose."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

from pathlib import Path
from typing import Any

import pytest

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from pytest_orxaq.core.breaker import (
    Answer,
    Ask,
    Command,
    Event,
    Report,
    Return,
    Row,
    Rules,
    State,
    Verdict,
    hint,
    step,
    tightness,
)
from pytest_orxaq.system import breakers
from pytest_orxaq.system.breakers import Change, Private, Shared, StoreError, store_at


RULES = Rules(threshold=2, window=30, cooldown=10, cooldown_max=20, probe_timeout=10)
VICTIMS = Path(__file__).parent / "breaker_victims.py"
BOUND = 120.0  # seconds after which a process hangs


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Of a database that is not there yet."""
    return str(tmp_path / "breakers.db")


def do(store: Shared | Private, event: Event, now: float = 0.0, name: str = "net", rules: Rules = RULES) -> Change:
    """Let something happen to a breaker."""
    return store.change(name, lambda row: step(row, event, now, rules))


def fail(store: Shared, epoch: int = 0) -> Change:
    """A call fails."""
    return do(store, Report(epoch=epoch, failure="refused"))


def word(change: Change) -> int:
    """The hint as it is now."""
    return change.words[change.slot]


def truth(store: Shared, name: str = "net") -> Row:
    """The row as it is."""
    return store.rows()[name][0]


# ---------------------------------------------------------------- what is shared


def test_rows_are_shared(path: str) -> None:
    """What one sees, all see; each name is a row of its own; who changed it is noted."""
    one, other = Shared(path), Shared(path)
    assert fail(one).after.fails == 1
    assert fail(other).after.state is State.OPEN
    assert do(one, Ask(token="a"), now=1.0).answer.verdict is Verdict.REFUSED
    assert do(one, Ask(token="a"), name="other").answer.verdict is Verdict.CALL
    found = other.rows()
    assert {name: row.state for name, (row, _) in found.items()} == {"net": State.OPEN, "other": State.CLOSED}
    assert found["net"][1] == f"process {os.getpid()}"


def test_the_run_is_noted(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever works for a gate is known by its run too."""
    monkeypatch.setenv("ORXAQ_RUN_ID", "20270101T1200-ab")
    store = Shared(path)
    fail(store)
    assert store.rows()["net"][1] == f"process {os.getpid()} of run 20270101T1200-ab"


def test_a_row_is_kept_whole(path: str) -> None:
    """Every field of a row comes back as it was written."""
    row = Row(
        state=State.HALF_OPEN,
        epoch=7,
        since=3.25,
        wait=4.5,
        trips=2,
        fails=9,
        failed_at=1.125,
        token="ab",
        why="it is so",
        counts=((1, 2, 3), (4, 5, 6)),
    )
    Shared(path).change("net", lambda _: (row, Answer(verdict=Verdict.DONE)))
    assert truth(Shared(path)) == row


def test_files_are_for_us_alone(path: str) -> None:
    """Nobody else reads or writes the database, its log or its hints, whatever the umask."""
    before = os.umask(0)
    try:
        fail(Shared(path))
    finally:
        os.umask(before)
    assert {entry.stat().st_mode & 0o777 for entry in os.scandir(os.path.dirname(path))} == {0o600}


def test_a_name_of_a_file_is_one_store(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is spelt."""
    monkeypatch.chdir(tmp_path)
    assert store_at("breakers.db") is store_at(path)
    assert store_at(f"{path}2") is not store_at(path)


def test_threads_lose_nothing(path: str) -> None:
    """Eight threads on one connection count every failure."""
    store, patient = Shared(path), Rules(threshold=10**6)

    def work() -> None:
        for _ in range(50):
            do(store, Report(epoch=0, failure="refused"), rules=patient)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert truth(store).fails == 400


@pytest.mark.parametrize(
    "nonsense",
    [
        {"state": 9},
        {"state": "x"},
        {"epoch": "x"},
        {"since": float("inf")},
        {"wait": -1.0},
        {"trips": None},
        {"counts": "[1]"},
        {"counts": "["},
        {"fails": b"\0"},
        {"failed_at": -3},
    ],
)
def test_a_row_without_sense_is_a_new_one(path: str, nonsense: dict[str, Any]) -> None:
    """Anybody can write there: what cannot be is not believed, and the work goes on."""
    store = Shared(path)
    fail(store)
    fail(store)
    ((name, value),) = nonsense.items()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE breaker SET {name} = ?", (value,))  # noqa: S608
    assert truth(store) == Row()
    assert do(store, Ask(token="a")).answer.verdict is Verdict.CALL


# ---------------------------------------------------------------- hints


def test_hints_follow(path: str) -> None:
    """After each change the hint is what the row is, in every process that has mapped it."""
    store, other = Shared(path), Shared(path)
    seen = do(other, Ask(token="a"))
    assert word(seen) == hint(Row())
    for event, now in (
        (Report(epoch=0, failure="refused"), 0.0),
        (Report(epoch=0), 0.0),
        (Report(epoch=0, failure="refused"), 0.0),
        (Report(epoch=0, failure="refused"), 0.0),
        (Ask(token="p"), 10.0),
        (Return(token="p"), 10.0),
        (Ask(token="q"), 10.0),
        (Report(epoch=3, token="q"), 11.0),
        (Command(state=State.FORCED_OPEN), 12.0),
        (Command(state=State.CLOSED), 13.0),
    ):
        change = do(store, event, now)
        assert word(change) == word(seen) == hint(change.after) == hint(truth(store)), event


def test_a_hint_that_is_too_tight_heals(path: str) -> None:
    """Left by somebody who died, it is mended by the first who looks, also by one who was not told of a new breaker."""
    store = Shared(path)
    change = do(store, Ask(token="a"))
    for stale in (0, hint(Row(state=State.OPEN)), hint(Row(fails=1))):
        change.words[change.slot] = stale
        assert word(do(store, Ask(token="a"))) == hint(Row())


def test_loosening_can_wait(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the store is busy when a hint could be loosened it stays tight, and nothing is wrong."""
    monkeypatch.setattr(breakers, "PATIENCE", 0.02)
    store, other = Shared(path), sqlite3.connect(path, isolation_level=None)
    do(store, Command(state=State.FORCED_OPEN))
    write_whole = Shared._loosen

    def contended(self: Shared, connection: sqlite3.Connection, name: str) -> None:
        other.execute("BEGIN IMMEDIATE")
        write_whole(self, connection, name)
        other.execute("ROLLBACK")

    monkeypatch.setattr(Shared, "_loosen", contended)
    change = do(store, Command(state=State.CLOSED))
    other.close()
    assert change.after.state is State.CLOSED
    assert tightness(word(change)) == 2
    assert word(do(store, Ask(token="a"))) == hint(truth(store)) == hint(change.after)


def test_loosening_writes_what_is_true_by_then(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who opens it again between the commit and the loosening is not overwritten."""
    store, other = Shared(path), Shared(path)
    do(store, Command(state=State.FORCED_OPEN))
    loosen = Shared._loosen

    def overtaken(self: Shared, connection: sqlite3.Connection, name: str) -> None:
        monkeypatch.undo()
        do(other, Command(state=State.FORCED_OPEN))
        loosen(self, connection, name)

    monkeypatch.setattr(Shared, "_loosen", overtaken)
    change = do(store, Command(state=State.CLOSED))
    assert change.after.state is State.CLOSED
    assert word(change) == hint(truth(store)) == hint(Row(state=State.FORCED_OPEN, epoch=3))


def test_more_breakers_than_hints(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those without one share a hint that nobody believes, and work."""
    monkeypatch.setattr(breakers, "_WORDS", 3)
    store = Shared(path)
    slots = [do(store, Ask(token="a"), name=name).slot for name in "abcd"]
    assert slots == [1, 2, 0, 0]
    assert fail(store).slot == 0
    change = fail(store)
    assert change.after.state is State.OPEN
    assert word(change) == 0
    assert word(do(store, Command(state=State.CLOSED))) == 0


def test_hints_have_their_room_on_the_disk(path: str) -> None:
    """On a full disk the store cannot be used, which is an error; a hole in a mapped file would be the end of the process."""
    Shared(path).rows()
    (hints,) = Path(path).parent.glob("*.hints")
    assert hints.stat().st_blocks > 0


def test_a_short_file_of_hints_is_made_longer(path: str) -> None:
    """Where somebody cut it, reading it would end the process."""
    fail(Shared(path))
    (hints,) = Path(path).parent.glob("*.hints")
    hints.write_bytes(b"")
    assert word(fail(Shared(path))) == hint(truth(Shared(path)))
    assert hints.stat().st_size == 4096


# ---------------------------------------------------------------- a store that fails


def broken(store: Shared) -> str:
    """Why it cannot be used: at once, and for good."""
    with pytest.raises(StoreError) as first:
        fail(store)
    with pytest.raises(StoreError) as second:
        store.rows()
    assert str(first.value).startswith(str(second.value))
    return str(first.value)


def test_no_database_is_set_aside(path: str) -> None:
    """What is none makes room for one, and this process goes on without."""
    Path(path).write_bytes(b"I am not a database" * 100)
    assert f"{path} cannot be used: file is not a database; it was set aside as {path}.damaged-" in broken(Shared(path))
    (aside,) = Path(path).parent.iterdir()
    assert aside.read_bytes().startswith(b"I am not a database")
    assert fail(Shared(path)).after.fails == 1


def test_a_database_that_breaks_later_is_set_aside(path: str) -> None:
    """Also when it was good at first, and not if somebody has put another in its place."""
    for replaced in (False, True):
        store = Shared(path)
        fail(store)
        store.close()
        size = os.path.getsize(path)
        with open(path, "r+b") as file:
            file.seek(100)
            file.write(b"\xa5" * (size - 100))  # the same each time: by chance it breaks sooner
        if replaced:
            good = Shared(f"{path}2")
            fail(good)
            good.close()
            identity = breakers._identity
            store._current()
            os.replace(f"{path}2", path)
            assert identity(path) != store._identity
            assert store._set_aside() == "it stays where it is"
        else:
            assert "it was set aside" in broken(store)
            fail(Shared(path))


def test_nothing_in_the_way_can_be_used(tmp_path: Path) -> None:
    """A folder that is not there, a folder instead of the file or of the hints: each is said, and nothing is moved."""
    assert "No such file or directory" in broken(Shared(f"{tmp_path}/none/breakers.db"))
    assert "Is a directory" in broken(Shared(f"{tmp_path}"))
    store = Shared(f"{tmp_path}/breakers.db")
    fail(store)
    store.close()
    (hints,) = tmp_path.glob("*.hints")
    hints.unlink()
    hints.mkdir()
    assert "Is a directory" in broken(Shared(f"{tmp_path}/breakers.db"))
    assert not list(tmp_path.glob("*.damaged*"))


def test_a_newer_one_is_let_alone(path: str) -> None:
    """A process of an older version does not touch what it does not understand."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = Path(path).read_bytes()
    assert broken(Shared(path)) == f"{path} cannot be used: it is of a newer pytest-orxaq (schema 2)"
    assert Path(path).read_bytes() == before


def test_an_empty_file_becomes_a_database(path: str) -> None:
    """Zero bytes are what a full disk, or somebody who was quick, leaves."""
    Path(path).touch()
    assert fail(Shared(path)).after.fails == 1


def test_nobody_waits_for_long(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that others lock is given up."""
    monkeypatch.setattr(breakers, "PATIENCE", 0.02)
    fail(Shared(path))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert broken(Shared(path)) == f"{path} cannot be used: database is locked"


def test_a_signal_handler_does_not_wait_for_itself(path: str) -> None:
    """Who wants a change in the middle of a change of the same thread is told so, and that one is none the worse."""
    store = Shared(path)

    def interrupted(row: Row) -> tuple[Row, Answer]:
        with pytest.raises(StoreError, match="in use by this very thread"):
            fail(store)
        return step(row, Report(epoch=0, failure="refused"), 0.0, RULES)

    assert store.change("net", interrupted).after.fails == 1
    assert fail(store).after.state is State.OPEN


def test_setting_up_is_tried_again(path: str) -> None:
    """SQLite does not always wait for others who set up the same file: we do."""
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("CREATE TABLE other (x)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM other").fetchall()
    tries = []

    def traced(statement: str) -> None:
        if "journal_mode" in statement:
            tries.append(statement)
            if len(tries) == 2:
                reader.execute("ROLLBACK")

    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.set_trace_callback(traced)
        breakers._prepare(connection, until=time.monotonic() + BOUND)
        assert connection.execute("PRAGMA user_version").fetchone() == (breakers.SCHEMA,)
    assert len(tries) == 2
    reader.close()


def test_setting_up_is_given_up(path: str) -> None:
    """After some time, if others do not let go."""
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
        contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            breakers._prepare(connection, until=time.monotonic())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_change_has_not_happened(path: str, error: type[BaseException]) -> None:
    """Whatever ends it, the row is as before, and the store is free."""
    store = Shared(path)
    fail(store)

    def interrupted(_: Row) -> tuple[Row, Answer]:
        raise error

    with pytest.raises(error):
        store.change("net", interrupted)
    assert truth(Shared(path)).fails == 1
    assert fail(store).after.state is State.OPEN


# ---------------------------------------------------------------- a file that is replaced


def test_a_deleted_database_is_made_anew(path: str) -> None:
    """Who has it open notices at the next change, and shares the new one with those who come."""
    store = Shared(path)
    old = fail(store)
    for entry in list(Path(path).parent.iterdir()):
        entry.unlink()
    assert fail(store).after.fails == 1
    assert fail(Shared(path)).after.state is State.OPEN
    assert word(old) == hint(Row(fails=1))


def test_a_database_that_is_put_back(path: str, tmp_path: Path) -> None:
    """An old copy in its place is what is true from then on; hints of the other are not believed."""
    store = Shared(path)
    fail(store)
    store.close()
    shutil.copy(path, tmp_path / "copy")
    fail(store)
    assert truth(store).state is State.OPEN
    store.close()
    os.replace(tmp_path / "copy", path)
    change = do(store, Ask(token="a"))
    assert change.answer.verdict is Verdict.CALL
    assert word(change) == hint(Row(fails=1))


# ---------------------------------------------------------------- forks, and processes that are killed


def victim(name: str, path: str, *more: str) -> Any:
    """What a script in a process of its own found out."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(VICTIMS), name, path, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_forked_children_share(path: str) -> None:
    """A child of a process that has the store open has a connection of its own, and so has its parent still."""
    assert victim("fork", path) == {"child": 0, "fails": 4}


def test_a_fork_in_the_middle_of_a_change(path: str) -> None:
    """A child whose parent had a thread inside of the store is told at once that it is alone; the parent goes on."""
    assert victim("fork-busy", path) == {
        "child": f"{path} cannot be used: this process was forked in the middle of a change",
        "fails": 2,
    }


@pytest.mark.parametrize("scenario", ["open", "streak", "probe", "close", "reset", "force", "return"])
def test_killed_at_every_point(path: str, scenario: str) -> None:
    """SIGKILL before and after every statement and every hint leaves a hint that is not too loose, and no wedge."""
    found = victim("kill", path, scenario)
    assert found["wrong"] == []
    assert found["points"] >= 6  # else it kills nothing


# ---------------------------------------------------------------- the real store against the rule


class Machine(RuleBasedStateMachine):
    """Three connections, callers that end in every way or not at all, and a clock that is set: the row is the rule's."""

    permits = Bundle("permits")

    @initialize()
    def begin(self) -> None:
        """A new database."""
        self.room = Path(os.environ["BREAKER_ROOM"]) / os.urandom(8).hex()
        self.room.mkdir()
        self.stores = [Shared(str(self.room / "breakers.db")) for _ in range(3)]
        self.now, self.row, self.changes = 1e6, Row(), [do(store, Ask(token="")) for store in self.stores]

    def let(self, number: int, event: Event) -> Change:
        """Something happens over one of the connections, and to the rule."""
        self.row, answer = step(self.row, event, self.now, RULES)
        change = self.changes[number] = do(self.stores[number], event, self.now)
        assert (change.after, change.answer) == (self.row, answer)
        return change

    @rule(target=permits, number=some.integers(0, 2))
    def ask(self, number: int) -> Any:
        """One more wants to call."""
        token = os.urandom(4).hex()
        change = self.let(number, Ask(token=token))
        match change.answer.verdict:
            case Verdict.PROBE:
                return (change.after.epoch, token)
            case Verdict.CALL:
                return (change.after.epoch, "")
            case _:
                return multiple()

    @rule(number=some.integers(0, 2), permit=consumes(permits), failure=some.sampled_from(["", "refused"]))
    def report(self, number: int, permit: tuple[int, str], failure: str) -> None:
        """A call ends."""
        self.let(number, Report(epoch=permit[0], token=permit[1], failure=failure))

    @rule(number=some.integers(0, 2), permit=consumes(permits))
    def cancel(self, number: int, permit: tuple[int, str]) -> None:
        """A call ends without a verdict."""
        self.let(number, Return(token=permit[1]))

    @rule(permit=consumes(permits), number=some.integers(0, 2))
    def die(self, permit: tuple[int, str], number: int) -> None:
        """A caller is gone, and its connection with it."""
        del permit
        self.stores[number].close()

    @rule(number=some.integers(0, 2), state=some.sampled_from([State.FORCED_OPEN, State.DISABLED, State.CLOSED]))
    def command(self, number: int, state: State) -> None:
        """By hand."""
        self.let(number, Command(state=state))

    @rule(seconds=some.sampled_from([5.0, 10.0, 21.0, -7.0, -500.0]))
    def clock(self, seconds: float) -> None:
        """Time passes, or is set back."""
        self.now += seconds

    @rule(number=some.integers(0, 2))
    def stain(self, number: int) -> None:
        """Somebody died between a hint and its commit."""
        change = self.changes[number]
        change.words[change.slot] = hint(Row(state=State.OPEN, epoch=self.row.epoch + 1))

    @invariant()
    def hints_are_tight(self) -> None:
        """All see the same hint, and it is not looser than the truth."""
        words = {word(change) for change in self.changes}
        assert len(words) == 1
        assert tightness(*words) >= tightness(hint(self.row))

    def teardown(self) -> None:
        """Nothing is left."""
        for store in self.stores:
            store.close()
        shutil.rmtree(self.room)


@pytest.fixture
def _room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKER_ROOM", str(tmp_path))


@pytest.mark.usefixtures("_room")
class TestMachine(Machine.TestCase):  # type: ignore[misc, valid-type]
    """As a test."""

    settings = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


# ---------------------------------------------------------------- in memory


def test_a_private_row() -> None:
    """It is as the rule says, with its hint, and nobody else's."""
    store = Private()
    change = do(store, Report(epoch=0, failure="refused"))
    assert word(change) == hint(Row(fails=1))
    assert do(store, Report(epoch=0, failure="refused")).after.state is State.OPEN
    assert word(change) == hint(Row(state=State.OPEN, epoch=1))
    assert do(Private(Row(state=State.DISABLED)), Ask(token="a")).before.state is State.DISABLED
