"""What one test has of its faults: a seed, a log, what is armed and has to fire, and the way back to peace."""

import os
import random
import time

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, get_args

from ..errors import UsageError
from . import choices
from .leftovers import Leftovers


Truth = Literal["transient", "permanent", "stale-state", "live-contention", "environment"]

# Held on to here: a virtual clock moves the module's own.
_now = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEvent:
    """One trouble that was really made. Equal ones happened alike, whenever that was."""

    kind: str  # the fixture, as tests name it
    truth: Truth  # what a good gate should make of it
    detail: str  # the same in every repetition: no number of a process or port, no temporary path
    at: float = field(compare=False)  # seconds since the test came to its faults

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail} [{self.truth}]" if self.detail else f"{self.kind} [{self.truth}]"


class Arm:
    """A fault that waits for the code under test to come upon it."""

    def __init__(
        self, faults: "Faults", kind: str, truth: Truth, what: str, required: bool, times: Callable[[], int] | None
    ) -> None:
        self.kind = kind
        self.truth = truth
        self.what = what  # for the one who reads that it never fired
        self.required = required
        self._faults = faults
        self._fired = 0
        self._times = times

    @property
    def times(self) -> int:
        """How often it fired."""
        return self._fired + (self._times() if self._times else 0)

    def settle(self) -> None:
        """Count for the last time: where it is counted will be gone."""
        times, self._times = self._times, None
        self._fired += times() if times else 0

    def fire(self, detail: str = "") -> None:
        """Note that it happened, here and now."""
        self._fired += 1
        self._faults.note(self.kind, self.truth, detail)


