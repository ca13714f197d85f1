"""Leave to call, and that there is none."""

from math import isfinite
from typing import Protocol

from .noted import described
from .scope import DeadlineError


class BreakerOpenError(Exception):
    """A call was not made, because its circuit breaker is open.

    ``retry_after``: seconds after which asking makes sense, infinite if a person has to act first.
    """

    # It is raised as often as a program asks in vain, so that making one is left to Exception: these are its arguments.

    @property
    def name(self) -> str:
        """Of the breaker."""
        return str(self.args[0])

    @property
    def retry_after(self) -> float:
        """See above."""
        return float(self.args[1])

    @property
    def why(self) -> str:
        """It is open, in words."""
        return str(self.args[2])

    def __str__(self) -> str:
        again = f"the next trial is in {self.retry_after:.0f} s" if isfinite(self.retry_after) else "until it is reset"
        return f"the circuit breaker {self.name!r} is open ({self.why}); {again}"


def was_called(error: BaseException) -> bool:
    """Whether an exception says anything about the other side; where we did not even call it, it does not."""
    return isinstance(error, Exception) and not isinstance(error, (BreakerOpenError, DeadlineError))


class Owner(Protocol):
    """A breaker, as its permits need it."""

    def answered(self, permit: "Permit", seconds: float) -> None:
        """The call of a permit was answered."""

    def failed(self, permit: "Permit", why: str) -> None:
        """It failed."""

    def returned(self, permit: "Permit") -> None:
        """Nobody knows."""

    def is_failure(self, error: Exception) -> bool:
        """What an exception means."""

    def seconds_since(self, started: float) -> float:
        """How long a call took."""


class Permit:
    """Leave for one call; one of ``success``, ``failure`` and ``cancel`` must be called, and the first one counts."""

    # Of the class while they are as usual: a permit is made for every call, and this halves its price.
    token = ""  # of a probe
    process = 0  # that has it, 0 if it is not known: a forked child has a copy, which means nothing
    started = 0.0
    _open = True

    def __init__(self, breaker: Owner, epoch: int) -> None:
        self._breaker = breaker
        self.epoch = epoch

    @property
    def probe(self) -> bool:
        """Whether this is the one call that decides whether the breaker closes."""
        return bool(self.token)

    def success(self, seconds: float = 0.0) -> None:
        """The other side answered, be it with an error of ours; after so many seconds."""
        if self._open:
            self._open = False
            self._breaker.answered(self, seconds)

    def failure(self, why: str) -> None:
        """It did not, in words."""
        if self._open:
            self._open = False
            self._breaker.failed(self, why)

    def cancel(self) -> None:
        """Nobody knows: if this was the probe, somebody else may be it at once."""
        if self._open:
            self._open = False
            self._breaker.returned(self)

    def settle(self, error: BaseException | None) -> None:
        """The call ended, with this exception or none: what that means is the breaker's to say."""
        if error is None:
            self.success(self._breaker.seconds_since(self.started))
        elif not isinstance(error, Exception) or not was_called(error):
            self.cancel()
        elif self._breaker.is_failure(error):
            self.failure(described(error))
        else:
            self.success(self._breaker.seconds_since(self.started))
