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
    number = _number("self", descriptor)
    return next((_mount(words) for words in _table("self") if words[0] == number), Mount())


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
        if not self._root:
            return None  # there are no such places: then paths are plain ones, and nothing can be told of them
        called = self._called(path)
        if not called.startswith("/"):
            return Mount()  # "(unreachable)": out of its own sight
        far = self._walk(called) if self._mounts else None
        return far or self._start_of(path)

    def far_open(self, descriptor: int) -> Mount | None:
        """The file system of a file that the process has open, if it may not answer."""
        return self._far_by_number(_number(self._pid, descriptor)) if self._root else None

    @cached_property
    def _mounts(self) -> Mapping[str, Mount]:
        """By the point where each is mounted; the last one covers the others."""
        return {mount.point: mount for mount in map(_mount, _table(self._pid))}

    @cached_property
    def _numbered(self) -> Mapping[str, Mount]:
        """By its number, which is one for all tables: what it brought from another namespace may be in ours."""
        return {words[0]: _mount(words) for table in ("self", self._pid) for words in _table(table)}

    def _start_of(self, path: str) -> Mount | None:
        """The file system on which the way really begins, if it may not answer.

        A name leads astray once a mount was taken away from under the process, or covered by another.
        """
        if path == self._here or path.startswith(f"{self._here}/"):
            return self._far_here
        return self._far_root if path == self._root or path.startswith(f"{self._root}/") else None

    @cached_property
    def _far_root(self) -> Mount | None:
        return self._far_by_number(_number_at(self._root))

    @cached_property
    def _far_here(self) -> Mount | None:
        number = _number_at(self._here)
        far = self._far_by_number(number)
        if far is not None or number not in self._numbered:
            return far
        # What is mounted below a covered one has no name either.
        named = self._mounts.get(self._point_above(self._directory))
        return Mount() if named is not None and named.kind != self._numbered[number].kind else None

    def _far_by_number(self, number: str) -> Mount | None:
        if not number:  # then the kernel lets us get there by no other way, either
            return None
        mount = self._numbered.get(number, Mount())
        return None if self._answers(mount) else mount

    def _answers(self, mount: Mount) -> bool:
        return mount.answers or mount.device in self._trusted

    def _point_above(self, path: str) -> str:
        """The point of the mount that a path lies on by its name."""
        while path not in self._mounts and path != "/":
            path = path.rpartition("/")[0] or "/"
        return path

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
            if mount is not None and not self._answers(mount):
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


def _number_at(place: str) -> str:
    """The number of the mount that one of the kernel's links leads to; empty if it cannot be told."""
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)  # which asks a server in user space nothing
    except OSError:
        return ""
    try:
        return _number("self", descriptor)
    finally:
        os.close(descriptor)


def _number(pid: int | str, descriptor: int) -> str:
    """The number of the mount that an open file lies on; empty if it cannot be told."""
    try:
        facts = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text("ascii").split()
        return facts[facts.index("mnt_id:") + 1]
    except (OSError, ValueError):
        return ""


def _table(pid: int | str) -> list[list[str]]:
    """The words of each line of a process's table of mounts; none if it cannot be read."""
    try:
        return [*map(str.split, Path(f"/proc/{pid}/mountinfo").read_text("utf-8", "surrogateescape").splitlines())]
    except OSError:
        return []


def _mount(words: Sequence[str]) -> Mount:
    """A line of a table of mounts, in which blanks and their like are written in octal (proc(5))."""
    kind = words[words.index("-", 6) + 1]
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4])
    mapped = kind in _WITHOUT_OWNERS or "idmapped" in words[5].split(",")
    return Mount(kind=kind, mapped=mapped, point=point, device=os.makedev(*map(int, words[2].split(":"))))
