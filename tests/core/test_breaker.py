"""The circuit breaker as a rule: all that it can come to within many steps, and what each number means."""

import math

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core import breaker
from pytest_orxaq.core.breaker import (
    Answer,
    Ask,
    Command,
    Event,
    Report,
    Return,
    Row,
    Rules,
    State,
    Verdict,
    step,
)


# ---------------------------------------------------------------- exploration: everything, to some depth

SMALL = Rules(threshold=2, window=30, cooldown=10, cooldown_max=20, probe_timeout=10)
TICK = 10.0
JUMP = 25.0  # seconds by which the clock is set back
OLD = 40.0  # ages beyond make no difference


@dataclass(frozen=True, slots=True)
class Caller:
    """A process that was let in, as somebody knows who sees all of it and needs no clock."""

    epoch: int  # what its permit says, against the row's
    token: str
    fresh: bool  # nothing has changed since
    age: float  # of its probe


@dataclass(frozen=True, slots=True)
class World:
    """A row as of now, which is always 0, and the truth about it."""

    row: Row
    callers: tuple[Caller, ...] = ()
    open_for: float = 0.0  # in true seconds
    trips: int = 0
    jumps: int = 0  # that the clock may still make
    jumped: bool = False  # since it opened


Move = tuple[str, World, str]  # what happened, what is, what must not be


def moves(world: World, room: int) -> Iterator[Move]:
    """All that can happen next."""
    yield "+10", passed(world), ""
    if world.jumps:
        yield "-25", jumped(world), ""
    if len(world.callers) < room:
        yield asked(world)
    for number, caller in enumerate(world.callers):
        others = world.callers[:number] + world.callers[number + 1 :]
        kind = "probe" if caller.token else "call"
        alone = replace(world, callers=others)
        yield f"{kind} dies", alone, ""
        yield reported(alone, caller, "", f"{kind} ok")
        yield reported(alone, caller, "no", f"{kind} fails")
        yield cancelled(alone, caller, f"{kind} cancelled")
    for state in (State.FORCED_OPEN, State.DISABLED, State.CLOSED):
        row, _ = step(world.row, Command(state=state), 0.0, SMALL)
        yield str(state), moved(world, row), "" if row.state is state else "it is not what was commanded"


def passed(world: World) -> World:
    """Ten seconds later."""
    row = world.row._replace(since=max(-OLD, world.row.since - TICK), failed_at=max(-OLD, world.row.failed_at - TICK))
    callers = tuple(replace(each, age=min(OLD, each.age + TICK)) if each.token else each for each in world.callers)
    return replace(world, row=row, callers=callers, open_for=min(OLD, world.open_for + TICK))


def jumped(world: World) -> World:
    """The clock was set back."""
    row = world.row._replace(since=world.row.since + JUMP, failed_at=world.row.failed_at + JUMP)
    return replace(world, row=row, jumps=world.jumps - 1, jumped=True)


def asked(world: World) -> Move:
    """One more wants to call."""
    row, answer = step(world.row, Ask(token="new"), 0.0, SMALL)
    before = world.row.state
    wrong = ""
    match answer.verdict:
        case Verdict.PROBE:
            cooldown = min(SMALL.cooldown_max, SMALL.cooldown * 2 ** (world.trips - 1)) if world.trips else 0.0
            if any(each.token and each.age < SMALL.probe_timeout for each in world.callers):
                wrong = "S1: two probes"
            elif before is State.OPEN and world.open_for < cooldown:
                wrong = "S2: a probe before the cooldown was over"
            elif before not in {State.OPEN, State.HALF_OPEN}:
                wrong = "S7: a probe where there must be none"
        case Verdict.CALL:
            if before not in {State.CLOSED, State.DISABLED}:
                wrong = "S3: a call while it is not closed"
        case _:
            if before in {State.CLOSED, State.DISABLED}:
                wrong = "it refuses while it is closed"
            elif before is State.OPEN and not world.jumped and world.open_for >= SMALL.cooldown_max:
                wrong = "L1: no probe although the cooldown is over"
    after = moved(world, row)
    if answer.verdict in {Verdict.CALL, Verdict.PROBE}:
        token = "new" if answer.verdict is Verdict.PROBE else ""
        after = replace(after, callers=(*after.callers, Caller(row.epoch, token, fresh=True, age=0.0)))
    return f"ask: {answer.verdict}", after, wrong


