"""The retries that a gate around this process leaves to all levels of its run."""

import os

from typing import Final

from .clock import Clock, clocks


VARIABLE: Final = "ORXAQ_RETRIES"
BOUNDED: Final = bool(os.environ.get(VARIABLE))  # asked once: a look at the environment costs as much as a retry


def allowed() -> bool:
    """Whether the run that this process belongs to has a retry left, which then is taken; True outside of any run."""
    # Retries of tests that stop the clock wait for nothing, and are no burden to anybody.
    if not BOUNDED or type(clocks.current) is not Clock:
        return True
    from ..system import purse  # noqa: PLC0415 - dear, and most programs run without a gate

    return purse.spend(os.environ.get(VARIABLE, ""))
