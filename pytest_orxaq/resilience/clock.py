"""The clocks, the sleep and the chance that retries use; :mod:`pytest_orxaq.testing` puts others in their place."""

import os
import sys
import threading
import time

from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from typing import Any


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
        return (_dice.throw or _dice.made())()

    def sleep(self, seconds: float, stop: threading.Event | None) -> None:
        """Wait, or until ``stop`` is set."""
        if stop is None:
            time.sleep(seconds)
        else:
            stop.wait(seconds)

    def asleep(self, seconds: float) -> Awaitable[None]:
        """What a coroutine awaits to wait."""
        asyncio: Any = sys.modules.get("asyncio") or import_module("asyncio")  # an import costs more where it is there
        slept: Awaitable[None] = asyncio.sleep(seconds)
        return slept


class _Dice:
    """Chance of our own: tests and programs seed the common one, in all of their workers with the same number."""

    throw: Callable[[], float] | None = None

    def made(self) -> Callable[[], float]:
        """The dice, thrown anew in every forked child, where they would fall as in its parent."""
        from random import Random  # noqa: PLC0415 - dear, and most programs never retry

        dice = Random()  # noqa: S311 - nothing is to be kept secret
        with suppress(AttributeError):  # Windows knows no fork
            os.register_at_fork(after_in_child=dice.seed)
        self.throw = dice.random
        return self.throw


_dice = _Dice()


class _Clocks:
    """Whose clock is used."""

    def __init__(self) -> None:
        self.current = Clock()


clocks = _Clocks()
