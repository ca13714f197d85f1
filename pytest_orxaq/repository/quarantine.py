"""Take a dead lock out of git's way, so that it can be put back; finish or undo what was interrupted.

Each release has a folder ``quarantine/<id>/``: ``record.json``; ``lock``, the file itself; ``pid``, git's note of the
process that held it. How it is done, and why so, is told in :mod:`.custody`.

release, restore and repair are for one process at a time: hold the :func:`mutex`.
"""

import contextlib
import os
import stat

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..errors import BusyError, MachineError, OrxaqError, UsageError
from ..model import Judgement, Lock, LockState, Recovery, Signals
from ..system.state import work_tree_lock
from .custody import ANOTHER, Case, Step, is_same, names_in, stamp, told


KEPT, KEPT_FOR = 200, 30 * 86400.0  # releases, and seconds


def release(
    lock: Lock,
    signals: Signals,
    judgement: Judgement,
    *,
    pinned: int,
    quarantine: Path,
    recheck: Callable[[], bool],
    now: float,
) -> Recovery:
    """Take a lock that was judged dead out of git's way; what came of it.

    ``pinned`` is an open descriptor of the file that was judged: while it is open, no other file has its inode.
    ``recheck`` is asked right before the lock is touched, whether all is still as it was judged; ``now`` is Unix time.
    Raises only what ``recheck`` raises; then too the lock is in its place.
    """
    why_not = _why_unfit(lock, judgement, pinned)
    case = None
    if not why_not:
        try:
            case = Case.begun(lock, signals, judgement, mode=os.fstat(pinned).st_mode, root=quarantine, now=now)
            why_not = case.take_out(pinned, recheck)
        except (OSError, OrxaqError) as error:
            why_not = f"It could not be taken away: {told(error)}."
        finally:
            if case is not None:
                why_not = " ".join(filter(None, (why_not, case.settled())))
    kept = case is not None and case.record.step is Step.RELEASED
    return Recovery(
        lock=lock,
        judgement=judgement,
        released=kept and not why_not,
        id=case.record.id if case is not None and kept else "",
        why_not=why_not,
        age=signals.age,
        processes=signals.sight.processes,
    )


def restore(id: str, *, quarantine: Path) -> Recovery:
    """Put the lock of an earlier release back in its place.

    ``id`` may be cut short. Raises UsageError if there is none such, if it is not kept any more, if there are several,
    and if its name is taken by another lock; MachineError if the file system refuses.
    """
    case = _case_of(id, quarantine)
    lock = case.record.lock
    if not os.path.isdir(os.path.dirname(lock.path)):
        raise UsageError(f"{lock.path} cannot be put back: its folder is gone")
    try:
        back = case.put_back()
    except OSError as error:
        case.settled()
        raise MachineError(f"{lock.path} cannot be put back: {told(error)}") from error
    if not back:
        raise UsageError(
            f"{lock.path} cannot be put back: there is another lock of that name",
            advice="See whose it is: orxaq locks",
        )
    return Recovery(
        lock=lock,
        judgement=case.record.judgement,
        released=False,
        id=case.record.id,
        why_not="It was put back on request.",
    )


def repair(quarantine: Path) -> tuple[str, ...]:
    """Finish or undo every release that was interrupted; what was done, in sentences.

    Afterwards each lock is in its place or kept, and never both. Raises nothing: what cannot be done now is said,
    and left to the next time.
    """
    said: list[str] = []
    for name in names_in(quarantine):
        case = Case.read(quarantine, name, said.append) if name.startswith(".") else None
        if case is not None:
            said.append(case.mended())
    return tuple(filter(None, said))


def interrupted(quarantine: Path) -> bool:
    """Whether a release was cut off, so that :func:`repair` has something to do."""
    return any(name.startswith(".") for name in names_in(quarantine))


def recent(quarantine: Path, since: float) -> Mapping[str, int]:
    """How many times a lock was released at each path since a moment of Unix time."""
    first = stamp(since)
    cases = (Case.read(quarantine, name, lambda _: None) for name in names_in(quarantine) if name >= first)
    return Counter(case.record.lock.path for case in cases if case is not None)


def prune(quarantine: Path, now: float) -> None:
    """Delete what is kept of old releases: all but the latest :data:`KEPT` and those of :data:`KEPT_FOR` seconds.

    ``now`` is Unix time. What is under way, was interrupted, or cannot be read stays, and what cannot be deleted.
    """
    names = [name for name in names_in(quarantine) if not name.startswith(".")]
    first = stamp(now - KEPT_FOR)
    for name in names[:-KEPT]:
        case = Case.read(quarantine, name, lambda _: None) if name < first else None
        if case is not None:
            case.forget()


@contextlib.contextmanager
def mutex(common_state: Path, timeout: float) -> Iterator[None]:
    """Be the only one who recovers locks in a repository. The kernel ends it when we die, however that happens.

    Raises BusyError after ``timeout`` seconds, MachineError if the state folder knows no locks.
    """
    with contextlib.ExitStack() as held:
        lock = work_tree_lock(
            common_state / "recovery", holder={"pid": os.getpid()}, timeout=timeout, on_wait=lambda _: None
        )
        try:
            held.enter_context(lock)
        except BusyError as error:
            raise BusyError(
                "another process recovers the locks of this repository", advice="Wait for it, and try again."
            ) from error
        yield


def _why_unfit(lock: Lock, judgement: Judgement, pinned: int) -> str:
    if judgement.state is not LockState.DEAD:
        return "It was not judged dead."
    if not stat.S_ISREG(os.fstat(pinned).st_mode):
        return "It is no plain file."
    return "" if is_same(lock.path, pinned) else ANOTHER


def _case_of(id: str, quarantine: Path) -> Case:
    names = [name for name in names_in(quarantine) if name.startswith(id) and not name.startswith(".")]
    if not id or not names:
        raise UsageError(f"no lock is kept as {id or '(nothing)'} in {quarantine}")
    if len(names) > 1:
        raise UsageError(f"{id} may be any of {', '.join(names[:5])}", advice="Give more of it.")
    said: list[str] = []
    case = Case.read(quarantine, names[0], said.append)
    if case is None or case.record.step is not Step.RELEASED:
        raise UsageError(f"{names[0]} is not kept any more: {' '.join(said) or 'it was put back before'}")
    return case
