"""The clocks, the sleep and the chance that retries use; :mod:`pytest_orxaq.testing` puts others in their place."""

import os
import threading
import time


class Clock:
    """The machine's own."""

    def now(self) -> float:
        """Seconds on a clock that nobody can set."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix time."""
        return time.time()

    def jitter(self) -> float:
        """A random number from 0 to below 1, another one in every process."""
        return int.from_bytes(os.urandom(4)) / 2**32

    def sleep(self, seconds: float, stop: threading.Event | None) -> None:
        """Wait, or until ``stop`` is set."""
        if stop is None:
            time.sleep(seconds)
        else:
            stop.wait(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait in a coroutine."""
        import asyncio  # noqa: PLC0415 - dear, and in a coroutine it is there already

        await asyncio.sleep(seconds)


class _Clocks:
    """Whose clock is used."""

    current: Clock = Clock()


clocks = _Clocks()
