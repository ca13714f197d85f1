"""A clock that skips what is slept: it goes on as ever, only that a sleep takes no time. It never stands still, nor goes back."""

import math
import sys
import threading
import time

from pathlib import Path
from typing import NoReturn

import pytest

from . import choices
from .troubles import Faults


# The machine's own: while the clock is used, the module's are others.
_sleep, _time, _time_ns = time.sleep, time.time, time.time_ns
_monotonic_ns = time.monotonic_ns

_SECOND = 10**9  # nanoseconds

# Those wait for what really takes time (processes, threads, other machines), or measure the tests themselves.
_IN_REAL_TIME = (
    "_pytest.",
    "concurrent.futures.",
    "coverage.",
    "execnet.",
    "multiprocessing.",
    "psutil",
    "pytest_orxaq.faults.",
    "pytest_orxaq.system.",
    "subprocess",
    "xdist.",
)

# Where distributions put the library that shows another time to a whole process.
_LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")  # fmt: skip


class SkipClock:
    """The machine's clock, and what was skipped: ``sleeps``, ``slept``, ``limit``, ``advance()``, ``environment``."""

    def __init__(self, faults: Faults, limit: float) -> None:
        self.limit = limit  # seconds that may be slept; more fails the test
        self._faults = faults
        self._mutex = threading.Lock()
        self._ahead = 0  # nanoseconds
        self._slept = 0
        self._sleeps: list[float] = []
        self._exceeded = False

    @property
    def sleeps(self) -> list[float]:
        """Each sleep that was skipped, in seconds as it was asked for, in the order in which they ended."""
        with self._mutex:
            return list(self._sleeps)

    @property
    def slept(self) -> float:
        """Seconds that sleeps have skipped, together: less than their sum where they were side by side."""
        return self._slept / _SECOND

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a child process that is started now has this time; none where there is no libfaketime.

        It keeps the distance that there is at its start: what is skipped later it does not see, and it sleeps in earnest.
        """
        library = next((str(path) for form in _LIBRARIES for path in Path("/").glob(form[1:])), None)
        return {} if library is None else {"LD_PRELOAD": library, "FAKETIME": f"+{self._ahead / _SECOND:.3f}"}

    def advance(self, seconds: float) -> None:
        """Let so many seconds go by at once; they count as no sleep. Raises UsageError for less than none."""
        choices.seconds(seconds, "seconds")  # it never goes back
        with self._mutex:
            self._ahead += math.ceil(seconds * _SECOND)

    def skip(self, seconds: float, asked: float) -> None:
        """Skip so many seconds of a sleep of which ``asked`` were asked for; the test fails if that was too much."""
        with self._mutex:
            # Up, so that whoever waits for a moment finds that it has come.
            skipped = math.ceil(seconds * _SECOND)
            self._ahead += skipped
            self._slept += skipped
            self._sleeps.append(asked)
        if self.slept > self.limit:
            self._fail()

    def _fail(self) -> NoReturn:
        words = f"virtual_clock: slept {self.slept:,.0f} s (limit {self.limit:,.0f} s)"
        with self._mutex:
            if not self._exceeded:
                self._exceeded = True
                self._faults.complaints.append(words)  # of a thread's or a task's failure nobody may hear
        pytest.fail(words, pytrace=False)

    # ------------------------------------------------------------ what stands in for the functions of the module `time`

    def sleep(self, seconds: float, /) -> None:
        """As that of the module."""
        if _caller_is_real() or not 0 < seconds < math.inf:
            _sleep(seconds)  # which also says what is wrong with a number
        else:
            self.skip(seconds, seconds)
            _sleep(0)  # others have their turn

    def time(self) -> float:
        """As that of the module."""
        return _time() if _caller_is_real() else _time() + self._ahead / _SECOND

    def time_ns(self) -> int:
        """As that of the module."""
        return _time_ns() if _caller_is_real() else _time_ns() + self._ahead

    def monotonic(self) -> float:
        """As that of the module."""
        return (_monotonic_ns() if _caller_is_real() else _monotonic_ns() + self._ahead) / _SECOND

    def monotonic_ns(self) -> int:
        """As that of the module."""
        return _monotonic_ns() if _caller_is_real() else _monotonic_ns() + self._ahead


def _caller_is_real() -> bool:
    """Whether whoever asks for the time, or sleeps, is one of those that need the machine's own."""
    name: str = sys._getframe(2).f_globals.get("__name__", "")  # noqa: SLF001 - the way to see one's caller
    return name.startswith(_IN_REAL_TIME)
