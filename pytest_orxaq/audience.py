"""Who is told how a run goes while it goes: a person at a terminal, a CI log, a program."""

from collections.abc import Mapping
from typing import Protocol

from .model import Attempt, Checkpoint, Outcome
from .system.process import Progress


class Audience(Protocol):
    """What the gate tells, in the order in which it happens. Nothing that a listener does can change a verdict."""

    def waiting(self, holder: Mapping[str, object]) -> None:
        """Another gate holds the work tree; told again while that lasts."""

    def begun(self, checkpoint: Checkpoint, attempt: int) -> None:
        """An attempt starts."""

    def heard(self, chunk: bytes) -> None:
        """The command wrote something."""

    def beat(self, progress: Progress) -> None:
        """The command is still at it; several times a second."""

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """*attempt* failed for the machine's sake; the next one starts after *delay* seconds."""

    def blocked(self, words: str) -> None:
        """A git lock is waited for; told again when what is known of it changes."""

    def ended(self, outcome: Outcome) -> None:
        """A checkpoint is through."""