def reported(world: World, caller: Caller, failure: str, name: str) -> Move:
    """A call ends."""
    row, _ = step(world.row, Report(epoch=caller.epoch, token=caller.token, failure=failure), 0.0, SMALL)
    changed = row != breaker.anchored(world.row, 0.0)
    return name, moved(world, row), "S4: a late report changed something" if changed and not caller.fresh else ""


def cancelled(world: World, caller: Caller, name: str) -> Move:
    """A call ends without a verdict."""
    row, _ = step(world.row, Return(token=caller.token), 0.0, SMALL)
    wrong = ""
    if (row.state, row.fails, row.trips) != (world.row.state, world.row.fails, world.row.trips):
        wrong = "S5: a cancellation changed the state"
    elif caller.token and caller.fresh and step(row, Ask(token="x"), 0.0, SMALL)[1].verdict is not Verdict.PROBE:
        wrong = "L2: a lease was returned, and is not free"
    return name, moved(world, row), wrong


def moved(world: World, row: Row) -> World:
    """The truth after the row has become this."""
    before = world.row
    changed = row.state != before.state or row.epoch != before.epoch or row.token not in {before.token, ""}
    callers = tuple(replace(each, fresh=each.fresh and not changed) for each in world.callers)
    if row.state is State.OPEN and changed:
        return replace(world, row=row, callers=callers, open_for=0.0, trips=world.trips + 1, jumped=False)
    stays = row.state in {State.OPEN, State.HALF_OPEN}
    return replace(world, row=row, callers=callers, trips=world.trips if stays else 0)


def wedged(world: World) -> str:
    """What is wrong with what comes of asking now, and once more after the longest wait."""
    row, first = step(world.row, Ask(token="x"), 0.0, SMALL)
    later, second = step(row, Ask(token="y"), max(SMALL.cooldown_max, SMALL.probe_timeout), SMALL)
    if row.state is State.FORCED_OPEN:
        kept_out = first.verdict is second.verdict is Verdict.REFUSED and math.isinf(second.retry_after)
        return "" if kept_out else "S7: it is forced open, and lets somebody in"
    if min(row.fails, row.trips, later.fails, later.trips, first.retry_after) < 0:
        return "a counter is negative"
    return "L3: nobody is let in although the longest wait is over" if second.verdict is Verdict.REFUSED else ""


def settled(world: World) -> World:
    """The same with the row's epoch as 0, and names for tokens that do not count them."""
    row, names = world.row, {world.row.token: "out", "": ""}
    callers = (
        replace(each, epoch=max(-2, each.epoch - row.epoch), token=names.get(each.token, "old"))
        for each in world.callers
    )
    order = sorted(callers, key=lambda each: (each.epoch, each.token, each.fresh, each.age))
    return replace(world, row=row._replace(epoch=0, token=names[row.token], why=""), callers=tuple(order))


def explore(depth: int, *, room: int = 2, jumps: int = 1) -> tuple[int, list[str]]:
    """How many worlds there are within some moves from a new breaker, and the shortest way to one that must not be."""
    start = World(Row(), jumps=jumps)
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    front = [start]
    for _ in range(depth):
        ahead: list[World] = []
        for world in front:
            for name, reached, wrong in moves(world, room):
                after = settled(reached)
                if after not in came_from:
                    came_from[after] = (world, name)
                    wrong = wrong or wedged(after)  # noqa: PLW2901 - what is seen on the way wins
                    ahead.append(after)
                if wrong:
                    return len(came_from), [*way_to(world, came_from), name, wrong]
        front = ahead
    return len(came_from), []


