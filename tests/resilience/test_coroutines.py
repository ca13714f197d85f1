"""Retries of coroutines: the same, and cancellation stays whole."""

import asyncio
import contextvars
import inspect
import types

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

import pytest

from pytest_orxaq import Breaker, Retry, deadline
from pytest_orxaq.model import Verdict
from pytest_orxaq.resilience import Event, Kind
from pytest_orxaq.resilience.scope import scope
from pytest_orxaq.testing import FakeClock, instant


FOREVER = 3600.0


class Script:
    """A coroutine function that does one thing after another; see the one for functions."""

    def __init__(self, *steps: object) -> None:
        self.steps = steps
        self.calls = 0
        self.begun = asyncio.Event()

    async def __call__(self, *_: object, **__: object) -> Any:
        """Do the next thing; the last one over and over."""
        step = self.steps[min(self.calls, len(self.steps) - 1)]
        self.calls += 1
        self.begun.set()
        if isinstance(step, BaseException):
            raise step
        return await step() if callable(step) else step


async def hang() -> None:
    """Wait for ever."""
    await asyncio.sleep(FOREVER)


def lost() -> ConnectionResetError:
    """A transient exception."""
    return ConnectionResetError("reset by peer")


def running(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Its result; nobody sleeps."""
    with instant():
        return asyncio.run(coroutine)


@pytest.mark.parametrize("told", [False, True])
def test_coroutines_are_retried(told: bool) -> None:
    """As functions are, and the last exception tells of all attempts."""

    async def main() -> None:
        again = Retry(on_event=(lambda _: None) if told else None)
        assert await again(Script(lost(), lost(), 1))() == 1
        with pytest.raises(ConnectionResetError) as caught:
            await again(Script(lost()))()
        assert caught.value.__notes__[0].startswith("orxaq: 3 attempts")
        with pytest.raises(ValueError, match="no"):
            await again(Script(ValueError("no")))()

    running(main())


def test_a_decorated_coroutine_function_is_one() -> None:
    """Frameworks ask."""

    @Retry()
    async def fetch() -> int:
        return 1

    assert inspect.iscoroutinefunction(fetch)
    assert running(fetch()) == 1


def test_results_of_coroutines_are_retried() -> None:
    """A rejected result is tried again, and returned in the end; also where the breaker closes the way."""
    assert running(Retry(on_result=lambda found: found < 3)(Script(1, 2, 3))()) == 3
    assert running(Retry(attempts=2, on_result=lambda found: found < 3)(Script(1))()) == 1


# ---------------------------------------------------------------- P4: cancellation


@pytest.mark.parametrize("steps", [(lost(),), (hang,)], ids=["in the pause", "in the attempt"])
def test_a_timeout_around_retries_is_whole(steps: tuple[object, ...]) -> None:
    """asyncio.timeout around it raises TimeoutError, and the task is not left cancelled (P4)."""

    async def main() -> None:
        script = Script(*steps)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Retry(base=FOREVER, cap=FOREVER, backoff="equal", on=lambda _: True)(script)()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert script.calls == 1

    asyncio.run(main())


@pytest.mark.parametrize("steps", [(lost(),), (hang,)], ids=["in the pause", "in the attempt"])
def test_a_cancelled_task_ends(steps: tuple[object, ...]) -> None:
    """A cancelled retry is cancelled: no attempt follows, and the count of the task is what it was told."""

    async def main() -> None:
        script = Script(*steps)
        again = Retry(base=FOREVER, cap=FOREVER, backoff="equal", on=lambda _: True)
        task = asyncio.ensure_future(again(script)())
        await script.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (script.calls, task.cancelling()) == (1, 1)

    asyncio.run(main())


def test_a_swallowed_cancellation_is_not_retried() -> None:
    """A call that turns its cancellation into a transient exception is not tried again: somebody waits for its end."""

    async def careless() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            raise lost() from None

    async def main() -> None:
        script = Script(careless)
        task = asyncio.ensure_future(Retry()(script)())
        await script.begun.wait()
        task.cancel()
        with pytest.raises(ConnectionResetError) as caught:
            await task
        assert script.calls == 1
        assert "the task is being cancelled" in caught.value.__notes__[0]

    asyncio.run(main())


def test_a_coroutine_that_is_thrown_away_ends_quietly() -> None:
    """The garbage collector closes it in another context, and nobody hears of that."""

    async def waiting() -> None:
        await pause()

    @types.coroutine
    def pause() -> Generator[None]:
        yield

    coroutine = Retry(on_event=lambda _: None)(waiting)()
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()


# ---------------------------------------------------------------- time


def test_an_attempt_is_cut() -> None:
    """Each attempt of a coroutine has its own bound, and an attempt that was cut is transient."""

    async def main() -> None:
        script = Script(hang, hang, 1)
        with instant():
            assert await Retry(per_attempt=0.01)(script)() == 1
        assert script.calls == 3

    asyncio.run(main())


def test_a_deadline_cuts_an_attempt() -> None:
    """Within a deadline, no attempt outlives it, and no other follows; outside of it, nothing is cut."""

    async def main() -> None:
        script = Script(hang)
        with deadline(0.02), pytest.raises(TimeoutError) as caught:
            await Retry(attempts=100)(script)()
        assert script.calls == 1
        assert "after the deadline" in caught.value.__notes__[0]

    asyncio.run(main())


def test_each_task_has_its_own_deadline() -> None:
    """Tasks inherit the deadline in which they were made, and their own do not reach their siblings."""

    async def own(seconds: float) -> float | None:
        with deadline(seconds):
            await asyncio.sleep(0)
            return deadline.remaining()

    async def main() -> None:
        with instant(), deadline(100):
            assert list(await asyncio.gather(own(10), own(20), own(1000))) == [10, 20, 100]
            assert deadline.remaining() == 100

    asyncio.run(main())


# ---------------------------------------------------------------- blocks


def test_async_blocks() -> None:
    """``async for`` with ``with`` retries statements; with ``async with``, they are cut too."""

    async def main() -> None:
        script = Script(lost(), 1)
        async for attempt in Retry().block("clone"):
            with attempt:
                assert await script() == 1
        assert script.calls == 2
        script = Script(hang, lost(), 1)
        async for attempt in Retry(per_attempt=0.01).block("clone"):
            async with attempt:
                assert await script() == 1
        assert script.calls == 3
        async for attempt in Retry().block("clone"):
            async with attempt:
                script.calls = 77
        assert script.calls == 77

    running(main())


def test_an_async_block_gives_up() -> None:
    """After the last attempt, the last exception comes out, be it ours for a cut or the block's own."""

    async def main() -> None:
        with pytest.raises(TimeoutError) as late:
            await through(Retry(attempts=2, per_attempt=0.01), hang)
        assert late.value.__notes__[0].startswith("orxaq: 2 attempts")
        with pytest.raises(ConnectionResetError):
            await through(Retry(attempts=2, per_attempt=FOREVER), Script(lost()))

    async def through(again: Retry, function: Callable[[], Coroutine[Any, Any, object]]) -> None:
        async for attempt in again.block():
            async with attempt:
                await function()

    running(main())


# ---------------------------------------------------------------- run, generators


def test_run_awaits() -> None:
    """For a coroutine function, run gives an awaitable; the fallback may be a function or a coroutine function."""

    async def main() -> None:
        again = Retry(attempts=2)
        passed = await again.run(Script(1))
        assert (passed.value, passed.verdict) == (1, Verdict.PASSED)
        for fallback in (Script(7), lambda: 7):
            failed = await again.run(Script(lost()), fallback=fallback)
            assert (failed.value, failed.degraded, failed.verdict) == (7, True, Verdict.FAILED)
        with pytest.raises(ConnectionResetError):
            await again.run(Script(lost()))
        with pytest.raises(ValueError, match="bug"):
            await again.run(Script(ValueError("bug")), fallback=lambda: 7)
        rejected = await Retry(on_result=lambda found: found == 0).run(Script(0), fallback=lambda: 7)
        assert (rejected.value, rejected.degraded) == (7, True)

    running(main())


def test_an_open_breaker_ends_a_coroutine() -> None:
    """After a failure, that failure is raised; after a rejected result, it is returned."""

    class Keeper:
        """Says yes once."""

        asked = 0

        def acquire(self) -> Any:
            """See Admission."""
            self.asked += 1
            if self.asked > 1:
                raise PermissionError
            return self

        def success(self, seconds: float) -> None:
            """See Permit."""

        failure = success
        cancel = None

    with pytest.raises(ConnectionResetError):
        running(Retry(breaker=Keeper())(Script(lost()))())
    assert running(Retry(breaker=Keeper(), on_result=lambda _: True)(Script(5))()) == 5


def test_async_generators_are_retried_until_their_first_item() -> None:
    """Failures before it are tried again, later ones are raised; what is sent, thrown and closed reaches the generator."""
    begun, closed = [], []

    @Retry()
    async def echo() -> Any:
        begun.append(True)
        if len(begun) < 3:
            raise lost()
        try:
            got = yield "first"
            try:
                yield got
            except KeyError as error:
                yield error.args
            raise lost()
        finally:
            closed.append(True)

    @Retry()
    async def nothing() -> AsyncIterator[int]:
        if not begun:
            yield 1

    async def main() -> None:
        talk = echo()
        assert [await anext(talk), await talk.asend(5), await talk.athrow(KeyError("k"))] == ["first", 5, ("k",)]
        with pytest.raises(ConnectionResetError):
            await anext(talk)
        talk = echo()
        await anext(talk)
        await talk.aclose()
        assert (len(begun), len(closed)) == (4, 2)
        assert [item async for item in nothing()] == []
        assert [item async for item in Retry()(count)(3)] == [0, 1, 2]

    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    running(main())


def test_events_of_coroutines_are_told() -> None:
    """As those of functions."""
    heard: list[Event] = []
    running(Retry(on_event=heard.append)(Script(lost(), 1))())
    assert [event.kind for event in heard] == [Kind.START, Kind.RETRY, Kind.START, Kind.SUCCESS]


def test_sleeping_can_be_cancelled_with_a_fake_clock() -> None:
    """Instant mode gives others their turn, so that a cancellation arrives."""

    async def main(sleep: Callable[[float], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.ensure_future(sleep(5.0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    clock = FakeClock()
    asyncio.run(main(clock.asleep))
    assert clock.slept == [5.0]


def test_a_coroutine_that_nobody_awaits_has_not_passed() -> None:
    """A function that only makes one is not retried by awaiting it, so ``run`` says so instead of ``passed``."""

    async def fetch(number: int) -> int:
        return number  # pragma: no cover - it is never begun

    def lose() -> int:
        raise ConnectionResetError

    with pytest.raises(TypeError, match="<lambda> returned a coroutine, so nothing has run yet"):
        Retry().run(lambda: fetch(1))
    with instant(), pytest.raises(TypeError, match="<lambda> returned a coroutine, so nothing has run yet"):
        Retry().run(lose, fallback=lambda: fetch(1))


def test_a_class_is_called_at_once() -> None:
    """Also one whose objects are called asynchronously, which are retried as coroutine functions are."""

    class Client:
        made = 0
        called = 0

        def __init__(self) -> None:
            Client.made += 1
            if Client.made == 1:
                raise ConnectionResetError

        async def __call__(self) -> int:
            self.called += 1
            if self.called == 1:
                raise ConnectionResetError
            return self.called

    again = Retry(base=0)
    client = again(Client)()
    assert (type(client), Client.made) == (Client, 2)
    assert asyncio.run(again(client)()) == 2


def test_what_cannot_be_cut_leaves_nothing_behind() -> None:
    """Driven by another loop than asyncio's, which has no timer of that kind, the attempt ends, and its leave is given back."""
    net = Breaker("net", threshold=1, cooldown=1, store="memory")

    async def job() -> None:
        async for attempt in Retry(breaker=net, per_attempt=5).block():
            async with attempt:
                pass

    before = scope.get()
    with instant() as clock:
        net.acquire().failure("down")
        clock.advance(2)
        with pytest.raises(RuntimeError, match="no running event loop"):
            job().send(None)
        assert scope.get() is before
        assert net.acquire().probe
