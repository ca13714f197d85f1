"""Start a real git, keep it at the moment at which it holds a lock, and let it go or kill it there."""

import os
import time

from collections.abc import Callable
from pathlib import Path

from ..errors import MachineError
from ..system.process import Companion
from . import stepping
from .recipes import Recipe
from .shim import ASIDE


PATIENCE = 20.0  # for git to reach the moment; it takes some hundredths of a second
GRACE = 2.0  # for git to end by itself when its hook fails, and again on SIGTERM

# git waits for a word before it becomes git, so that it can be watched from its first call on.
_GATE = ("sh", "-c", 'read -r _ <"/dev/fd/$ORXAQ_LIFELINE"; exec "$@"', "sh")
# A stopped git hears no lifeline; if we die, this one ends it.
_GUARD = ("sh", "-c", 'read -r _ <"/dev/fd/$ORXAQ_LIFELINE"; kill -TERM "$1"; kill -CONT "$1"', "sh")


class Holder:
    """A git that holds a lock. It ends with this process, whatever ends this process."""

    def __init__(self, recipe: Recipe, room: Path) -> None:
        """Raises MachineError if git did not come to hold the lock, Untraceable if it would have to be traced."""
        self.recipe = recipe
        self._said = room / "said"
        self._guard: Companion | None = None
        command = (*_GATE, *recipe.command) if recipe.stepped else recipe.command
        environment = recipe.where.env | dict(recipe.environment) | {ASIDE: "1"}
        self._git = Companion(command, directory=recipe.where.path, environment=environment, said=self._said)
        self.pid = self._git.pid
        try:
            until = time.monotonic() + PATIENCE
            reached = self._step(until) if recipe.stepped else self._listen(until)
            if not reached:
                raise MachineError(f"{self.command} did not come to hold {recipe.lock}.", advice=self._words())
        except BaseException:
            self.kill()
            raise

    @property
    def command(self) -> str:
        """What was started, for people."""
        return " ".join(self.recipe.command)

    @property
    def alive(self) -> bool:
        """Whether git lives; a stopped one does."""
        return self._git.alive

    def release(self) -> None:
        """Have git give up: it takes its locks away, and nothing else has changed. SIGTERM and SIGKILL if it does not."""
        if self._guard is not None:
            self._guard.stop(GRACE)
        self._git.stop(GRACE)

    def kill(self) -> None:
        """Kill git where it is, and everything that it started."""
        if self._guard is not None:
            self._guard.kill()
        self._git.kill()

    def _listen(self, until: float) -> bool:
        """Wait for the word of the program that git runs while it holds the lock."""
        # The word may come from the other side of a transport, which can be a moment ahead.
        return bool(self._git.hear(until)) and comes_to_be(self.recipe.lock, until, lambda: self.alive)

    def _step(self, until: float) -> bool:
        """Stop git at the first system call after which the lock is there."""
        guard = (*_GUARD, str(self.pid))
        said = self._said.with_name("guard")
        self._guard = Companion(guard, directory=Path("/"), environment=self.recipe.where.env, said=said)
        return stepping.stop_when(
            self.pid,
            lambda: os.path.lexists(self.recipe.lock),
            go=lambda: self._git.tell(b"go\n"),
            until=until,
        )

    def _words(self) -> str:
        """What git said."""
        return self._said.read_text(encoding="utf-8", errors="replace").strip() or "It said nothing."


def comes_to_be(path: Path, until: float, possible: Callable[[], bool]) -> bool:
    """Wait for a file, as long as it is possible; whether it is there."""
    while not os.path.lexists(path):
        if not possible() or time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def a_dead_pid(room: Path, environment: dict[str, str]) -> int:
    """The number of a process that was, and is no more."""
    process = Companion(("true",), directory=room, environment=environment, said=room / "said")
    process.stop()
    return process.pid
