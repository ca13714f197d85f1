"""Whether the wall clock was set since a file was changed, from what it was at other times.

A clock is known by its *offset*: the Unix time of the boot by that clock. Time that passes does not change it, nor
does sleep or the gentle correction by a time server; only a step does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Clock


EXACT = 0.2  # seconds within which two offsets are the same clock: reading two clocks takes time
ROUGH = 5.0  # the same where one is the boot's, told by files that were made in its first seconds
BOOT_MARGIN = 60.0  # seconds that a change must lie before the boot to count as older


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The clock as it was at one time of this boot."""

    at: float  # seconds since boot
    offset: float  # Unix time
    rough: bool = False  # told by the first device files


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """What is known of the clock since a change."""

    clock: Clock
    advanced: float = 0.0  # seconds by which the clock is known to have been set forward: no age at all


def steadiness(changed_at: float, anchors: Sequence[Anchor], *, offset: float, since_boot: float) -> Steadiness:
    """Of the clock since ``changed_at`` (Unix time), by anchors in the order of time, with ``offset`` now.

    ``since_boot`` is now, in seconds. A clock that was set before the change says nothing of the time since: so an
    anchor whose clock could not have come to ``changed_at`` by now, had it gone on, does not count.

    Steady needs an anchor from *before* the change, and none since then that disagrees. That is no proof: a clock
    that was set and set right again between two anchors passes for steady. If it was ahead, the change seems younger
    than it is. If it was behind, the change seems *older*, by as much. So this may say what an age is worth, which
    is a margin on top of other proofs, but not who was there first: see :func:`~.staleness.came_later`.
    """
    anchors = [anchor for anchor in anchors if changed_at <= anchor.offset + since_boot + _tolerance(anchor)]
    agreeing = _latest_that_agree(anchors, offset)
    before = [anchor for anchor in agreeing if anchor.at + offset <= changed_at]
    if before:
        return Steadiness(clock=Clock.STEADY)
    if len(agreeing) < len(anchors):
        return Steadiness(clock=Clock.SET, advanced=max(0.0, offset - min(anchor.offset for anchor in anchors)))
    return Steadiness(clock=Clock.UNKNOWN)


def before_boot(changed_at: float, anchors: Sequence[Anchor], *, offset: float) -> bool:
    """Whether a change is older than the boot, unless the clock was set back and right again between two anchors.

    An old change time alone proves nothing: where the clock was set forward since the boot, yesterday's time is
    on a lock of today. So the clock must be known from the first seconds on, and be the same at every anchor since.
    What remains is why this is a proof only together with a sight of everybody.
    """
    known_from_the_start = any(anchor.rough for anchor in _latest_that_agree(anchors, offset))  # it is the first of all
    return known_from_the_start and changed_at < offset - BOOT_MARGIN


def _latest_that_agree(anchors: Sequence[Anchor], offset: float) -> list[Anchor]:
    found: list[Anchor] = []
    for anchor in reversed(anchors):
        if abs(anchor.offset - offset) > _tolerance(anchor):
            break
        found.append(anchor)
    return found


def _tolerance(anchor: Anchor) -> float:
    return ROUGH if anchor.rough else EXACT
