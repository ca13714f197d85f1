"""Mount namespaces: where a command has file systems of its own, which nobody else sees and which end with it."""

import os
import shutil

from pathlib import Path

from ..system.process import ask
from .troubles import Faults


# As root without a user namespace: sandboxes often forbid those, and what is root there owns no files of others.
_WAYS = (("--mount",), ("--mount", "--map-root-user"))


def entrance(faults: Faults) -> tuple[str, ...]:
    """The words before a command that may mount what it likes; the test ends where there is no such way."""
    unshare = shutil.which("unshare")
    if unshare is None:
        faults.lacks("A file system of its own cannot be given to a command here: there is no unshare(1).")
    probe = ("sh", "-c", "mount -t tmpfs none /mnt 2>&1 || mount -t tmpfs none /tmp 2>&1")
    said = b""
    for way in _WAYS:
        answer = ask((unshare, *way, *probe), directory=Path("/"), environment=dict(os.environ))
        if answer.code == 0:
            return unshare, *way
        said = answer.out.strip() or answer.err.strip()
    return faults.lacks(f"A file system of its own cannot be given to a command here: {os.fsdecode(said)}.")
