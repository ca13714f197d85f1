"""The circuit breaker as people use it: around functions, coroutines and blocks, by hand, in threads and processes."""

import asyncio
import contextvars
import functools
import json
import math
import os
import pickle
import socket
import sqlite3
import subprocess
import sys
import threading
import traceback

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.core.breaker import EPOCH_SHIFT, State
from pytest_orxaq.resilience import Breaker, BreakerOpenError, DeadlineError, Event, Kind, Permit, Retry, subscribe
from pytest_orxaq.system import breakers
from pytest_orxaq.testing import FakeClock, instant


REFUSED = ConnectionRefusedError("refused")


class Net:
    """Breakers on one database, with a clock that is set, and all that is told of them."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.path = str(folder / "breakers.db")
        self.clock = clock
        self.told: list[Event] = []

    def breaker(self, **changed: Any) -> Breaker:
        """One that opens at two failures in a row."""
        usual: dict[str, Any] = {"threshold": 2, "cooldown": 10, "cooldown_max": 40, "store": self.path}
        return Breaker("net", **usual | {"on_event": self.told.append} | changed)

    def opened(self, **changed: Any) -> Breaker:
        """One that is open."""
        breaker = self.breaker(**changed)
        for _ in range(2):
            fail(breaker)
        assert breaker.snapshot().state is State.OPEN
        return breaker

    @property
    def kinds(self) -> list[str]:
        """What was told."""
        return [event.kind.value.removeprefix("breaker-") for event in self.told]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    """A database that is not there yet, at noon; without jitter."""
    with instant(FakeClock(jitter=0.0)) as clock:
        yield Net(tmp_path, clock)


def fail(breaker: Breaker, error: BaseException = REFUSED) -> None:
    """A call through the breaker ends with this exception, and with no other."""

    @breaker
    def call() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        call()
    assert raised.value is error


def pass_through(breaker: Breaker) -> None:
    """A call through the breaker succeeds."""
    assert breaker(lambda: 7)() == 7


NO_CALL = [BreakerOpenError("other", 5.0, "so"), DeadlineError("over before the call")]


# ---------------------------------------------------------------- each way to call


def by_function(breaker: Breaker, work: Callable[[], int]) -> int:
    """A decorated function."""
    return breaker(work)()


def by_coroutine(breaker: Breaker, work: Callable[[], int]) -> int:
    """A decorated coroutine function."""

    @breaker
    async def call() -> int:
        await asyncio.sleep(0)
        return work()

    return asyncio.run(call())


def by_block(breaker: Breaker, work: Callable[[], int]) -> int:
    """``with``."""
    with breaker:
        return work()


def by_async_block(breaker: Breaker, work: Callable[[], int]) -> int:
    """``async with``."""

    async def call() -> int:
        async with breaker:
            return work()

    return asyncio.run(call())


def by_permit(breaker: Breaker, work: Callable[[], int]) -> int:
    """``acquire``."""
    permit = breaker.acquire()
    try:
        value = work()
    except BaseException as error:
        permit.settle(error)
        raise
    permit.success(0.0)
    return value


WAYS = [by_function, by_coroutine, by_block, by_async_block, by_permit]
Way = Callable[[Breaker, Callable[[], int]], int]


def failing(error: BaseException) -> Callable[[], int]:
    """Work that fails."""

    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize("way", WAYS)
def test_a_life(net: Net, way: Way) -> None:
    """It opens at the threshold, refuses, lets one probe in after the cooldown, and closes when that one is answered."""
    breaker = net.breaker()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            way(breaker, failing(REFUSED))
    with pytest.raises(BreakerOpenError) as refused:
        way(breaker, failing(AssertionError("it was called")))
    assert (refused.value.name, refused.value.retry_after) == ("net", 10.0)
    assert refused.value.why == "2 failures in a row, the last: ConnectionRefusedError: refused"
    net.clock.advance(10.0)
    with pytest.raises(ConnectionRefusedError):
        way(breaker, failing(REFUSED))
    net.clock.advance(19.0)
    with pytest.raises(BreakerOpenError):
        way(breaker, lambda: 1)
    net.clock.advance(1.0)
    assert way(breaker, lambda: 5) == 5
    assert way(breaker, lambda: 6) == 6
    assert net.kinds == ["open", "half-open", "open", "half-open", "closed"]
    assert [event.delay for event in net.told] == [10.0, 60.0, 20.0, 60.0, 0.0]
    assert {event.name for event in net.told} == {"net"}


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        (way, kind)
        for way in WAYS
        for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
        # Of a coroutine these two end the whole event loop.
        if not (way in {by_coroutine, by_async_block} and kind in {KeyboardInterrupt, SystemExit})
    ],
)
def test_what_is_no_exception_says_nothing(net: Net, way: Way, kind: type[BaseException]) -> None:
    """It passes untouched, counts neither way, and gives a probe's lease back at once."""
    breaker, error = net.breaker(), kind("stop")
    fail(breaker)
    with pytest.raises(kind) as raised:
        way(breaker, failing(error))
    assert raised.value is error or way in {by_coroutine, by_async_block}
    assert breaker.snapshot().failures == 1
    fail(breaker)
    net.clock.advance(10.0)
    for _ in range(3):
        with pytest.raises(kind):
            way(breaker, failing(error))
        assert breaker.snapshot().state is State.HALF_OPEN
    assert way(breaker, lambda: 1) == 1
    assert breaker.snapshot().state is State.CLOSED


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_is_an_error(net: Net, way: Way) -> None:
    """An exception that is not transient shows that the other side is there: it ends a row of failures, and closes."""
    breaker = net.breaker()
    fail(breaker)
    with pytest.raises(AssertionError):
        way(breaker, failing(AssertionError("wrong")))
    fail(breaker)
    assert breaker.snapshot().failures == 1
    fail(breaker)
    net.clock.advance(10.0)
    with pytest.raises(AssertionError):
        way(breaker, failing(AssertionError("wrong")))
    assert breaker.snapshot().state is State.CLOSED


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_ends_a_row_of_failures(net: Net, way: Way) -> None:
    """Whoever gets it, and by whatever way."""
    breaker, other = net.breaker(), net.breaker()
    pass_through(other)
    fail(breaker)
    assert way(other, lambda: 1) == 1
    assert breaker.snapshot().failures == 0


