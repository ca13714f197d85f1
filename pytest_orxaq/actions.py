"""What a recognised failure calls for: a module of its own, because retried calls need no other word of the model."""

from enum import StrEnum


class Action(StrEnum):
    """What a recognised failure calls for."""

    RETRY = "retry"
    RETRY_REDUCED = "retry-reduced"  # once more, with less parallelism
    REPAIR = "repair"  # something has to be mended first, a git lock above all: once more when it is gone
    ENVIRONMENT = "environment"  # the machine lacks what no retry gives it: neither tried again, nor the code's fault
    NO_RETRY = "no-retry"
    IGNORE = "ignore"  # such a line says nothing, and no other rule reads it

    @property
    def permanent(self) -> bool:
        """Whether trying again is known to be of no use."""
        return self in {Action.NO_RETRY, Action.ENVIRONMENT}
