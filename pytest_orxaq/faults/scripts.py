"""The script of a server: steps, each taken once, by whoever comes first, and what holds after them."""

import threading

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .steps import Ok, Refuse, Step
from .troubles import Faults


KIND = "fault_server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is done now."""

    step: Step
    refusal: Refuse | None  # what comes next, if it is that the port refuses: that has to be so before this is done


class Script:
    """Steps that several threads take, none twice, and the log has in the order in which they were taken."""

    def __init__(self, faults: Faults, steps: Sequence[Step], then: Step, *, where: str, required: bool) -> None:
        """``where`` says which server or route, for people."""
        self.peace = threading.Event()  # from then on all goes well, and whatever waits ends
        self.well = then if isinstance(then, Ok) else Ok()  # what is answered if all goes well
        self._then = then
        # Where the port is to refuse for good, only who opened it by hand is served.
        self._afterwards = self.well if isinstance(then, Refuse) else then
        self._left = deque(steps)
        self._faults = faults
        self._mutex = threading.Lock()
        self._served = 0
        # What follows a script is no part of it, unless it is all there is.
        self._total = len(steps) or int(then.truth is not None)
        self._where = where
        if self._total:
            self._arm = faults.arm(KIND, required=required, times=self._times)
            self._arm.what = self._missing()

    def take(self) -> Turn:
        """The next step."""
        with self._mutex:
            if self.peace.is_set():
                return Turn(step=Ok(), refusal=None)
            step = self._left.popleft() if self._left else self._afterwards
            self._note(step)
            return Turn(step=step, refusal=self._refusal())

    def refusal(self, *, by_hand: bool = False) -> Refuse | None:
        """The next step, if it is that the port refuses; it is taken then.

        ``by_hand``: somebody has opened the port, which is worth more than what holds after the steps.
        """
        with self._mutex:
            over = self.peace.is_set() or (by_hand and not self._left)
            return None if over else self._refusal()

    def _refusal(self) -> Refuse | None:
        step = self._left[0] if self._left else self._then
        if not isinstance(step, Refuse):
            return None
        if self._left:
            self._left.popleft()
        self._note(step)
        return step

    def _note(self, step: Step) -> None:
        self._served += 1
        if self._served <= self._total:
            self._arm.what = self._missing()
        if step.truth is not None:
            self._faults.note(KIND, step.truth, f"{self._where}{step}")

    def _times(self) -> int:
        return self._served if self._served >= self._total else 0

    def _missing(self) -> str:
        upcoming = self._left[0] if self._left else self._then
        return f"{self._where}{upcoming}, step {self._served + 1} of {self._total}"
