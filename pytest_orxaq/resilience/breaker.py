"""A circuit breaker that all processes of a repository share: the driver around :mod:`pytest_orxaq.core.breaker`.

While it is closed, a call costs no system call: its state is read from a mapped word. Everything else is a short
transaction. What goes wrong with the store never reaches the caller: the breaker goes on in this process alone.
"""

import functools
import inspect
import os
import time

from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from ..core.breaker import (
    EPOCH_SHIFT,
    LONGEST,
    STATE_BITS,
    STREAK,
    Answer,
    Ask,
    Command,
    Event,
    Report,
    Return,
    Row,
    Rules,
    State,
    Verdict,
    anchored,
    hint,
    remaining,
    step,
)
from ..system.breakers import Change, Private, Shared, Store, StoreError, store_at
from .bulletin import announce, announce_loss
from .clock import clocks
from .events import Listener
from .judgement import transient
from .outcome import described


if TYPE_CHECKING:
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")
Failing: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]

_CLOSED: Final = int(State.CLOSED)
_LONGEST_WHY = 500  # characters of a failure's words
_TRUSTED = 1.0  # seconds for which a refusal is repeated without a look: whoever reset it may have died before the hint
_LOOKED = Answer(verdict=Verdict.DONE)


class BreakerOpenError(Exception):
    """A call was not made, because its circuit breaker is open.

    ``retry_after``: seconds after which asking makes sense, infinite if a person has to act first.
    """

    def __init__(self, name: str, retry_after: float, why: str) -> None:
        super().__init__(name, retry_after, why)
        self.name = name
        self.retry_after = retry_after
        self.why = why

    def __str__(self) -> str:
        again = f"the next trial is in {self.retry_after:.0f} s" if isfinite(self.retry_after) else "until it is reset"
        return f"the circuit breaker {self.name!r} is open ({self.why}); {again}"


class _Refusal(NamedTuple):
    """Why and for how long a call was refused."""

    word: int  # the hint as it was
    at: float
    until: float  # it may be repeated
    end: float  # of the cooldown
    why: str


class Snapshot(NamedTuple):
    """A breaker as it is; times in seconds."""

    name: str
    state: State
    why: str
    failures: int  # in a row
    trips: int  # times that it opened since it was last closed
    retry_after: float  # until the next probe; infinite if it is forced open
    shared: bool  # with other processes


def unanswered(error: Exception) -> bool:
    """Whether an exception says that the other side did not answer, rather than what it answered."""
    return isinstance(error, (ConnectionError, TimeoutError)) or transient(error)


class Permit:
    """Leave for one call; one of ``success``, ``failure`` and ``cancel`` must be called, and the first one counts."""

    # Of the class while they are as usual: a permit is made for every call, and this halves its price.
    token = ""  # of a probe
    started = 0.0
    _open = True

    def __init__(self, breaker: "Breaker", epoch: int) -> None:
        self._breaker = breaker
        self.epoch = epoch

    @property
    def probe(self) -> bool:
        """Whether this is the one call that decides whether the breaker closes."""
        return bool(self.token)

    def success(self, seconds: float = 0.0) -> None:
        """The other side answered, be it with an error of ours; after so many seconds."""
        if self._open:
            self._open = False
            self._breaker._answered(self, seconds)  # noqa: SLF001 - two halves of one thing

    def failure(self, why: str) -> None:
        """It did not, in words."""
        if self._open:
            self._open = False
            self._breaker._failed(self, why)  # noqa: SLF001

    def cancel(self) -> None:
        """Nobody knows: if this was the probe, somebody else may be it at once."""
        if self._open:
            self._open = False
            self._breaker._returned(self)  # noqa: SLF001

    def settle(self, error: BaseException | None) -> None:
        """The call ended, with this exception or none: what that means is the breaker's to say."""
        if error is None:
            self.success(self._breaker.seconds_since(self.started))
        elif not isinstance(error, Exception):
            self.cancel()
        elif self._breaker.is_failure(error):
            self.failure(_described(error))
        else:
            self.success(self._breaker.seconds_since(self.started))


_permits: ContextVar[tuple[Permit, ...]] = ContextVar("orxaq_breaker_permits", default=())


