"""Retry a block of statements: ``for attempt in again.block("name"):`` and ``with attempt:``."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from .call import Call
from .clock import clocks


if TYPE_CHECKING:
    import asyncio


class Block:
    """Gives attempts until one succeeds. An attempt that nobody enters is a mistake, and said to be one."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._attempt: BlockAttempt | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> "BlockAttempt":
        if self._over():
            raise StopIteration
        if self._call.delay:
            clocks.current.sleep(self._call.delay, self._call.policy.stop)
        return self._begun()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "BlockAttempt":
        if self._over():
            raise StopAsyncIteration
        if self._call.delay:
            await clocks.current.asleep(self._call.delay)
        return self._begun()

    def _over(self) -> bool:
        if self._attempt is None:
            return False
        if self._attempt.again is None:
            raise RuntimeError("an attempt was never entered: write `with attempt:` inside of the loop")
        return not self._attempt.again

    def _begun(self) -> "BlockAttempt":
        self._attempt = BlockAttempt(self._call, number=1 if self._attempt is None else self._attempt.number + 1)
        return self._attempt


class BlockAttempt:
    """One attempt: enter it with ``with``; with ``async with``, it is also cut when its time is over."""

    def __init__(self, call: Call, *, number: int) -> None:
        self.number = number  # from 1
        self.again: bool | None = None  # whether another one follows; None until this one is over
        self._call = call
        self._cut: asyncio.Timeout | None = None

    def __enter__(self) -> Self:
        try:
            if not self._call.begin():
                self._call.finish()
        except BaseException:
            # Nobody calls __exit__ for a block that was not entered, and a breaker may have been asked already.
            self._call.abandoned()
            self._call.forget()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if value is None:
            self.again = False
            self._call.passed()
        elif isinstance(value, Exception):
            self.again = self._call.failed(value)
        else:
            self.again = False
            self._call.abandoned()
        if not self.again:
            self._call.forget()
        return self.again

    async def __aenter__(self) -> Self:
        self.__enter__()
        until = self._call.until
        if until is not None:
            await self._begin_cut(until - clocks.current.now())
        return self

    async def _begin_cut(self, limit: float) -> None:
        import asyncio  # noqa: PLC0415 - dear, and in a coroutine it is there already

        try:
            self._cut = asyncio.timeout(limit)
            await self._cut.__aenter__()
        except BaseException:  # in another loop than asyncio's, say
            self._call.abandoned()
            self._call.forget()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if self._cut is not None:
                await self._cut.__aexit__(kind, value, trace)
        except TimeoutError as late:
            if self.__exit__(type(late), late, late.__traceback__):
                return True
            raise
        return self.__exit__(kind, value, trace)
