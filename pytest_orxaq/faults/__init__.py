"""Trouble made on purpose, for tests of what works in git repositories with nobody watching.

The fixtures stand in :mod:`.fixtures`, which pytest loads. Here are the words that tests need besides them: what they
hand to a fixture, and the types of what it returns.
"""

from importlib import import_module
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .calls import FlakyCall as FlakyCall
    from .handles import GitLock as GitLock
    from .isolation import Git as Git
    from .outcomes import Outcome as Outcome
    from .outcomes import Returns as Returns
    from .recipes import LockKind as LockKind
    from .troubles import Arm as Arm
    from .troubles import FaultEvent as FaultEvent
    from .troubles import Faults as Faults
    from .troubles import Truth as Truth

_WHERE = {
    "Arm": "troubles",
    "FaultEvent": "troubles",
    "Faults": "troubles",
    "FlakyCall": "calls",
    "Git": "isolation",
    "GitLock": "handles",
    "LockKind": "recipes",
    "Outcome": "outcomes",
    "Returns": "outcomes",
    "Truth": "troubles",
}


def __getattr__(name: str) -> object:
    """Fetch a word from its module when it is asked for: this package is imported in every pytest run of its users."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
