"""Which failures of a test may be tried again, by the type of the exception: never by its words, which tests control."""

import errno

from collections.abc import Callable
from typing import Final


_LONGEST_CHAIN: Final = 50  # exceptions; a chain of causes can be a circle

# TimeoutError and the family of ConnectionError have types; these have none of their own.
_ERRNOS: Final = frozenset(
    getattr(errno, name)
    for name in ("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETRESET", "ENETUNREACH", "EAGAIN", "EINTR", "ETXTBSY")
    if hasattr(errno, name)
)
_EAI_AGAIN: Final = frozenset({-3, 2, 11002})  # Linux, macOS, Windows: they do not overlap


def transient(error: BaseException) -> bool:
    """Whether the machine or the network is to blame, as the type or the errno of the exception or of a cause says."""
    return _any_cause(error, _is_transient)


def caused_by(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Whether the exception, or what caused it, is of one of the types; of a group, whether all in it are."""
    return _any_cause(error, lambda link: isinstance(link, types) or None)


def _any_cause(error: BaseException, judge: Callable[[BaseException], bool | None]) -> bool:
    """What the first link of the chain says that says anything.

    Only ``raise … from`` makes a cause: an assertion that fails *while* a lost connection is handled is an assertion.
    """
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            break
        verdict = judge(link)
        if verdict is None and isinstance(link, BaseExceptionGroup):
            verdict = all(_any_cause(member, judge) for member in link.exceptions)
        if verdict is not None:
            return verdict
        link = link.__cause__
    return False


def _is_transient(link: BaseException) -> bool | None:
    """True or False where the type decides; None where only its cause can."""
    if isinstance(link, BaseExceptionGroup):
        return None
    if isinstance(link, AssertionError) or not isinstance(link, Exception):
        return False  # the code's fault; or somebody wants this to end
    if not isinstance(link, OSError):
        return None
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(link).__mro__}
    if "socket.gaierror" in names:
        return link.errno in _EAI_AGAIN  # the others say that there is no such name
    if isinstance(link, (ConnectionError, TimeoutError)):
        return True
    # The numbers of an SSLError are of another table: that of a bad certificate is 1, which is EPERM.
    return True if "ssl.SSLError" not in names and link.errno in _ERRNOS else None
