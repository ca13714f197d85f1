"""Disks with no room: a file that takes nothing, a small file system, a limit on what one file may grow to."""

import contextlib
import errno
import os
import re
import stat

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..system.process import ask, completed
from . import choices
from .namespaces import entrance
from .troubles import Faults


_KIND = "full_disk"
_SIZE = re.compile(r"[1-9][0-9]*[kmg]?\Z", re.IGNORECASE)

# The last words go to a file elsewhere: on the disk there may be no room for them.
_ON_A_DISK = """\
told=$1 disk=$2 size=$3 setup=$4; shift 4
mount -t tmpfs -o "size=$size,mode=0700" orxaq "$disk" && cd "$disk" || exit 125
printf 'mounted\\0' >>"$told"
sh -ec "$setup" || exit
printf 'begun\\0' >>"$told"
"$@"
code=$?
find . -type f -printf '%s %P\\0' >>"$told"
exit "$code"
"""


_FULL = "/dev/full"
_MOST = 2**62  # bytes of one file


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """How a command ended on a disk with little room, and what it left there."""

    returncode: int  # 128 and the signal's number where it was killed, as a shell tells it
    stdout: str
    stderr: str
    left: Mapping[str, int]  # files by their paths on the disk, with their sizes in bytes


class FullDisk:
    """Ways to have no room: ``file``, ``run()``, ``quota()``."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    @property
    def file(self) -> Path:
        """A new path to which every process may write, and gets ENOSPC for it, root too."""
        if not os.path.exists(_FULL):
            self._faults.lacks(f"There is no file here that is always full: no {_FULL}.")
        path = self._faults.new_room() / "full"
        if not _is_device(path):
            path.symlink_to(_FULL)
        self._faults.note(_KIND, "environment", "a file that is full")
        return path

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        size: str = "256k",
        setup: str = "",
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Filled:
        """Run a command with a disk of that size as its working folder: when it is full, ENOSPC is real.

        ``setup``, lines of shell, runs there first, and has to end well. The disk is seen by this command and its
        children only and is gone afterwards; where that takes a user namespace, they see themselves as root.

        Raises UsageError for a size or set-up that is none, and TimeoutExpired.
        """
        choices.variables(env)
        environment = dict(os.environ if env is None else env)
        _check(command, size, setup, timeout)
        way, room = entrance(self._faults), self._faults.new_room()
        spelled = [os.fspath(word) for word in command]
        if os.sep not in spelled[0]:
            advice = "What setup makes on the disk is called as ./NAME."
            choices.program(spelled[0], advice, environment.get("PATH", os.defpath))
        told, disk = room / "told", room / "disk"
        disk.mkdir()
        words = ("sh", "-c", _ON_A_DISK, "sh", str(told), str(disk), size, setup, *spelled)
        answer = ask((*way, *words), directory=room, environment=environment, timeout=timeout)
        done = completed(spelled, answer, timeout)
        stages = told.read_bytes().split(b"\0")[:-1] if told.exists() else []
        if stages[:1] != [b"mounted"]:
            self._faults.lacks(f"A disk of {size} cannot be mounted here: {done.stderr.strip()}.")
        if stages[1:2] != [b"begun"]:
            why = done.stderr.strip() or f"a line ended with {done.returncode}"
            raise UsageError(f"The disk could not be set up: {why}.", advice=f"Set-up: {setup}")
        self._faults.note(_KIND, "environment", f"a disk of {size}")
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        left = {os.fsdecode(name): int(length) for length, _, name in (entry.partition(b" ") for entry in stages[2:])}
        return Filled(returncode=code, stdout=done.stdout, stderr=done.stderr, left=left)

    @contextlib.contextmanager
    def quota(self, bytes: int) -> Iterator[None]:
        """While this lasts, no file that this process or a child of it writes grows beyond so many bytes.

        Python gets EFBIG (not ENOSPC: that is how this limit speaks); most other programs are killed by SIGXFSZ.
        Raises UsageError for what is no size.
        """
        import resource  # noqa: PLC0415 - there is none on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if type(bytes) is not int or not 0 <= bytes <= _MOST:
            raise UsageError(f"{bytes!r} is no number of bytes.", advice=f"Say a whole number from 0 to {_MOST:,}.")
        if hard != resource.RLIM_INFINITY and bytes > hard:
            raise UsageError(f"No file may grow beyond {hard} bytes here as it is: {bytes} is no limit.")
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, hard))
        self._faults.note(_KIND, "environment", f"files of at most {bytes} bytes")
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _check(command: object, size: object, setup: object, timeout: object) -> None:
    """Raise UsageError for what cannot be run: a shell would take it, and end like a command that has no room."""
    if not isinstance(size, str) or not _SIZE.match(size):
        raise UsageError(f"{size!r} is no size of a disk.", advice="Say it in bytes, or as in 256k, 4m or 1g.")
    choices.command_line(command)
    choices.text(setup, "setup")
    choices.command_line([setup])
    choices.seconds(timeout, "timeout", more_than=0)


def _is_device(path: Path) -> bool:
    """Whether the path now is a device of its own that is full. Who may make one could remove the system's, by a link to it."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.stat(_FULL).st_rdev)
        path.chmod(0o666)
        path.write_bytes(b"x")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return True
    path.unlink(missing_ok=True)  # what was made on a file system without devices
    return False
