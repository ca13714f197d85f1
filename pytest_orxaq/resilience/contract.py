"""What retries need of a circuit breaker and of a budget; anything that has it will do."""

from typing import Protocol


class Permit(Protocol):
    """Leave of a circuit breaker for one attempt; one of the three must be called."""

    def success(self, seconds: float) -> object:
        """The other side answered, be it with an error of ours."""

    def failure(self, why: str) -> object:
        """It did not."""

    def cancel(self) -> object:
        """Nobody knows."""


class Admission(Protocol):
    """A circuit breaker, as far as retries need one."""

    def acquire(self) -> Permit:
        """Leave for one attempt; raises BreakerOpenError."""


class Shared(Protocol):
    """A budget of retries."""

    def earn(self) -> None:
        """Note a call."""

    def take(self) -> bool:
        """Take a retry, if there is one."""
