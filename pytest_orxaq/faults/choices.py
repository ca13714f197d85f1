"""Words of which there are only some: a wrong one is refused at the call, with those that there are."""

import difflib

from collections.abc import Collection

from ..errors import UsageError


def check(word: object, known: Collection[str], what: str) -> None:
    """Raise UsageError if a word is not among the known ones; ``what`` names them all, in the singular."""
    if word not in known:
        raise UsageError(
            f"There is no {what} {word!r}.{meant(str(word), known)}", advice=f"There are: {', '.join(known)}."
        )


def meant(word: str, known: Collection[str]) -> str:
    """A question that follows a sentence: which of the known words was meant; empty if none is close."""
    close = difflib.get_close_matches(word, known, 1, 0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