class Faults:
    """The faults of one test: ``seed``, ``rng``, ``log``, ``arm()``, ``fired()``, ``unfired()``, ``buggify()``, ``heal()``, ``stack``."""

    def __init__(self, *, seed: int, name: str, folder: Path, leftovers: Leftovers, require: bool) -> None:
        """Faults of a test with this name and folder.

        ``leftovers`` has what the next run undoes if this one is killed. With ``require``, a fault that cannot be made
        here fails the test.
        """
        self.seed = seed
        self._name = name
        self.mark = os.urandom(8).hex()  # what the processes bear that are started during the test
        self.rng = self._random("")  # the same for this test in whatever order, selection or worker it runs
        self.stack = ExitStack()  # what is undone after the test, the last first
        self.leftovers = leftovers
        self.complaints: list[str] = []  # what the test did that it must not do, as sentences
        self.folder = folder
        self._rooms = 0
        self._require = require
        self._began = _now()
        self._events: list[FaultEvent] = []
        self._sources: list[Callable[[], Iterable[FaultEvent]]] = []
        self._arms: list[Arm] = []
        self._healing: list[Callable[[], object]] = []
        self._places: dict[str, tuple[random.Random, bool]] = {}

    # ------------------------------------------------------------ log

    def note(self, kind: str, truth: Truth, detail: str = "") -> None:
        """Log a trouble that was made just now. Raises UsageError for a truth that there is not."""
        choices.check(truth, get_args(Truth), "truth of a fault")
        self._events.append(FaultEvent(kind=kind, truth=truth, detail=detail, at=self.since(_now())))

    def listen(self, source: Callable[[], Iterable[FaultEvent]]) -> None:
        """Let the log have, whenever it is read, what happened in other processes too. Raises UsageError for what cannot be called."""
        choices.callback(source, "source")
        self._sources.append(source)

    def since(self, moment: float) -> float:
        """Seconds from where the test came to its faults to a moment of the machine's monotonic clock."""
        return moment - self._began

    @property
    def log(self) -> list[FaultEvent]:
        """Every trouble so far, in the order in which it was made."""
        told = [event for source in self._sources for event in source()]
        return sorted([*self._events, *told], key=lambda event: event.at)

    # ------------------------------------------------------------ armed

    def arm(
        self,
        kind: str,
        *,
        truth: Truth = "transient",
        what: str = "",
        required: bool = True,
        times: Callable[[], int] | None = None,
    ) -> Arm:
        """Lay a fault in the way. A ``required`` one that has not fired when the test has passed fails it.

        ``times`` tells how often it fired where that is counted elsewhere; ``what`` describes it. Raises UsageError
        for a truth that there is not.
        """
        choices.text(kind, "kind")
        choices.check(truth, get_args(Truth), "truth of a fault")
        if times is not None:
            choices.callback(times, "times")
        made = Arm(self, kind, truth, what, required, times)
        self._arms.append(made)
        return made

    def fired(self, kind: str, detail: str = "") -> None:
        """Say that a fault of your own has fired. Raises UsageError if none of that kind is armed."""
        found = next((arm for arm in reversed(self._arms) if arm.kind == kind), None)
        if found is None:
            kinds = ", ".join(dict.fromkeys(arm.kind for arm in self._arms)) or "none"
            raise UsageError(f"No fault of the kind {kind!r} is armed.", advice=f"Armed are: {kinds}.")
        found.fire(detail)

    def unfired(self) -> list[str]:
        """The required faults that nothing has come upon, described."""
        idle = (arm for arm in self._arms if arm.required and not arm.times)
        return [f"{arm.kind}: {arm.what}" if arm.what else arm.kind for arm in idle]

    def buggify(self, name: str, *, p_active: float = 0.25, p_fire: float = 0.25) -> bool:
        """Whether to misbehave at this place of your code or test: the same at every run with the same seed.

        As in FoundationDB, a place is active or not for the whole test, and an active one fires now and then. The
        places do not depend on each other. Raises UsageError for what is no probability.
        """
        for word, chance in (("p_active", p_active), ("p_fire", p_fire)):
            choices.probability(chance, word)
        if name not in self._places:
            own = self._random(name)
            self._places[name] = own, own.random() < p_active
        own, active = self._places[name]
        fires = own.random() < p_fire and active
        if fires:
            self.note("buggify", "transient", name)
        return fires

    # ------------------------------------------------------------ end

    def on_heal(self, mend: Callable[[], object]) -> None:
        """Have something done when peace is asked for, before what was told earlier. It may happen more than once.

        Raises UsageError for what cannot be called.
        """
        choices.callback(mend, "mend")
        self._healing.append(mend)

    def heal(self) -> None:
        """Stop all trouble: locks are released, servers answer, commands are the real ones again. From here on, all must work."""
        with ExitStack() as all_of_them:
            for mend in self._healing:
                all_of_them.callback(mend)

    def close(self) -> None:
        """Undo everything; log and arms keep what they have then."""
        with self.stack:
            for settle in (self._keep_log, *(arm.settle for arm in self._arms)):
                try:
                    settle()
                except Exception as error:  # noqa: BLE001 - whatever a source or a count raises, all is undone
                    self.complaints.append(f"What the faults did cannot be told: {type(error).__name__}: {error}")

    def _keep_log(self) -> None:
        sources, self._sources = self._sources, []
        for source in sources:
            self._events.extend(source())

    @property
    def robbed(self) -> bool:
        """Whether a folder in which something is counted is gone: the test has removed it."""
        return not all(self._room(number).exists() for number in range(1, self._rooms + 1))

    def lacks(self, reason: str) -> NoReturn:
        """End the test because a fault cannot be made on this machine: skipped, or failed where faults are required."""
        import pytest  # noqa: PLC0415 - a command line has faults too, and no need of it

        if self._require:
            pytest.fail(f"{reason} (--orxaq-require-faults)", pytrace=False)
        pytest.skip(reason)

    def new_room(self) -> Path:
        """A new folder for what a fixture needs: out of the way of the test's own files, and gone with them."""
        self._rooms += 1
        room = self._room(self._rooms)
        room.mkdir(parents=True)
        return room

    def _room(self, number: int) -> Path:
        return self.folder / ".orxaq" / f"faults{number}"

    def _random(self, place: str) -> random.Random:
        return random.Random(f"{self.seed}:{self._name}:{place}" if place else f"{self.seed}:{self._name}")  # noqa: S311 - repeatable
