"""When a test may be tried again: what the option says of any, and the marker ``transient`` of one."""

import math

from typing import Final, NamedTuple

import pytest

from .actions import Action
from .core.exceptions import caused_by, rule_for


RETRIES: Final = 2  # of a marked test that does not say
DELAY: Final = 1.0  # seconds, the most before the first retry


class Terms(NamedTuple):
    """When a test is tried again."""

    retries: int
    delay: float  # seconds, the most before the first retry; doubles
    on: tuple[type[BaseException], ...] | None = None  # of a marked test: only for these
    marked: bool = False

    def allow(self, error: BaseException) -> bool:
        """Whether this failure is one of those to be tried again."""
        if isinstance(error, pytest.FixtureLookupError):
            return False
        if not self.marked:
            rule = rule_for(error, explicit=True)
            # A server that answers "500" is, in a test, mostly the one that is tested.
            return rule is not None and rule.action is Action.RETRY and not rule.statuses
        if not isinstance(error, (Exception, pytest.fail.Exception)):
            return False  # somebody wants this to end
        return self.on is None or caused_by(error, self.on)


def mark_of(item: pytest.Item, name: str) -> pytest.Mark | None:
    """The closest marker of that name. Folders and functions can be called so too; asking for names first is cheaper."""
    return item.get_closest_marker(name) if name in item.keywords else None


def declared(mark: pytest.Mark, general: Terms) -> Terms | str:
    """What a marker says, or what is wrong with it."""
    known = {"retries": general.retries, "delay": general.delay, "on": None}
    wrong = [f"it takes no argument {name!r}" for name in mark.kwargs if name not in known]
    if mark.args:
        wrong.append("it takes arguments by name only")
    given = {**known, **mark.kwargs}
    retries, delay, on = given["retries"], given["delay"], given["on"]
    if type(retries) is not int or retries < 0:
        wrong.append(f"retries must be a whole number from 0, not {retries!r}")
    if type(delay) not in {int, float} or not 0 <= delay < math.inf:
        wrong.append(f"delay must be seconds, not {delay!r}")
    types = on if isinstance(on, tuple) else (on,)
    if on is not None and not (types and all(_is_failure(kind) for kind in types)):
        wrong.append(f"on must be an exception type or a tuple of these, not {on!r}")
    if wrong:
        return f"@pytest.mark.transient(retries=2, delay=1.0, on=(ConnectionError,)): {'; '.join(wrong)}"
    return Terms(retries, float(delay), None if on is None else types, marked=True)


def _is_failure(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, (Exception, pytest.fail.Exception))
