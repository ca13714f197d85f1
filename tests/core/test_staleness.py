"""Live, dead or unknown: the rule, case by case and as properties."""

from dataclasses import replace

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.staleness import CAUTIOUS, came_later, judge, may_release
from pytest_orxaq.model import (
    Clock,
    Judgement,
    Lock,
    LockKind,
    LockState,
    OwnDeath,
    Proof,
    Relation,
    ReleasePolicy,
    Sight,
    Signals,
    Snapshot,
    Suspect,
)


LOCK = Lock(path="/r/.git/index.lock", kind=LockKind.INDEX, target="/r/.git/index", directory="/r/.git")
SNAPSHOT = Snapshot(
    device=1,
    inode=2,
    modified_at=1_000_000_000_000,
    changed_at=1_000_000_000_000,
    size=0,
    digest="e3b0",
    content="empty",
)
CHANGED = SNAPSHOT.changed_at / 1e9
EVERYTHING = Sight(processes=7, gaps=(), clock=Clock.STEADY)
SIGHTED = 100.0  # seconds since boot
OLD = Signals(lock=LOCK, snapshot=SNAPSHOT, age=1000.0, first_seen=SIGHTED, leased=True, sight=EVERYTHING)
DEATH = OwnDeath(actor="run 1", began_at=CHANGED - 5, ended_at=CHANGED + 5, absent_before=True)
WRITER = Suspect(pid=9, command="git commit -a", started_at=CHANGED - 1, relation=Relation.WRITES_HERE)


def judged(signals: Signals, second: Signals | None = None, *, floor: float = 300.0) -> Judgement:
    """The judgement of the same signals seen twice, or of two that differ."""
    return judge(signals, second or signals, floor=floor)


# ---------------------------------------------------------------- the living


@pytest.mark.parametrize("relation", list(Relation))
def test_any_tie_makes_a_lock_live(relation: Relation) -> None:
    """Whatever ties a process to the lock, it lives, and the process is named."""
    suspect = replace(WRITER, relation=relation)
    for pair in ((OLD, replace(OLD, suspects=(suspect,))), (replace(OLD, suspects=(suspect,)), OLD)):
        found = judge(*pair)
        assert found.state is LockState.LIVE
        assert found.holder == suspect
        assert found.why == f"git commit -a (pid 9) {relation}"


def test_the_plainest_tie_is_named() -> None:
    """Of several that may hold it the one that has it open is named."""
    opener = replace(WRITER, pid=10, relation=Relation.HOLDS_OPEN)
    assert judged(replace(OLD, suspects=(WRITER, opener))).holder == opener


def test_an_unseen_opener_is_a_holder() -> None:
    """A refused lease means that somebody has it open, found or not."""
    found = judged(OLD, replace(OLD, leased=False))
    assert (found.state, found.holder) == (LockState.LIVE, None)
    assert found.why == "a process that could not be found has it open"


@pytest.mark.parametrize("relation", [Relation.WRITES_HERE, Relation.STOPPED_HERE])
def test_who_came_later_does_not_hold_it(relation: Relation) -> None:
    """A process that was started when the lock was known already is no holder; who may have been there is one."""
    late = replace(WRITER, relation=relation, started_after_boot=SIGHTED + 0.01)
    assert judged(replace(OLD, suspects=(late,))).proof is Proof.ELIMINATION
    assert judged(replace(OLD, suspects=(replace(late, started_after_boot=SIGHTED),))).state is LockState.LIVE
    assert judged(replace(OLD, suspects=(replace(late, started_after_boot=None),))).state is LockState.LIVE
    assert judged(replace(OLD, suspects=(late,), first_seen=None)).state is LockState.LIVE


