"""Failures that are played back: what failed three times in a row in the same way is not run a fourth time for it."""

from itertools import islice
from pathlib import Path

from . import history, passes
from .core import grouping, repetition
from .model import Outcome, RunRecord, TestResult
from .system import state as states


_LOOKED_AT = 20  # runs: a checkpoint that is not among them is not being repeated


def find(state: states.State, checkpoint: str, key: str, *, now: float) -> tuple[str, Outcome] | None:
    """The run and its outcome to be played back for a checkpoint at the content of that key, if there is one."""
    found: list[tuple[str, Outcome]] = []
    for record in islice(history.latest_first(state), _LOOKED_AT):
        for outcome in record.outcomes:
            if outcome.checkpoint.name != checkpoint or not (outcome.attempts or outcome.stored):
                continue
            if outcome.key != key or outcome.stored:
                return None  # the last word on this checkpoint was another one
            if _really_ran(record, outcome):
                found.append((record.id, outcome))
        if len(found) >= repetition.TIMES:
            break
    endings = [repetition.ending_of(outcome, _mark, grouping.normalised) for _, outcome in found]
    if not repetition.repeats(endings, now) or passes.changed_since(found[0][1].interpreters):
        return None
    return found[0]


def _really_ran(record: RunRecord, outcome: Outcome) -> bool:
    """Whether the attempts are of this very run: those of another gate, and what was played back, count once."""
    return record.id in Path(outcome.attempts[-1].mailbox).parts


def _mark(test: TestResult) -> str:
    failure = grouping.leading(test)
    return f"{failure.phase} {failure.exception} {grouping.normalised(grouping.meaningful_line(failure))}"
