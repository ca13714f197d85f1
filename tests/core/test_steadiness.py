"""Whether the clock was set: what anchors say of the time between a change and now."""

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.steadiness import BOOT_MARGIN, EXACT, ROUGH, Anchor, before_boot, steadiness
from pytest_orxaq.model import Clock


BOOT = 1_000_000.0  # the offset now
LONG = 100_000.0  # seconds since boot: time enough for any clock to have come to the changes here
AT_BOOT = Anchor(at=0.0, offset=BOOT + 1, rough=True)


def read(at: float, offset: float = BOOT) -> Anchor:
    """An anchor of ours."""
    return Anchor(at=at, offset=offset)


def clock(changed_at: float, *anchors: Anchor) -> Clock:
    """What is known of the clock since a change."""
    return steadiness(changed_at, anchors, offset=BOOT, since_boot=LONG).clock


def test_steady_needs_an_anchor_from_before() -> None:
    """An anchor that agrees counts if it is older than the change; a later one proves nothing, nor does none."""
    assert clock(BOOT + 100, read(100.0)) is Clock.STEADY
    assert clock(BOOT + 99, read(100.0)) is Clock.UNKNOWN
    assert clock(BOOT + 99) is Clock.UNKNOWN


def test_a_clock_that_was_set_after_the_change() -> None:
    """An anchor from before the change that differs means that it was set, and by how much it went forward."""
    found = steadiness(BOOT + 200, [read(100.0, BOOT - 50), read(300.0)], offset=BOOT, since_boot=LONG)
    assert (found.clock, found.advanced) == (Clock.SET, 50.0)
    assert steadiness(BOOT + 200, [read(100.0, BOOT + 50)], offset=BOOT, since_boot=LONG).advanced == 0.0


def test_a_clock_that_was_set_and_steady_since() -> None:
    """What was set before the change does not matter; what was set and set back in between does."""
    assert clock(BOOT + 400, read(100.0, BOOT - 50), read(300.0)) is Clock.STEADY
    assert clock(BOOT + 400, read(100.0), read(300.0, BOOT - 50)) is Clock.SET
    assert clock(BOOT + 400, read(100.0), read(300.0, BOOT - 50), read(500.0)) is Clock.SET


def test_a_clock_that_was_set_before_the_change_is_another_one() -> None:
    """A machine woken days after its image was made: what changed since then was changed under the clock of now."""
    asleep = Anchor(at=0.0, offset=BOOT - 400_000, rough=True)
    found = steadiness(BOOT + 8_000, [asleep], offset=BOOT, since_boot=9_000)
    assert (found.clock, found.advanced) == (Clock.UNKNOWN, 0.0)
    before = steadiness(BOOT - 400_000 + 8_000, [asleep], offset=BOOT, since_boot=9_000)
    assert (before.clock, before.advanced) == (Clock.SET, 400_000.0)
    assert steadiness(BOOT + 8_000, [asleep, read(7_000.0)], offset=BOOT, since_boot=9_000).clock is Clock.STEADY


def test_the_boots_own_anchor_is_rough() -> None:
    """The first device files tell the clock within seconds."""
    assert clock(BOOT + 100, AT_BOOT) is Clock.STEADY
    assert clock(BOOT + 100, AT_BOOT, read(50.0)) is Clock.STEADY
    assert clock(BOOT + 100, Anchor(at=0.0, offset=BOOT + ROUGH + 0.1, rough=True)) is Clock.SET
    assert clock(BOOT + 100, read(50.0, BOOT + EXACT + 0.1)) is Clock.SET


def test_before_the_boot_needs_a_clock_known_from_the_start() -> None:
    """A change is older than the boot only if the clock was right in the first seconds, and ever since."""
    long_ago = BOOT - BOOT_MARGIN - 1
    assert before_boot(long_ago, [AT_BOOT, read(9.0)], offset=BOOT)
    assert not before_boot(BOOT - BOOT_MARGIN, [AT_BOOT], offset=BOOT)
    assert not before_boot(long_ago, [], offset=BOOT)
    assert not before_boot(long_ago, [read(9.0)], offset=BOOT)
    assert not before_boot(long_ago, [AT_BOOT, read(9.0, BOOT - 500), read(10.0)], offset=BOOT)
    assert not before_boot(long_ago, [Anchor(at=0.0, offset=1.0, rough=True), read(10.0)], offset=BOOT)


@pytest.mark.parametrize("rough", [True, False])
@given(
    made=some.floats(0, 10_000),
    read_at=some.floats(0, 10_000),
    stepped_at=some.floats(0, 10_000),
    step=some.floats(0, 1e6),
    later=some.floats(0, 10_000),
)
def test_one_step_forward_is_never_missed(
    made: float, read_at: float, stepped_at: float, step: float, later: float, *, rough: bool
) -> None:
    """A lock of this boot never passes for steady or for older than it by more than the anchors allow, whatever one step forward did."""
    began = BOOT - step  # the clock before the step; after it the offset is BOOT
    first = Anchor(at=0.0, offset=began + 1, rough=True) if rough else None
    anchors = [
        *([first] if first else []),
        read(read_at, began if read_at < stepped_at else BOOT),
    ]
    changed_at = made + (began if made < stepped_at else BOOT)
    found = steadiness(changed_at, anchors, offset=BOOT, since_boot=max(made, read_at, stepped_at) + later)
    if found.clock is Clock.STEADY:
        assert made + BOOT - changed_at <= (2 * ROUGH if rough else EXACT) + 1e-6
    assert not before_boot(changed_at, anchors, offset=BOOT)


def test_what_was_set_and_set_right_is_not_seen() -> None:
    """A clock that was behind between two anchors passes for steady: who was there first is not for it to say."""
    made, behind = 500.0, 300.0
    changed_at = BOOT - behind + made
    assert clock(changed_at, read(100.0), read(900.0)) is Clock.STEADY
    holders_start = BOOT + made - 1  # as it is told by the clock of now
    assert holders_start > changed_at
    assert before_boot(BOOT - 1000 + made, [AT_BOOT, read(900.0)], offset=BOOT)