@given(
    steps=some.lists(some.tuples(some.floats(0, 1000), some.floats(-1e6, 1e6)), max_size=4),
    started=some.floats(0, 1000),
    changed=some.floats(0, 1000),
    sighted=some.one_of(some.none(), some.floats(0, 1000)),
)
def test_whatever_was_done_to_the_clock_no_holder_came_later(
    steps: list[tuple[float, float]], started: float, changed: float, sighted: float | None
) -> None:
    """A clock that is set and set right as often as one likes never makes who was there look like one who was not."""

    def wall(at: float) -> float:
        return at + sum(by for when, by in steps if when <= at)

    since = None if sighted is None or sighted < changed else sighted  # nobody has seen a lock before it was made
    tick = int(started * 100) / 100
    suspect = replace(WRITER, started_at=wall(1000.0) - 1000.0 + tick, started_after_boot=tick)
    snapshot = replace(SNAPSHOT, changed_at=int(wall(changed) * 1e9))
    found = judged(replace(OLD, snapshot=snapshot, first_seen=since, suspects=(suspect,)))
    if started <= changed:
        assert not came_later(tick, since)
        assert found.state is LockState.LIVE


def test_the_harmless_do_not_block() -> None:
    """A daemon that only reads holds no lock, unless it has this one open."""
    daemon = replace(WRITER, harmless="it only reads")
    assert judged(replace(OLD, suspects=(daemon,))).proof is Proof.ELIMINATION
    assert judged(replace(OLD, suspects=(replace(daemon, relation=Relation.HOLDS_OPEN),))).state is LockState.LIVE


def test_a_lock_that_changes_is_live() -> None:
    """Another file, another size or no file the second time: somebody works."""
    other = replace(OLD, snapshot=replace(SNAPSHOT, inode=3))
    assert judged(OLD, other).why == "it changed while it was watched"
    gone = judged(OLD, replace(OLD, snapshot=None))
    assert (gone.state, gone.why) == (LockState.LIVE, "it went away while it was watched")


# ---------------------------------------------------------------- the unknown


def test_what_is_no_lock_of_gits_is_unknown() -> None:
    """A link, a folder or a pipe is left alone, and told as what it is."""
    odd = replace(OLD, snapshot=None, oddity="it is a folder")
    assert (judged(odd).state, judged(odd).why) == (LockState.UNKNOWN, "it is a folder")
    assert judged(OLD, odd).state is LockState.UNKNOWN


def test_what_is_gone_is_unknown() -> None:
    """A lock that went before it was looked at has nothing to be judged by."""
    assert judged(replace(OLD, snapshot=None)).why == "it is gone"


def test_a_young_lock_is_unknown() -> None:
    """Up to the floor nothing is eliminated, and the sentence says so."""
    young = judged(replace(OLD, age=300.0))
    assert young.state is LockState.UNKNOWN
    assert "it changed 300 s ago, and less than 300 s proves nothing" in young.why
    assert judged(replace(OLD, age=300.1)).state is LockState.DEAD
    assert judged(replace(OLD, age=2.0), floor=1.0).state is LockState.DEAD


def test_a_lock_from_the_future_is_unknown() -> None:
    """A clock that disagrees with the file system decides nothing."""
    assert "a clock was set" in judged(replace(OLD, age=-5.0)).why


def test_gaps_are_told() -> None:
    """What could not be seen in either gathering is named, each gap once."""
    blind = replace(OLD, sight=replace(EVERYTHING, gaps=("a", "b")))
    found = judged(blind, replace(OLD, sight=replace(EVERYTHING, gaps=("b", "c"))))
    assert (found.state, found.unseen) == (LockState.UNKNOWN, ("a", "b", "c"))
    assert found.why == "nobody was seen to hold it, but not everybody could be seen"
    assert judged(blind, OLD).state is judged(OLD, blind).state is LockState.UNKNOWN


# ---------------------------------------------------------------- the dead


YOUNG_AND_BLIND = Signals(lock=LOCK, snapshot=SNAPSHOT, age=0.0)


def test_our_own_death_needs_no_age() -> None:
    """What our own killed group left is dead at once and says whose it was, unless a hidden stranger may have made it."""
    left = replace(YOUNG_AND_BLIND, own_death=DEATH)
    found = judged(replace(left, sight=EVERYTHING))
    assert (found.state, found.proof) == (LockState.DEAD, Proof.OWN_DEATH)
    assert found.why.endswith("run 1")
    assert judged(left).state is LockState.UNKNOWN
    assert judged(left, replace(left, sight=EVERYTHING)).state is LockState.UNKNOWN


