"""Refuse a word that is none of those there are, and say what may have been meant."""

import difflib

from collections.abc import Sequence

from ..errors import UsageError


def check(word: str, choices: Sequence[str], what: str) -> None:
    """Raise UsageError for a word that is no choice; ``what`` names what is chosen, in the singular."""
    if word not in choices:
        close = difflib.get_close_matches(str(word), choices, 1, 0.5)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"There is no {what} {word!r}.{meant}", advice=f"There are: {', '.join(choices)}.")
