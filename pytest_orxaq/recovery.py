"""Recovery by hand, behind ``orxaq locks``: open the grounds, put a lock back, ask a holder to end."""

import contextlib
import hashlib
import os
import signal
import time

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from . import config
from .core.gitlike import is_git
from .model import LockState, Recovery, Relation, Settings, Suspect
from .repository import lockfiles, locks, quarantine, territory
from .repository import places as repository_places
from .repository.grounds import Grounds, Terms
from .repository.locks import Examined
from .repository.workers import look_around
from .system import census, clocks
from .system import state as states
from .system.census import Census, Seen
from .system.journal import Journal, Severity, make_trace, read_traceparent
from .version import __version__


_MAY_PROVE = {Relation.HOLDS_OPEN, Relation.PID_FILE}  # of the others it is likely, and no more
_PATIENCE = 5.0  # seconds for a holder to end


@contextlib.contextmanager
def opened(path: Path, environ: Mapping[str, str], *, floor: float | None, tenancy: bool) -> Iterator[Grounds]:
    """The grounds of the repository at *path*, by its configuration; a journal is open meanwhile."""
    places = repository_places.locate(path)
    settings = config.load(places.top, environ) if places.top is not None else Settings()
    state = states.open_state(places.own / "orxaq", places.common / "orxaq", environ, repository_id=_id(places.common))
    trace = make_trace(read_traceparent(environ.get("TRACEPARENT", "")), random=os.urandom(24))
    resource = {"service.name": "orxaq", "service.version": __version__, "vcs.repository.name": places.own.parent.name}
    journal = Journal(state.events, run="locks", trace=trace, resource=resource)
    terms = Terms(
        policy=settings.lock_release,
        floor=settings.lock_min_age if floor is None else floor,
        tenancy=tenancy or settings.lock_exclusive,
        insisted=tenancy,
    )
    try:
        yield Grounds(places=places, state=state, terms=terms, journal=journal)
    finally:
        journal.close()


def _id(common: Path) -> str:
    """The name of a repository, the same in all of its work trees."""
    return hashlib.sha256(os.fsencode(common)).hexdigest()


def restore(grounds: Grounds, id: str) -> Recovery:
    """Put a released lock back; ``UsageError`` where that cannot be."""
    with quarantine.mutex(grounds.state.common, timeout=locks.PATIENCE):
        quarantine.repair(grounds.state.quarantine)
        restored = quarantine.restore(id, quarantine=grounds.state.quarantine)
    grounds.journal.emit(
        "orxaq.lock.restored",
        f"{restored.lock.path} was put back",
        severity=Severity.WARN,
        attributes={"orxaq.lock.path": restored.lock.path, "orxaq.lock.kind": restored.lock.kind.value},
    )
    return restored


def terminate_holders(grounds: Grounds, *, pause: Callable[[float], bool]) -> tuple[str, ...]:
    """Ask each git that is proven to hold a lock to end, and wait a little; what was done, in sentences."""
    told = []
    for each in locks.survey(grounds, release=False, pause=pause).examined:
        for suspect in _accused(each):
            words, asked = _terminate(grounds, each, suspect)
            told.append(words)
            if asked:
                grounds.journal.emit(
                    "orxaq.lock.holder.terminated",
                    words,
                    severity=Severity.WARN,
                    attributes={"orxaq.lock.path": each.lock.path, "process.pid": suspect.pid},
                )
    return tuple(told)


def _accused(each: Examined) -> tuple[Suspect, ...]:
    """All who may turn out to hold a live lock; if there is none, him for whom it counts as live."""
    if each.judgement.state is not LockState.LIVE:
        return ()
    found = tuple(suspect for suspect in each.signals.suspects if suspect.relation in _MAY_PROVE)
    return found or tuple(filter(None, (each.judgement.holder,)))


def _terminate(grounds: Grounds, each: Examined, suspect: Suspect) -> tuple[str, bool]:
    """Ask a process to end if it is proven to hold the lock; what came of it, and whether it was asked."""
    path, who = each.lock.path, f"process {suspect.pid} ({suspect.command})"
    try:
        why_not = _ask_to_end(grounds, each, suspect)
    except ProcessLookupError:
        return f"{who} had ended by itself", False
    except PermissionError:
        return f"{who} holds {path}, and belongs to another user", False
    if why_not:
        return f"{who} was let alone: {why_not}", False
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if not os.path.lexists(path):
            return f"{who} was asked to end, and took {path} with it", True
        time.sleep(0.05)
    return f"{who} was asked to end, and {path} is still there", True


def _ask_to_end(grounds: Grounds, each: Examined, suspect: Suspect) -> str:
    """Send SIGTERM to the very process that was seen, or say why not.

    Raises ProcessLookupError if it is gone, whoever has its number, and PermissionError if it is another user's.
    """
    if suspect.relation not in _MAY_PROVE:
        return f"that it holds {each.lock.path} is likely, but not proven"
    try:
        descriptor = os.pidfd_open(suspect.pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):  # another system than Linux, one before 5.3, or a sandbox that forbids it
        return (
            "this system cannot name a process so that nobody else is hit; "
            f"end process {suspect.pid} yourself: kill {suspect.pid}"
        )
    try:
        # From here on the descriptor means one process; whether it is the one that was seen, its start tells.
        seen = census.look_at(suspect.pid, offset=clocks.offset_now())
        if seen is None or seen.started_after_boot != suspect.started_after_boot:
            raise ProcessLookupError
        why_not = _why_not_proven(grounds, each, suspect, seen)
        if not why_not:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        return why_not
    finally:
        os.close(descriptor)


def _why_not_proven(grounds: Grounds, each: Examined, suspect: Suspect, seen: Seen) -> str:
    """Why a process need not be the one that made the lock; empty if it is.

    An editor, a backup or a ``tail`` may have it open just as well.
    """
    path, snapshot = each.lock.path, each.signals.snapshot
    if not is_git(seen.name, seen.command, seen.program):
        return f"it is no git, whatever it does with {path}"
    if snapshot is not None and census.may_write(seen, os.path.basename(path), (snapshot.device, snapshot.inode)):
        return ""
    if suspect.relation is not Relation.PID_FILE:
        return f"it has {path} open, but not for writing"
    folders = lockfiles.find(grounds.places).folders
    around = look_around(territory.survey(folders), Census(processes={seen.pid: seen}), [each.lock])
    return "" if seen.pid in around.workers else f"the file beside {path} has its number, but it works elsewhere"
