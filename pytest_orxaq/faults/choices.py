"""What a caller may choose from, and what may have been meant by a word that is none of it."""

import difflib

from collections.abc import Collection

from ..errors import UsageError


def check(word: str, choices: Collection[str], what: str) -> None:
    """Raise UsageError, with the choices, if a word is none of them. ``what`` is a thing of that sort: ``kind of lock``."""
    if word not in choices:
        raise UsageError(
            f"There is no {what} {word!r}.{meant(word, choices)}", advice=f"There are: {', '.join(choices)}."
        )


def meant(word: str, choices: Collection[str]) -> str:
    """A question that follows a sentence: which of the choices was meant; empty if none is close."""
    close = difflib.get_close_matches(word, choices, 1, 0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
