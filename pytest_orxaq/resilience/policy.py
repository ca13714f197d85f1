"""How calls are retried: what was asked for, checked once, and laid out so that every attempt only has to look."""

import threading

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import retry
from .arguments import is_number, judge, require_function
from .events import Listener


if TYPE_CHECKING:
    from .contract import Admission, Shared  # not worth their import


class Policy:
    """The arguments of :class:`.Retry`, by which it says what they mean. Not changed once it is made."""

    # No tuple with names: reading one costs several times as much, and a retry reads twenty.
    __slots__ = (
        "attempts",
        "breaker",
        "budget",
        "hint",
        "listeners",
        "pauses",
        "per_attempt",
        "plain",
        "rejects",
        "retryable",
        "stop",
    )

    def __init__(
        self,
        *,
        attempts: int,
        on: object,
        on_result: Callable[[Any], bool] | None,
        backoff: retry.Backoff,
        base: float,
        cap: float,
        per_attempt: float | None,
        breaker: "Admission | None",
        budget: "Shared | str | None",
        retry_after: Callable[[Any], object] | None,
        stop: threading.Event | None,
        on_event: Listener | None,
    ) -> None:
        _check_numbers(attempts, backoff, base, cap, per_attempt)
        self.attempts = attempts
        self.retryable = judge(on)
        self.rejects = on_result
        self.pauses = retry.Pauses(backoff, base, cap)
        self.per_attempt = per_attempt
        self.hint = retry_after
        self.breaker = breaker
        self.budget = _budget(budget) if isinstance(budget, str) else budget
        self.stop = stop
        self.listeners = () if on_event is None else (on_event,)
        # Whether nobody has to be asked or told about a call that succeeds at once.
        self.plain = all(each is None for each in (on_result, per_attempt, breaker, budget, on_event))
        _check_parts(self)


def _check_numbers(attempts: int, backoff: str, base: float, cap: float, per_attempt: float | None) -> None:
    if type(attempts) is not int or attempts < 1:
        raise ValueError(f"attempts is a whole number from 1, not {attempts!r}")
    if backoff not in retry.BACKOFFS:
        raise ValueError(f"backoff is one of {', '.join(retry.BACKOFFS)}, not {backoff!r}")
    for name, seconds in (("base", base), ("cap", cap)):
        # Nobody can wait longer; NaN is neither.
        if not is_number(seconds) or not 0 <= seconds <= threading.TIMEOUT_MAX:
            raise ValueError(f"{name} is 0 or more seconds, and an end to them, not {seconds!r}")
    if per_attempt is not None and (not is_number(per_attempt) or not per_attempt > 0):
        raise ValueError(f"per_attempt is more than 0 seconds, not {per_attempt!r}")


def _check_parts(policy: Policy) -> None:
    for name, function in (("on_result", policy.rejects), ("retry_after", policy.hint)):
        if function is not None:
            require_function(name, function)
    for listener in policy.listeners:
        require_function("on_event", listener)
    for name, part, needs in (
        ("breaker", policy.breaker, "acquire"),
        ("budget", policy.budget, "take"),
        ("stop", policy.stop, "is_set"),
    ):
        # What has no such method would be taken for one that says no, in the middle of a call.
        if part is not None and (isinstance(part, type) or not callable(getattr(part, needs, None))):
            raise TypeError(f"{name} is an object that has {needs}(), not {part!r}")


def _budget(name: str) -> "Shared":
    from .budget import Budget  # noqa: PLC0415 - dear, and not everybody has one

    return Budget(name)
