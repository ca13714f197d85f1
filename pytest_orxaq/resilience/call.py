"""One call on its way through its attempts: what is left of them, what was waited, and why there is no other.

A call that succeeds at once never gets here (see :mod:`.retry`), so that nothing below costs it anything.
"""

from contextlib import suppress
from contextvars import Token
from itertools import count
from typing import TYPE_CHECKING, Final, Self

from .allowance import allowed
from .clock import clocks
from .events import Event, Kind, listeners, tell
from .judgement import complain, links_of
from .lock import Lock
from .noted import CallAttempt, annotate, described, history_of
from .plan import End, forbidden, judged, pause
from .scope import NOWHERE, DeadlineError, around, leave, scope


if TYPE_CHECKING:
    from ..model import Verdict
    from .contract import Permit, Shared  # not worth their import
    from .policy import Policy
    from .scope import Around, deadline


REJECTED: Final = "the result was rejected"


class _Counter:
    """How many attempts of retried calls have failed for good in this process."""

    def __init__(self) -> None:
        self.given_up = 0
        self.numbers = count(1)
        self.lock = Lock()  # of all purses: they are many-layered, and used seldom


counter = _Counter()


class Call:
    """The state of one call. After each attempt one of :meth:`failed`, :meth:`returned`, :meth:`passed` and :meth:`abandoned` is told."""

    __slots__ = (
        "_failures",
        "_number",
        "_outside",
        "_permit",
        "_rejected",
        "_serial",
        "_smooth",
        "_started",
        "_token",
        "delay",
        "end",
        "last",
        "left",
        "name",
        "policy",
        "until",
    )

    def __init__(self, policy: "Policy", name: str, serial: int) -> None:
        self.policy = policy
        self.name = name
        self.left = policy.attempts - 1
        self.delay = 0.0  # to wait, or waited, before the attempt that comes after the last failure
        self.end: End | None = None
        self.last: Exception | None = None  # what the last attempt raised, while there will be another one
        self._rejected: object = None  # what it returned
        self._failures: list[tuple[object, float | None, float]] = []  # exception or attempts, seconds, waited before
        self._number = 1
        self._outside: Around = NOWHERE
        self._permit: Permit | None = None
        self._serial = serial  # of the last failure before this call
        self._smooth = True  # nothing was retried, here or inside
        self._started: float | None = None
        self._token: Token[Around | None] | None = None
        self.until: float | None = None  # when the attempt's time is over

    @property
    def purse(self) -> Self:
        """While an attempt is made, the call itself is what is around it: see Around."""
        return self

    @property
    def block(self) -> "deadline | None":
        """See Around."""
        return self._outside.block

    def resume(
        self,
        error: Exception | None,
        delay: float,
        started: float | None,
        token: "Token[Around | None] | None",
    ) -> None:
        """Make up for what was spared until here: the failure of the first attempt, and perhaps the begin of the second."""
        self._failures.append((error, None, 0.0))
        self.last = error
        self.left -= 1
        self.delay = delay
        self._number += 1
        self._started = started
        self._token = token

    # ------------------------------------------------------------ before an attempt

    def begin(self) -> bool:
        """Begin an attempt; False if there must be none, and then :meth:`finish` is to be called.

        Raises what forbids the very first one: DeadlineError, or what the breaker raises.
        """
        policy = self.policy
        if policy.stop is not None and self._failures and policy.stop.is_set():
            return self._refused(End.STOPPED, None)
        self._outside = outside = around()
        self._started = now = clocks.current.now()
        self.until = outside.until
        if self.until is not None and now >= self.until:
            return self._refused(End.DEADLINE, DeadlineError(f"{self.name}: the deadline was over before the call"))
        if not policy.plain and not self._admitted(now):
            return False
        self._token = scope.set(self)
        if listeners or policy.listeners:
            self._tell(Kind.START)
        return True

    def _admitted(self, now: float) -> bool:
        """Whether those who have to be asked let the attempt begin."""
        policy = self.policy
        if policy.breaker is not None:
            try:
                self._permit = policy.breaker.acquire()
            except Exception as refusal:  # noqa: BLE001 - whatever a breaker raises is its word for no
                return self._refused(End.BREAKER, refusal)
        if policy.budget is not None and not self._failures:
            self._earn(policy.budget)
        if policy.per_attempt is not None and (self.until is None or now + policy.per_attempt < self.until):
            self.until = now + policy.per_attempt
        return True

    def _refused(self, end: End, refusal: Exception | None) -> bool:
        self.end = end
        if refusal is not None and not self._failures:
            raise refusal
        return False

    # ------------------------------------------------------------ after an attempt

    def failed(self, error: Exception) -> bool:
        """Whether another attempt is to be made after this exception; if not, it is to be raised."""
        if self.end is not None:  # it comes from begin(): there was no attempt
            return False
        leave(self._token)
        self._token = None
        retryable = judged(self.policy, error)
        if self._permit is not None:
            self._settle_failure(self._permit, error, retryable=retryable)
        return self.goes_on(error, retryable=retryable)

    def goes_on(self, error: Exception, *, retryable: bool) -> bool:
        """:meth:`failed`, where the exception is judged, and the attempt left."""
        self.end = end = self._schedule(error, error, retryable=retryable)
        if end is not None:
            self._give_up(error)
            return False
        self.last = error
        return True

    def returned(self, value: object) -> bool:
        """Whether another attempt is to be made although this was returned; if not, it is to be returned."""
        leave(self._token)
        self._token = None
        if self.policy.plain and not listeners:
            return False
        if self.policy.rejects is None or not self._rejects(value):
            self._succeed()
            return False
        if self._permit is not None:
            self._settle(self._permit, REJECTED)
        self.end = self._schedule(value, None, retryable=True)
        if self.end is not None:
            self._give_up(None)
            return False
        self._rejected = value
        return True

    def passed(self) -> None:
        """Statements came to their end: they return nothing that could be judged."""
        leave(self._token)
        self._token = None
        self._succeed()

    def abandoned(self) -> None:
        """The attempt was ended by what is no Exception: nobody knows anything."""
        self.end = self.end or End.CANCELLED
        leave(self._token)
        self._token = None
        permit, self._permit = self._permit, None
        if permit is not None:
            with suppress(Exception):
                permit.cancel()

    def finish(self) -> object:
        """Raise the last exception, or return the last result, after :meth:`begin` said no."""
        last = self.last
        self._give_up(last)
        if last is None:
            return self._rejected
        try:
            raise last
        finally:
            del last  # see forget()

    def forget(self) -> None:
        """Let go of all exceptions: their tracebacks hold the frames that hold this call, and that would be a circle."""
        leave(self._token)
        self._token = None
        self._failures.clear()
        self.last = self._rejected = None

    def spend(self) -> bool:
        """See Purse. In the first attempt, calls inside have all their own retries; if it fails, they are counted."""
        counts = bool(self._failures)
        if (counts and self.left < 1) or ((outer := self._outside.purse) is not None and not outer.spend()):
            return False
        self.left -= counts
        self._smooth = False
        return True

    def holds(self, token: str) -> bool:
        """See Purse."""
        return getattr(self._permit, "token", "") == token or (
            (outer := self._outside.purse) is not None and outer.holds(token)
        )

    # ------------------------------------------------------------ how it went

    @property
    def attempts(self) -> tuple[CallAttempt, ...]:
        """The attempts that failed, those of calls inside among them."""
        found: list[CallAttempt] = []
        for failure, seconds, waited in self._failures:
            if isinstance(failure, tuple):
                found += failure
            else:
                words = REJECTED if failure is None else described(failure)  # type: ignore[arg-type]
                found.append(CallAttempt(serial=next(counter.numbers), error=words, seconds=seconds, waited=waited))
        return tuple(found)

    @property
    def excused(self) -> bool:
        """Whether it ended for a reason that a fallback may stand in for."""
        return self.end is not None and self.end not in {End.PERMANENT, End.CANCELLED}

    @property
    def verdict(self) -> "Verdict":
        """Of the call itself."""
        from ..model import Verdict  # noqa: PLC0415 - dear, and only those who ask need it

        match self.end:
            case None:
                return Verdict.PASSED if self._smooth and not self._failures else Verdict.FLAKY
            case End.BREAKER if not self._failures:
                return Verdict.SKIPPED
            case End.DEADLINE:
                return Verdict.TIMED_OUT
            case _:
                return Verdict.FAILED

    # ------------------------------------------------------------ steps of the above

    def _rejects(self, value: object) -> bool:
        rejects = self.policy.rejects
        try:
            return rejects is not None and rejects(value)
        except BaseException:
            self.abandoned()
            raise

    def _succeed(self) -> None:
        if self._permit is not None:
            self._settle(self._permit, "")
        if listeners or self.policy.listeners:
            self._tell(Kind.SUCCESS)

    def _settle(self, permit: "Permit", why: str) -> None:
        self._permit = None
        seconds = 0.0 if self._started is None else clocks.current.now() - self._started
        # What a breaker's store does must never hide what the call did.
        with suppress(Exception):
            permit.failure(why) if why else permit.success(seconds)

    def _settle_failure(self, permit: "Permit", error: Exception, *, retryable: bool) -> None:
        from .permit import was_called  # noqa: PLC0415 - those who have a breaker have it already

        if was_called(error):
            self._settle(permit, described(error) if retryable else "")
            return
        self._permit = None
        with suppress(Exception):
            permit.cancel()

    def _counted(self, error: Exception | None) -> object:
        """The failure, or instead of it the attempts of the retried calls inside, for which this call pays."""
        self._serial, inner = counter.given_up, self._inner(error)
        if not self._failures:
            self.left -= max(len(inner) - 1, 0)
        return inner or error

    def _inner(self, error: Exception | None) -> tuple[CallAttempt, ...]:
        """The attempts that retried calls inside of this attempt made, as noted on its exception and what caused it."""
        found: dict[int, CallAttempt] = {}
        with suppress(Exception):  # a link of the chain may be a property, and that may raise
            for link in links_of(error):
                found |= {each.serial: each for each in history_of(link) if each.serial > self._serial}
        return tuple(found[serial] for serial in sorted(found))

    def _schedule(self, answer: object, error: Exception | None, *, retryable: bool) -> End | None:
        """Note the failure, plan and pay for another attempt, or say why there is none."""
        policy, failures = self.policy, self._failures
        failure = error if counter.given_up == self._serial else self._counted(error)
        seconds = None if self._started is None else clocks.current.now() - self._started
        failures.append((failure, seconds, self.delay))
        end = forbidden(policy, self.left) if retryable else End.PERMANENT
        if end is not None:
            return end
        self._outside = outside = around()
        delay = pause(policy, answer, len(failures), self.delay, outside.until)
        if delay is None:
            return End.DEADLINE
        if outside.purse is None:
            self.left -= 1
        elif not self._pay():
            return End.ATTEMPTS
        if (policy.budget is not None and not self._take(policy.budget)) or not allowed():
            return End.BUDGET
        self.delay = delay
        self._number += 1
        if listeners or policy.listeners:
            self._tell(Kind.RETRY, delay=delay, error=answer)
        return None

    def _earn(self, budget: "Shared") -> None:
        try:
            budget.earn()
        except Exception:  # noqa: BLE001 - it must not keep the call from being made
            complain("a retry budget failed: %r", budget)

    def _take(self, budget: "Shared") -> bool:
        try:
            return budget.take()
        except Exception:  # noqa: BLE001 - it must not hide why it was asked
            complain("a retry budget failed: %r", budget)
            return False

    def _pay(self) -> bool:
        with counter.lock:
            return self.spend()

    def _give_up(self, error: Exception | None) -> None:
        counter.given_up = next(counter.numbers)
        why = self.end or End.PERMANENT
        if error is not None and (len(self._failures) > 1 or why is not End.PERMANENT):
            annotate(error, self.attempts, why)
            counter.given_up = next(counter.numbers)
        if listeners or self.policy.listeners:
            self._tell(Kind.GAVE_UP, error=error, why=why)

    def _tell(self, kind: Kind, *, delay: float | None = None, error: object = None, why: str = "") -> None:
        known = error if isinstance(error, BaseException) else None
        tell(
            Event(kind=kind, name=self.name, attempt=self._number, delay=delay, error=known, why=why),
            self.policy.listeners,
        )
