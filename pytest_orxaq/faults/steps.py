"""What a scripted server does with one request, or one connection, after the other."""

import datetime as dt
import email.utils
import math
import re

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..core import faultplans
from ..errors import UsageError
from . import choices
from .choices import check
from .troubles import Truth


MOST = 10_000  # steps of one script
_LINE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PASSING = {408, 425, 429}  # statuses below 500 that are over some time


@dataclass(frozen=True, slots=True)
class Step:
    """Something that a server does."""

    usually: ClassVar[Truth | None] = "transient"  # None: it is no trouble

    @property
    def truth(self) -> Truth | None:
        """What a good gate should make of it; None: it is no trouble."""
        return self.usually

    @property
    def waits_for(self) -> "Step | None":
        """What it does in the end, where that is another step."""
        return None


@dataclass(frozen=True, slots=True)
class Ok(Step):
    """All is well: 200 with this body; without one, from a proxy, what its upstream answers."""

    usually: ClassVar[Truth | None] = None
    body: bytes | str = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        choices.text(self.body, "body", raw=True)
        if not isinstance(self.headers, Mapping):
            raise UsageError(f"headers={self.headers!r} are none.", advice="A dict: {'ETag': '1'}.")
        for name, value in self.headers.items():
            _field(name, "the name of a header")
            _field(value, name)

    def __str__(self) -> str:
        return "ok"


@dataclass(frozen=True, slots=True)
class Status(Step):
    """An answer with this status; ``retry_after`` in seconds, as a moment, or as it is to be said."""

    code: int
    retry_after: str | float | dt.datetime | None = None
    body: bytes | str = b""

    def __post_init__(self) -> None:
        if type(self.code) is not int or not 200 <= self.code <= 599:
            raise UsageError(f"There is no status {self.code!r}.", advice="A whole number from 200 to 599.")
        choices.text(self.body, "body", raw=True)
        match self.retry_after:
            case None:
                pass
            case dt.datetime(tzinfo=None):
                advice = "For instance datetime.now(UTC) + timedelta(…)."
                raise UsageError("retry_after has no time zone.", advice=advice)
            case dt.datetime():
                pass
            case str() as said:  # what servers should not say is said too
                _field(said, "retry_after")
            case number:
                choices.seconds(number, "retry_after")

    @property
    def truth(self) -> Truth:
        """Who is told that it is his own mistake need not ask again, unless he was only too early or too often there."""
        return "permanent" if 400 <= self.code < 500 and self.code not in _PASSING else "transient"

    @property
    def header(self) -> str | None:
        """The value of Retry-After. HTTP knows whole seconds only: parts of one are rounded up."""
        match self.retry_after:
            case dt.datetime() as moment:
                return email.utils.format_datetime(moment.astimezone(dt.UTC), usegmt=True)
            case int() | float() as seconds:
                return str(math.ceil(seconds))
            case said:
                return said

    def __str__(self) -> str:
        # A moment differs from one repetition to the next.
        moment = isinstance(self.retry_after, dt.datetime)
        after = "" if self.retry_after is None else ",a date" if moment else f",{self.header}"
        return f"status({self.code}{after})"


@dataclass(frozen=True, slots=True)
class Reset(Step):
    """The connection is reset (RST), after so many bytes of the body; with none, before any answer."""

    after: int = 0

    def __post_init__(self) -> None:
        choices.whole(self.after, "after")

    def __str__(self) -> str:
        return f"reset({self.after})" if self.after else "reset"


@dataclass(frozen=True, slots=True)
class Truncate(Step):
    """The connection is closed after so many bytes of a body whose Content-Length says ``total``; None: its real length."""

    after: int
    total: int | None = None

    def __post_init__(self) -> None:
        choices.whole(self.after, "after")
        if self.total is not None:
            choices.whole(self.total, "total")
        if self.total is not None and self.total <= self.after:
            raise UsageError(f"Nothing is missing: {self.after} bytes are sent, and {self.total} are announced.")

    def __str__(self) -> str:
        return f"truncate({self.after})" if self.total is None else f"truncate({self.after},{self.total})"


@dataclass(frozen=True, slots=True)
class Slow(Step):
    """Real seconds pass, then comes another step; None: all is well."""

    seconds: float
    then: Step | None = None

    def __post_init__(self) -> None:
        choices.seconds(self.seconds, "seconds")

    @property
    def waits_for(self) -> Step | None:
        """See Step."""
        return self.then

    def __str__(self) -> str:
        return f"slow({self.seconds:g})" if self.then is None else f"slow({self.seconds:g}), then {self.then}"