def way_to(world: World, came_from: dict[World, tuple[World, str] | None]) -> list[str]:
    """The names of the moves that led there."""
    names = []
    while (step_before := came_from[world]) is not None:
        world, name = step_before
        names.append(name)
    return names[::-1]


def test_nothing_that_must_not_be_can_come_to_be() -> None:
    """No sequence of asks, ends, deaths, cancellations, commands, pauses and clock jumps breaks S1 to S7 or L1 to L3."""
    worlds, way = explore(24, jumps=2)
    assert not way
    assert worlds > 15_000  # else it explores nothing


def test_nor_with_three_callers() -> None:
    """A third one adds nothing, within fewer steps."""
    worlds, way = explore(12, room=3)
    assert not way
    assert worlds > 9_000


# ---------------------------------------------------------------- the exploration can fail


def _clamped(row: Row, now: float) -> float:
    return min(row.wait, REMAINING(row, now)) if row.state is not State.FORCED_OPEN else math.inf


def _closing(row: Row, event: Return) -> tuple[Row, Answer]:
    if row.state is State.HALF_OPEN and event.token == row.token:
        return breaker._closed(row, 0.0), Answer(verdict=Verdict.DONE)
    return row, Answer(verdict=Verdict.LATE)


CURRENT, REMAINING = breaker.is_current, breaker.remaining
SEEDED: dict[str, dict[str, Callable[..., Any]]] = {
    "naive clamp": {"anchored": lambda row, _: row, "remaining": _clamped},
    "no fence": {"is_current": lambda row, report: row.state is State.HALF_OPEN or CURRENT(row, report)},
    "no fence when closed": {"is_current": lambda row, report: row.state is State.CLOSED or CURRENT(row, report)},
    "no lease expiry": {
        "probe_is_due": lambda row, now: (
            (row.state is State.OPEN and breaker.remaining(row, now) <= 0)
            or (row.state is State.HALF_OPEN and not row.token)
        )
    },
    "no limit when half open": {
        "probe_is_due": lambda row, now: (
            (row.state is State.OPEN and breaker.remaining(row, now) <= 0) or row.state is State.HALF_OPEN
        )
    },
    "cancel closes": {"returned": _closing},
    "cancel leaks": {"returned": lambda row, _: (row, Answer(verdict=Verdict.DONE))},
}


BREAKS = ("L3", "S4", "S4", "L3", "S1", "S5", "L2")


