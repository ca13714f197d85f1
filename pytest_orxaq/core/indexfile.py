"""What git's index looks like from outside: enough to tell a whole one from a torn one."""

import hashlib


def fault_of(content: bytes) -> str:
    """What is wrong with an index, as the end of a sentence that begins with its name; empty if nothing is."""
    if not content:
        return "is an empty file"
    if content[:4] != b"DIRC":
        return "does not begin like an index of git's"
    if len(content) < _HEADER + _SHA1:
        return "is cut off within its first bytes"
    version = int.from_bytes(content[4:8], "big")
    if version not in {2, 3, 4}:
        return f"is of version {version}, which is not known"
    entries = int.from_bytes(content[8:12], "big")
    if _HEADER + entries * _SMALLEST_ENTRY + _SHA1 > len(content):
        return f"is too short for its {entries} entries"
    return "" if _sum_fits(content) else "does not fit its checksum"


_HEADER = 12
_SMALLEST_ENTRY = 62  # times and sizes, a SHA-1 name, flags; the path comes on top
_SHA1, _SHA256 = 20, 32


def _sum_fits(content: bytes) -> bool:
    # index.skipHash leaves zeros, and so does feature.manyFiles; they say nothing either way.
    if not any(content[-_SHA1:]):
        return True
    # Which of the two it is stands in the repository's configuration only.
    sums = ((hashlib.sha1(usedforsecurity=False), _SHA1), (hashlib.sha256(), _SHA256))
    view = memoryview(content)
    for algorithm, length in sums:
        algorithm.update(view[:-length])
        if algorithm.digest() == content[-length:]:
            return True
    return False
