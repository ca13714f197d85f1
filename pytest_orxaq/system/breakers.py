"""The rows of circuit breakers: in SQLite, shared by processes, with a hint that is read without asking; or in memory.

SQLite is the truth. The hint is a 4-byte word a breaker in a file that every process maps: while it says "closed" a
call needs no system call. It is tightened before a change is committed, and loosened after that, under the write lock
again: whoever dies in between leaves a hint that is too tight, which costs one look and heals with it.

Rows are advice. Whatever is wrong with the store is a :class:`StoreError`, once and for good in this process, within
a second or so; no call waits for it longer.
"""

import os
import threading
import time

from collections.abc import Callable, Iterator, MutableSequence
from contextlib import contextmanager, suppress
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias
from weakref import WeakSet

from ..core.breaker import EPOCHS, Answer, Row, State, hint, tightness


if TYPE_CHECKING:
    import sqlite3


PATIENCE = 1.0  # seconds that the store may be locked by others
SCHEMA = 1
_WORDS = 1024  # hints in the file, the first of which is nobody's: what has none is always asked for
_COLUMNS = ("state", "epoch", "since", "wait", "trips", "fails", "failed_at", "token", "why", "counts")
_CREATE = f"""CREATE TABLE IF NOT EXISTS breaker (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, {", ".join(_COLUMNS)}, changed_by TEXT NOT NULL
)"""
_READ = f"SELECT id, {', '.join(_COLUMNS)} FROM breaker WHERE name = ?"  # noqa: S608 - constants
_WRITE = f"UPDATE breaker SET {', '.join(f'{name} = ?' for name in _COLUMNS)}, changed_by = ? WHERE id = ?"  # noqa: S608
# The least number that is free: only so many have a hint, and those that were deleted must not use them up.
_FREE = (
    "(SELECT min(id) FROM (SELECT 1 AS id UNION SELECT id + 1 FROM breaker) WHERE id NOT IN (SELECT id FROM breaker))"
)
_INSERT = (
    f"INSERT INTO breaker (id, name, {', '.join(_COLUMNS)}, changed_by) "  # noqa: S608
    f"VALUES ({_FREE}, ?{', ?' * (len(_COLUMNS) + 1)})"
)

_NO_HINTS: MutableSequence[int] = [0]

Decision: TypeAlias = Callable[[Row], tuple[Row, Answer]]


class StoreError(Exception):
    """The store cannot be used; why, in a sentence."""


class Change(NamedTuple):
    """What a decision made of a row, and where its hint is."""

    words: MutableSequence[int]
    slot: int
    before: Row
    after: Row
    answer: Answer


class Store(Protocol):
    """Where rows are."""

    def change(self, name: str, decide: Decision) -> Change:
        """Let a pure function decide what becomes of a row, alone with it. Raises StoreError."""


class Private:
    """One row in this process."""

    def __init__(self, row: Row | None = None) -> None:
        self._words: MutableSequence[int] = [0]
        self._row = row or Row()
        self._lock = threading.RLock()  # a signal handler in the middle of a change may call too
        _privates.add(self)

    def change(self, name: str, decide: Decision) -> Change:
        """See Store."""
        del name
        with self._lock:
            before = self._row
            self._row, answer = decide(before)
            self._words[0] = hint(self._row)
            return Change(self._words, 0, before, self._row, answer)

    def after_fork_in_child(self) -> None:
        """A thread that is not there any more may have held the lock."""
        self._lock = threading.RLock()


