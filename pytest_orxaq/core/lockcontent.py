"""What a lock holds, told piece by piece, so that the size of a lock does not matter."""

import hashlib


class LockContent:
    """The content of a lock, of which no more is kept than what tells its kind."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self._head = b""
        self._tail = b""
        # Of all but the tail: a checksum at the end of an index is one of what comes before it.
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """Go on with what follows."""
        self.size += len(piece)
        self._head = (self._head + piece[:_HEAD])[:_HEAD]
        known, self._tail = (self._tail + piece)[:-_TAIL], (self._tail + piece)[-_TAIL:]
        self._sha1.update(known)
        self._sha256.update(known)

    @property
    def digest(self) -> str:
        """The SHA-256 of the whole, in hexadecimal."""
        whole = self._sha256.copy()
        whole.update(self._tail)
        return whole.hexdigest()

    @property
    def kind(self) -> str:
        """Nothing, an index, one that is not whole, an object's name, or something else."""
        if not self.size:
            return "empty"
        if self._head.startswith(b"DIRC"):
            return "index" if self._is_whole() else "torn-index"
        line, end = self._head[: self.size - 1], self._tail[-1:]
        named = self.size in _OBJECT_NAME and end == b"\n" and set(line) <= set(b"0123456789abcdef")
        return "object-name" if named else "other"

    def _is_whole(self) -> bool:
        """Whether an index ends with its checksum, or with zeros where git was told not to make one."""
        sha1 = self._sha1.copy()
        sha1.update(self._tail[:-_SHA1])
        sums = {sha1.digest(), bytes(_SHA1)}
        return self.size >= _TAIL and (self._tail[-_SHA1:] in sums or self._tail == self._sha256.digest())


_OBJECT_NAME = {41, 65}  # bytes, with the line's end
_HEAD = 65
_SHA1, _TAIL = 20, 32  # the tail is a SHA-256