@pytest.mark.parametrize("way", WAYS)
def test_few_frames_are_added(net: Net, way: Way) -> None:
    """A traceback is at most four frames longer, closed and half open."""
    breaker = net.opened()
    depths = []
    for _ in ("half open", "closed"):
        net.clock.advance(100.0)
        with pytest.raises(ConnectionRefusedError) as raised:
            way(breaker, failing(ConnectionRefusedError("again")))
        ours = [
            frame
            for frame in traceback.extract_tb(raised.value.__traceback__)
            if "resilience/breaker" in frame.filename
        ]
        depths.append(len(ours))
        breaker.reset()
    assert max(depths) <= 4


@pytest.mark.parametrize("clean", [True, False])
def test_a_closed_breaker_asks_nobody(net: Net, clean: bool) -> None:
    """Once it is known, calls through a closed breaker do not touch the database; one failure in the row makes one look."""
    breaker = net.breaker()
    pass_through(breaker)
    if not clean:
        fail(breaker)
        pass_through(breaker)
    store = breakers.store_at(net.path)
    taken = store._lock  # whoever asked would be told that this thread has it
    taken.acquire()
    try:
        for way in WAYS:
            assert way(breaker, lambda: 1) == 1
    finally:
        taken.release()


@pytest.mark.parametrize("forced", [True, False])
def test_a_refusal_is_repeated_for_a_second(net: Net, forced: bool) -> None:
    """Many who ask an open breaker do not wait for each other in the store; a second later, or when it changes, it is asked."""
    breaker, other = net.opened(), net.breaker()
    if forced:
        breaker.force_open("maintenance")
    end = math.inf if forced else 10.0

    def refused() -> float:
        with pytest.raises(BreakerOpenError, match="maintenance" if forced else "2 failures in a row") as error:
            by_permit(breaker, lambda: 1)
        return error.value.retry_after

    store = breakers.store_at(net.path)
    assert refused() == end
    with store._lock:  # whoever asked would be told that this thread has it
        net.clock.advance(0.5)
        assert refused() == end - 0.5
    net.clock.advance(0.5)
    assert refused() == end - 1.0
    net.clock.advance(-100.0)
    assert refused() == end
    other.reset()
    pass_through(breaker)


def test_a_repeated_refusal_is_short(net: Net) -> None:
    """It says what the first one did, of a function and of a coroutine function, with a traceback of one frame of ours."""
    breaker = net.opened()

    @breaker
    def call() -> None: ...

    @breaker
    async def awaited() -> None: ...

    with pytest.raises(BreakerOpenError) as first:
        call()
    for again in (call, lambda: asyncio.run(awaited())):
        with pytest.raises(BreakerOpenError) as error:
            again()
        assert (error.value.name, error.value.retry_after, error.value.why) == (*first.value.args,)
        assert [frame.name for frame in traceback.extract_tb(error.tb)].count("guarded") == 1
        assert traceback.extract_tb(error.tb)[-1].name == "guarded"


