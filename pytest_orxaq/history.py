"""The past: run records, kept as they were when each run ended (or was cut off)."""

import json

from collections.abc import Iterator
from pathlib import Path

from .core import records
from .errors import UsageError
from .model import RunRecord, Verdict
from .system import state as states


RECORD = "run.json"
KEPT = 50  # runs; older ones go, the last one that passed excepted


def folder(state: states.State, run: str) -> Path:
    """Where a run's record and mailboxes are."""
    return state.runs / run


def save(state: states.State, record: RunRecord) -> None:
    """Write *record* as it stands; half a record is never seen."""
    data = {"schema": records.SCHEMA, "run": records.to_data(record)}
    states.write_atomically(folder(state, record.id) / RECORD, json.dumps(data, indent=1).encode())


def names(state: states.State) -> tuple[str, ...]:
    """The ids of all runs kept, latest first. Ids begin with the time, so their order is the runs' order."""
    found = (entry.name for entry in state.runs.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return tuple(sorted(found, reverse=True))


def read(state: states.State, run: str) -> RunRecord | None:
    """The record of *run*, or None where none can be read."""
    data = states.read_json(folder(state, run) / RECORD, schema=records.SCHEMA)
    if not isinstance(data, dict):
        return None
    try:
        return records.from_data(RunRecord, data.get("run"))
    except ValueError:
        return None  # a foreign or damaged record is no memory


def latest_first(state: states.State) -> Iterator[RunRecord]:
    """Every run that can be read, latest first."""
    for name in names(state):
        if (record := read(state, name)) is not None:
            yield record


def find(state: states.State, wanted: str) -> RunRecord:
    """The run whose id begins with *wanted*, or the latest for an empty one; ``UsageError`` if there is none or several."""
    matching = [name for name in names(state) if name.startswith(wanted)]
    if not matching:
        raise UsageError(
            f"no run here begins with {wanted!r}" if wanted else "no run has been recorded here yet",
            advice="`orxaq runs list` shows the runs that are kept" if wanted else "`orxaq gate` makes the first one",
        )
    if wanted and len(matching) > 1 and wanted not in matching:
        raise UsageError(f"{len(matching)} runs begin with {wanted!r}", advice="give more of the id")
    name = wanted if wanted in matching else matching[0]
    record = read(state, name)
    if record is None:
        raise UsageError(f"the record of run {name} cannot be read", advice=f"its folder is {folder(state, name)}")
    return record


def last_pass(state: states.State) -> RunRecord | None:
    """The latest run that passed as a whole, stored passes included."""
    good = {Verdict.PASSED, Verdict.FLAKY}
    return next((record for record in latest_first(state) if record.verdict in good), None)