class Breaker:
    """A circuit breaker, shared by its name.

    As a decorator of a function or coroutine function, as ``with breaker:`` or ``async with breaker:``, or by
    :meth:`acquire`. What is no ``Exception`` (Ctrl-C, cancellation) says nothing about the other side, and passes.

    ``threshold`` failures in a row, no two of them further apart than ``window``, open it; so does a share of
    ``failure_rate`` among at least ``minimum_calls`` within ``window``. It stays open for ``cooldown``, twice as long
    each time that a probe fails, up to ``cooldown_max``; up to a tenth is added by chance. A probe keeps the others
    out for ``probe_timeout`` at most: make it longer than a call can take. ``on``: types of exceptions, or a function
    of one, that say which are failures; all others count as answers. ``slow_call``: an answer that took longer is a
    failure too. All times in seconds.

    ``store``: the path of a database, "memory" for this process and object alone, or nothing for the repository's.
    ``on_event`` is told of every change of state; it cannot change the outcome. Raises ValueError for numbers without sense.
    """

    def __init__(
        self,
        name: str,
        threshold: int = 5,
        window: float = 60.0,
        cooldown: float = 30.0,
        cooldown_max: float = 1800.0,
        probe_timeout: float = 60.0,
        *,
        failure_rate: float | None = None,
        minimum_calls: int = 20,
        slow_call: float | None = None,
        on: Failing = unanswered,
        store: str | os.PathLike[str] | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self.name = name
        self.rules = Rules(
            threshold=threshold,
            window=window,
            cooldown=cooldown,
            cooldown_max=max(cooldown, cooldown_max),
            probe_timeout=probe_timeout,
            failure_rate=failure_rate,
            minimum_calls=minimum_calls,
            slow_call=slow_call,
        )
        _check(name, self.rules)
        self._fails = _judge(on)
        self._listeners = () if on_event is None else (on_event,)
        self._events = ""  # the folder of the journal
        self._asked = store
        self._store: Store | None = Private() if store == "memory" else None
        self._alone: dict[str, Private] = {}
        self._view: tuple[Any, int] = ((0,), 0)  # the hints, and which of them is ours; one attribute: threads
        self._measures = failure_rate is not None or slow_call is not None
        self._refusal: _Refusal | None = None  # the last one
        self._untold = 0  # answers that the row does not know of; approximately: threads may lose some
        self._told_at = 0.0  # wall clock

    # ------------------------------------------------------------ calls

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, or whatever can be called, with this breaker around it. Raises TypeError for a generator function."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function} is a generator function: use `with` the breaker inside of it instead")
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return cast(Callable[P, T], self._around_coroutine(cast(Any, function)))
        return self._around_function(function)

    def _around_function(self, function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            words, slot = self._view
            word = words[slot]
            if word & STATE_BITS != _CLOSED or self._measures:
                with self:
                    return function(*args, **kwargs)
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                Permit(self, word >> EPOCH_SHIFT).settle(error)
                raise
            words, slot = self._view
            if words[slot] & STREAK:
                Permit(self, word >> EPOCH_SHIFT).success()
            return value

        return guarded

    def _around_coroutine(self, function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        # The same once more: to share it would cost what it saves.
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            words, slot = self._view
            word = words[slot]
            if word & STATE_BITS != _CLOSED or self._measures:
                with self:
                    return await function(*args, **kwargs)
            try:
                value = await function(*args, **kwargs)
            except BaseException as error:
                Permit(self, word >> EPOCH_SHIFT).settle(error)
                raise
            words, slot = self._view
            if words[slot] & STREAK:
                Permit(self, word >> EPOCH_SHIFT).success()
            return value

        return guarded

    def __enter__(self) -> Permit:
        permit = self._prepared()
        try:
            if permit.token:
                self._ask(permit)
            _permits.set((*_permits.get(), permit))
            return permit
        except BaseException:
            permit.cancel()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        permits = _permits.get()
        number = len(permits) - 1
        while permits[number]._breaker is not self:  # noqa: SLF001 - generators may leave in another order than they came
            number -= 1
        _permits.set(permits[:number] + permits[number + 1 :])
        permits[number].settle(error)

    async def __aenter__(self) -> Permit:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        self.__exit__(kind, error, traceback)

    def acquire(self) -> Permit:
        """Leave for one call. Raises BreakerOpenError."""
        permit = self._prepared()
        try:
            if permit.token:
                self._ask(permit)
        except BaseException:
            permit.cancel()
            raise
        return permit

    def is_failure(self, error: Exception) -> bool:
        """Whether the other side did not answer, by this exception."""
        # A judge that fails must not hide what it was to judge.
        with suppress(Exception):
            return self._fails(error)
        return False

    def seconds_since(self, started: float) -> float:
        """How long a call took, where anybody wants to know."""
        return time.perf_counter() - started if self._measures else 0.0

    # ------------------------------------------------------------ by hand

    def force_open(self, why: str = "by hand") -> None:
        """Let nobody in until :meth:`reset`."""
        self._change(Command(state=State.FORCED_OPEN, why=why))

    def disable(self, why: str = "by hand") -> None:
        """Let everybody in and count nothing, until :meth:`reset`."""
        self._change(Command(state=State.DISABLED, why=why))

    def reset(self) -> None:
        """Begin anew, closed."""
        self._change(Command(state=State.CLOSED))

    def snapshot(self) -> Snapshot:
        """How things are."""
        row, now = self._apply(lambda row: (row, _LOOKED)).after, clocks.current.wall()
        return Snapshot(
            name=self.name,
            state=row.state,
            why=row.why,
            failures=row.fails,
            trips=row.trips,
            retry_after=remaining(anchored(row, now), now),
            shared=isinstance(self._store, Shared),
        )

    # ------------------------------------------------------------ permits

    def _prepared(self) -> Permit:
        """A permit by the hint, or one that has to be asked for.

        The token of the latter is known before anybody is asked: whatever interrupts us, the lease can be given back.
        """
        words, slot = self._view
        word = words[slot]
        permit = Permit(self, word >> EPOCH_SHIFT)
        if word & STATE_BITS != _CLOSED:
            permit.token = os.urandom(8).hex()
        if self._measures:
            permit.started = time.perf_counter()
        return permit

    def _ask(self, permit: Permit) -> None:
        words, slot = self._view
        word, now = words[slot], clocks.current.wall()
        known = self._refusal
        # While it is open many may ask at the same time: nothing has changed since the last one was told.
        if known is not None and word == known.word and known.at <= now < known.until:
            permit.token = ""
            raise BreakerOpenError(self.name, known.end - now, known.why)
        change = self._change(Ask(token=permit.token))
        if change.answer.verdict is Verdict.REFUSED:
            permit.token = ""  # there is nothing to give back
            self._refusal = _refusal(change, now)
            raise BreakerOpenError(self.name, change.answer.retry_after, change.answer.why)
        permit.epoch = change.after.epoch
        if change.answer.verdict is Verdict.CALL:
            permit.token = ""

    def _answered(self, permit: Permit, seconds: float) -> None:
        words, slot = self._view
        if not (words[slot] & STREAK or permit.token or self._measures):
            return
        slow = self.rules.slow_call is not None and seconds > self.rules.slow_call
        if slow or permit.token or words[slot] & STREAK or self._is_time_to_tell():
            self._report(permit, "", seconds)

    def _is_time_to_tell(self) -> bool:
        """Whether the row should hear of answers, where it has to know the share of failures; else they add up here."""
        if self.rules.failure_rate is None:
            return False
        now = clocks.current.wall()
        if 0 <= now - self._told_at < self.rules.window / 10:
            self._untold += 1
            return False
        self._told_at = now
        return True

    def _failed(self, permit: Permit, why: str) -> None:
        self._report(permit, why.strip()[:_LONGEST_WHY] or "it failed", 0.0)

    def _report(self, permit: Permit, failure: str, seconds: float) -> None:
        untold, self._untold = self._untold, 0
        try:
            self._change(
                Report(
                    epoch=permit.epoch,
                    token=permit.token,
                    failure=failure,
                    seconds=seconds,
                    jitter=clocks.current.jitter(),
                    untold=untold,
                )
            )
        except BaseException:  # Ctrl-C, say: the lease must not be lost with it
            self._returned(permit)
            raise

    def _returned(self, permit: Permit) -> None:
        if permit.token:
            self._change(Return(token=permit.token))

    # ------------------------------------------------------------ the store

    def _change(self, event: Event) -> Change:
        def decide(row: Row) -> tuple[Row, Answer]:
            # The time is taken when we are alone with the row: who waited for that would bring one from before.
            after, answer = step(row, event, clocks.current.wall(), self.rules)
            return (after if after.why in {"", row.why} else after._replace(why=_redacted(after.why))), answer

        change = self._apply(decide, event)
        before, after = change.before, change.after
        if before.state is not after.state or (before.epoch != after.epoch and after.state is State.HALF_OPEN):
            announce(
                *(self.name, before.state, after.state),
                why=after.why,
                wait=after.wait,
                own=self._listeners,
                events=self._events,
            )
        return change

    def _apply(self, decide: Callable[[Row], tuple[Row, Answer]], event: Event | None = None) -> Change:
        store = self._store
        try:
            store = store or self._found()
            change = store.change(self.name, decide)
        except StoreError as error:
            change = self._lonely(str(error), event).change(self.name, decide)
        self._view = (change.words, change.slot)
        return change

    def _found(self) -> Store:
        """The store, looked for when it is first needed."""
        if self._asked is not None:
            self._store = store_at(os.fspath(self._asked))
            return self._store
        from ..errors import MachineError  # noqa: PLC0415 - dear, and so is what follows
        from .premises import BREAKERS, state_at  # noqa: PLC0415

        try:
            state = state_at(os.environ)
        except MachineError as error:
            raise StoreError(error.what) from error
        self._events = str(state.events)
        self._store = store_at(str(state.common / BREAKERS))
        return self._store

    def _lonely(self, why: str, event: Event | None) -> Private:
        """A store in this process alone, from here on; told once."""
        epoch = event.epoch if isinstance(event, Report) else 0
        mine = Private(Row(epoch=epoch))
        private = self._alone.setdefault(self.name, mine)
        self._store = private
        if private is mine:
            words = f"{why}; the breaker {self.name!r} goes on in this process alone"
            announce_loss(self.name, words, own=self._listeners, events=self._events)
        return private


def _refusal(change: Change, now: float) -> _Refusal | None:
    """What others can be told without asking; nothing while a probe is out, whose lease can be returned."""
    if change.after.state is State.HALF_OPEN:
        return None
    end = now + change.answer.retry_after
    return _Refusal(hint(change.after), now, min(end, now + _TRUSTED), end, change.answer.why)


def _redacted(why: str) -> str:
    """Without secrets: addresses have passwords in them, and the row is read by others."""
    from ..core.redaction import redact, secrets_of  # noqa: PLC0415 - dear, and breakers seldom open

    return redact(why, secrets_of(os.environ))


def _described(error: Exception) -> str:
    """An exception in words; one that cannot say what it is must not hide behind that."""
    with suppress(Exception):
        return described(error)
    return type(error).__name__


def _judge(on: Failing) -> Callable[[Exception], bool]:
    if isinstance(on, (type, tuple)):
        kinds = on
        return lambda error: isinstance(error, kinds)
    return on


def _check(name: str, rules: Rules) -> None:
    sense = {
        "name": bool(name),
        "threshold": rules.threshold >= 1,
        "window": rules.window > 0,
        "cooldown": 0 < rules.cooldown <= LONGEST,
        "cooldown_max": rules.cooldown_max <= LONGEST,
        "probe_timeout": 0 < rules.probe_timeout <= LONGEST,
        "failure_rate": rules.failure_rate is None or 0 < rules.failure_rate <= 1,
        "minimum_calls": rules.minimum_calls >= 1,
        "slow_call": rules.slow_call is None or rules.slow_call > 0,
    }
    wrong = [name for name, makes_sense in sense.items() if not makes_sense]
    if wrong:
        raise ValueError(f"this makes no sense for a circuit breaker: {', '.join(wrong)}")