def test_a_refusal_by_a_probe_is_not_repeated(net: Net) -> None:
    """Its lease may be returned at any time."""
    breaker, other = net.opened(), net.breaker()
    net.clock.advance(10.0)
    probe = other.acquire()
    with pytest.raises(BreakerOpenError):
        breaker.acquire()
    probe.cancel()
    assert breaker.acquire().probe


def test_decorated_functions_keep_their_faces(net: Net) -> None:
    """Names and documentation are the function's; arguments are passed on."""

    @net.breaker()
    def call(one: int, *, other: int) -> int:
        """Add."""
        return one + other

    @net.breaker()
    async def acall(one: int) -> int:
        """Return."""
        return one

    assert (call.__name__, call.__doc__, call(1, other=2)) == ("call", "Add.", 3)
    assert (acall.__name__, acall.__doc__, asyncio.run(acall(4))) == ("acall", "Return.", 4)


def test_objects_and_methods_can_be_called(net: Net) -> None:
    """Whatever can be called can be guarded: methods, partial functions, objects; those that give a coroutine are awaited."""
    breaker = net.breaker()

    class Asked:
        async def __call__(self) -> None:
            raise REFUSED

        @breaker
        def method(self, value: int) -> int:
            return value

    assert Asked().method(3) == 3
    assert breaker(functools.partial(max, 1))(2) == 2
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(breaker(Asked())())
    assert breaker.snapshot().failures == 1


def test_generators_are_refused(net: Net) -> None:
    """What would leave the breaker before it has begun is a mistake, and it says what to do."""

    def generate() -> Iterator[int]:
        yield 1

    async def agenerate() -> Any:
        yield 1

    for function in (generate, agenerate):
        with pytest.raises(TypeError, match="use `with` the breaker inside of it instead"):
            net.breaker()(function)


# ---------------------------------------------------------------- blocks


def test_blocks_nest(net: Net) -> None:
    """Each leaves its own, also where generators leave in another order than they came."""
    one, other = net.breaker(), Breaker("other", threshold=1, store=net.path)

    def inside(breaker: Breaker) -> Iterator[None]:
        with breaker:
            yield

    first = inside(one)
    next(first)

    def fails() -> None:
        with other:
            list(first)  # which ends the inner block within the outer one
            raise REFUSED

    with pytest.raises(ConnectionRefusedError):
        fails()
    assert (one.snapshot().failures, other.snapshot().state) == (0, State.OPEN)
    with one, one:
        pass
    with one as permit:
        permit.failure("the answer was no good")
    assert one.snapshot().failures == 1


def test_a_block_that_is_left_elsewhere(net: Net) -> None:
    """Where the context is another one nobody knows which call it was: that hides nothing, and harms nobody."""
    breaker = net.breaker()
    contextvars.copy_context().run(breaker.__enter__)
    breaker.__exit__(ConnectionRefusedError, REFUSED, None)
    with breaker:
        contextvars.Context().run(breaker.__exit__, None, None, None)
    assert breaker.snapshot().failures == 0


def test_blocks_in_threads_and_tasks(net: Net) -> None:
    """Four threads are in the block together, and so are four tasks: nobody waits for the others' calls."""
    breaker = net.breaker()
    together = threading.Barrier(4, timeout=60)

    def call() -> None:
        with breaker:
            together.wait()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken

    async def many() -> None:
        meet = asyncio.Barrier(4)

        async def one() -> None:
            async with breaker:
                await meet.wait()

        await asyncio.wait_for(asyncio.gather(*[one() for _ in range(4)]), 60)

    asyncio.run(many())


def test_one_probe_of_many(net: Net) -> None:
    """Of eight threads that call at the same time after the cooldown one is let in, and the others are told when."""
    breaker = net.opened()
    net.clock.advance(10.0)
    start, inside, refused = threading.Barrier(8, timeout=60), [], []
    done = threading.Event()

    def call() -> None:
        start.wait()
        try:
            with breaker as permit:
                inside.append(permit.probe)
                done.wait(60)
        except BreakerOpenError as error:
            refused.append(error.retry_after)
            if len(refused) == 7:
                done.set()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [True]
    assert refused == [60.0] * 7
    assert breaker.snapshot().state is State.CLOSED


# ---------------------------------------------------------------- permits


def test_the_first_word_on_a_permit_counts(net: Net) -> None:
    """Whatever is said later is not heard."""
    for first in ("success", "cancel"):
        breaker = net.breaker()
        permit = breaker.acquire()
        assert not permit.probe
        getattr(permit, first)()
        permit.failure("no")
        assert breaker.snapshot().failures == 0
    permit = net.breaker().acquire()
    permit.failure("no")
    permit.failure("no")
    permit.success()
    permit.cancel()
    assert net.breaker().snapshot().failures == 1


