"""The short way of a call that fails once or twice gives what the long way gives: attempts, pauses, history, exceptions."""

import asyncio
import re
import threading

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, NamedTuple

import pytest

from hypothesis import example, given
from hypothesis import strategies as some

from pytest_orxaq import Retry, deadline
from pytest_orxaq.resilience import CallAttempt, Event, Kind, subscribe
from pytest_orxaq.resilience.noted import history_of
from pytest_orxaq.resilience.scope import around
from pytest_orxaq.testing import FakeClock, instant


class Plan(NamedTuple):
    """A policy, what each attempt does, and what happens in each pause."""

    attempts: int
    backoff: Any
    base: float
    stoppable: bool
    hinted: bool
    steps: tuple[str, ...]
    pauses: tuple[str, ...]


class HintedError(ConnectionError):
    """Says when to come back."""

    retry_after = 3.0


class Troubled(FakeClock):
    """A clock on which things happen while somebody waits."""

    def __init__(self, happens: Callable[[int], None]) -> None:
        super().__init__(jitter=0.5)
        self._happens = happens

    def sleep(self, seconds: float, stop: threading.Event | None) -> None:
        """See Clock."""
        self._happens(len(self.slept))
        super().sleep(seconds, stop)

    async def asleep(self, seconds: float) -> None:
        """See Clock."""
        self._happens(len(self.slept))
        await super().asleep(seconds)


class Played:
    """One call by a plan, and all that can be seen of it. The long way is taken by whoever has a listener."""

    def __init__(self, plan: Plan, *, short: bool) -> None:
        self.plan = plan
        self.seen: list[object] = []
        self.events: list[Event] = []
        self._calls = 0
        self._stop = threading.Event()
        self._open: list[deadline] = []
        self._clock = Troubled(self._in_pause)
        self._again = Retry(
            attempts=plan.attempts,
            on=ConnectionError,
            backoff=plan.backoff,
            base=plan.base,
            stop=self._stop if plan.stoppable else None,
            retry_after=(lambda error: 2.0 if isinstance(error, HintedError) else None) if plan.hinted else None,
            on_event=None if short else self.events.append,
        )

    def run(self) -> list[object]:
        """All that was seen, of a function."""
        with instant(self._clock):
            copy_context().run(self._tried, self._again(self._function))
        return [*self.seen, tuple(self._clock.slept)]

    def run_async(self) -> list[object]:
        """The same of a coroutine function."""
        with instant(self._clock):
            asyncio.run(self._tried_async(self._again(self._coroutine)))
        return [*self.seen, tuple(self._clock.slept)]

    def _tried(self, call: Callable[[], object]) -> None:
        try:
            self.seen.append(call())
        except BaseException as error:  # noqa: BLE001 - it is looked at
            self._look(error)
        self._leave()

    async def _tried_async(self, call: Callable[[], Any]) -> None:
        try:
            self.seen.append(await call())
        except BaseException as error:  # noqa: BLE001 - it is looked at
            self._look(error)
        self._leave()

    def _look(self, error: BaseException) -> None:
        first, *rest = history_of(error) or (None,)
        notes = "\n".join(getattr(error, "__notes__", []))
        # Only on the long way does anybody look at the clock before the first attempt.
        notes = re.sub(r"^(  1\. .*) after \S+ s$", r"\1", notes, flags=re.MULTILINE)
        told = [(each.error, each.seconds, each.waited) for each in rest]
        self.seen += [type(error), str(error), first and (first.error, first.waited), told, notes]

    def _leave(self) -> None:
        self.seen.append((around().purse, around().until))  # the call itself is no longer around
        for each in reversed(self._open):
            copy_context().run(each.__exit__, None, None, None)  # elsewhere: nothing is to be put back here

    def _function(self) -> int:
        step = self._begun()
        if step == "cancelled":
            raise ConnectionResetError("cancelled")
        return self._ended(step)

    async def _coroutine(self) -> int:
        step = self._begun()
        if step == "cancelled":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                raise ConnectionResetError("cancelled") from None
        return self._ended(step)

    def _begun(self) -> str:
        step = self.plan.steps[min(self._calls, len(self.plan.steps) - 1)]
        self._calls += 1
        self.seen.append((step, self._clock.now()))
        self._clock.advance(0.25)
        return step

    def _ended(self, step: str) -> int:
        match step:
            case "lost":
                raise ConnectionResetError(f"lost {self._calls}")
            case "hint":
                raise HintedError("later")
            case "cause":
                raise ConnectionResetError("because") from HintedError("later")
            case "wrong":
                raise ValueError("wrong")
            case "interrupt":
                raise KeyboardInterrupt
            case "stop":
                self._stop.set()
                raise ConnectionResetError("stopped")
            case "late":
                self._open.append(deadline(0.3).__enter__())
                raise ConnectionResetError("late")
            case "inner":
                self._inner(failures=9)
            case "mended":
                self._inner(failures=1)
                raise ConnectionResetError("after all")
            case _:
                pass
        return self._calls

    def _inner(self, failures: int) -> None:
        left = failures

        @Retry(attempts=3, on=ConnectionError, base=0.1)
        def fail() -> None:
            nonlocal left
            left -= 1
            self.seen.append(("inner", self._clock.now()))
            if left >= 0:
                raise ConnectionResetError(f"inner {left}")

        fail()

    def _in_pause(self, number: int) -> None:
        match self.plan.pauses[number] if number < len(self.plan.pauses) else "":
            case "stop":
                self._stop.set()
            case "interrupt":
                raise KeyboardInterrupt
            case "long":
                self._clock.advance(10.0)
            case _:
                pass


