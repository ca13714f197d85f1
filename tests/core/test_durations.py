"""Durations, read and spelt."""

import contextlib

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.durations import parse, spell


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30m", 1800),
        ("90s", 90),
        ("1h30m", 5400),
        (" 2d ", 172_800),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("0s", 0),
        (45, 45),
        (0.5, 0.5),
    ],
)
def test_what_people_write(written: object, seconds: float) -> None:
    """Numbers with units, and plain numbers of seconds, are durations."""
    assert parse(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    ["", " ", "30", "m", "30 m", "30m1h", "1h1h", "-5s", "1e9s", "1_0s", "٣s", "1.s", "9" * 400 + "s", "soon"],
)
def test_what_is_no_duration(written: str) -> None:
    """Text that is none is refused, and quoted."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse(written)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (True, "true is not a duration"),
        (None, "not NoneType"),
        (["30m"], "not list"),
        (-1, "cannot be negative"),
        (-0.001, "cannot be negative"),
        (float("nan"), "no sensible duration"),
        (float("inf"), "no sensible duration"),
        (10**400, "no sensible duration"),
        ("999999999d", "no sensible duration"),
    ],
)
def test_values_that_are_no_duration(written: object, why: str) -> None:
    """Other kinds of value, negative and endless numbers are refused with a reason."""
    with pytest.raises(ValueError, match=why):
        parse(written)


@pytest.mark.parametrize(
    ("seconds", "spelt"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (1.5, "1.5s"),
        (60, "1m"),
        (5400, "1h30m"),
        (90_061.25, "1d1h1m1.25s"),
        (59.9996, "1m"),
    ],
)
def test_spelling(seconds: float, spelt: str) -> None:
    """A duration is spelt in the largest units that fit."""
    assert spell(seconds) == spelt


@given(some.integers(min_value=0, max_value=10**12))
def test_what_is_spelt_can_be_read(milliseconds: int) -> None:
    """Every duration up to the longest survives being spelt and read, to the millisecond."""
    assert round(parse(spell(milliseconds / 1000)) * 1000) == milliseconds


@given(some.text() | some.integers() | some.floats() | some.none())
def test_whatever_is_written(written: object) -> None:
    """Anything is a sensible number of seconds, or refused as a value."""
    with contextlib.suppress(ValueError):
        assert 0 <= parse(written) <= 1e9
