"""Whether a git lock is live, dead or unknown, from what was observed of it twice.

A lock that is not judged dead is alive. Dead needs a proof: one of four positive ones, or elimination, which
is worth something only where everything was seen, for some time. That no holder was *seen* proves nothing: git
keeps most of its locks without a descriptor while a hook or an editor runs.
"""

from ..model import Judgement, LockState, Proof, Relation, ReleasePolicy, Signals, Suspect


FLOOR = 300.0  # seconds for which a lock must not have changed before elimination means anything
CAUTIOUS = 60.0  # the same where git's own pid file is the proof

# Strength of ties: these alone make a lock live; the others do so only for a process that was there in time.
_DIRECT = {
    Relation.HOLDS_OPEN,
    Relation.PID_FILE,
    Relation.NAMED_IN_ENVIRONMENT,
    Relation.NAMED_IN_ARGUMENTS,
}
_ORDER = (
    Relation.HOLDS_OPEN,
    Relation.PID_FILE,
    Relation.NAMED_IN_ENVIRONMENT,
    Relation.NAMED_IN_ARGUMENTS,
    Relation.WRITES_HERE,
    Relation.STOPPED_HERE,
)


def judge(first: Signals, second: Signals, *, floor: float = FLOOR) -> Judgement:
    """What two gatherings, the second a while after the first, prove of one lock.

    ``floor`` is in seconds. The truth about the lock is one thing and what may be done about it another:
    see :func:`may_release`.
    """
    holder = _holder(first) or _holder(second)
    if holder is not None:
        return Judgement(
            state=LockState.LIVE, why=f"{holder.command} (pid {holder.pid}) {holder.relation}", holder=holder
        )
    if first.leased is False or second.leased is False:
        return Judgement(state=LockState.LIVE, why="a process that could not be found has it open")
    oddity = first.oddity or second.oddity
    if oddity:
        return Judgement(state=LockState.UNKNOWN, why=oddity)
    if first.snapshot is None:
        return Judgement(state=LockState.UNKNOWN, why="it is gone")
    if second.snapshot is None:
        return Judgement(state=LockState.LIVE, why="it went away while it was watched")
    if first.snapshot != second.snapshot:
        return Judgement(state=LockState.LIVE, why="it changed while it was watched")
    return _of_the_still(first, second, floor)


def may_release(judgement: Judgement, policy: ReleasePolicy) -> bool:
    """Whether a lock that is judged so may be taken out of git's way."""
    if judgement.state is not LockState.DEAD or policy is ReleasePolicy.NEVER:
        return False
    return judgement.proof not in _INFERRED or policy is ReleasePolicy.ELIMINATION


# From who can be seen to work here. A death of our own says whose lock it is only if nobody overlooked made it meanwhile.
_INFERRED = {Proof.ELIMINATION, Proof.OWN_DEATH}


def came_later(started: float | None, first_seen: float | None) -> bool:
    """Whether a process was certainly started after a lock's last change; both in seconds since boot.

    That is so if somebody had seen the lock before, exactly as it is now. Nobody can set this clock. The time that
    stands in the lock proves nothing: a clock that was behind when the lock was made, and is right by now, leaves no
    trace, and would make its very holder look as if he had come later. A start is told in whole ticks, cut off, so
    that it is never told as later than it was. Who gets a lock from his parent has it open, and is found by that.
    """
    return started is not None and first_seen is not None and started > first_seen


# ---------------------------------------------------------------- the living


def _holder(signals: Signals) -> Suspect | None:
    """The process that most plainly holds the lock, or may."""
    living = [suspect for suspect in signals.suspects if _may_hold(suspect, signals)]
    return min(living, key=lambda suspect: (_ORDER.index(suspect.relation), suspect.started_at), default=None)


def _may_hold(suspect: Suspect, signals: Signals) -> bool:
    if suspect.relation in _DIRECT:
        return True
    return not suspect.harmless and not came_later(suspect.started_after_boot, signals.first_seen)


# ---------------------------------------------------------------- the still


def _of_the_still(first: Signals, second: Signals, floor: float) -> Judgement:
    """Judge a lock that nobody was seen to hold, and that did not change between the gatherings."""
    age = min(first.age, second.age)
    proof = _proof(first, second, age, floor)
    if proof is not None:
        return Judgement(state=LockState.DEAD, why=_told(proof, second), proof=proof)
    unseen = tuple(dict.fromkeys((*first.sight.gaps, *second.sight.gaps)))
    if age < 0:
        why = "nobody was seen to hold it, but its age cannot be told: a clock was set"
    elif age <= floor:
        why = f"nobody was seen to hold it, but it changed {age:.0f} s ago, and less than {floor:.0f} s proves nothing"
    else:
        why = "nobody was seen to hold it, but not everybody could be seen"
    return Judgement(state=LockState.UNKNOWN, why=why, unseen=unseen)


def _proof(first: Signals, second: Signals, age: float, floor: float) -> Proof | None:
    """The strongest proof that both gatherings offer and whose floor the lock has passed.

    A death of our own needs none, where everybody was seen: the lock came while we worked, and whoever else may
    have made it meanwhile would be there. A boot needs none either, if everybody was seen: a clock that was set back for
    a while makes a lock of today as old, and a client of a file server outlives the server's boot. Nor does the
    operator's word. The lock must be older than :data:`CAUTIOUS` (or the floor, if that is lower) where git's own note
    is all there is.
    """
    seen_all = first.sight.complete and second.sight.complete
    died = first.own_death is not None and first.own_death == second.own_death and first.own_death.absent_before
    if died and seen_all:
        return Proof.OWN_DEATH
    if first.pid_file_dead and second.pid_file_dead and age > min(CAUTIOUS, floor):
        return Proof.PID_FILE
    if first.before_boot and second.before_boot and seen_all:
        return Proof.BOOT
    if first.tenancy and second.tenancy:
        return Proof.TENANCY
    if seen_all and age > floor:
        return Proof.ELIMINATION
    return None


def _told(proof: Proof, signals: Signals) -> str:
    """The proof as a sentence."""
    if proof is Proof.OWN_DEATH and signals.own_death is not None:
        return f"{proof}: {signals.own_death.actor}"
    if proof is Proof.ELIMINATION:
        return f"{proof}: {signals.sight.processes} processes, the lock unchanged for {signals.age:.0f} s"
    return str(proof)