@pytest.mark.parametrize(("bug", "broken"), [*zip(SEEDED, BREAKS, strict=True)])
def test_each_seeded_bug_is_found(bug: str, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is a little wrong, as breakers in the wild have them, leads to what must not be."""
    for name, rule in SEEDED[bug].items():
        monkeypatch.setattr(breaker, name, rule)
    way = explore(20)[1]
    assert way
    assert way[-1].startswith(broken)


# ---------------------------------------------------------------- numbers and words


def after(*events: Event | float, rules: Rules = SMALL, row: Row | None = None) -> tuple[Row, Answer]:
    """The row and the last answer after events; a number is the time from there on. It begins at 1000."""
    now, row, answer = 1000.0, row or Row(), Answer(verdict=Verdict.DONE)
    for event in events:
        if isinstance(event, float):
            now = event
        else:
            row, answer = step(row, event, now, rules)
    return row, answer


FAIL = Report(epoch=0, failure="refused")
FINE = Report(epoch=0)


def test_it_opens_at_the_threshold() -> None:
    """So many failures in a row open it, one less does not, and an answer between them begins the count anew."""
    rules = Rules(threshold=3)
    assert after(FAIL, FAIL, rules=rules)[0].state is State.CLOSED
    row, _ = after(FAIL, FAIL, FAIL, rules=rules)
    assert (row.state, row.epoch, row.since, row.wait, row.trips, row.fails) == (State.OPEN, 1, 1000.0, 30.0, 1, 3)
    assert row.why == "3 failures in a row, the last: refused"
    assert row.failed_at == 1000.0
    row, answer = after(FAIL, FAIL, FINE, FAIL, FAIL, rules=rules)
    assert (row.state, row.fails, row.epoch, answer) == (State.CLOSED, 2, 0, Answer(verdict=Verdict.DONE))


def test_failures_far_apart_are_not_in_a_row() -> None:
    """A failure longer after the last one than the window begins the count anew; the window itself does not."""
    assert after(FAIL, 1030.0, FAIL)[0].state is State.OPEN
    row, _ = after(FAIL, 1030.1, FAIL)
    assert (row.state, row.fails, row.failed_at) == (State.CLOSED, 1, 1030.1)


def test_who_is_refused_is_told_when_and_why() -> None:
    """While it is open the rest of the cooldown, while a probe is out the rest of its lease."""
    opened = (FAIL, FAIL)
    row, answer = after(*opened, 1004.0, Ask(token="a"))
    assert answer == Answer(verdict=Verdict.REFUSED, retry_after=6.0, why="2 failures in a row, the last: refused")
    row, answer = after(*opened, 1010.0, Ask(token="a"))
    assert answer == Answer(verdict=Verdict.PROBE)
    assert (row.state, row.epoch, row.since, row.wait, row.token, row.trips) == (
        *(State.HALF_OPEN, 2, 1010.0, 10.0, "a", 1),
    )
    row, answer = after(*opened, 1010.0, Ask(token="a"), 1013.0, Ask(token="b"))
    assert (answer.verdict, answer.retry_after, answer.why) == (Verdict.REFUSED, 7.0, row.why)
    assert row.why == "2 failures in a row, the last: refused"
    assert after(*opened, 1010.0, Ask(token="a"), 1020.0, Ask(token="b"))[1].verdict is Verdict.PROBE


def test_a_probe_decides() -> None:
    """Its answer closes the breaker and forgets, its failure opens it for twice as long, up to the longest."""
    probing, _ = after(FAIL, FAIL, 1010.0, Ask(token="a"))
    closed, answer = after(1011.0, Report(epoch=2, token="a"), row=probing)
    assert closed == Row(state=State.CLOSED, epoch=3, since=1011.0)
    assert answer.verdict is Verdict.DONE
    opened, answer = after(1011.0, Report(epoch=2, token="a", failure="reset"), row=probing)
    assert answer.verdict is Verdict.DONE
    assert (opened.state, opened.epoch, opened.since, opened.wait, opened.trips, opened.why) == (
        *(State.OPEN, 3, 1011.0, 20.0, 2, "the probe failed: reset"),
    )
    assert after(1031.0, Ask(token="b"), Report(epoch=4, token="b", failure="reset"), row=opened)[0].wait == 20.0


@pytest.mark.parametrize("report", [{"epoch": 1}, {"epoch": 2}, {"token": "a", "epoch": 1}, {"token": "b", "epoch": 2}])
def test_only_the_probe_decides(report: dict[str, Any]) -> None:
    """A report under another epoch, or another lease, or none, is late, be it good or bad."""
    probing, _ = after(FAIL, FAIL, 1010.0, Ask(token="a"))
    for failure in ("", "reset"):
        assert after(1011.0, Report(failure=failure, **report), row=probing) == (probing, Answer(verdict=Verdict.LATE))


def test_only_the_probe_returns_its_lease() -> None:
    """A cancelled probe makes the next who asks the probe; a cancelled call, an old probe and a closed breaker do nothing."""
    probing, _ = after(FAIL, FAIL, 1010.0, Ask(token="a"))
    late = Answer(verdict=Verdict.LATE)
    assert after(1011.0, Return(token="b"), row=probing) == (probing, late)
    assert after(Return(token=""), row=Row()) == (Row(), late)
    assert after(Return(token="a"), row=Row(token="a")) == (Row(token="a"), late)
    free, answer = after(1011.0, Return(token="a"), row=probing)
    assert (free, answer) == (probing._replace(token="", wait=0.0), Answer(verdict=Verdict.DONE))
    assert after(1011.0, Return(token=""), row=free) == (free, late)
    assert after(1011.0, Report(epoch=2), row=free) == (free, late)
    assert breaker.remaining(free, 1011.0) == 0.0


def test_a_clock_that_was_set_back() -> None:
    """Every date in the future becomes now, so that what is waited for is waited for once more, and no longer."""
    opened, _ = after(FAIL, FAIL)
    row, answer = after(500.0, Ask(token="a"), row=opened)
    assert (row.since, row.failed_at, answer.retry_after) == (500.0, 500.0, 10.0)
    assert after(510.0, Ask(token="a"), row=row)[1].verdict is Verdict.PROBE
    once, _ = after(FAIL)
    assert after(500.0, FAIL, row=once)[0].state is State.OPEN
    assert breaker.anchored(once, 1000.0) is once
    assert breaker.anchored(Row(since=9.0, failed_at=3.0), 5.0) == Row(since=5.0, failed_at=3.0)


@pytest.mark.parametrize("state", [State.FORCED_OPEN, State.DISABLED, State.CLOSED])
def test_commands(state: State) -> None:
    """A command sets the state whatever it was, and makes every call that is under way a late one."""
    row, answer = after(FAIL, 1001.0, Command(state=state, why="because"))
    assert row == Row(state=state, epoch=1, since=1001.0, why="because")
    assert answer.verdict is Verdict.DONE
    asked = after(1002.0, Ask(token="a"), row=row)[1]
    if state is State.FORCED_OPEN:
        assert asked == Answer(verdict=Verdict.REFUSED, retry_after=math.inf, why="because")
    else:
        assert asked == Answer(verdict=Verdict.CALL)
    assert after(1002.0, FAIL, row=row)[1].verdict is Verdict.LATE


def test_a_disabled_breaker_counts_nothing() -> None:
    """Failures under it are nobody's, also those of its own epoch."""
    row = Row(state=State.DISABLED, epoch=1)
    assert after(Report(epoch=1, failure="refused"), row=row) == (row, Answer(verdict=Verdict.LATE))


RATED = Rules(threshold=100, window=60, failure_rate=0.5, minimum_calls=10)


def test_a_share_of_failures_opens() -> None:
    """As many failures as the share says, of enough calls, open it; one less, or of fewer calls, does not."""
    row, _ = after(Report(epoch=0, untold=4), *[FAIL] * 4, rules=RATED)
    assert (row.state, row.counts) == (State.CLOSED, ((166, 5, 4),))
    opened, _ = after(FAIL, rules=RATED, row=row)
    assert (opened.state, opened.why) == (State.OPEN, "5 of 10 calls failed within 60 s, the last: refused")
    assert opened.counts == ()
    assert after(FINE, FAIL, rules=RATED, row=row)[0].state is State.CLOSED
    assert after(*[FAIL] * 9, rules=RATED)[0].state is State.CLOSED
    assert after(*[FAIL] * 10, rules=RATED)[0].state is State.OPEN


def test_untold_answers_count_before_a_failure() -> None:
    """What a process had not told yet is added with its next report."""
    row, _ = after(Report(epoch=0, failure="refused", untold=7), rules=RATED)
    assert row.counts == ((166, 7, 1),)


def test_a_window_slides() -> None:
    """Calls leave the window piece by piece; those of the future, of a clock that was set back, at once."""
    row, _ = after(FAIL, 1050.0, FAIL, FINE, rules=RATED)
    assert row.counts == ((166, 0, 1), (175, 1, 1))
    assert after(1055.9, FINE, rules=RATED, row=row)[0].counts == ((166, 0, 1), (175, 2, 1))
    assert after(1056.0, FINE, rules=RATED, row=row)[0].counts == ((175, 1, 1), (176, 1, 0))
    assert after(500.0, FINE, rules=RATED, row=row)[0].counts == ((83, 1, 0),)


def test_without_a_share_nothing_is_counted() -> None:
    """Who asks for no rate pays for none."""
    assert after(FINE, FAIL, rules=Rules())[0].counts == ()


def test_a_slow_answer_is_a_failure() -> None:
    """Longer than allowed is one, as long as allowed is none, and it says so; a failure keeps its own words."""
    rules = Rules(threshold=1, slow_call=2.0)
    assert after(Report(epoch=0, seconds=2.0), rules=rules)[0].state is State.CLOSED
    row, _ = after(Report(epoch=0, seconds=2.125), rules=rules)
    assert row.why == "1 failure, the last: took 2.12 s, and more than 2 s is slow"
    assert after(Report(epoch=0, seconds=9, failure="reset"), rules=rules)[0].why.endswith("the last: reset")
    assert after(Report(epoch=0, seconds=9e9), rules=Rules(threshold=1))[0].state is State.CLOSED


@given(trips=some.integers(1, 10**6), jitter=some.floats(0, 1))
def test_cooldowns(trips: int, jitter: float) -> None:
    """They double up to the longest, and jitter makes them up to a tenth longer, there too."""
    found = breaker.cooldown(trips, jitter, Rules(cooldown=1.5, cooldown_max=1000))
    plain = min(1000.0, 1.5 * 2.0 ** min(trips - 1, 1000))
    assert found == pytest.approx(plain * (1 + jitter / 10))


def test_jitter_reaches_the_row() -> None:
    """A breaker that opens waits for as long as its jitter says."""
    row, _ = after(FAIL, FAIL._replace(jitter=0.5))
    assert row.wait == pytest.approx(10.5)


def test_a_row_from_outside_cannot_wait_for_ever() -> None:
    """Whatever is written there, a day and a tenth is the longest that anybody is kept out."""
    for state in (State.OPEN, State.HALF_OPEN):
        assert breaker.remaining(Row(state=state, since=100.0, wait=1e12), 100.0) == pytest.approx(86400 * 1.1)
        assert breaker.remaining(Row(state=state, since=100.0, wait=5.0), 103.0) == 2.0
        assert breaker.remaining(Row(state=state, since=100.0, wait=5.0), 106.0) == 0.0
    assert breaker.remaining(Row(wait=5.0), 0.0) == 0.0


def test_epochs_begin_anew() -> None:
    """They stay small enough for a hint."""
    assert after(Command(state=State.CLOSED), row=Row(epoch=(1 << 28) - 1))[0].epoch == 0
    assert after(Command(state=State.CLOSED), row=Row(epoch=(1 << 28) - 2))[0].epoch == (1 << 28) - 1


def test_states_have_words() -> None:
    """As people write them."""
    assert [str(state) for state in State] == ["closed", "open", "half-open", "forced-open", "disabled"]


# ---------------------------------------------------------------- hints


@given(epoch=some.integers(0, (1 << 28) - 1), state=some.sampled_from(State), fails=some.integers(0, 9))
def test_a_hint_says_the_state_the_epoch_and_whether_failures_are_counted(epoch: int, state: State, fails: int) -> None:
    """In 32 bits, and never all zeros, which is what nobody wrote."""
    word = breaker.hint(Row(state=state, epoch=epoch, fails=fails))
    assert 0 < word < 1 << 32
    assert word & breaker.STATE_BITS == state
    assert word >> breaker.EPOCH_SHIFT == epoch
    assert bool(word & breaker.STREAK) == (state is State.CLOSED and fails > 0)


def test_hints_have_an_order() -> None:
    """Not closed, or unknown, is tighter than closed with failures, and that is tighter than closed."""
    row = Row(epoch=7)
    assert breaker.tightness(breaker.hint(row)) == 0
    assert breaker.tightness(breaker.hint(row._replace(fails=1))) == 1
    for state in set(State) - {State.CLOSED}:
        assert breaker.tightness(breaker.hint(row._replace(state=state))) == 2
    assert breaker.tightness(0) == 2