class Shared:
    """Rows in a file that all processes share; opened when it is first needed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._words: MutableSequence[int] = _NO_HINTS
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)  # device and inode of the database that is open
        self._damage = ""
        self._kept = False  # the lock, during a fork

    def change(self, name: str, decide: Decision) -> Change:
        """See Store."""
        with self._opened() as connection:
            changed, loosens = self._change(connection, name, decide)
            if loosens:
                self._loosen(connection, name)
            return changed

    def rows(self) -> dict[str, tuple[Row, str]]:
        """Every breaker by name, with who changed it last. Raises StoreError."""
        with self._opened() as connection:
            found = connection.execute(f"SELECT name, changed_by, {', '.join(_COLUMNS)} FROM breaker ORDER BY name")  # noqa: S608
            return {str(name): (_row(values), str(by)) for name, by, *values in found}

    def knows(self, name: str) -> bool:
        """Whether there is a breaker of that name. Raises StoreError."""
        with self._opened() as connection:
            return connection.execute(_READ, (name,)).fetchone() is not None

    def forget(self, may_go: Callable[[str, Row], bool]) -> None:
        """Delete the breakers of which a function of name and row says so. Raises StoreError."""
        with self._opened() as connection, _transaction(connection):
            found = connection.execute(f"SELECT id, name, {', '.join(_COLUMNS)} FROM breaker").fetchall()  # noqa: S608
            for slot, name, *values in found:
                if may_go(str(name), _row(values)):
                    self._write_hint(_place(slot), 0)  # nobody knows: whoever still reads it has to ask
                    connection.execute("DELETE FROM breaker WHERE id = ?", (slot,))

    def close(self) -> None:
        """Close the database; the next change opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # ------------------------------------------------------------ one change

    def _change(self, connection: "sqlite3.Connection", name: str, decide: Decision) -> tuple[Change, bool]:
        """The change, and whether the hint is still tighter than it need be."""
        with _transaction(connection):
            slot, before = _find(connection, name)
            after, answer = decide(before)
            place, word = _place(slot), hint(after)
            loosens = after != before and tightness(word) < tightness(self._words[place])
            if not loosens:
                self._write_hint(place, word)
            if after != before:
                connection.execute(_WRITE, (*_values(after), _who(), slot))
        return Change(self._words, place, before, after, answer), loosens

    def _loosen(self, connection: "sqlite3.Connection", name: str) -> None:
        import sqlite3  # noqa: PLC0415 - see _connect

        # Another may have changed the row since: what is true under the lock is written, not what was committed.
        # If it cannot be had, the hint stays too tight, which the next look mends.
        with suppress(sqlite3.OperationalError), _transaction(connection):
            slot, row = _find(connection, name)
            self._write_hint(_place(slot), hint(row))

    def _write_hint(self, place: int, word: int) -> None:
        if place:
            self._words[place] = word

    # ------------------------------------------------------------ opening

    @contextmanager
    def _opened(self) -> Iterator["sqlite3.Connection"]:
        """The connection, alone with it; whatever is wrong is remembered."""
        import sqlite3  # noqa: PLC0415 - see _connect

        if self._is_ours():  # a signal handler, in the middle of a change
            raise StoreError(f"{self.path} is in use by this very thread")
        with self._lock:  # others have it for as long as SQLite waits, at most
            try:
                if self._damage:
                    raise StoreError(self._damage)
                yield self._current()
            except (sqlite3.Error, OSError, ValueError) as error:
                self._damage = f"{self.path} cannot be used: {error}"
                self._give_up(error)
                raise StoreError(self._damage) from error

    def _is_ours(self) -> bool:
        """Whether this thread has the store."""
        owned: bool = self._lock._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition asks it
        return owned

    def _current(self) -> "sqlite3.Connection":
        """The connection to the file that has the name now: it may have been deleted, or put back from a copy."""
        if self._connection is not None and self._identity == _identity(self.path):
            return self._connection
        if self._connection is not None:
            # Closed it may take the log away that lies under the name now, which is another database's.
            _abandoned.append(self._connection)
            self._connection = None
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self._identity = _identity(self.path)
        self._connection = _connect(self.path)
        self._words = _mapped(f"{self.path}-{self._identity[1]:x}.hints")
        return self._connection

    def _give_up(self, error: Exception) -> None:
        import sqlite3  # noqa: PLC0415 - see _connect

        self._words = _NO_HINTS
        with suppress(sqlite3.Error):
            self.close()
        if type(error) is sqlite3.DatabaseError:  # no database, or a malformed one: the others are of kinds below it
            self._damage += f"; {self._set_aside()}"

    def _set_aside(self) -> str:
        """Make room for a new database, unless somebody has; what was done, in words."""
        with suppress(OSError):
            if self._identity == _identity(self.path):
                aside = f"{self.path}.damaged-{time.time_ns():x}"
                # Its log first: a new database would take up what it finds beside it.
                for suffix in ("-wal", "-shm", ""):
                    with suppress(FileNotFoundError):
                        os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")
                return f"it was set aside as {aside}"
        return "it stays where it is"

    # ------------------------------------------------------------ forks

    def before_fork(self) -> None:
        """SQLite forbids to carry a connection into a child: close it, and keep the store to ourselves meanwhile."""
        self._kept = not self._is_ours() and self._lock.acquire(timeout=4 * PATIENCE)  # longer than any change takes
        if self._kept:
            self.close()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._kept:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Go on, if no thread was in the middle of something: SQLite will not let go here of what that one held."""
        self._lock = threading.RLock()
        if not self._kept:
            _abandoned.append(self._connection)
            self._connection = None
            self._damage = f"{self.path} cannot be used: this process was forked in the middle of a change"


# ---------------------------------------------------------------- the stores of this process


_stores: dict[str, Shared] = {}
_forking: list[Shared] = []  # the stores that there were before a fork
_privates: WeakSet[Private] = WeakSet()
_abandoned: list[object] = []  # connections that must not be closed


def store_at(path: str) -> Shared:
    """The store in this file, the same one for all who name it."""
    path = os.path.abspath(path)
    return _stores.setdefault(path, Shared(path))


def _before_fork() -> None:
    _forking[:] = _stores.values()
    for store in _forking:
        store.before_fork()


def _after_fork_in_parent() -> None:
    for store in _forking:
        store.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for private in _privates:
        private.after_fork_in_child()
    for store in _forking:
        store.after_fork_in_child()


with suppress(AttributeError):  # Windows knows no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


# ---------------------------------------------------------------- SQLite


def _connect(path: str) -> "sqlite3.Connection":
    import sqlite3  # noqa: PLC0415 - most processes that import this never call anything

    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, until=time.monotonic() + PATIENCE)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: "sqlite3.Connection", *, until: float) -> None:
    import sqlite3  # noqa: PLC0415 - see _connect

    while True:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                raise ValueError(f"it is of a newer pytest-orxaq (schema {version})")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if version < SCHEMA:
                with _transaction(connection):
                    connection.execute(_CREATE)
                    connection.execute(f"PRAGMA user_version = {SCHEMA}")
            return
        except sqlite3.OperationalError as error:
            # While others set up the same file, SQLite does not wait for them in all places.
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.005)


@contextmanager
def _transaction(connection: "sqlite3.Connection") -> Iterator[None]:
    """Alone with the database; nothing has happened if the body, or the commit, fails."""
    try:
        connection.execute("BEGIN IMMEDIATE")  # in here: Ctrl-C can come right after it
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(Exception):
            connection.execute("ROLLBACK")
        raise


def _find(connection: "sqlite3.Connection", name: str) -> tuple[int, Row]:
    """The number and row of a breaker, made if it is new."""
    found = connection.execute(_READ, (name,)).fetchone()
    if found is not None:
        return found[0], _row(found[1:])
    made = connection.execute(_INSERT, (name, *_values(Row()), _who()))
    return made.lastrowid or 0, Row()


def _values(row: Row) -> tuple[Any, ...]:
    counts = ""
    if row.counts:
        import json  # noqa: PLC0415 - most breakers ask for no rates

        counts = json.dumps(row.counts)
    return (
        *(int(row.state), row.epoch, row.since, row.wait, row.trips, row.fails, row.failed_at),
        *(row.token, row.why, counts),
    )


def _row(values: tuple[Any, ...] | list[Any]) -> Row:
    """What was written, or a new row if it makes no sense: anybody can write there."""
    state, epoch, since, wait, trips, fails, failed_at, token, why, counts = values
    try:
        if not all(isfinite(each) and each >= 0 for each in (epoch, since, wait, trips, fails, failed_at)):
            return Row()
        return Row(
            state=State(state),
            epoch=int(epoch) % EPOCHS,
            since=float(since),
            wait=float(wait),
            trips=int(trips),
            fails=int(fails),
            failed_at=float(failed_at),
            token=str(token),
            why=str(why),
            counts=_counts(counts) if counts else (),
        )
    except (TypeError, ValueError, OverflowError, RecursionError):
        return Row()


def _counts(text: str) -> tuple[tuple[int, int, int], ...]:
    import json  # noqa: PLC0415 - see _values

    return tuple((int(piece), int(good), int(bad)) for piece, good, bad in json.loads(text))


def _who() -> str:
    run = os.environ.get("ORXAQ_RUN_ID", "")
    return f"process {os.getpid()}{f' of run {run}' if run else ''}"


# ---------------------------------------------------------------- hints


def _place(slot: int) -> int:
    """Of the hint of a breaker; 0 if it has none."""
    return slot if slot < _WORDS else 0


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return status.st_dev, status.st_ino


def _mapped(path: str) -> MutableSequence[int]:
    """The words of a file of hints, which is named for the database that it belongs to; made if it is missing."""
    import mmap  # noqa: PLC0415 - see _connect

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Written, not just made longer: to write to a mapped page for which the disk has no room is a SIGBUS.
        while (size := os.fstat(descriptor).st_size) < 4 * _WORDS:
            os.pwrite(descriptor, bytes(4 * _WORDS - size), size)
        return memoryview(mmap.mmap(descriptor, 4 * _WORDS)).cast("I")  # type: ignore[return-value]
    finally:
        os.close(descriptor)