def test_our_death_proves_nothing_of_what_was_there_before() -> None:
    """A lock that may have been there before our group began is not its lock."""
    young = replace(YOUNG_AND_BLIND, sight=EVERYTHING)
    assert judged(replace(young, own_death=replace(DEATH, absent_before=False))).state is LockState.UNKNOWN
    assert judged(replace(young, own_death=DEATH), young).state is LockState.UNKNOWN


@pytest.mark.parametrize(("named", "proof"), [("pid_file_dead", Proof.PID_FILE), ("tenancy", Proof.TENANCY)])
def test_other_proofs(named: str, proof: Proof) -> None:
    """Each holds only if both gatherings offer it, whatever could not be seen; git's note needs a minute."""
    offered = replace(YOUNG_AND_BLIND, age=CAUTIOUS + 1, **{named: True})  # type: ignore[arg-type]
    assert judged(offered).proof is proof
    assert judged(offered, replace(YOUNG_AND_BLIND, age=CAUTIOUS + 1)).state is LockState.UNKNOWN
    young = judged(replace(offered, age=CAUTIOUS)).state
    assert young is (LockState.UNKNOWN if proof is Proof.PID_FILE else LockState.DEAD)
    assert judged(replace(offered, age=2.0), floor=1.0).proof is proof


def test_a_boot_is_a_proof_where_everybody_was_seen() -> None:
    """It needs no age, but both gatherings, and a sight of everybody: the clock may have been set back for a while."""
    offered = replace(YOUNG_AND_BLIND, sight=EVERYTHING, before_boot=True)
    assert judged(offered).proof is Proof.BOOT
    assert judged(offered, replace(offered, before_boot=False)).state is LockState.UNKNOWN
    assert judged(replace(YOUNG_AND_BLIND, before_boot=True)).state is LockState.UNKNOWN


def test_the_strongest_proof_is_named() -> None:
    """Where there are several, the one that needs least trust is given."""
    offered = replace(OLD, own_death=DEATH, pid_file_dead=True, before_boot=True, tenancy=True)
    for field, proof in (
        ("own_death", Proof.OWN_DEATH),
        ("pid_file_dead", Proof.PID_FILE),
        ("before_boot", Proof.BOOT),
        ("tenancy", Proof.TENANCY),
    ):
        assert judged(offered).proof is proof
        offered = replace(offered, **{field: None if field == "own_death" else False})  # type: ignore[arg-type]
    assert judged(offered).proof is Proof.ELIMINATION
    assert "7 processes" in judged(offered).why


# ---------------------------------------------------------------- policy


@pytest.mark.parametrize("policy", list(ReleasePolicy))
def test_only_the_dead_are_released_and_only_as_the_policy_says(policy: ReleasePolicy) -> None:
    """Neither live nor unknown under any policy; by what is inferred from who was seen only where that is the policy."""
    for state in (LockState.LIVE, LockState.UNKNOWN):
        assert not may_release(Judgement(state=state, why=""), policy)
    for proof in Proof:
        allowed = may_release(Judgement(state=LockState.DEAD, why="", proof=proof), policy)
        weak = proof in {Proof.ELIMINATION, Proof.OWN_DEATH}
        assert allowed is (policy is ReleasePolicy.ELIMINATION or (policy is ReleasePolicy.PROOF and not weak))


# ---------------------------------------------------------------- properties


ages = some.floats(-1000, 1000)
suspects = some.builds(
    Suspect,
    pid=some.integers(1, 9),
    command=some.just("git"),
    started_at=some.floats(CHANGED - 5, CHANGED + 5),
    started_after_boot=some.one_of(some.none(), some.floats(SIGHTED - 5, SIGHTED + 5)),
    relation=some.sampled_from(Relation),
    ancestor=some.booleans(),
    harmless=some.sampled_from(["", "", "it only reads"]),
)
sights = some.builds(
    Sight,
    processes=some.integers(0, 9),
    gaps=some.sampled_from([(), (), (), ("a gap",)]),
    clock=some.sampled_from(Clock),
)
signals = some.builds(
    Signals,
    lock=some.just(LOCK),
    snapshot=some.sampled_from([SNAPSHOT, SNAPSHOT, SNAPSHOT, replace(SNAPSHOT, size=41), None]),
    oddity=some.sampled_from(["", "", "", "odd"]),
    age=ages,
    first_seen=some.sampled_from([None, SIGHTED]),
    suspects=some.lists(suspects, max_size=2).map(tuple),
    leased=some.sampled_from([True, True, None, False]),
    pid_file=some.just(""),
    pid_file_dead=some.sampled_from([False, False, True]),
    own_death=some.sampled_from([None, None, DEATH, replace(DEATH, absent_before=False)]),
    before_boot=some.sampled_from([False, False, True]),
    tenancy=some.sampled_from([False, False, True]),
    sight=sights,
)
floors = some.floats(0, 1000)


