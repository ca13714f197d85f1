"""The deadline of everything that runs inside of it: here, in coroutines, and in child processes through ORXAQ_DEADLINE."""

import os
import sys
import threading
import time

from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from .arguments import is_number
from .clock import Clock, clocks
from .lock import Lock


if TYPE_CHECKING:
    import asyncio

    from collections.abc import Callable
    from typing import Protocol

    class Purse(Protocol):
        """A retried call around us: retries in here are paid from it."""

        def spend(self) -> bool:
            """Pay for a retry, here and in all calls further out; False if one of them has none left."""

        def holds(self, token: str) -> bool:
            """Whether it, or a call further out, is the probe of a circuit breaker that has this token."""

    class Around(Protocol):
        """What is around a call."""

        @property
        def until(self) -> float | None:
            """When the time is over, on the clock that nobody can set."""

        @property
        def purse(self) -> Purse | None:
            """The retried call."""

        @property
        def block(self) -> "deadline | None":
            """The block that made the deadline, if one did."""


VARIABLE: Final = "ORXAQ_DEADLINE"


class DeadlineError(TimeoutError):
    """The deadline was over before there was a first attempt."""


class Scope:
    """What is around a call; see Around."""

    __slots__ = ("block", "purse", "until")

    def __init__(
        self, until: float | None = None, purse: "Purse | None" = None, block: "deadline | None" = None
    ) -> None:
        self.until = until  # on the clock that nobody can set
        self.purse = purse
        self.block = block


_NEVER: Final = float("inf")
NOWHERE: Final = Scope()  # nothing is around
_UNREAD: Final = Scope()  # stands for what the parent handed down, until somebody asks

# None where nothing is around us, so that a call can see that at once.
scope: ContextVar["Around | None"] = ContextVar("orxaq_scope", default=_UNREAD if os.environ.get(VARIABLE) else None)
_handed_down: list[Scope] = []


def around() -> "Around":
    """What is around the caller."""
    found = scope.get()
    if found is None:
        return NOWHERE
    if found is not _UNREAD:
        return found
    if not _handed_down:
        _handed_down.append(Scope(until=_inherited(os.environ.get(VARIABLE, ""))))
    handed = _handed_down[0]
    if handed.until is None or type(clocks.current) is Clock:
        return handed
    # A test has put another clock in the place of the machine's: what is left by the one is left by the other.
    return Scope(until=clocks.current.now() + handed.until - time.monotonic())


def in_time(found: "Around") -> bool:
    """Whether an attempt may begin within what :data:`scope` holds."""
    until = (around() if found is _UNREAD else found).until
    return until is None or clocks.current.now() < until


def leave(token: "Token[Around | None] | None") -> None:
    """Undo a change of :data:`scope`, if there was one."""
    if token is None:
        return
    try:  # noqa: SIM105 - suppress() costs a retry as much as all of the rest here
        scope.reset(token)
    except ValueError:
        # A coroutine that is thrown away is closed wherever the garbage collector runs: there is nothing to undo.
        pass


