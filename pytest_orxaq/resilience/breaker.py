"""A circuit breaker that all processes of a repository share: the driver around :mod:`pytest_orxaq.core.breaker`.

While it is closed, a call costs no system call: its state is read from a mapped word. Everything else is a short
transaction. What goes wrong with the store never reaches the caller: the breaker goes on in this process alone.
"""

import functools
import os
import time

from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from ..core.breaker import (
    EPOCH_SHIFT,
    LONGEST,
    STATE_BITS,
    STREAK,
    Ask,
    Command,
    Report,
    Return,
    Rules,
    State,
    Verdict,
    anchored,
    hint,
    remaining,
)
from .arguments import is_name, is_number, judge, require_callable, require_function
from .clock import clocks
from .events import Listener
from .judgement import transient
from .ledger import Ledger
from .permit import BreakerOpenError, Permit
from .scope import around


if TYPE_CHECKING:
    from types import TracebackType

    from ..system.breakers import Change

__all__ = ["Breaker", "BreakerOpenError", "Permit", "Snapshot", "unanswered"]

P = ParamSpec("P")
T = TypeVar("T")
Failing: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]

_CLOSED: Final = int(State.CLOSED)
_REQUIRED: Final = set(Rules._fields) - {"failure_rate", "slow_call"}
_LONGEST_WHY = 500  # characters of a failure's words
_TRUSTED = 1.0  # seconds for which a refusal is repeated without a look: whoever reset it may have died before the hint