def test_a_late_word_is_not_heard(net: Net) -> None:
    """Calls that began before it opened say nothing about now, good or bad; nor does a probe after its lease."""
    breaker = net.breaker()
    slow = [breaker.acquire() for _ in range(3)]
    assert breaker.snapshot().state is State.CLOSED
    fail(breaker)
    fail(breaker)
    slow[0].success()
    slow[1].failure("refused")
    slow[2].cancel()
    assert breaker.snapshot().trips == 1
    net.clock.advance(10.0)
    lost = breaker.acquire()
    assert lost.probe
    net.clock.advance(60.0)
    probe = breaker.acquire()
    lost.success()
    lost.cancel()
    assert breaker.snapshot().state is State.HALF_OPEN
    probe.failure("refused")
    assert breaker.snapshot().trips == 2


def test_failures_have_words(net: Net) -> None:
    """Also those of callers who have none, whose exceptions cannot say what they are, or do not know when to stop."""

    class MuteError(ConnectionError):
        def __str__(self) -> str:
            raise RuntimeError

    cases: list[tuple[Callable[[Permit], None], str]] = [
        (lambda permit: permit.failure(" "), "it failed"),
        (lambda permit: permit.failure("x" * 1000), "x" * 500),
        (lambda permit: permit.settle(MuteError()), "MuteError"),
        (lambda permit: permit.settle(TimeoutError()), "TimeoutError"),
    ]
    for said, told in cases:
        breaker = net.breaker(threshold=1)
        said(breaker.acquire())
        assert breaker.snapshot().why == f"1 failure, the last: {told}"
        breaker.reset()