class deadline:  # noqa: N801 - reads as a word: with deadline(30)
    """A block within which no attempt starts once ``seconds`` are over; a deadline further out is never extended.

    Attempts of coroutines are cut at the deadline. What a function does cannot be cut: give :meth:`remaining` to
    whatever it waits for.
    """

    def __init__(self, seconds: float) -> None:
        if not is_number(seconds) or not seconds >= 0:  # NaN too
            raise ValueError(f"a deadline is 0 or more seconds from now, not {seconds!r}")
        self.seconds = seconds
        self.at = _NEVER  # on the clock that nobody can set, once entered
        self.owner: tuple[int, object] = (0, None)
        self._outer: deadline | None = None
        self._token: Token[Around | None] | None = None

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError("this deadline is already running; make another one")
        outside = around()
        self._outer, self.owner = outside.block, _whoami()
        self.at = clocks.current.now() + self.seconds
        if outside.until is not None:
            self.at = min(self.at, outside.until)
        self._token = scope.set(Scope(self.at, outside.purse, self))
        _publish(self, self._outer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        _withdraw(self, self._outer)
        if token is not None:
            leave(token)

    @staticmethod
    def remaining(most: float | None = None) -> float | None:
        """Seconds until the nearest deadline or the end of the attempt, never below 0, nor above ``most``; None for no end.

        For the timeout of whatever can wait: ``subprocess.run(..., timeout=deadline.remaining())``.
        """
        until = around().until
        left = None if until is None or until == _NEVER else max(0.0, until - clocks.current.now())
        return most if left is None or (most is not None and most < left) else left

    @staticmethod
    def environment() -> dict[str, str]:
        """The environment for a child process that is to keep the very deadline that is in force here."""
        until = around().until
        return dict(os.environ) | ({} if until is None else {VARIABLE: _spelled(until)})


# ---------------------------------------------------------------- to children, and from the parent


def _inherited(text: str) -> float | None:
    found = None
    with suppress(ImportError):  # no such readings on Windows: there nothing is inherited
        from ..core import environment  # noqa: PLC0415 - dear, and few have a deadline
        from ..system import resources  # noqa: PLC0415

        found = environment.read_deadline(text, resources.boot_id())
    return found


def _spelled(until: float) -> str:
    from ..core import environment  # noqa: PLC0415 - see _inherited
    from ..system import resources  # noqa: PLC0415

    # Not the moment itself: tests put another clock in the place of the machine's.
    return environment.spell_deadline(time.monotonic() + until - clocks.current.now(), resources.boot_id())


_lock = Lock()
_running: set[deadline] = set()
_before: dict[str, str] = {}  # the variable as it was before the first of them


def _publish(begun: deadline, outer: deadline | None) -> None:
    with _lock:
        if not _running and VARIABLE in os.environ:
            _before[VARIABLE] = os.environ[VARIABLE]
        # Another thread or task may still start children by the one further out.
        if outer is not None and outer.owner == begun.owner:
            _running.discard(outer)
        _running.add(begun)
        _show()


def _withdraw(ended: deadline, outer: deadline | None) -> None:
    with _lock:
        _running.discard(ended)
        if outer is not None and outer._token is not None:  # noqa: SLF001 - of the same kind
            _running.add(outer)
        _show()


def _show() -> None:
    """Let the environment say when the last of the running deadlines is over: a child must never end too early."""
    if _running:
        with suppress(ImportError):
            os.environ[VARIABLE] = _spelled(max(each.at for each in _running))
    elif VARIABLE in _before:
        os.environ[VARIABLE] = _before.pop(VARIABLE)
    else:
        os.environ.pop(VARIABLE, None)


class _Running:
    """How to ask asyncio what runs here, kept once it is there: where nobody has imported it, nothing runs in it."""

    loop: "Callable[[], asyncio.AbstractEventLoop | None] | None" = None
    task: "Callable[[asyncio.AbstractEventLoop], asyncio.Task[object] | None]"

    def found(self) -> "Callable[[], asyncio.AbstractEventLoop | None]":
        """The function that gives the running loop."""
        asked = getattr(sys.modules.get("asyncio.tasks"), "current_task", None)  # another thread may be importing it
        if asked is None:
            return lambda: None
        loop: Callable[[], asyncio.AbstractEventLoop | None]
        loop = sys.modules["asyncio.events"]._get_running_loop  # noqa: SLF001 - the public one raises: it costs more
        self.task, self.loop = asked, loop
        return loop


_running_now = _Running()


def running_task() -> "asyncio.Task[object] | None":
    """The asyncio task that runs here, if one does."""
    loop = (_running_now.loop or _running_now.found())()
    return None if loop is None else _running_now.task(loop)


def _whoami() -> tuple[int, object]:
    return threading.get_ident(), running_task()
