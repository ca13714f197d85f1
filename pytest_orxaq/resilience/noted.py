"""What became of each attempt at a call, noted on the exception of the last one."""

from contextlib import suppress
from typing import Final, NamedTuple


HISTORY: Final = "__orxaq_attempts__"
_NOTE: Final = "orxaq: "


class CallAttempt(NamedTuple):
    """One attempt, as words: no exception is kept alive."""

    serial: int  # ascending over all attempts that failed in this process
    error: str  # type and message; empty for a success
    seconds: float | None  # that it took; None where nobody looked at the clock
    waited: float = 0.0  # before it

    @property
    def succeeded(self) -> bool:
        """Whether it did."""
        return not self.error

    def __str__(self) -> str:
        took = "" if self.seconds is None else f" after {self.seconds:.3g} s"
        waited = f"waited {self.waited:.3g} s, then " if self.waited else ""
        return f"{waited}{self.error or 'success'}{took}"


def described(error: BaseException) -> str:
    """Type and message of an exception, in one line; one that cannot say what it is must not hide behind that."""
    words = type(error).__name__
    with suppress(Exception):
        said = " ".join(str(error).split())
        words = f"{words}: {said}" if said else words
    return words if len(words) <= 300 else f"{words[:299]}…"


def history_of(error: object) -> tuple[CallAttempt, ...]:
    """The attempts that are noted on an exception."""
    with suppress(Exception):
        found = getattr(error, HISTORY, ())
        return found if isinstance(found, tuple) else ()
    return ()


def annotate(error: BaseException, attempts: tuple[CallAttempt, ...], why: str) -> None:
    """Note the attempts on the last one's exception."""
    lines = [f"  {number}. {attempt}" for number, attempt in enumerate(attempts, 1)]
    count = "1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts"
    # Exceptions can be anything, also frozen or shared; what cannot be noted is not worth another exception.
    with suppress(Exception):
        setattr(error, HISTORY, attempts)
        notes = getattr(error, "__notes__", [])
        notes[:] = [note for note in notes if not str(note).startswith(_NOTE)]
        error.add_note("\n".join([f"{_NOTE}{count}, then no other: {why}", *lines]))
