"""Words of which there are only some: a wrong one is refused at the call, with those that there are."""

import difflib

from collections.abc import Collection

from ..errors import UsageError


def check(word: object, known: Collection[str], what: str) -> None:
    """Raise UsageError if a word is not among the known ones; ``what`` names them all, in the singular."""
    if word not in known:
        close = difflib.get_close_matches(str(word), known, 1, 0.5)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"There is no {what} {word!r}.{meant}", advice=f"There are: {', '.join(known)}.")
