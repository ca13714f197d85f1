"""Recovery by hand, behind ``orxaq locks``: open the grounds, put a lock back, ask a holder to end."""

import contextlib
import hashlib
import os
import signal
import time

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from . import config
from .model import LockState, Recovery, Relation, Settings, Suspect
from .repository import locks, quarantine
from .repository import places as repository_places
from .repository.grounds import Grounds, Terms
from .system import census, clocks
from .system import state as states
from .system.journal import Journal, Severity, make_trace, read_traceparent
from .version import __version__


_PROVES = {Relation.HOLDS_OPEN, Relation.PID_FILE}  # of the others it is likely, and no more
_PATIENCE = 5.0  # seconds for a holder to end
_SAME_START = 15.0  # seconds: a suspect may be said to be older than it is, where the clock is known roughly


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
    """Ask each process that is proven to hold a lock to end, and wait a little; what was done, in sentences."""
    told = []
    for each in locks.survey(grounds, release=False, pause=pause).examined:
        holder = each.judgement.holder
        if each.judgement.state is not LockState.LIVE or holder is None:
            continue
        if holder.relation not in _PROVES:
            told.append(f"process {holder.pid} may hold {each.lock.path}, but that is not proven: it was let alone")
            continue
        told.append(_terminate(each.lock.path, holder))
        grounds.journal.emit(
            "orxaq.lock.holder.terminated",
            told[-1],
            severity=Severity.WARN,
            attributes={"orxaq.lock.path": each.lock.path, "process.pid": holder.pid},
        )
    return tuple(told)


def _terminate(path: str, holder: Suspect) -> str:
    who = f"process {holder.pid} ({holder.command})"
    try:
        _ask_to_end(holder)
    except ProcessLookupError:
        return f"{who} had ended by itself"
    except PermissionError:
        return f"{who} holds {path}, and belongs to another user"
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if not os.path.lexists(path):
            return f"{who} was asked to end, and took {path} with it"
        time.sleep(0.05)
    return f"{who} was asked to end, and {path} is still there"


def _ask_to_end(holder: Suspect) -> None:
    """Send SIGTERM to the very process that was seen. Raises ProcessLookupError if it is gone, whoever has its number."""
    descriptor = os.pidfd_open(holder.pid)
    try:
        # From here on the descriptor means one process; whether it is the one that was seen, its start tells.
        seen = census.look_at(holder.pid, offset=clocks.offset_now())
        if seen is None or abs(seen.started_at - holder.started_at) > _SAME_START:
            raise ProcessLookupError
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    finally:
        os.close(descriptor)
