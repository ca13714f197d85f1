"""A circuit breaker as one pure function: what was, what happens, and the time, to what is.

The row of a breaker is shared by processes that do not trust each other's clocks or lives:

* A change of state, and every new lease of the probe, is a new **epoch**. What a call reports under an older one is
  late, and says nothing any more.
* The one trial call when half open, the **probe**, is a lease: it ends by itself, so that a prober which was killed
  blocks nobody for longer than that, and it has a token, so that nobody else can return it.
* Time is the wall clock's, because no other survives a boot. When it is seen to have gone backwards the wait begins
  anew there and then. To trust the old date would keep the breaker open for as long as the jump was wide.

Named tuples, not dataclasses: every program that has a breaker imports this, and pays a tenth for them.
"""

from enum import IntEnum, StrEnum
from math import inf
from typing import NamedTuple, TypeAlias


LONGEST = 86400.0  # seconds that a breaker can be open, or a probe out; whatever a row from outside may say
EPOCHS = 1 << 28  # epochs are counted modulo this: they fit into a hint
_PIECES = 10  # of the window for rates
_SPREAD = 0.1  # of a cooldown: by so much may it be longer, so that machines do not come back together
_MOST_TRIPS = 64  # after which doubling ends: a float power overflows


class State(IntEnum):
    """Of a breaker. The numbers are kept on disk."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3
    FORCED_OPEN = 4
    DISABLED = 5

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


class Rules(NamedTuple):
    """When a breaker opens, and for how long; times in seconds."""

    threshold: int = 5  # failures in a row
    window: float = 60.0  # failures further apart are not in a row; and the time over which rates are taken
    cooldown: float = 30.0  # doubled each time that a probe fails
    cooldown_max: float = 1800.0
    probe_timeout: float = 60.0  # for how long one probe keeps the others out
    failure_rate: float | None = None  # share of failures among the calls in the window that opens too
    minimum_calls: int = 20  # before a share means anything
    slow_call: float | None = None  # an answer that took longer counts as a failure


class Row(NamedTuple):
    """All that is known of one breaker."""

    state: State = State.CLOSED
    epoch: int = 0
    since: float = 0.0  # wall clock: when it opened, or when the probe's lease began
    wait: float = 0.0  # seconds from then: the cooldown, or the length of the lease
    trips: int = 0  # times that it opened since it was last closed
    fails: int = 0  # in a row
    failed_at: float = 0.0
    token: str = ""  # of the probe that is out
    why: str = ""  # it is not closed, in words
    counts: tuple[tuple[int, int, int], ...] = ()  # for rates: piece of the window, answers, failures


class Ask(NamedTuple):
    """Somebody wants to call; the token is what a probe of theirs will be known by."""

    token: str


class Report(NamedTuple):
    """A call ended: answered, if ``failure`` is empty. ``untold`` answers went before it, not yet reported."""

    epoch: int
    token: str = ""
    failure: str = ""
    seconds: float = 0.0
    jitter: float = 0.0  # 0 to 1: by how much of the spread a cooldown is longer
    untold: int = 0


class Return(NamedTuple):
    """A probe was cancelled: nobody knows how it would have ended."""

    token: str


class Command(NamedTuple):
    """Somebody sets the state by hand: FORCED_OPEN, DISABLED, or CLOSED to begin anew."""

    state: State
    why: str = ""


Event: TypeAlias = Ask | Report | Return | Command


class Verdict(StrEnum):
    """What an event led to."""

    CALL = "call"
    PROBE = "probe"
    REFUSED = "refused"
    DONE = "done"
    LATE = "late"  # nothing: it belongs to an epoch, or a lease, that is over


class Answer(NamedTuple):
    """What somebody who asked is told."""

    verdict: Verdict
    retry_after: float = 0.0  # seconds after which asking makes sense; infinite if somebody has to act first
    why: str = ""


def step(row: Row, event: Event, now: float, rules: Rules) -> tuple[Row, Answer]:
    """What the breaker is after an event at ``now`` (wall clock), and the answer."""
    row = anchored(row, now)
    match event:
        case Ask():
            return _asked(row, event, now, rules)
        case Report():
            return _reported(row, event, now, rules)
        case Return():
            return returned(row, event)
        case _:
            return _next(row, event.state, why=event.why, since=now), Answer(verdict=Verdict.DONE)


def remaining(row: Row, now: float) -> float:
    """Seconds until the next probe may be made, by the row alone; infinite if it is forced open."""
    if row.state is State.FORCED_OPEN:
        return inf
    if row.state not in {State.OPEN, State.HALF_OPEN}:
        return 0.0
    return max(0.0, row.since + min(row.wait, LONGEST * (1 + _SPREAD)) - now)


def cooldown(trips: int, jitter: float, rules: Rules) -> float:
    """Seconds that the breaker stays open when it opened for the ``trips``-th time in a row."""
    doubled = rules.cooldown * 2.0 ** min(trips - 1, _MOST_TRIPS)
    return min(rules.cooldown_max, doubled) * (1 + _SPREAD * jitter)


# ---------------------------------------------------------------- hints: a row in 31 bits

# What processes read without asking the store: the state, whether failures are counted, and the epoch. All zeros, as
# in a file just made, means that nobody knows.
STATE_BITS = 0b0111
STREAK = 0b1000
EPOCH_SHIFT = 4


def hint(row: Row) -> int:
    """The row as a hint."""
    streak = STREAK if row.state is State.CLOSED and row.fails else 0
    return row.epoch << EPOCH_SHIFT | streak | row.state


def tightness(word: int) -> int:
    """How much a hint makes processes ask the store: 0 for nothing, 1 after an answer, 2 before a call.

    A hint may be tighter than the truth, which costs a look, and never looser.
    """
    if word & STATE_BITS != State.CLOSED:
        return 2
    return 1 if word & STREAK else 0


# ---------------------------------------------------------------- rules, each of them


def anchored(row: Row, now: float) -> Row:
    """The row without dates in the future: where the clock was set back, every wait begins anew."""
    if row.since <= now and row.failed_at <= now:
        return row
    return row._replace(since=min(row.since, now), failed_at=min(row.failed_at, now))


def probe_is_due(row: Row, now: float) -> bool:
    """Whether the next who asks becomes the probe: the cooldown is over, or the lease of the last one."""
    return row.state in {State.OPEN, State.HALF_OPEN} and remaining(row, now) <= 0


def is_current(row: Row, report: Report) -> bool:
    """Whether a call was admitted under the epoch that still is, and for a probe by the lease that still is."""
    if row.state is State.CLOSED:
        return report.epoch == row.epoch
    return row.state is State.HALF_OPEN and report.epoch == row.epoch and report.token == row.token != ""


def forgettable(row: Row, now: float, after: float) -> bool:
    """Whether nothing has happened to it for so many seconds; what a person has set stays."""
    by_hand = row.state in {State.FORCED_OPEN, State.DISABLED}
    return not by_hand and now - max(row.since, row.failed_at) > after and now - row.since - row.wait > after


def returned(row: Row, event: Return) -> tuple[Row, Answer]:
    """Without a verdict: it stays half open, and the next who asks becomes the probe."""
    if row.state is not State.HALF_OPEN or event.token != row.token or not row.token:
        return row, Answer(verdict=Verdict.LATE)
    return row._replace(token="", wait=0.0), Answer(verdict=Verdict.DONE)


def trips_now(row: Row, rules: Rules) -> str:
    """Why a closed breaker opens, in words; empty if it does not."""
    if row.fails >= rules.threshold:
        return f"{row.fails} failures in a row" if row.fails > 1 else "1 failure"
    failed = sum(piece[2] for piece in row.counts)
    total = failed + sum(piece[1] for piece in row.counts)
    if rules.failure_rate is None or total < rules.minimum_calls or failed < rules.failure_rate * total:
        return ""
    return f"{failed} of {total} calls failed within {rules.window:g} s"


# ---------------------------------------------------------------- events


def _asked(row: Row, event: Ask, now: float, rules: Rules) -> tuple[Row, Answer]:
    if row.state in {State.CLOSED, State.DISABLED}:
        return row, Answer(verdict=Verdict.CALL)
    if probe_is_due(row, now):
        leased = _next(row, State.HALF_OPEN, why=row.why, since=now, trips=row.trips)
        return leased._replace(token=event.token, wait=rules.probe_timeout), Answer(verdict=Verdict.PROBE)
    return row, Answer(verdict=Verdict.REFUSED, retry_after=remaining(row, now), why=row.why)


def _reported(row: Row, report: Report, now: float, rules: Rules) -> tuple[Row, Answer]:
    if not is_current(row, report):
        return row, Answer(verdict=Verdict.LATE)
    failure = report.failure
    if not failure and rules.slow_call is not None and report.seconds > rules.slow_call:
        failure = f"took {report.seconds:.3g} s, and more than {rules.slow_call:g} s is slow"
    if row.state is State.HALF_OPEN:
        after = _opened(row, f"the probe failed: {failure}", now, report, rules) if failure else _closed(row, now)
    else:
        after = _counted(row, failure, now, report, rules)
    return after, Answer(verdict=Verdict.DONE)


def _counted(row: Row, failure: str, now: float, report: Report, rules: Rules) -> Row:
    """A closed breaker after one more call."""
    counts = _tallied(row.counts, now, report.untold + (not failure), int(bool(failure)), rules)
    if not failure:
        return row._replace(fails=0, counts=counts)
    fails = row.fails + 1 if now - row.failed_at <= rules.window else 1
    counted = row._replace(fails=fails, failed_at=now, counts=counts)
    reason = trips_now(counted, rules)
    return _opened(counted, f"{reason}, the last: {failure}", now, report, rules) if reason else counted


def _tallied(
    counts: tuple[tuple[int, int, int], ...], now: float, answers: int, failures: int, rules: Rules
) -> tuple[tuple[int, int, int], ...]:
    """The counts with some calls more, and without what is older than the window or in the future."""
    if rules.failure_rate is None:
        return ()
    piece = int(now * _PIECES // rules.window)
    kept = {number: (good, bad) for number, good, bad in counts if piece - _PIECES < number <= piece}
    good, bad = kept.get(piece, (0, 0))
    kept[piece] = (good + answers, bad + failures)
    return tuple((number, *each) for number, each in sorted(kept.items()))


def _opened(row: Row, why: str, now: float, report: Report, rules: Rules) -> Row:
    trips = row.trips + 1
    after = _next(row, State.OPEN, why=why, since=now, trips=trips)
    return after._replace(wait=cooldown(trips, report.jitter, rules), fails=row.fails, failed_at=now)


def _closed(row: Row, now: float) -> Row:
    return _next(row, State.CLOSED, since=now)


def _next(row: Row, state: State, *, since: float, why: str = "", trips: int = 0) -> Row:
    """A new epoch in some state: nothing of what was counted or leased before is left."""
    return Row(state=state, epoch=(row.epoch + 1) % EPOCHS, since=since, trips=trips, why=why)
