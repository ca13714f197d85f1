"""Have git change something: the runner that never strands a lock, or says that it did."""

import time

from collections.abc import Mapping
from pathlib import Path

from ..core.gitlike import aim_of
from ..system.process import Answer
from . import lockfiles, memory
from .commands import git
from .places import Places


GRACE = 10.0  # seconds from SIGTERM, upon which git takes its locks away, to SIGKILL, upon which nobody does

# Waits a little for others' locks instead of failing at once, leaves word of who holds its own (git 2.54 and later),
# and leaves no maintenance running behind our back. Older versions ignore what they do not know.
_PATIENT = {
    "core.configLockTimeout": "3000",
    "core.filesRefLockTimeout": "3000",
    "core.lockfilePid": "true",
    "core.packedRefsTimeout": "5000",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "reftable.lockTimeout": "3000",
}


def change(
    places: Places,
    *arguments: str,
    remembered: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float = 300.0,
    grace: float = GRACE,
    input: bytes = b"",
) -> Answer:
    """What git answers when it is asked to change something in the work tree, or the bare repository, of *places*.

    When *timeout* is over the whole group is asked to end, and killed *grace* seconds later; if it is gone to the
    last process, that is written down in the folder *remembered*: the locks that it left are dead, and known to be.
    Raises MachineError if there is no git, RepositoryError if there is no such folder.
    """
    present = frozenset(lock.path for lock in lockfiles.find(places).locks)
    options = (word for name, value in _PATIENT.items() for word in ("-c", f"{name}={value}"))
    began_at = time.time()
    answer = git(
        places.top or places.own,
        *options,
        *arguments,
        environment=environment,
        timeout=timeout,
        grace=grace,
        input=input,
    )
    if answer.timed_out and answer.gone:
        memory.record_death(
            remembered,
            actor=f"git {aim_of(('git', *arguments), {}).subcommand}",  # never its arguments, which may hold a password
            began_at=began_at,
            ended_at=time.time(),
            present=present,
        )
    return answer