def test_secrets_are_not_written_down(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the row nor an event has the password of an address, or a value that is known to be a secret."""
    monkeypatch.setenv("INDEX_TOKEN", "hunter2hunter2")
    breaker = net.breaker(threshold=1)
    fail(breaker, ConnectionError("https://bot:sesame123@example.invalid refused hunter2hunter2"))
    why = breaker.snapshot().why
    assert "example.invalid" in why
    for words in (why, net.told[-1].why):
        assert "sesame123" not in words
        assert "hunter2hunter2" not in words


# ---------------------------------------------------------------- what counts


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (FileNotFoundError(), False),
        (AssertionError(), False),
        (ValueError(), False),
        (BreakerOpenError("other", 1.0, "x"), False),
    ],
)
def test_what_is_a_failure(net: Net, error: Exception, counts: bool) -> None:
    """By default what the other side did not answer."""
    breaker = net.breaker()
    fail(breaker, error)
    assert breaker.snapshot().failures == counts


@pytest.mark.parametrize(
    ("on", "counts"),
    [
        (ValueError, True),
        (KeyError, False),
        ((KeyError, ValueError), True),
        (lambda error: "bad" in str(error), True),
        (lambda error: "good" in str(error), False),
        (lambda error: error.nothing, False),
    ],
    ids=["the type", "another type", "one of several", "a function", "a function that denies", "a function that fails"],
)
def test_what_is_a_failure_can_be_said(net: Net, on: Any, counts: bool) -> None:
    """By types or a function; one that fails hides nothing."""
    breaker = net.breaker(on=on)
    fail(breaker, ValueError("bad"))
    assert breaker.snapshot().failures == counts


def test_slow_calls(net: Net) -> None:
    """A call that takes longer than allowed is a failure, though its value is returned; a quick one is none."""
    quick = net.breaker(slow_call=1000.0)
    quick.acquire().failure("x")
    pass_through(quick)
    pass_through(quick)
    assert quick.snapshot().failures == 0
    slow = net.breaker(slow_call=1e-9)
    pass_through(slow)
    with slow:
        pass
    assert "and more than 1e-09 s is slow" in slow.snapshot().why


@pytest.mark.parametrize(("answers", "state"), [(6, State.OPEN), (7, State.CLOSED)])
def test_shares_of_failures(net: Net, answers: int, state: State) -> None:
    """Answers add up in each process, and are told now and then, and with a failure: 4 of 10 calls open at 40 %, of 11 not."""
    one, other = (net.breaker(threshold=100, failure_rate=0.4, minimum_calls=10) for _ in range(2))
    for number in range(answers - 2):
        pass_through((one, other)[number % 2])
        net.clock.advance(0.5)
    net.clock.advance(6.0)  # a tenth of the window: the next answer is told, with all that came before
    pass_through(one)
    pass_through(other)
    for _ in range(4):
        fail(one)
    assert one.snapshot().state is state


def test_answers_are_told_seldom(net: Net) -> None:
    """Within a tenth of the window only the first is a change of the row; those that add up are in the next report."""
    breaker = net.breaker(threshold=100, failure_rate=0.4)
    for _ in range(5):
        pass_through(breaker)
    store = breakers.store_at(net.path)
    assert [sum(piece[1] for piece in row.counts) for row, _ in store.rows().values()] == [1]
    fail(breaker)
    assert [[*map(sum, zip(*row.counts, strict=True))][1:] for row, _ in store.rows().values()] == [[5, 1]]
    net.clock.advance(-100.0)
    pass_through(breaker)
    assert [[*map(sum, zip(*row.counts, strict=True))][1:] for row, _ in store.rows().values()] == [[1, 0]]


# ---------------------------------------------------------------- by hand


def test_by_hand(net: Net) -> None:
    """Forced open it lets nobody in, disabled everybody, and reset it begins anew; for all who share it."""
    breaker, other = net.breaker(), net.breaker()
    breaker.force_open("maintenance")
    net.clock.advance(1e6)
    with pytest.raises(BreakerOpenError) as refused:
        pass_through(other)
    assert math.isinf(refused.value.retry_after)
    assert str(refused.value) == "the circuit breaker 'net' is open (maintenance); until it is reset"
    assert math.isinf(other.snapshot().retry_after)
    other.disable()
    for _ in range(5):
        fail(breaker)
    pass_through(breaker)
    assert breaker.snapshot()._asdict() == {
        "name": "net",
        "state": State.DISABLED,
        "why": "by hand",
        "failures": 0,
        "trips": 0,
        "retry_after": 0.0,
        "shared": True,
    }
    breaker.reset()
    assert other.snapshot().state is State.CLOSED
    assert net.kinds == ["forced-open", "disabled", "closed"]


def test_a_snapshot_looks_and_does_not_touch(net: Net) -> None:
    """It says when the next probe may be, also where the clock was set back."""
    breaker = net.opened()
    net.clock.advance(4.0)
    snapshot = breaker.snapshot()
    assert (snapshot.failures, snapshot.trips, snapshot.retry_after) == (2, 1, 6.0)
    net.clock.advance(-1000.0)
    assert breaker.snapshot().retry_after == 10.0
    net.clock.advance(1010.0)
    assert breaker.snapshot().retry_after == 0.0
    assert breaker.snapshot().state is State.OPEN


@pytest.mark.parametrize(
    "nonsense",
    [
        {"threshold": 0},
        {"window": 0},
        {"cooldown": 0},
        {"cooldown": 1e6},
        {"cooldown_max": 1e6},
        {"probe_timeout": 0},
        {"probe_timeout": 1e6},
        {"failure_rate": 0},
        {"failure_rate": 1.1},
        {"minimum_calls": 0},
        {"slow_call": 0},
        {"threshold": "3"},
        {"threshold": None},
        {"window": True},
        {"cooldown_max": -1},
        {"cooldown_max": float("nan")},
        {"failure_rate": "3"},
    ],
)
def test_numbers_without_sense_are_refused(net: Net, nonsense: dict[str, Any]) -> None:
    """And it is said which."""
    with pytest.raises(ValueError, match=f"no sense for a circuit breaker: {next(iter(nonsense))}"):
        net.breaker(**nonsense)
    for name in ("", 5, "\udcff"):
        with pytest.raises(ValueError, match="name"):
            Breaker(name)  # type: ignore[arg-type]


def test_a_forgotten_parenthesis_is_noticed() -> None:
    """Else ``@Breaker`` makes a function that is never called, and nobody hears of it."""
    with pytest.raises(ValueError, match="name"):
        Breaker(lambda: 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="decorates what can be called, not 'https"):
        Breaker("net", store="memory")("https://x.invalid")  # type: ignore[arg-type]


@pytest.mark.parametrize("on", [5, (), [OSError], KeyboardInterrupt])
def test_what_can_tell_no_failure_is_refused(on: Any) -> None:
    """What is neither types nor a function would call nothing a failure."""
    with pytest.raises(TypeError):
        Breaker("net", store="memory", on=on)
    with pytest.raises(TypeError, match="on_event"):
        Breaker("net", store="memory", on_event=5)  # type: ignore[arg-type]


def test_words_that_no_database_takes_do_not_lose_it(net: Net) -> None:
    """A name of a file that is no UTF-8, in a message, opens the breaker for all."""
    breaker = net.breaker(threshold=1)
    fail(breaker, ConnectionResetError("\udcff"))
    assert breaker.snapshot().shared
    assert net.breaker().snapshot().why == r"1 failure, the last: ConnectionResetError: \udcff"


def test_a_cooldown_above_the_longest_is_the_longest() -> None:
    """Who asks for a long one means it."""
    assert Breaker("x", cooldown=3000).rules.cooldown_max == 3000


def test_a_refusal_can_travel() -> None:
    """Between processes it keeps what it knows."""
    error = pickle.loads(pickle.dumps(BreakerOpenError("net", 7.4, "so")))  # noqa: S301 - our own
    assert (error.name, error.retry_after, error.why) == ("net", 7.4, "so")
    assert str(error) == "the circuit breaker 'net' is open (so); the next trial is in 7 s"


# ---------------------------------------------------------------- interrupts


@pytest.mark.parametrize("way", [by_function, by_block, by_permit])
def test_interrupts_lose_no_lease(net: Net, way: Way) -> None:
    """Ctrl-C wherever Python takes it, from the request to the call, leaves a breaker that lets the next one in.

    After the call there are a few steps in which nobody can know of it any more; the lease ends by itself.
    """
    breaker, number, interrupted = net.breaker(), 0, True
    while interrupted:
        number += 1
        fail(breaker)
        fail(breaker)
        net.clock.advance(10.0)
        interrupted = until_interrupted(number, lambda: way(breaker, lambda: 1))
        other = net.breaker()
        pass_through(other)
        assert other.snapshot().shared
        breaker.reset()
    assert number > 40


class Interrupted(FakeClock):
    """A clock during whose first reading Ctrl-C comes."""

    read = False

    def wall(self) -> float:
        """See Clock."""
        if self.read:
            return super().wall()
        self.read = True
        raise KeyboardInterrupt


def test_an_interrupted_report_gives_the_lease_back(net: Net) -> None:
    """Nobody will ever know how that probe ended: the next one is let in at once."""
    breaker = net.opened()
    net.clock.advance(10.0)
    probe = breaker.acquire()
    with instant(Interrupted(at=net.clock.wall())), pytest.raises(KeyboardInterrupt):
        probe.success()
    assert breaker.snapshot().state is State.HALF_OPEN
    assert breaker.acquire().probe


LATE = {"__exit__", "settle", "success", "_answered", "_report", "seconds_since"}


def until_interrupted(number: int, work: Callable[[], object]) -> bool:
    """Interrupt some work where signals are handled, at the n-th such point; whether there is one."""
    left, happened = number, False

    def profile(frame: Any, event: str, _: object) -> None:
        nonlocal left, happened
        if event in {"call", "c_return"} and "pytest_orxaq" in frame.f_code.co_filename:
            left -= 1
            if left == 0 and not {each.f_code.co_name for each, _ in traceback.walk_stack(frame)} & LATE:
                happened = True
                raise KeyboardInterrupt
            left += left == 0  # that was a late one: the next is taken

    sys.setprofile(profile)
    try:
        work()
    except KeyboardInterrupt:
        return happened
    finally:
        sys.setprofile(None)
    return False


# ---------------------------------------------------------------- where the rows are


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of any repository, in which we are, and state of the user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    return tmp_path


def used(breaker: Breaker) -> Breaker:
    """The breaker after a call."""
    pass_through(breaker)
    return breaker


def test_work_trees_share(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a repository the rows are in its common folder: a linked work tree, and a folder inside of it, have the same."""
    top = project().top
    project_git = subprocess.run(["git", "worktree", "add", "-q", "../linked"], cwd=top, check=True)
    assert project_git.returncode == 0
    (top.parent / "linked" / "deep").mkdir()
    monkeypatch.chdir(top)
    used(Breaker("net")).force_open("so")
    monkeypatch.chdir(top.parent / "linked" / "deep")
    assert Breaker("net").snapshot().why == "so"
    assert (top / ".git" / "orxaq" / "breakers.db").exists()


def test_changes_are_in_the_journal(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change of state is an event of the repository's, with the trace that we belong to."""
    top = project().top
    monkeypatch.chdir(top)
    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")
    breaker = Breaker("net", threshold=1)
    fail(breaker)
    breaker.reset()
    (file,) = (top / ".git" / "orxaq" / "events").iterdir()
    _, opened, closed = map(json.loads, file.read_text().splitlines())
    assert (opened["eventName"], opened["severityText"], opened["traceId"]) == ("orxaq.breaker.open", "WARN", "a" * 32)
    assert opened["body"] == "1 failure, the last: ConnectionRefusedError: refused"
    attributes = {"orxaq.breaker.name": "net", "orxaq.breaker.before": "closed", "orxaq.breaker.after": "open"}
    assert attributes.items() <= opened["attributes"].items()
    assert 30.0 <= opened["attributes"]["orxaq.breaker.wait"] <= 33.0
    assert (closed["eventName"], closed["severityText"]) == ("orxaq.breaker.closed", "INFO")


def test_outside_of_repositories(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own state is shared by everything that is in none, also by a process whose folder is gone."""
    used(Breaker("net"))
    (home / "plain").rmdir()
    assert Breaker("net").snapshot().shared
    assert (home / "state" / "orxaq" / "elsewhere" / "breakers.db").exists()
    monkeypatch.setenv("ORXAQ_STATE_DIR", str(home / "asked"))
    used(Breaker("net"))
    assert (home / "asked" / "elsewhere" / "breakers.db").exists()


@pytest.mark.parametrize("last", [True, False])
def test_no_place_for_state(home: Path, monkeypatch: pytest.MonkeyPatch, last: bool) -> None:
    """Where nothing lasting can be written the breaker is this process's alone, and leaves nothing behind."""
    (home / "file").touch()
    (home / "tmp").mkdir()
    monkeypatch.setenv("ORXAQ_STATE_DIR", str(home / "file" / "x"))
    monkeypatch.setattr("tempfile.tempdir", str(home / "tmp" if last else home / "file"))
    told: list[Event] = []
    breaker = Breaker("net", threshold=1, on_event=told.append)
    fail(breaker)
    assert breaker.snapshot().state is State.OPEN
    assert not breaker.snapshot().shared
    assert [event.kind for event in told] == [Kind.STORE_LOST, Kind.OPEN]
    assert not list((home / "tmp").iterdir())


def test_a_system_without_our_state(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot even be imported, as on Windows, calls are made, and the breaker is this process's alone."""
    monkeypatch.setitem(sys.modules, "pytest_orxaq.resilience.premises", None)
    told: list[Event] = []
    assert not used(Breaker("net", on_event=told.append)).snapshot().shared
    assert told[0].why.startswith("there is no state to share on this system (")
    assert not (home / "state").exists()


def test_in_memory(home: Path) -> None:
    """A breaker that asks for it is its own, and touches no disk."""
    one, other = Breaker("net", threshold=1, store="memory"), Breaker("net", threshold=1, store="memory")
    fail(one)
    assert one.snapshot().state is State.OPEN
    pass_through(other)
    assert not (home / "state").exists()


def test_a_lost_store_hides_nothing(net: Net) -> None:
    """When the store breaks, calls run and end as they do; it is told once, and failures count from there on alone."""
    breaker = net.breaker()
    fail(breaker)
    with sqlite3.connect(net.path, isolation_level=None) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    breakers.store_at(net.path)._identity = (0, 0)
    fail(breaker)
    assert breaker.snapshot().failures == 1
    pass_through(breaker)
    fail(breaker)
    fail(breaker)
    assert net.kinds == ["store-lost", "open"]
    assert net.told[0].why == (
        f"{net.path} cannot be used: it is of a newer pytest-orxaq (schema 99);"
        " the breaker 'net' goes on in this process alone"
    )
    with pytest.raises(BreakerOpenError):
        pass_through(breaker)
    assert not breaker.snapshot().shared


def test_a_loss_is_in_the_journal(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one; the call is made."""
    top = project().top
    (top / ".git" / "orxaq").mkdir()
    (top / ".git" / "orxaq" / "breakers.db").write_bytes(b"no database" * 100)
    monkeypatch.chdir(top)
    breaker = used(Breaker("net"))
    assert not breaker.snapshot().shared
    (file,) = (top / ".git" / "orxaq" / "events").iterdir()
    lost = json.loads(file.read_text().splitlines()[1])
    assert lost["eventName"] == "orxaq.breaker.store-lost"
    assert "file is not a database; it was set aside as" in lost["body"]


def test_two_threads_lose_one_store(net: Net) -> None:
    """Whoever is second takes what the first has found, and nothing is told twice."""
    breaker = net.breaker()
    first = breaker._ledger._lonely("lost", None)
    assert breaker._ledger._lonely("lost", None) is first
    assert net.kinds == ["store-lost"]


def test_listeners_change_nothing(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    """Those of the breaker and those of the process hear the same; one that fails is logged."""
    heard: list[Event] = []

    def bad(event: Event) -> None:
        heard.append(event)
        raise RuntimeError

    unsubscribe = subscribe(heard.append)
    fail(net.breaker(threshold=1, on_event=bad))
    unsubscribe()
    assert [event.kind for event in heard] == [Kind.OPEN, Kind.OPEN]
    assert "a listener of retry events failed" in caplog.text


def test_it_costs_little_to_import() -> None:
    """Nothing of pytest, asyncio, SQLite, the command line or our model is loaded by it."""
    script = (
        "import sys; before = {*sys.modules}; import pytest_orxaq.resilience.breaker; print(*{*sys.modules} - before)"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    dear = {"pytest", "asyncio", "sqlite3", "click", "random", "dataclasses", "inspect", "pytest_orxaq.model"}
    assert not dear & {*loaded}


def test_forked_children_have_their_own_memory(tmp_path: Path) -> None:
    """A breaker in memory works in a child of a process that was in the middle of a change."""
    script = """
import os, threading
from pytest_orxaq.resilience.breaker import Breaker
breaker = Breaker("net", threshold=3, store="memory")
breaker.acquire().failure("x")
inside, go_on = threading.Event(), threading.Event()
def slow(row):
    inside.set(); go_on.wait()
    return row, None
thread = threading.Thread(target=lambda: breaker._ledger._store.change("net", slow))
thread.start()
inside.wait()
child = os.fork()
if not child:
    breaker.acquire().failure("x")
    os._exit(breaker.snapshot().failures)
ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
go_on.set(); thread.join()
print(ended, breaker.snapshot().failures)
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["2", "1"]
    assert os.listdir(tmp_path) == []


def test_epochs_are_in_the_hint(net: Net) -> None:
    """A permit by the hint belongs to the epoch that is."""
    breaker = net.breaker()
    breaker.reset()
    breaker.reset()
    words, slot = breaker._ledger.view
    assert breaker.acquire().epoch == words[slot] >> EPOCH_SHIFT == 2


# ---------------------------------------------------------------- calls that were not made, or are the same


@pytest.mark.parametrize("error", NO_CALL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [*WAYS, lambda breaker, work: Retry(breaker=breaker, on=lambda _: True)(work)()])
def test_what_was_not_called_says_nothing(net: Net, way: Way, error: Exception) -> None:
    """A refusal further in, or a deadline that was over, is no failure of the other side; nor is it its answer."""
    closed = net.breaker(threshold=1, on=Exception)
    with pytest.raises(type(error)):
        way(closed, failing(error))
    assert closed.snapshot().state is State.CLOSED
    breaker = net.opened()
    net.clock.advance(10)
    with pytest.raises(type(error)):
        way(breaker, failing(error))
    assert breaker.snapshot().state is State.HALF_OPEN
    assert breaker.acquire().probe


@pytest.mark.parametrize("inner", WAYS)
@pytest.mark.parametrize("outer", [by_function, by_coroutine, by_block, by_async_block, "retry", "retry further out"])
def test_who_is_guarded_twice_is_one_probe(net: Net, outer: Any, inner: Way) -> None:
    """The inner guard lets the probe through, and only the outer one says how it ended; nobody else gets in."""
    breaker = net.opened()
    net.clock.advance(10)
    refused: list[BreakerOpenError] = []

    def elsewhere() -> None:
        try:
            net.breaker().acquire()
        except BreakerOpenError as error:
            refused.append(error)

    def work() -> int:
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join(60.0)
        assert breaker.snapshot().state is State.HALF_OPEN
        return 7

    def call() -> int:
        if inner not in (by_coroutine, by_async_block) or outer not in (by_coroutine, by_async_block):
            return inner(breaker, work)
        # One loop cannot run in another: the same context is taken along into a thread of its own.
        context, found = contextvars.copy_context(), list[int]()
        thread = threading.Thread(target=context.run, args=(lambda: found.append(inner(breaker, work)),))
        thread.start()
        thread.join(60.0)
        return found[0]

    match outer:
        case "retry":
            value = Retry(breaker=breaker)(call)()
        case "retry further out":
            value = Retry(breaker=breaker)(Retry(on_event=lambda _: None)(call))()
        case _:
            value = outer(breaker, call)
    assert value == 7
    assert len(refused) == 1
    assert breaker.snapshot().state is State.CLOSED


def test_a_forked_child_does_not_end_its_parents_probe(net: Net) -> None:
    """Whatever the child leaves, in whatever way, the probe stays the parent's, and nobody else becomes one."""
    breaker = net.opened()
    net.clock.advance(10)
    permit = breaker.acquire()
    for error in (SystemExit(), ConnectionResetError(), None):
        child = os.fork()
        if child == 0:  # pragma: no cover - the child's
            try:
                permit.settle(error)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(BreakerOpenError):
            net.breaker().acquire()
    permit.success()
    assert breaker.snapshot().state is State.CLOSED
