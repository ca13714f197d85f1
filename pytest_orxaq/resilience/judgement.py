"""Judge what failed. The rules are imported with the first failure: a program in which nothing fails need not wait for them."""

import builtins

from collections.abc import Callable, Iterable
from typing import Any, Final

from .clock import clocks


_BUILT_IN: Final = frozenset(
    kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)
)


def transient(error: BaseException) -> bool:
    """Whether trying the same again can help: a type, an errno or a status of the exception or of its cause says so."""
    from ..core import exceptions  # noqa: PLC0415 - see above

    return exceptions.transient(error)


def links_of(answer: object) -> Iterable[object]:
    """An exception and what caused it; anything else alone."""
    from ..core import exceptions  # noqa: PLC0415 - see above

    return exceptions.chain(answer) if isinstance(answer, BaseException) else (answer,)


def hint_in(answer: Any, find: Callable[[object], object] | None) -> float | None:
    """Seconds that an exception or a result asks to wait for, where ``find`` looks for the hint, or where it usually is."""
    # Python's own exceptions with nothing on them or behind them are the usual ones, and are to be seen at once.
    if (
        find is None
        and type(answer) in _BUILT_IN
        and answer.__context__ is None
        and answer.__cause__ is None
        and not answer.__dict__
    ):
        return None
    from ..core import hints  # noqa: PLC0415 - see above

    try:
        found = (hints.carried_by(link) for link in links_of(answer)) if find is None else iter((find(answer),))
        return next((hints.seconds_of(hint, now=clocks.current.wall()) for hint in found if hint is not None), None)
    except Exception:  # noqa: BLE001 - neither it nor a property of the exception may hide what was to be judged
        complain("looking for a hint of when to try again failed: %r", find or type(answer))
        return None


def complain(words: str, culprit: object) -> None:
    """Log the exception that is being handled: a function of the user's failed, and must not hide what it was to judge."""
    import logging  # noqa: PLC0415 - dear, and hardly ever needed

    logging.getLogger("pytest_orxaq").exception(words, culprit)  # noqa: LOG004 - it is called by those who handle one
