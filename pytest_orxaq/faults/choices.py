"""What a fixture is asked for, looked at before anything is made: a wrong word or number is refused at the call."""

import difflib
import math
import os
import shutil

from collections.abc import Collection, Mapping

from ..errors import UsageError


def check(word: object, known: Collection[str], what: str) -> None:
    """Raise UsageError if a word is not among the known ones; ``what`` names them all, in the singular."""
    if word not in known:
        raise UsageError(f"There is no {what} {word!r}.{meant(word, known)}", advice=f"There are: {', '.join(known)}.")


def meant(word: object, known: Collection[str]) -> str:
    """A question that follows a sentence: which of the known words was meant; empty if none is close."""
    if not isinstance(word, str):
        return ""
    # Letters that have changed places first: to difflib, gti is no closer to git than to tic.
    turned = [one for one in known if one != word and sorted(one) == sorted(word)]
    close = turned or difflib.get_close_matches(word, known, 1, 0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def whole(number: object, what: str, *, least: int = 0, most: int | None = None) -> None:
    """Raise UsageError for what is no whole number from ``least`` to ``most``; ``what`` is the option's name."""
    if type(number) is not int or number < least or (most is not None and number > most):
        upto = "" if most is None else f" to {most:,}"
        raise UsageError(f"{what}={number!r} is not possible.", advice=f"A whole number from {least}{upto}.")


def seconds(number: object, what: str, *, more_than: float | None = None) -> None:
    """Raise UsageError for what is no time that passes: a number from 0, or more than ``more_than``."""
    _number(number, what, "Seconds", more_than)


def rate(number: object, what: str) -> None:
    """Raise UsageError for what is no speed."""
    _number(number, what, "A number", 0)


def probability(number: object, what: str) -> None:
    """Raise UsageError for what is no probability."""
    if not isinstance(number, int | float) or not 0 <= number <= 1:
        raise UsageError(f"{what} is a probability, from 0 to 1, and not {number!r}.")


def path(said: object) -> None:
    """Raise UsageError for what no file can be called."""
    if not isinstance(said, str | os.PathLike) or not os.fspath(said) or "\0" in str(said):
        raise UsageError(f"{said!r} is no path.", advice="Say one below tmp_path.")


def _number(number: object, what: str, sort: str, more_than: float | None) -> None:
    fits = isinstance(number, int | float) and type(number) is not bool and math.isfinite(number)
    if not fits or number < 0 or (more_than is not None and number <= more_than):  # type: ignore[operator]
        bound = "from 0" if more_than is None else f"more than {more_than:g}"
        raise UsageError(f"{what}={number!r} is not possible.", advice=f"{sort}, {bound}.")


def text(words: object, what: str, *, raw: bool = False) -> None:
    """Raise UsageError for what is no text, nor (``raw``) bytes."""
    if not isinstance(words, str | bytes if raw else str):
        raise UsageError(f"{what}={words!r} is no text.", advice="Text or bytes." if raw else "")


def callback(function: object, what: str) -> None:
    """Raise UsageError for what cannot be called."""
    if not callable(function):
        raise UsageError(f"{what}={function!r} cannot be called.", advice="Give a function, not what it returns.")


def variables(said: object) -> None:
    """Raise UsageError for what is no environment; None is that of now."""
    if said is None:
        return
    if not isinstance(said, Mapping):
        raise UsageError(f"env={said!r} is no environment.", advice="A dict: {'LANG': 'C'}.")
    for name, value in said.items():
        text(name, "the name of a variable", raw=True)
        text(value, f"env[{name!r}]", raw=True)


def program(name: str, advice: str, search: str | None = None) -> None:
    """Raise UsageError for a command that is not found on a PATH, which is ours unless told."""
    if shutil.which(name, path=search) is None:
        known = _programs(search)
        raise UsageError(f"There is no command {name!r} on the PATH.{meant(name, known)}", advice=advice)


def _programs(search: str | None) -> set[str]:
    """The names in the folders of a PATH."""
    found: set[str] = set()
    for folder in os.get_exec_path() if search is None else search.split(os.pathsep):
        try:
            found.update(os.listdir(folder))
        except OSError:
            continue
    return found


def command_line(words: object) -> None:
    """Raise UsageError for what is no command as a list of words; one text would be taken for a list of letters."""
    if isinstance(words, str | bytes) or not isinstance(words, Collection) or not words:
        raise UsageError(f"{words!r} is no command.", advice="It is a list of words: ['sh', '-c', 'git pull'].")
    for word in words:
        if not isinstance(word, str) and not hasattr(word, "__fspath__"):
            raise UsageError(f"{word!r} is no word of a command.", advice="Words are texts or paths.")
        if "\0" in str(word):
            raise UsageError(f"{word!r} is no word of a command.", advice="None has a zero byte.")
