"""Telling a whole index of git's from a torn one."""

import hashlib

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.indexfile import fault_of


def index(entries: int = 1, *, version: int = 2, algorithm: str = "sha1") -> bytes:
    """An index with entries that mean nothing."""
    body = b"DIRC" + version.to_bytes(4, "big") + entries.to_bytes(4, "big") + b"e" * 72 * entries
    return body + hashlib.new(algorithm, body).digest()


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
@pytest.mark.parametrize("entries", [0, 1, 9])
def test_whole_ones(version: int, algorithm: str, entries: int) -> None:
    """An index of every version and hash is taken for whole."""
    assert fault_of(index(entries, version=version, algorithm=algorithm)) == ""


def test_one_without_a_checksum() -> None:
    """Where git was told not to sum up, zeros stand in the place of the sum."""
    assert fault_of(index()[:-20] + bytes(20)) == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is an empty file"),
        (b"rubbish" * 20, "does not begin like"),
        (b"DIRC\0\0\0\2", "is cut off"),
        (index(version=5), "is of version 5"),
        (index()[:12] + index()[-20:], "is too short for its 1 entries"),
        (index()[:93], "is too short for its 1 entries"),
        (index()[:94], "does not fit its checksum"),
        (index(version=(1 << 24) + 2), "is of version 16777218"),
        (b"DIRC\0\0\0\2\1" + index()[9:], "is too short for its 16777217 entries"),
        (index()[:-1] + b"x", "does not fit its checksum"),
    ],
    ids=["empty", "other", "cut", "version", "short", "one byte short", "long enough", "large version", "many", "sum"],
)
def test_torn_ones(content: bytes, why: str) -> None:
    """What is wrong is said."""
    assert fault_of(content).startswith(why)


@given(st.integers(min_value=0, max_value=len(index(3)) - 1))
def test_no_cut_goes_unnoticed(length: int) -> None:
    """An index that was cut off anywhere is not whole."""
    assert fault_of(index(3)[:length])


@given(st.integers(min_value=0, max_value=len(index(3)) - 21), st.integers(min_value=1, max_value=255))
def test_no_flipped_byte_goes_unnoticed(place: int, flip: int) -> None:
    """An index in which any byte was changed is not whole."""
    content = bytearray(index(3))
    content[place] ^= flip
    assert fault_of(bytes(content))


@given(st.binary(max_size=200))
def test_anything_can_be_asked(content: bytes) -> None:
    """Whatever a file holds, there is an answer."""
    assert isinstance(fault_of(content), str)