@dataclass(frozen=True, slots=True)
class Drip(Step):
    """The body comes at so many bytes a second."""

    bytes_per_s: float
    body: bytes | str = b""

    def __post_init__(self) -> None:
        choices.rate(self.bytes_per_s, "bytes_per_s")
        choices.text(self.body, "body", raw=True)

    def __str__(self) -> str:
        return f"drip({self.bytes_per_s:g})"


@dataclass(frozen=True, slots=True)
class Hang(Step):
    """The request is read and never answered; when the faults are healed, the connection is closed."""

    def __str__(self) -> str:
        return "hang"


@dataclass(frozen=True, slots=True)
class Garbage(Step):
    """These bytes are sent instead of an answer, and the connection is closed."""

    data: bytes | str = b"\x00\xff\x00garbage\r\n"

    def __post_init__(self) -> None:
        choices.text(self.data, "data", raw=True)

    def __str__(self) -> str:
        return "garbage"


@dataclass(frozen=True, slots=True)
class Redirect(Step):
    """A redirection (302): to another address, or with ``loop`` to one that redirects to itself."""

    usually: ClassVar[Truth | None] = "permanent"
    to: str = ""
    loop: bool = False

    def __post_init__(self) -> None:
        if bool(self.to) == self.loop:
            raise UsageError("A redirection goes somewhere, or round in a loop.", advice="to='/path', or loop=True.")
        _field(self.to, "to")

    def __str__(self) -> str:
        return "redirect(loop)" if self.loop else "redirect"


@dataclass(frozen=True, slots=True)
class Refuse(Step):
    """Nobody listens at the port, for so many real seconds; None: until ``reopen()``, the next script, or peace."""

    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None:
            choices.seconds(self.seconds, "seconds")

    def __str__(self) -> str:
        return "refuse" if self.seconds is None else f"refuse({self.seconds:g})"


def _field(words: object, what: str) -> None:
    """Raise UsageError for what is no part of a head: one more line in it would be another header."""
    choices.text(words, what)
    if not _LINE.fullmatch(str(words)):
        raise UsageError(
            f"{what}={words!r} cannot stand in a header.", advice="One line of Latin-1; Garbage(…) sends all."
        )


# ---------------------------------------------------------------- in words


def _redirect(to: str) -> Redirect:
    return Redirect(loop=True) if to == "loop" else Redirect(to=to)


# What makes a step, what its arguments are, and how many of them have to be said.
_WORDS: dict[str, tuple[Callable[..., Step], tuple[Callable[[str], Any], ...], int]] = {
    "ok": (Ok, (str,), 0),
    "status": (Status, (int, str), 1),
    "reset": (Reset, (int,), 0),
    "truncate": (Truncate, (int, int), 1),
    "slow": (Slow, (float,), 1),
    "drip": (Drip, (float, str), 1),
    "hang": (Hang, (), 0),
    "garbage": (Garbage, (str,), 0),
    "redirect": (_redirect, (str,), 1),
    "refuse": (Refuse, (float,), 0),
}


_SORTS: dict[object, str] = {int: "a whole number", float: "a number", str: "a text"}


def read(text: str) -> tuple[list[Step], Step]:
    """The steps of a plan in words, and what holds after them. Raises UsageError."""
    plan = faultplans.parse(text, _WORDS)
    if plan.length > MOST:
        raise UsageError(f"The plan {text!r} has {plan.length:,} steps.", advice=f"A script has at most {MOST:,}.")
    steps = [_made(step, text) for step in plan.steps for _ in range(step.count)]
    return steps, _made(plan.then, text)


def _made(step: faultplans.Step, text: str) -> Step:
    make, kinds, least = _WORDS[step.name]
    if not least <= len(step.arguments) <= len(kinds):
        many = f"{least} to {len(kinds)}" if least < len(kinds) else str(least)
        raise UsageError(f"The plan {text!r} says {step}: {step.name} takes {many} in brackets.")
    try:
        return make(*(kind(word) for kind, word in zip(kinds, step.arguments, strict=False)))
    except ValueError:
        sorts = ", ".join(_SORTS[kind] for kind in kinds)
        raise UsageError(f"The plan {text!r} says {step}.", advice=f"In brackets stands {sorts}.") from None


def check_steps(steps: Collection[object], allowed: Collection[type[Step]], where: str) -> None:
    """Raise UsageError for what is no step, or none of those that are possible there."""
    names = {kind.__name__: kind for kind in allowed}
    for step in steps:
        if not isinstance(step, Step):
            advice = f"There are: {', '.join(f'{name}(…)' for name in names)}; or all of it in words."
            raise UsageError(f"{step!r} is no step of a script.", advice=advice)
        check(type(step).__name__, names, f"step {where}")
        if step.waits_for is not None:
            check_steps([step.waits_for], [kind for kind in allowed if kind is not Refuse], f"{where}, after a wait")
