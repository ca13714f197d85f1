"""Retry: try again what failed for a reason that passes, within attempts, deadline and budget.

A call that succeeds at once costs a ``try`` and two looks at what is around it. One that succeeds at the second attempt
is in :mod:`.second`, everything else in :mod:`.call`.
"""

import threading

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from functools import wraps
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, overload

from ..core import retry
from .arguments import require_callable
from .call import Call, counter
from .clock import clocks
from .events import Listener, listeners
from .judgement import transient
from .policy import Policy
from .scope import around, in_time, scope
from .second import after_first


if TYPE_CHECKING:
    from .block import Block
    from .contract import Admission, Shared
    from .outcome import Outcome


P = ParamSpec("P")
R = TypeVar("R")


class Retry:
    """How often, when and for which exceptions something is tried again; used as a decorator, a block, or to run a call.

    ``on``: exception types, or a function that judges one; :func:`transient` by default. What is no ``Exception``
    (KeyboardInterrupt, CancelledError) always passes through at once. ``on_result`` judges what was returned.
    ``backoff``: the jitter, ``full`` (0 to the doubled ``base``, at most ``cap``), ``equal`` (its upper half) or
    ``decorrelated`` (``base`` to three times the last pause). ``per_attempt``: seconds; coroutines are cut, functions
    find it in :meth:`deadline.remaining`. ``breaker``: asked before each attempt. ``budget``: one, or its name.
    ``retry_after`` finds when the other side wants us back. ``stop``: once set, there is no other attempt.
    ``on_event``: is told what happens.
    """

    __slots__ = ("_policy",)

    def __init__(
        self,
        *,
        attempts: int = 3,
        on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] = transient,
        on_result: Callable[[Any], bool] | None = None,
        backoff: retry.Backoff = "full",
        base: float = 0.2,
        cap: float = 20.0,
        per_attempt: float | None = None,
        breaker: "Admission | None" = None,
        budget: "Shared | str | None" = None,
        retry_after: Callable[[Any], object] | None = None,
        stop: threading.Event | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self._policy = Policy(
            attempts=attempts,
            on=on,
            on_result=on_result,
            backoff=backoff,
            base=base,
            cap=cap,
            per_attempt=per_attempt,
            breaker=breaker,
            budget=budget,
            retry_after=retry_after,
            stop=stop,
            on_event=on_event,
        )

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, retried: one, a coroutine function, or a generator of either kind until its first item."""
        import inspect  # noqa: PLC0415 - dear, and not everybody who imports us decorates something

        require_callable(function, "Retry")
        wrapped: Callable[..., Any]
        if inspect.isasyncgenfunction(function):
            wrapped = _around_async_generator(self._policy, function)
        elif inspect.isgeneratorfunction(function):
            wrapped = _around_generator(self._policy, function)
        elif _is_async(function):
            wrapped = _around_coroutine(self._policy, cast("Callable[..., Awaitable[Any]]", function))
        else:
            wrapped = _around_function(self._policy, function)
        return cast("Callable[P, R]", wrapped)

    def block(self, name: str = "block") -> "Block":
        """Attempts for ``for`` or ``async for``; the statements are to be in ``with attempt:``."""
        from .block import Block  # noqa: PLC0415 - not everybody has blocks

        return Block(Call(self._policy, name, counter.given_up))

    @overload
    def run(
        self,
        function: Callable[..., Awaitable[R]],
        /,
        *args: Any,
        fallback: Callable[..., R | Awaitable[R]] | None = None,
        **kwargs: Any,
    ) -> "Awaitable[Outcome[R]]": ...

    @overload
    def run(
        self, function: Callable[..., R], /, *args: Any, fallback: Callable[..., R] | None = None, **kwargs: Any
    ) -> "Outcome[R]": ...

    def run(
        self, function: Callable[..., Any], /, *args: Any, fallback: Callable[..., Any] | None = None, **kwargs: Any
    ) -> Any:
        """Call it, and say how that went; for a coroutine function, something to be awaited.

        ``fallback`` is called with the same arguments if the call failed for a transient reason to the end, if the
        breaker is open or the deadline over. Raises what the call raised where there is no fallback, and what is not
        transient in any case.
        """
        call = Call(self._policy, _name_of(function), counter.given_up)
        if _is_async(function):
            return _run_async(call, function, args, kwargs, fallback)
        try:
            value = _drive(call, function, args, kwargs)
        except Exception:
            if fallback is None or not call.excused:
                call.forget()
                raise
        else:
            _refuse_coroutine(value, call.name)
            if fallback is None or call.end is None:
                return _outcome(call, value, degraded=False)
        instead = fallback(*args, **kwargs)
        _refuse_coroutine(instead, _name_of(fallback))
        return _outcome(call, instead, degraded=True)


# ---------------------------------------------------------------- from first to last attempt


def _drive(call: Call, function: Callable[..., R], args: Any, kwargs: Any, due: float = 0.0) -> R:
    while True:
        if due:
            clocks.current.sleep(due, call.policy.stop)
        try:
            if not call.begin():
                return cast("R", call.finish())
            value = function(*args, **kwargs)
        except Exception as error:
            if not call.failed(error):
                raise
        except BaseException:
            call.abandoned()
            raise
        else:
            if not call.returned(value):
                return value
        due = call.delay


async def _drive_async(
    call: Call, function: Callable[..., Awaitable[R]], args: Any, kwargs: Any, due: float = 0.0
) -> R:
    while True:
        if due:
            await clocks.current.asleep(due)
        try:
            if not call.begin():
                return cast("R", call.finish())
            if call.until is None:
                value = await function(*args, **kwargs)
            else:
                value = await _cut(call.until - clocks.current.now(), function, args, kwargs)
        except Exception as error:
            if not call.failed(error):
                raise
        except BaseException:
            call.abandoned()
            raise
        else:
            if not call.returned(value):
                return value
        due = call.delay


async def _cut(limit: float, function: Callable[..., Awaitable[R]], args: Any, kwargs: Any) -> R:
    import asyncio  # noqa: PLC0415 - dear, and in a coroutine it is there already

    async with asyncio.timeout(limit):
        return await function(*args, **kwargs)


async def _run_async(
    call: Call,
    function: Callable[..., Awaitable[R]],
    args: Any,
    kwargs: Any,
    fallback: Callable[..., R | Awaitable[R]] | None,
) -> "Outcome[R]":
    try:
        value = await _drive_async(call, function, args, kwargs)
    except Exception:
        if fallback is None or not call.excused:
            call.forget()
            raise
    else:
        if fallback is None or call.end is None:
            return _outcome(call, value, degraded=False)
    instead = fallback(*args, **kwargs)
    return _outcome(call, await instead if isinstance(instead, Awaitable) else instead, degraded=True)


def _refuse_coroutine(value: object, name: str) -> None:
    """What is still to be awaited has neither passed nor been tried again."""
    if isinstance(value, CoroutineType):
        value.close()
        raise TypeError(
            f"{name} returned a coroutine, so nothing has run yet: give run() the coroutine function itself"
        )


def _outcome(call: Call, value: R, *, degraded: bool) -> "Outcome[R]":
    from .outcome import Outcome  # noqa: PLC0415 - a tenth of the import, and few ask for it

    found = Outcome(value=value, degraded=degraded, attempts=call.attempts, verdict=call.verdict)
    call.forget()
    return found


# ---------------------------------------------------------------- decorators


def _around_function(policy: Policy, function: Callable[..., Any]) -> Callable[..., Any]:
    plain, name, found = policy.plain, _name_of(function), scope.get

    @wraps(function)
    def retried(*args: Any, **kwargs: Any) -> Any:
        serial, outside = counter.given_up, found()
        if plain and not listeners and (outside is None or in_time(outside)):
            try:
                return function(*args, **kwargs)
            except Exception as error:
                second = after_first(policy, name, serial, error)
                if second is None:
                    raise
            try:
                if second.delay:
                    clocks.current.sleep(second.delay, policy.stop)
                if second.begin():
                    try:
                        return function(*args, **kwargs)
                    except Exception as error:
                        if not second.purse.failed(error):
                            raise
                return _drive(second.purse, function, args, kwargs, second.due)
            finally:
                second.forget()
        call = Call(policy, name, serial)
        try:
            return _drive(call, function, args, kwargs)
        finally:
            call.forget()

    return retried


def _around_coroutine(policy: Policy, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    plain, name, found = policy.plain, _name_of(function), scope.get

    @wraps(function)
    async def retried(*args: Any, **kwargs: Any) -> Any:
        serial, outside = counter.given_up, found()
        if plain and not listeners and (outside is None or around().until is None):  # within a deadline it is cut
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                second = after_first(policy, name, serial, error)
                if second is None:
                    raise
            try:
                if second.delay:
                    await clocks.current.asleep(second.delay)
                if second.begin():
                    try:
                        return await function(*args, **kwargs)
                    except Exception as error:
                        if not second.purse.failed(error):
                            raise
                return await _drive_async(second.purse, function, args, kwargs, second.due)
            finally:
                second.forget()
        call = Call(policy, name, serial)
        try:
            return await _drive_async(call, function, args, kwargs)
        finally:
            call.forget()

    return retried


def _around_generator(policy: Policy, function: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
    name = _name_of(function)

    def opened(*args: Any, **kwargs: Any) -> "_Opened":
        return _Opened(cast("Generator[Any, Any, Any]", function(*args, **kwargs)))

    @wraps(function)
    def retried(*args: Any, **kwargs: Any) -> Any:
        call = Call(policy, name, counter.given_up)
        try:
            items = _drive(call, opened, args, kwargs)
        finally:
            call.forget()
        return (yield from items)

    return retried


class _Opened(Generator[Any, Any, Any]):
    """A generator that has given its first item, or has ended without one; to be gone through from the start."""

    def __init__(self, items: Generator[Any, Any, Any]) -> None:
        self._items = items
        self._waiting = True
        try:
            self._first, self._end = next(items), None
        except StopIteration as end:
            self._first, self._end = None, end

    def send(self, value: Any) -> Any:
        if not self._waiting:
            return self._items.send(value)
        self._waiting = False
        if self._end is not None:
            raise self._end
        return self._first

    def throw(self, *what: Any) -> Any:
        return self._items.throw(*what)

    def close(self) -> None:
        self._items.close()


def _around_async_generator(policy: Policy, function: Callable[..., Any]) -> Callable[..., Any]:
    name = _name_of(function)

    async def opened(*args: Any, **kwargs: Any) -> tuple[AsyncGenerator[Any, Any], Any]:
        items = function(*args, **kwargs)
        return items, await anext(items, _NOTHING)

    @wraps(function)
    async def retried(*args: Any, **kwargs: Any) -> Any:
        call = Call(policy, name, counter.given_up)
        try:
            items, item = await _drive_async(call, opened, args, kwargs)
        finally:
            call.forget()
        if item is _NOTHING:
            return
        with suppress(StopAsyncIteration):  # there is no `yield from` for these: what comes in is handed on by hand
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    await items.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is the inner one's to answer
                    item = await items.athrow(thrown)
                else:
                    item = await items.asend(sent)

    return retried


_NOTHING: Final = object()


# ---------------------------------------------------------------- what functions are


def _is_async(function: object) -> bool:
    import inspect  # noqa: PLC0415 - see Retry.__call__

    # Of its type: a class whose objects are called asynchronously is itself called at once.
    of_objects = getattr(type(function), "__call__", None)  # noqa: B004 - it is looked at, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(of_objects)


def _name_of(function: object) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__
