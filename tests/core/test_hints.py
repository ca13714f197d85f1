"""When the other side wants us back."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.hints import carried_by, seconds_of


NOW = 1_445_412_470.0  # Wed, 21 Oct 2015 07:27:50 GMT


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [
        (5, 5.0),
        (2.5, 2.5),
        (-3, 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        pytest.param(b"7", 7.0, id="bytes"),
        (timedelta(minutes=1), 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 10.0),
        ("Wed Oct 21 07:28:00 2015", 10.0),
        ("Wed, 21 Oct 2015 09:28:00 +0200", 10.0),
    ],
)
def test_hints_are_read(hint: object, seconds: float) -> None:
    """Seconds in any form, and dates in the three forms of HTTP, mean seconds from now, never below 0."""
    assert seconds_of(hint, now=NOW) == seconds


@pytest.mark.parametrize(
    "hint",
    [
        None,
        True,
        "",
        "soon",
        "1.2.3",
        "²",
        "-5",
        float("nan"),
        float("inf"),
        10**400,
        [],
        "Wed, 21 Foo 2015 07:28:00 GMT",
        "0, 0 Jan 0 0",
        "Wed, 21 Oct 99999999 07:28:00 GMT",
        "Wed, 21 Oct 99999999999999999 07:28:00 GMT",
    ],
)
def test_nonsense_is_no_hint(hint: object) -> None:
    """What makes no sense is no hint, and no error."""
    assert seconds_of(hint, now=NOW) is None


@given(some.text() | some.binary() | some.floats() | some.integers())
def test_no_hint_does_harm(hint: object) -> None:
    """Whatever a server says, there is a number from 0, or none."""
    found = seconds_of(hint, now=NOW)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    "answer",
    [
        SimpleNamespace(retry_after=9),
        SimpleNamespace(response=SimpleNamespace(headers={"Retry-After": 9})),
        SimpleNamespace(headers={"retry-after": 9}),
        SimpleNamespace(response={"ResponseMetadata": {"HTTPHeaders": {"retry-after": 9}}}),
    ],
)
def test_hints_are_found(answer: object) -> None:
    """In an attribute, in the headers of the response or of itself, also as botocore keeps them."""
    assert carried_by(answer) == 9


@pytest.mark.parametrize(
    "answer",
    [
        SimpleNamespace(),
        SimpleNamespace(retry_after=None, headers={}),
        SimpleNamespace(headers="none"),
        SimpleNamespace(response={"ResponseMetadata": None}),
        SimpleNamespace(response={}),
    ],
)
def test_most_carry_none(answer: object) -> None:
    """Without one there is none."""
    assert carried_by(answer) is None