@some.composite
def pairs(draw: some.DrawFn) -> tuple[Signals, Signals]:
    """Two gatherings, which mostly differ in little, as they do in life."""
    first = draw(signals)
    return first, draw(some.one_of(some.just(first), ages.map(lambda age: replace(first, age=age)), signals))


def dead(first: Signals, second: Signals, floor: float) -> bool:
    """Whether the lock is judged dead."""
    return judge(first, second, floor=floor).state is LockState.DEAD


@given(pair=pairs(), floor=floors)
def test_dead_needs_one_of_the_five_proofs(pair: tuple[Signals, Signals], floor: float) -> None:
    """Dead is never answered without a proof that both gatherings offer, nor with one that they do not."""
    found = judge(*pair, floor=floor)
    assert (found.state is LockState.DEAD) == (found.proof is not None)
    assert found.why
    for seen in pair:
        match found.proof:
            case Proof.OWN_DEATH:
                assert seen.own_death is not None
                assert seen.own_death.absent_before
                assert seen.sight.complete
            case Proof.PID_FILE:
                assert seen.pid_file_dead
                assert seen.age > min(CAUTIOUS, floor)
            case Proof.BOOT:
                assert seen.before_boot
                assert seen.sight.complete
            case Proof.TENANCY:
                assert seen.tenancy
            case Proof.ELIMINATION:
                assert seen.sight.complete
                assert seen.age > floor
            case None:
                pass
        if found.proof is not None:
            assert seen.leased is not False
            assert seen.snapshot == pair[0].snapshot is not None
            assert not seen.oddity


@given(pair=pairs(), floor=floors, later=some.booleans(), data=some.data())
def test_more_life_or_less_sight_never_turns_towards_dead(
    pair: tuple[Signals, Signals], floor: float, later: bool, data: some.DataObject
) -> None:
    """A suspect or a gap more, a worse clock, a refused lease, less age, a higher floor: never dead that was not."""
    first, second = pair
    seen = second if later else first
    worse = data.draw(
        some.one_of(
            suspects.map(lambda suspect: replace(seen, suspects=(*seen.suspects, suspect))),
            some.just(replace(seen, sight=replace(seen.sight, gaps=(*seen.sight.gaps, "another")))),
            some.just(replace(seen, first_seen=None)),
            some.just(replace(seen, leased=False)),
            some.just(replace(seen, oddity="odd")),
            some.just(replace(seen, snapshot=None)),
            some.floats(0, 2000).map(lambda less: replace(seen, age=seen.age - less)),
        )
    )
    higher = floor + data.draw(some.floats(0, 100))
    after = (first, worse) if later else (worse, second)
    if dead(after[0], after[1], higher):
        assert dead(first, second, floor)


@given(pair=pairs(), floor=floors, suspect=suspects, later=some.booleans())
def test_a_live_signal_always_wins(pair: tuple[Signals, Signals], floor: float, suspect: Suspect, later: bool) -> None:
    """Whatever proves its death, a lock with a direct tie in either gathering is live."""
    tied = replace(suspect, relation=Relation.NAMED_IN_ENVIRONMENT)
    first, second = pair
    if later:
        second = replace(second, suspects=(tied,))
    else:
        first = replace(first, suspects=(tied,))
    assert judge(first, second, floor=floor).state is LockState.LIVE


@given(pair=pairs(), floor=floors, policy=some.sampled_from(ReleasePolicy))
def test_nothing_but_the_dead_is_released(pair: tuple[Signals, Signals], floor: float, policy: ReleasePolicy) -> None:
    """No policy releases a lock that is not judged dead."""
    found = judge(*pair, floor=floor)
    assert found.state is LockState.DEAD or not may_release(found, policy)
