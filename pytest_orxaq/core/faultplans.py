"""Plans of trouble: what happens at the first call, at the second, and from then on. Counted, never by chance.

In words a plan reads ``2*fail(128)->ok``: twice the one, then the other for good. The form is that of the failpoints of
`fail-rs <https://docs.rs/fail>`_, with words of our own::

    plan   = step *("->" step)
    step   = [count "*"] name ["(" argument *("," argument) ")"]

A last step without a count holds from then on; after one with a count all goes well (``ok``).
"""

import re

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import UsageError


MOST = 1_000_000  # calls that one step can be for
_STEP = re.compile(r"\s*(?:(\d+)\s*\*\s*)?([A-Za-z_][A-Za-z0-9_-]*)\s*(?:\(([^()]*)\))?\s*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens, with what, and how many times in a row."""

    name: str
    arguments: tuple[str, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        times = f"{self.count}*" if self.count > 1 else ""
        return f"{times}{self.name}({','.join(self.arguments)})" if self.arguments else f"{times}{self.name}"


OK = Step(name="ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps, and what holds after them."""

    steps: tuple[Step, ...]
    then: Step = OK

    @property
    def length(self) -> int:
        """The number of calls after which only ``then`` is left."""
        return sum(step.count for step in self.steps)

    def at(self, number: int) -> Step:
        """What happens at a call, counted from 1."""
        for step in self.steps:
            if number <= step.count:
                return step
            number -= step.count
        return self.then

    def __str__(self) -> str:
        # The last step without a count is what holds from then on: one that is counted once has to say so.
        *before, last = self.steps or (self.then,)
        counted = f"1*{last}" if self.steps and last.count == 1 and self.then == OK else str(last)
        after = () if not self.steps or self.then == OK else (str(self.then),)
        return "->".join([*map(str, before), counted, *after])


def parse(text: str, known: Collection[str], *, sorts: str = "") -> Plan:
    """The plan that a text describes; ``known`` are the names that may happen, besides ``ok``.

    ``sorts`` says in words which these are, where they are too many to be read.

    Raises UsageError with the place, the names known and what may have been meant.
    """
    steps = [_step(part, text, sorted({*known, OK.name}), sorts) for part in text.split("->")]
    last, counted = steps[-1]
    if counted:
        return Plan(steps=tuple(step for step, _ in steps))
    return Plan(steps=tuple(step for step, _ in steps[:-1]), then=last)


def _step(part: str, text: str, known: Collection[str], sorts: str) -> tuple[Step, bool]:
    """One step, and whether its count was said."""
    found = _STEP.match(part)
    if not found:
        what = f"{part.strip()!r} is no step" if part.strip() else "a step is missing"
        raise UsageError(
            f"The plan {text!r} cannot be read: {what}.",
            advice="A plan is made of steps such as fail(128), 2*fail or ok, with -> between them.",
        )
    count, name, arguments = found.groups()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"The plan {text!r} says {name!r}.{meant}", advice=f"What can happen: {sorts or ', '.join(known)}."
        )
    if count is not None and not 1 <= int(count) <= MOST:
        raise UsageError(f"The plan {text!r} counts to {count}.", advice=f"A count is from 1 to {MOST:,}.")
    words = tuple(word.strip() for word in arguments.split(",")) if arguments and arguments.strip() else ()
    return Step(name=name, arguments=words, count=int(count or 1)), count is not None
