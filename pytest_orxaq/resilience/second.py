"""The usual trouble: the first attempt failed, nobody has to be asked or told, and the second one succeeds.

The rules are those of every call, see :mod:`.plan`. What is spared is the bookkeeping of :class:`.Call`, which is made
up for as soon as anybody asks for it: a retried call inside, or the next failure.
"""

from typing import TYPE_CHECKING

from .allowance import BOUNDED
from .call import Call, counter
from .clock import clocks
from .events import listeners
from .plan import forbidden, judged, pause
from .scope import leave, scope


if TYPE_CHECKING:
    from contextvars import Token

    from .policy import Policy
    from .scope import Around


class Second:
    """A plain call from the failure of its first attempt on; while the second is made, it is what is around it: see Around."""

    __slots__ = ("_call", "_error", "_name", "_serial", "_started", "_token", "delay", "policy")

    until = None  # see Around
    block = None

    def __init__(
        self, policy: "Policy", name: str, serial: int, error: Exception, delay: float, call: Call | None = None
    ) -> None:
        self.policy = policy
        self.delay = delay  # to wait before the second attempt
        self._name = name
        self._serial = serial
        self._error: Exception | None = error
        self._call = call  # in full; None while nobody needed it
        self._started: float | None = None
        self._token: Token[Around | None] | None = None

    @property
    def purse(self) -> Call:
        """The call in full, as :meth:`Call.failed` and :meth:`Call.begin` would have left it."""
        with counter.lock:  # a thread inside may ask in the same moment
            if self._call is None:
                self._call = Call(self.policy, self._name, self._serial)
                self._call.resume(self._error, self.delay, self._started, self._token)
            return self._call

    def begin(self) -> bool:
        """Begin the attempt; False if it is no longer the usual one: somebody came in the pause, or said stop."""
        stop = self.policy.stop
        if self._call is not None or listeners or (stop is not None and stop.is_set()):
            return False
        self._started = clocks.current.now()
        self._token = scope.set(self)
        return True

    @property
    def due(self) -> float:
        """Seconds to wait before the attempt that is next: if this one was not begun, they are over."""
        return 0.0 if self._token is None else self.purse.delay

    def forget(self) -> None:
        """The call is over: leave what was begun, and see Call."""
        self._error = None
        if self._call is None:
            leave(self._token)
        else:
            self._call.forget()


def after_first(policy: "Policy", name: str, serial: int, error: Exception) -> Second | None:
    """What follows the failure of a first attempt that nobody had to know of; None if the exception is to be raised."""
    retryable = judged(policy, error)
    if (
        retryable
        and counter.given_up == serial
        and scope.get() is None
        and not (listeners or BOUNDED or forbidden(policy, policy.attempts - 1))
        and (delay := pause(policy, error, 1, 0.0, None)) is not None
    ):
        return Second(policy, name, serial, error, delay)
    call = Call(policy, name, serial)
    if call.goes_on(error, retryable=retryable):
        return Second(policy, name, serial, error, call.delay, call)
    call.forget()
    return None