STEPS = ("lost", "ok", "hint", "cause", "wrong", "interrupt", "stop", "late", "inner", "mended", "cancelled")
plans = some.builds(
    Plan,
    attempts=some.integers(1, 5),
    backoff=some.sampled_from(("full", "equal", "decorrelated")),
    base=some.sampled_from((0.0, 0.2, 1)),
    stoppable=some.booleans(),
    hinted=some.booleans(),
    # Not at first: a deadline that an attempt leaves behind is undone with it, but nothing is around the first one.
    steps=some.builds(
        lambda first, rest: (first, *rest),
        some.sampled_from([step for step in STEPS if step != "late"]),
        some.lists(some.sampled_from(STEPS), max_size=4),
    ),
    pauses=some.lists(some.sampled_from(("", "", "stop", "interrupt", "long")), max_size=4).map(tuple),
)


def plan(*steps: str, pauses: tuple[str, ...] = (), attempts: int = 3) -> Plan:
    """One of them."""
    return Plan(attempts, "full", 0.2, True, False, steps, pauses)


@pytest.mark.parametrize("how", [Played.run, Played.run_async])
@example(plan=plan("lost", "ok"))
@example(plan=plan("lost", "lost", "ok"))
@example(plan=plan("lost"))
@example(plan=plan("lost", "ok", attempts=1))
@example(plan=plan("lost", "ok", pauses=("stop",)))
@example(plan=plan("lost", "lost", "ok", pauses=("", "stop")))
@example(plan=plan("lost", "ok", pauses=("interrupt",)))
@example(plan=plan("lost", "interrupt"))
@example(plan=plan("lost", "late", "ok"))
@example(plan=plan("cancelled", "ok"))
@example(plan=plan("lost", "cancelled", "ok"))
@example(plan=plan("lost", "mended", "ok"))
@example(plan=plan("lost", "inner", "ok", attempts=5))
@example(plan=plan("inner", "mended", "inner", attempts=5))
@given(plan=plans)
def test_the_short_way_leads_where_the_long_one_does(how: Callable[[Played], list[object]], plan: Plan) -> None:
    """Attempts, pauses, history, notes, exceptions and what is around are the same, whatever happens and whenever (P1, P2, P3, P5, P9)."""
    assert how(Played(plan, short=True)) == how(Played(plan, short=False))


@pytest.mark.parametrize("how", [Played.run, Played.run_async])
def test_the_long_way_is_long(how: Callable[[Played], list[object]]) -> None:
    """What the short way is held against tells its listener of each step, so it is another way."""
    played = Played(plan("lost", "ok"), short=False)
    how(played)
    assert [event.kind for event in played.events] == [Kind.START, Kind.RETRY, Kind.START, Kind.SUCCESS]


@pytest.mark.parametrize("moment", ["attempt", "pause"])
def test_who_comes_in_the_middle_hears_the_rest(moment: str) -> None:
    """A listener that subscribes during the first attempt or the pause hears of all that follows."""
    heard: list[Kind] = []
    ends: list[Callable[[], None]] = []

    def come() -> None:
        ends.append(subscribe(lambda event: heard.append(event.kind)))

    calls = 0

    @Retry(on=ConnectionError)
    def flaky() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            if moment == "attempt":
                come()
            raise ConnectionResetError("lost")
        return "done"

    try:
        with instant(Troubled(lambda _: come() if moment == "pause" else None)) as clock:
            assert flaky() == "done"
    finally:
        for end in ends:
            end()
    assert len(clock.slept) == 1
    assert heard == ([Kind.RETRY] if moment == "attempt" else []) + [Kind.START, Kind.SUCCESS]


def test_a_deadline_that_a_first_attempt_leaves_behind_is_kept() -> None:
    """No attempt begins after it (P2)."""
    calls = 0

    @Retry(on=ConnectionError)
    def fail() -> None:
        nonlocal calls
        calls += 1
        left.append(deadline(0.05).__enter__())
        raise ConnectionResetError("lost")

    left: list[deadline] = []
    with instant(FakeClock()) as clock:
        with pytest.raises(ConnectionResetError):
            copy_context().run(fail)
        left[0].__exit__(None, None, None)
    assert (calls, clock.slept) == (1, [])


def test_threads_inside_share_one_purse() -> None:
    """Retried calls in two threads inside of a second attempt pay from the same purse, though both ask for it first (P9)."""
    together = threading.Barrier(2, timeout=30)
    inside: list[int] = []
    calls = 0

    @Retry(attempts=9, on=ConnectionError, base=0)
    def fail() -> None:
        inside.append(1)
        if len(inside) <= 2:
            together.wait()
        raise ConnectionResetError("lost")

    def quietly() -> None:
        with pytest.raises(ConnectionResetError):
            fail()

    @Retry(attempts=4, on=ConnectionError, base=0)
    def outer() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            threads = [threading.Thread(target=copy_context().run, args=(quietly,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return
        raise ConnectionResetError("lost")

    with instant():
        outer()
    assert len(inside) == 2 + 2  # the two, and what is left of four attempts when the second is under way


def test_history_tells_what_the_second_attempt_took() -> None:
    """The pause and the time of the second attempt are noted though it began in short."""
    with instant(FakeClock(jitter=0.5)) as clock:

        @Retry(attempts=2, on=ConnectionError)
        def fail() -> None:
            clock.advance(2.0)
            raise ConnectionResetError("lost")

        with pytest.raises(ConnectionResetError) as caught:
            fail()
    first, second = history_of(caught.value)
    assert (first.seconds, first.waited) == (None, 0.0)
    assert second == CallAttempt(second.serial, "ConnectionResetError: lost", 2.0, 0.1)
