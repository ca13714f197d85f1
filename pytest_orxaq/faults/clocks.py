"""A test comes to its clock: the functions of the module ``time``, and the loops of asyncio, are others until its end."""

import time

from collections.abc import Callable, Sequence

import pytest

from ..errors import UsageError
from . import choices, targets
from .choices import meant
from .clock import SkipClock
from .loops import skipping
from .troubles import Faults


_NAMES: dict[str, Callable[..., object]] = {
    name: getattr(time, name) for name in ("sleep", "time", "time_ns", "monotonic", "monotonic_ns")
}


class Clocks:
    """Makes the clock of a test."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._made = False

    def make(self, limit: float = 3600.0, *, also: Sequence[str] = ()) -> SkipClock:
        """From now on to the end of the test, sleeps take no time; see the fixture.

        Raises UsageError for a second clock, for what is no limit, and for a path in ``also`` that leads to no function of
        ``time``.
        """
        if self._made:
            raise UsageError("This test has its clock already.", advice="One is for all; advance() moves it.")
        choices.seconds(limit, "limit", more_than=0)
        if isinstance(also, str) or not isinstance(also, Sequence):
            raise UsageError(f"also={also!r} is no list.", advice=f"It is a list: ['{also}'].")
        clock = SkipClock(self._faults, limit)
        places = [_place(path) for path in also]

        patch = self._faults.stack.enter_context(pytest.MonkeyPatch.context())
        for place, name in places:
            self._faults.stack.callback(place.replace(getattr(clock, name)))
        for name in _NAMES:
            patch.setattr(time, name, getattr(clock, name))
        self._faults.stack.enter_context(skipping(clock))
        self._made = True
        return clock


def _place(path: str) -> tuple[targets.Target, str]:
    """A place where a function of the module ``time`` stands, and which."""
    place = targets.locate(path)
    for name, function in _NAMES.items():
        if place.value is function:
            return place, name
    advice = f"For instance bot:sleep, where bot has 'from time import sleep'. The functions: {', '.join(_NAMES)}."
    raise UsageError(f"{path} is no function of the module time.{meant(place.name, _NAMES)}", advice=advice)
