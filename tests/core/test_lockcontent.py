"""What locks hold, told in pieces."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.lockcontent import LockContent


BODIES = st.binary(max_size=200).map(lambda body: b"DIRC" + body)
LOCKS = st.one_of(
    st.binary(max_size=200),
    BODIES,
    BODIES.map(lambda body: body + hashlib.sha1(body, usedforsecurity=False).digest()),
    BODIES.map(lambda body: body + hashlib.sha256(body).digest()),
    BODIES.map(lambda body: body + bytes(20)),
    st.text("0123456789abcdefg", min_size=39, max_size=65).map(lambda name: f"{name}\n".encode()),
)


def expected(content: bytes) -> str:
    """By the whole, as simply as it can be said."""
    if not content:
        return "empty"
    if content[:4] == b"DIRC":
        sums = {hashlib.sha1(content[:-20], usedforsecurity=False).digest(), bytes(20)}
        fits = content[-20:] in sums or content[-32:] == hashlib.sha256(content[:-32]).digest()
        return "index" if len(content) >= 32 and fits else "torn-index"
    hexadecimal = set(content[:-1]) <= set(b"0123456789abcdef")
    return "object-name" if len(content) in {41, 65} and content.endswith(b"\n") and hexadecimal else "other"


@given(LOCKS, st.lists(st.integers(1, 80), max_size=8))
def test_any_pieces_tell_the_same(content: bytes, sizes: list[int]) -> None:
    """Where the pieces were cut says nothing."""
    told, rest = LockContent(), content
    for size in sizes:
        told.add(rest[:size])
        rest = rest[size:]
    told.add(rest)
    assert (told.size, told.digest) == (len(content), hashlib.sha256(content).hexdigest())
    assert told.kind == expected(content)


def test_the_smallest_index() -> None:
    """An index without entries, a head and a checksum, is whole."""
    head = b"DIRC" + (2).to_bytes(4, "big") + bytes(4)
    told = LockContent()
    told.add(head + hashlib.sha1(head, usedforsecurity=False).digest())
    assert (told.size, told.kind) == (32, "index")