class _Refusal:
    """Why and for how long a call was refused."""

    __slots__ = ("at", "end", "until", "why", "word")

    def __init__(self, word: int, at: float, end: float, why: str) -> None:
        self.word = word  # the hint as it was
        self.at = at
        self.until = min(end, at + _TRUSTED)  # it may be repeated
        self.end = end  # of the cooldown
        self.why = why


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
            cooldown_max=cooldown_max,
            probe_timeout=probe_timeout,
            failure_rate=failure_rate,
            minimum_calls=minimum_calls,
            slow_call=slow_call,
        )
        _check(name, self.rules)
        self.rules = self.rules._replace(cooldown_max=max(cooldown, cooldown_max))
        self._fails = judge(on)
        if on_event is not None:
            require_function("on_event", on_event)
        self._ledger = Ledger(name, self.rules, store, () if on_event is None else (on_event,))
        self._measures = failure_rate is not None or slow_call is not None
        self._refusal: _Refusal | None = None  # the last one
        self._untold = 0  # answers that the row does not know of; approximately: threads may lose some
        self._told_at = 0.0  # wall clock

    # ------------------------------------------------------------ calls

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, or whatever can be called, with this breaker around it. Raises TypeError for a generator function."""
        require_callable(function, "a circuit breaker")
        import inspect  # noqa: PLC0415 - dear, and not everybody who imports us decorates something

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function} is a generator function: use `with` the breaker inside of it instead")
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return cast(Callable[P, T], self._around_coroutine(cast(Any, function)))
        return self._around_function(function)

    def _around_function(self, function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            words, slot = self._ledger.view
            word = words[slot]
            if word & STATE_BITS != _CLOSED or self._measures:
                if (refusal := self._refused_again(word)) is not None:
                    raise refusal
                with self:
                    return function(*args, **kwargs)
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                Permit(self, word >> EPOCH_SHIFT).settle(error)
                raise
            words, slot = self._ledger.view
            if words[slot] & STREAK:
                Permit(self, word >> EPOCH_SHIFT).success()
            return value

        return guarded

    def _around_coroutine(self, function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        # The same once more: to share it would cost what it saves.
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            words, slot = self._ledger.view
            word = words[slot]
            if word & STATE_BITS != _CLOSED or self._measures:
                if (refusal := self._refused_again(word)) is not None:
                    raise refusal
                with self:
                    return await function(*args, **kwargs)
            try:
                value = await function(*args, **kwargs)
            except BaseException as error:
                Permit(self, word >> EPOCH_SHIFT).settle(error)
                raise
            words, slot = self._ledger.view
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
        while number >= 0 and permits[number]._breaker is not self:  # noqa: SLF001 - generators leave in any order
            number -= 1
        if number >= 0:  # else it was entered in another context, by a fixture, say; a lease ends by itself
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
        self._ledger.change(Command(state=State.FORCED_OPEN, why=why))

    def disable(self, why: str = "by hand") -> None:
        """Let everybody in and count nothing, until :meth:`reset`."""
        self._ledger.change(Command(state=State.DISABLED, why=why))

    def reset(self) -> None:
        """Begin anew, closed."""
        self._ledger.change(Command(state=State.CLOSED))

    def snapshot(self) -> Snapshot:
        """How things are."""
        row, now = self._ledger.look(), clocks.current.wall()
        return Snapshot(
            name=self.name,
            state=row.state,
            why=row.why,
            failures=row.fails,
            trips=row.trips,
            retry_after=remaining(anchored(row, now), now),
            shared=self._ledger.shared,
        )

    # ------------------------------------------------------------ permits

    def _prepared(self) -> Permit:
        """A permit by the hint, or one that has to be asked for. Raises BreakerOpenError if that was just refused.

        The token of the latter is known before anybody is asked: whatever interrupts us, the lease can be given back.
        """
        words, slot = self._ledger.view
        word = words[slot]
        permit = Permit(self, word >> EPOCH_SHIFT)
        if word & STATE_BITS != _CLOSED:
            if (refusal := self._refused_again(word)) is not None:
                raise refusal
            permit.token, permit.process = os.urandom(8).hex(), os.getpid()
        if self._measures:
            permit.started = time.perf_counter()
        return permit

    def _refused_again(self, word: int) -> BreakerOpenError | None:
        """While it is open many may ask at the same time: what the last one was told, if nothing has changed since."""
        known = self._refusal
        if known is None or known.word != word:
            return None
        now = clocks.current.wall()
        return BreakerOpenError(self.name, known.end - now, known.why) if known.at <= now < known.until else None

    def _ask(self, permit: Permit) -> None:
        now = clocks.current.wall()
        change = self._ledger.change(Ask(token=permit.token))
        if change.answer.verdict is Verdict.REFUSED:
            permit.token = ""  # there is nothing to give back
            if _is_within_probe(change.after.token):  # guarded twice: it is the same call, of which the outer one tells
                permit.epoch = change.after.epoch
                return
            self._refusal = _refusal(change, now)
            raise BreakerOpenError(self.name, change.answer.retry_after, change.answer.why)
        permit.epoch = change.after.epoch
        if change.answer.verdict is Verdict.CALL:
            permit.token = ""

    def answered(self, permit: Permit, seconds: float) -> None:
        """See Owner."""
        words, slot = self._ledger.view
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

    def failed(self, permit: Permit, why: str) -> None:
        """See Owner."""
        self._report(permit, why.strip()[:_LONGEST_WHY] or "it failed", 0.0)

    def _report(self, permit: Permit, failure: str, seconds: float) -> None:
        if _is_a_copy(permit):
            return
        untold, self._untold = self._untold, 0
        try:
            self._ledger.change(
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
            self.returned(permit)
            raise

    def returned(self, permit: Permit) -> None:
        """See Owner."""
        if permit.token and not _is_a_copy(permit):
            self._ledger.change(Return(token=permit.token))


def _is_within_probe(token: str) -> bool:
    """Whether the probe that is out is around us."""
    if not token:
        return False
    purse = around().purse
    return any(permit.token == token for permit in _permits.get()) or (purse is not None and purse.holds(token))


def _is_a_copy(permit: Permit) -> bool:
    """Whether a forked child leaves what only its parent has entered."""
    return bool(permit.token) and permit.process not in {0, os.getpid()}


def _refusal(change: "Change", now: float) -> _Refusal | None:
    """What others can be told without asking; nothing while a probe is out, whose lease can be returned."""
    if change.after.state is State.HALF_OPEN:
        return None
    return _Refusal(hint(change.after), now, now + change.answer.retry_after, change.answer.why)


def _check(name: str, rules: Rules) -> None:
    given = {name: value for name, value in rules._asdict().items() if value is not None or name in _REQUIRED}
    wrong = [name for name, value in given.items() if not is_number(value)] or _without_sense(rules)
    if not is_name(name):
        wrong.insert(0, "name")
    if wrong:
        raise ValueError(f"this makes no sense for a circuit breaker: {', '.join(wrong)}")


def _without_sense(rules: Rules) -> list[str]:
    sense = {
        "threshold": rules.threshold >= 1,
        "window": rules.window > 0,
        "cooldown": 0 < rules.cooldown <= LONGEST,
        "cooldown_max": 0 < rules.cooldown_max <= LONGEST,
        "probe_timeout": 0 < rules.probe_timeout <= LONGEST,
        "failure_rate": rules.failure_rate is None or 0 < rules.failure_rate <= 1,
        "minimum_calls": rules.minimum_calls >= 1,
        "slow_call": rules.slow_call is None or rules.slow_call > 0,
    }
    return [name for name, makes_sense in sense.items() if not makes_sense]
