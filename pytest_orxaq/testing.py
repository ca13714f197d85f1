"""For tests of code that retries: nobody sleeps, and time moves only when it is told to."""

import threading

from collections.abc import Iterator
from contextlib import contextmanager

from .resilience.clock import Clock, clocks


class FakeClock(Clock):
    """A clock that stands still; sleeping moves it and takes no time. Jitter is what it is told to be."""

    def __init__(self, *, at: float = 1_000_000.0, jitter: float = 1.0) -> None:
        self.slept: list[float] = []  # seconds, in order
        self._at = at
        self._jitter = jitter

    def now(self) -> float:
        """See Clock."""
        return self._at

    def wall(self) -> float:
        """See Clock; the same moment here."""
        return self._at

    def jitter(self) -> float:
        """See Clock."""
        return self._jitter

    def sleep(self, seconds: float, stop: threading.Event | None) -> None:
        """See Clock."""
        self.slept.append(seconds)
        if stop is None or not stop.is_set():
            self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """See Clock. Others run meanwhile, and it can be cancelled, as in a real sleep."""
        import asyncio  # noqa: PLC0415 - dear, and in a coroutine it is there already

        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self._at += seconds


@contextmanager
def instant(clock: FakeClock | None = None) -> Iterator[FakeClock]:
    """Within this, retries wait on a clock that moves at once; for functions and coroutines, in all threads.

    The bounds of coroutines' attempts are kept by their event loop, which has a clock of its own.
    """
    fake = FakeClock() if clock is None else clock
    before, clocks.current = clocks.current, fake
    try:
        yield fake
    finally:
        clocks.current = before
