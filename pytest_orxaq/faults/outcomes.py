"""What a call may come to: an error of the system by its name, an exception, a value, or what the real thing does."""

import builtins
import copy
import errno
import os
import re

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, ClassVar, Literal

from ..core import faultplans
from ..errors import UsageError
from . import choices
from .choices import meant
from .troubles import Truth


Errno = Literal[
    "ECONNRESET",
    "ECONNREFUSED",
    "EPIPE",
    "ETIMEDOUT",
    "EINTR",
    "EAGAIN",
    "ENOSPC",
    "EROFS",
    "EIO",
    "EMFILE",
    "ETXTBSY",
    "EBUSY",
    "ESTALE",
    "EDQUOT",
    "ENOMEM",
]
Outcome = Errno | BaseException | type[BaseException] | Any

ERRNOS = {name: number for number, name in errno.errorcode.items()}
_ERRORS = {
    name: kind for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
}
_SORTS = "ok, names of the module errno such as ECONNRESET, and of Python's exceptions such as TimeoutError"
# What the machine has too little of, or will not let be written: trying again soon is of no use.
_MACHINE = {"EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EROFS", "ESTALE"}
_LIKE_ERRNO = re.compile(r"E[A-Z0-9]+")
_LIKE_PLAN = re.compile(r"\d+\s*\*|->")


@dataclass(frozen=True, slots=True)
class Returns:
    """A value that a call returns; for those that would mean something else as they stand: None, ``"EIO"``, an exception."""

    value: object

    truth: ClassVar[Truth] = "transient"

    @property
    def detail(self) -> str:
        """In words that are the same at every repetition: values may have addresses in theirs."""
        return f"a {type(self.value).__name__} is returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raises:
    """An exception, made anew for each call."""

    make: Callable[[], BaseException]
    detail: str
    truth: Truth


class Real:
    """The real thing is called."""

    detail: ClassVar[str] = "ok"


Turn = Raises | Returns | Real


def read(outcome: Outcome) -> Turn:
    """What an outcome stands for. Raises UsageError for what looks like the name of an error and is none."""
    if outcome is None:
        return Real()
    if isinstance(outcome, Returns):
        return outcome
    if isinstance(outcome, BaseException):
        return _raises(lambda: again(outcome))
    if isinstance(outcome, type) and issubclass(outcome, BaseException):
        return _raises(_maker(outcome))
    if isinstance(outcome, str) and _LIKE_PLAN.search(outcome):
        raise UsageError(f"{outcome!r} looks like a plan in words.", advice=f"Say plan={outcome!r}.")
    if isinstance(outcome, str) and (_LIKE_ERRNO.fullmatch(outcome) or outcome.upper() in ERRNOS):
        return _system_error(outcome)
    return Returns(outcome)


def read_plan(text: str) -> tuple[Iterator[Turn], str]:
    """What a plan in words stands for, call by call for good, and its words; its names are those of errors.

    Raises UsageError.
    """
    choices.text(text, "plan")
    plan = faultplans.parse(text, {*ERRNOS, *_ERRORS}, sorts=_SORTS)
    for step in (*plan.steps, plan.then):
        if step.arguments:
            raise UsageError(f"The plan {text!r} says {step}: {step.name} takes nothing in brackets.")
    known = {step.name: _named(step.name) for step in (*plan.steps, plan.then)}
    counted = chain.from_iterable(repeat(known[step.name], step.count) for step in plan.steps)
    return chain(counted, repeat(known[plan.then.name])), str(plan)


def _named(name: str) -> Raises | Real:
    if name == faultplans.OK.name:
        return Real()
    return _system_error(name) if name in ERRNOS else _raises(_maker(_ERRORS[name]))


def _system_error(name: str) -> Raises:
    """The exception that Python makes of an error of the system: its own subclass, with number and words."""
    if name not in ERRNOS:
        advice = "Names are those of the module errno. A value that looks like one: Returns(value)."
        raise UsageError(f"There is no system error {name!r}.{meant(name.upper(), ERRNOS)}", advice=advice)
    number = ERRNOS[name]
    return Raises(make=lambda: OSError(number, os.strerror(number)), detail=name, truth=_truth(number))


def _truth(number: int | None) -> Truth:
    return "environment" if errno.errorcode.get(number or 0) in _MACHINE else "transient"


def _maker(kind: type[BaseException]) -> Callable[[], BaseException]:
    def make() -> BaseException:
        try:
            return kind()
        except TypeError as error:
            advice = f"Give one that is made: {kind.__name__}(…)."
            raise UsageError(f"{kind.__name__} cannot be made of nothing: {error}.", advice=advice) from None

    return make


def _raises(make: Callable[[], BaseException]) -> Raises:
    sample = make()
    number = sample.errno if isinstance(sample, OSError) else None
    return Raises(make=make, detail=type(sample).__name__, truth=_truth(number))


def again(error: BaseException) -> BaseException:
    """The like of an exception, new: whoever raises one that was raised before lengthens its traceback."""
    try:
        fresh = copy.copy(error)
    except Exception:  # noqa: BLE001 - its class takes other arguments than those that it passes on
        fresh = _bare(error)
    if hasattr(error, "__notes__"):
        fresh.__notes__ = list(error.__notes__)
    fresh.__cause__, fresh.__suppress_context__ = error.__cause__, error.__suppress_context__
    return fresh


def _bare(error: BaseException) -> BaseException:
    """The like of an exception, made without its own ``__init__``."""
    fresh = type(error).__new__(type(error), *error.args)
    fresh.args = error.args  # where the class has a constructor of its own, those of the system forget them
    vars(fresh).update(vars(error))
    if isinstance(error, OSError) and isinstance(fresh, OSError):
        fresh.errno, fresh.strerror, fresh.filename = error.errno, error.strerror, error.filename
    return fresh
