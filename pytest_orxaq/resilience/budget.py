"""Retries that all processes of a repository share: a few for every call, so that trouble is not made worse by all who retry."""

import os
import sqlite3

from contextlib import closing
from math import inf
from pathlib import Path

from ..core.bucket import Bucket, Terms, filled, taken
from .arguments import is_name, is_number
from .clock import Clock, clocks
from .events import Event, Kind, tell
from .lock import Lock


FILE = "retry-budgets.db"
_PATIENCE = 1.0  # seconds to wait for other processes
_TABLE = "CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, tokens REAL NOT NULL, at REAL NOT NULL) STRICT"


class Budget:
    """A bucket of retries under a name: a retry takes one out, calls and time put some in.

    Every call earns ``ratio``, every second ``trickle``, and at most ``capacity`` are saved. The bucket is kept in the
    repository's common state folder (outside of any, the user's), or in ``folder``; where that cannot be used, each
    process has its own.
    """

    def __init__(
        self,
        name: str,
        *,
        ratio: float = Terms().ratio,
        trickle: float = Terms().trickle,
        capacity: float = Terms().capacity,
        folder: Path | None = None,
    ) -> None:
        numbers = all(map(is_number, (ratio, trickle, capacity)))
        if not is_name(name) or not numbers or not (0 <= ratio < inf and 0 <= trickle < inf and capacity >= 1):
            raise ValueError("a budget has a name, ratio and trickle of 0 or more, and a capacity of 1 or more")
        self.name = name
        self._terms = Terms(ratio=ratio, trickle=trickle, capacity=capacity)
        self._folder = folder
        self._file: Path | None = None
        self._own: Bucket | None = None  # used where nothing can be shared
        self._alone = False
        self._calls = 0
        self._lock = Lock()

    def earn(self) -> None:
        """Note a call; it is put into the bucket with the next retry, for a call that works must not cost a write."""
        self._calls += 1

    def take(self) -> bool:
        """Whether there is a retry left, which then is taken. Never raises for what the store does."""
        with self._lock:
            calls, self._calls = self._calls, 0
            # What tests retry in no time is no burden to anybody, nor may what others have spent decide how they end.
            staged = self._folder is None and type(clocks.current) is not Clock
            if not self._alone and not staged:
                try:
                    return self._take_shared(calls)
                except (sqlite3.Error, OSError, ImportError) as error:  # the last on Windows, where our state is not
                    self._alone = True
                    tell(Event(kind=Kind.STORE_LOST, name=self.name, why=f"{self._file or FILE}: {error}"))
            return self._take_own(calls)

    def _take_own(self, calls: int) -> bool:
        full = filled(self._own, self._terms, calls=calls, now=clocks.current.wall())
        less = taken(full)
        self._own = less or full
        return less is not None

    def _take_shared(self, calls: int) -> bool:
        file = self._found()
        try:
            return self._exchange(file, calls)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # damaged, or no database at all: it is set aside, and the next one is new
            file.replace(file.with_name(f"{file.name}.damaged"))
            return self._exchange(file, calls)

    def _found(self) -> Path:
        if self._file is None:
            self._file = (self._folder or _shared_folder()) / FILE
        return self._file

    def _exchange(self, file: Path, calls: int) -> bool:
        # A connection each time: none is carried over a fork or to another thread, and a retry waits much longer.
        with closing(sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)) as store:
            store.execute("PRAGMA synchronous = OFF")  # a lost power supply may cost a few retries
            store.execute("BEGIN IMMEDIATE")
            store.execute(_TABLE)
            row = store.execute("SELECT tokens, at FROM bucket WHERE name = ?", (self.name,)).fetchone()
            full = filled(Bucket(*row) if row else None, self._terms, calls=calls, now=clocks.current.wall())
            less = taken(full)
            kept = less or full
            store.execute("INSERT OR REPLACE INTO bucket VALUES (?, ?, ?)", (self.name, kept.tokens, kept.at))
            store.execute("COMMIT")
        return less is not None


def _shared_folder() -> Path:
    """The folder that all processes of the repository share. Raises OSError where there is none that lasts."""
    from ..errors import MachineError  # noqa: PLC0415 - dear, and most calls never fail
    from .premises import state_at  # noqa: PLC0415

    try:
        return state_at(os.environ).common
    except MachineError as error:
        raise OSError(error.what) from error
