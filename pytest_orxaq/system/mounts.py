"""File systems: which one a file lies on, and whether the way to it leads over one that may never answer."""

import os
import re

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


# Where nobody writes but processes of this kernel. Everything else, also what is unknown, may have writers elsewhere.
LOCAL = frozenset(
    {
        *("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3", "overlay", "ramfs"),
        *("reiserfs", "tmpfs", "vfat", "xfs", "zfs"),
    }
)
# The kernel answers for these itself, too, whoever may write to them.
_ANSWERING = LOCAL | {
    *(
        "cgroup",
        "cgroup2",
        "devpts",
        "devtmpfs",
        "erofs",
        "hugetlbfs",
        "iso9660",
        "mqueue",
        "proc",
        "rootfs",
        "squashfs",
    ),
    *("sysfs", "udf"),
}
# Other machines answer for these, and for no folder of ours.
_REMOTE = frozenset({"9p", "afs", "ceph", "cifs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "virtiofs"})
_WITHOUT_OWNERS = frozenset({"exfat", "ntfs3", "vfat"})  # every file there belongs to whoever mounted it

_LINKS = 40  # as many as the kernel follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """The file system that holds a file."""

    kind: str = ""  # empty where it cannot be told
    mapped: bool = False  # the owner of a file in it need not be who made it
    point: str = ""  # where it is mounted
    device: int = 0  # the number of its files' device

    @property
    def local(self) -> bool:
        """Whether nobody but processes of this machine can write to it."""
        return self.kind in LOCAL

    @property
    def answers(self) -> bool:
        """Whether it cannot keep anybody waiting for a server. He who waits for one in user space cannot even be killed."""
        return self.kind in _ANSWERING

    @property
    def remote(self) -> bool:
        """Whether what it shows lies on another machine for certain: a program may show what lies on this one."""
        return self.kind in _REMOTE


def mount_of(descriptor: int) -> Mount:
    """The file system on which an open file lies, as the table of mounts describes it."""
    try:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii").split()
        number = facts[facts.index("mnt_id:") + 1]
        table = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except (OSError, ValueError):
        return Mount()
    found = (_mount(words) for words in map(str.split, table) if words[0] == number)
    return next(found, Mount())


class Ways:
    """The ways that a process has to files, by its own table of mounts. Nothing is asked of a file system that may be silent."""

    def __init__(self, pid: int, *, root: str, here: str, directory: str, trusted: Collection[int] = ()) -> None:
        """``root`` and ``here`` are where we find its root and its working folder; ``directory`` is what it calls that.

        ``trusted`` are devices that answer, because they just did.
        """
        self._pid, self._root, self._here, self._directory = pid, root, here, directory
        self._trusted = trusted

    def far(self, path: str) -> Mount | None:
        """The first file system on the way to ``path`` that may not answer; None if all do.

        ``path`` begins with our way to the root or to the working folder of the process.
        """
        if not self._root or not self._mounts:
            return (
                None  # no table of mounts, no such places: then paths are plain ones, and nothing can be told of them
            )
        called = self._called(path)
        return self._walk(called) if called.startswith("/") else Mount()  # "(unreachable)": out of its own sight

    @cached_property
    def _mounts(self) -> Mapping[str, Mount]:
        """By the point where each is mounted; the last one covers the others."""
        try:
            table = Path(f"/proc/{self._pid}/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
        except OSError:
            table = []
        return {mount.point: mount for mount in map(_mount, map(str.split, table))}

    def _called(self, path: str) -> str:
        """The path as the process calls it."""
        for found, called in ((self._root, ""), (self._here, self._directory)):
            if path == found or path.startswith(f"{found}/"):
                return called + path[len(found) :] or "/"
        return path

    def _walk(self, path: str) -> Mount | None:
        pending = _parts(path)
        at, links = "", 0
        while True:
            mount = self._mounts.get(at or "/")
            if mount is not None and not mount.answers and mount.device not in self._trusted:
                return mount
            part = pending.pop(0) if pending else None
            if part is None:
                return None
            if part == "..":
                at = at.rpartition("/")[0]
                continue
            link = _link(f"{self._root}{at}/{part}") if f"{at}/{part}" not in self._mounts else None
            if link is None or links >= _LINKS:
                at = f"{at}/{part}"
                continue
            links += 1
            at = "" if link.startswith("/") else at
            pending[:0] = _parts(link)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except (OSError, ValueError):
        return None


def _mount(words: Sequence[str]) -> Mount:
    """A line of a table of mounts, in which blanks and their like are written in octal (proc(5))."""
    kind = words[words.index("-", 6) + 1]
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4])
    mapped = kind in _WITHOUT_OWNERS or "idmapped" in words[5].split(",")
    return Mount(kind=kind, mapped=mapped, point=point, device=os.makedev(*map(int, words[2].split(":"))))
