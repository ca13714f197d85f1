"""A callable that fails as planned, and then works: by itself, around another, or in the place of one."""

import functools
import inspect
import sys
import threading

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any, Literal, NoReturn

from ..errors import UsageError
from . import outcomes, targets
from .choices import check
from .outcomes import Outcome, Real, Returns, Turn
from .troubles import Faults


Then = Literal["ok", "repeat", "error"]

_KIND = "transient_failures"
_REAL = Real()


class FlakyCall:
    """A callable that fails as planned. Calls of all threads are counted, each once."""

    def __init__(
        self,
        faults: Faults,
        turns: Iterable[Turn],
        *,
        real: Callable[..., Any] | None,
        words: str,
    ) -> None:
        """``turns`` are what the calls come to; one more than there are is a mistake. ``words`` describe it.

        ``real`` is what is called where the plan says so; without it None is returned.
        """
        self._faults = faults
        self._turns = iter(turns)
        self._real = real
        self._words = words
        self._mutex = threading.Lock()
        self._healed = self._recovered = False
        self._calls = self._failures = self._fired = 0
        awaited = inspect.iscoroutinefunction(real)
        #: The same as a function of the kind of the real one; it has its name, and becomes a method in a class.
        self.function = self._coroutine_function() if awaited else self._function()
        if awaited:
            _mark_as_coroutine_function(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Fail, or call the real thing, as the plan has it. Around a coroutine function that happens where it is awaited."""
        return self.function(*args, **kwargs)

    @property
    def calls(self) -> int:
        """How often it was called; of a coroutine function, awaited."""
        return self._calls

    @property
    def failures(self) -> int:
        """How often it raised because the plan said so."""
        return self._failures

    @property
    def recovered(self) -> bool:
        """Whether a call that began after the latest failure has come back."""
        return self._recovered

    def arm(self, *, required: bool) -> None:
        """It is where it is to be called."""
        self._faults.arm(_KIND, what=self._words, required=required, times=lambda: self._fired)
        self._faults.on_heal(self._heal)

    def _heal(self) -> None:
        self._healed = True

    def _function(self) -> Callable[..., Any]:
        real = self._real

        def function(*args: Any, **kwargs: Any) -> Any:
            turn, failures = self._take()
            answer = turn.value if isinstance(turn, Returns) else real and real(*args, **kwargs)
            self._came_back(failures)
            return answer

        return functools.wraps(real)(function) if real else function

    def _coroutine_function(self) -> Callable[..., Any]:
        real: Any = self._real

        @functools.wraps(real)
        async def function(*args: Any, **kwargs: Any) -> Any:
            turn, failures = self._take()
            answer = turn.value if isinstance(turn, Returns) else await real(*args, **kwargs)
            self._came_back(failures)
            return answer

        return function

    def _take(self) -> tuple[Returns | Real, int]:
        """What this call comes to, and the failures before it; raises if it fails."""
        with self._mutex:
            self._calls += 1
            turn = _REAL if self._healed else next(self._turns, None)
            if turn is None:
                self._refuse()
            if isinstance(turn, Real):
                return turn, self._failures
            self._fired += 1
            self._faults.note(_KIND, turn.truth, turn.detail)
            if isinstance(turn, Returns):
                return turn, self._failures
            self._failures += 1
            self._recovered = False
        raise turn.make()

    def _refuse(self) -> NoReturn:
        words = f"{self._words}: call {self._calls} is one more than the plan has, and then='error'."
        self._faults.complaints.append(words)  # whoever calls may catch what is raised here
        raise AssertionError(words)

    def _came_back(self, failures: int) -> None:
        with self._mutex:
            self._recovered = self._recovered or 0 < failures == self._failures


def _mark_as_coroutine_function(flaky: Any) -> None:
    """Have those who ask whether it is to be awaited told so."""
    if sys.version_info >= (3, 12):  # pragma: no cover - by version
        inspect.markcoroutinefunction(flaky)
    else:  # pragma: no cover - by version
        import asyncio.coroutines  # noqa: PLC0415 - whoever has a coroutine function has it already

        flaky._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001 - the way of 3.11


class Calls:
    """Makes callables that fail, and puts back what they stood in for."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def make(
        self,
        *outcomes: Outcome,
        plan: str | None = None,
        times: int = 1,
        target: str | None = None,
        wraps: Callable[..., Any] | None = None,
        then: Then = "ok",
        required: bool = True,
    ) -> FlakyCall:
        """A callable whose calls come to the ``outcomes`` one after the other, ``times`` times over; see the fixture.

        Raises UsageError for what cannot be read, found or replaced.
        """
        check(then, ("ok", "repeat", "error"), "value of then")
        if target is not None and wraps is not None:
            raise UsageError("Both target= and wraps= say what the real thing is.", advice="Give one of them.")
        if wraps is not None and not callable(wraps):
            raise UsageError(f"wraps={wraps!r} cannot be called.")
        turns, words = _turns(outcomes, plan, times, then)
        if target is not None:
            flaky = self._in_place(targets.locate(target), turns, words)
        else:
            name = getattr(wraps, "__qualname__", "")
            flaky = FlakyCall(self._faults, turns, real=wraps, words=f"{words} from {name}" if name else words)
        flaky.arm(required=required)
        return flaky

    def _in_place(self, target: targets.Target, turns: Iterable[Turn], words: str) -> FlakyCall:
        """One that stands where the target stood: as a method, a class method or a static one, as that is."""
        found = target.found
        if isinstance(target.value, type) or not callable(target.value):
            advice = "Name a function or a method; of a class for instance Class.__init__."
            raise UsageError(f"{target.path} is {_sort(target.value)}.", advice=advice)
        static = isinstance(found, staticmethod) or not hasattr(found, "__get__")
        real: Any = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        flaky = FlakyCall(self._faults, turns, real=real, words=f"{words} from {target.path}")
        stand_in: object = flaky.function
        if isinstance(found, classmethod):
            stand_in = classmethod(flaky.function)
        elif static and isinstance(target.owner, type):
            stand_in = staticmethod(flaky.function)
        self._faults.stack.callback(target.replace(stand_in))
        return flaky


def _sort(value: object) -> str:
    return "a class" if isinstance(value, type) else f"no callable but a {type(value).__name__}"


def _turns(outcome: tuple[Outcome, ...], plan: str | None, times: int, then: Then) -> tuple[Iterator[Turn], str]:
    """What the calls come to, and that in words. Raises UsageError."""
    if type(times) is not int or times < 1:
        raise UsageError(f"times={times!r} is no number of times.", advice="A whole number from 1.")
    if plan is not None:
        if outcome or times != 1 or then != "ok":
            raise UsageError(f"plan={plan!r} says it all.", advice="Outcomes, times and then go without it.")
        return outcomes.read_plan(plan)
    if not outcome:
        raise UsageError(
            "There is no outcome.", advice="For instance 'ECONNRESET', TimeoutError, or plan='2*EPIPE->ok'."
        )
    turns = [outcomes.read(one) for one in outcome]
    after: dict[Then, Iterable[Turn]] = {"ok": repeat(_REAL), "repeat": repeat(turns[-1]), "error": ()}
    words = ", ".join(turn.detail for turn in turns)
    return chain(turns * times, after[then]), f"{times} times {words}" if times > 1 else words
