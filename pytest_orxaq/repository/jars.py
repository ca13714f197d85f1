"""Whether a program in Java brings JGit along, be it in an archive that is called otherwise."""

import os
import stat
import struct

from zipfile import BadZipFile, ZipFile

from ..core.gitlike import has_java
from ..system.census import Seen, mapped
from .territory import Identity, Standpoint, Territory


LARGEST = 1 << 29  # bytes of an archive that is looked into


class Jars:
    """The archives that were looked into, each once."""

    def __init__(self) -> None:
        self._known: dict[Identity, bool] = {}

    def bring_jgit(self, seen: Seen, territory: Territory) -> bool:
        """Whether a Java has JGit open. An archive that cannot be looked into counts as one that holds it."""
        opened = [(number, path) for number, path in seen.opened or () if _is_archive(path)]
        if any("jgit" in os.path.basename(path) for _, path in opened):
            return True
        if not opened or not has_java(mapped(seen.pid)):
            return False
        stands = Standpoint(seen, territory)
        return any(self._holds_jgit(seen.file(*file), stands.identity_of_open(*file)) for file in opened)

    def _holds_jgit(self, path: str, identity: Identity | None) -> bool:
        if identity is None:
            return True
        if identity not in self._known:
            self._known[identity] = _names_jgit(path)
        return self._known[identity]


def _is_archive(path: str) -> bool:
    return path.removesuffix(" (deleted)").lower().endswith((".ear", ".jar", ".war"))


def _names_jgit(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
                return True
            with ZipFile(file) as archive:
                return any("jgit" in name.lower() for name in archive.namelist())
    except (BadZipFile, NotImplementedError, OSError, ValueError, struct.error):
        return True
