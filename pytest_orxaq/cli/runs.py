"""``orxaq runs``: look into the past."""

import contextlib
import json
import os
import shutil
import time

from collections.abc import Iterator
from pathlib import Path

import click

from .. import gate, history
from ..core import records
from ..core.grouping import leading, meaningful_line
from ..errors import RepositoryError, UsageError
from ..model import Diagnosis, Outcome, RunRecord
from ..report import terminal
from ..repository import trees
from ..system import state as states
from .options import here


@click.command(name="runs")
@click.argument("what", type=click.Choice(["list", "show", "explain"]), default="list")
@click.argument("run", default="", metavar="[ID]")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(what: str, run: str, form: str) -> int:
    """List the runs of this work tree, show one, or explain why it ended as it did.

    ID is the beginning of a run's id; without one the latest run is meant. `explain` names, for each checkpoint,
    why a stored pass was used or missed, what was retried and why, and what led to the verdict.

    \b
    Examples:
      orxaq runs
      orxaq runs explain
      orxaq runs show 20261123T1015 --format json
    """
    with _state(here()) as state:
        if what == "list":
            if run:
                raise UsageError(f"`orxaq runs list` takes no id, but got {run!r}", advice="use `orxaq runs show ID`")
            _list(tuple(history.latest_first(state)), form)
        else:
            record = history.find(state, run)
            _tell(record, history.folder(state, record.id), what, form)
    return 0


@contextlib.contextmanager
def _state(directory: Path) -> Iterator[states.State]:
    """Where the runs of the work tree are kept, or those that were started here outside of any."""
    missing = None
    try:
        repository = trees.discover(directory)
    except RepositoryError as error:
        missing, repository = error, trees.plain_folder(directory)
    state = gate.open_state(repository, os.environ)
    try:
        if missing is not None and not history.names(state):
            raise missing
        yield state
    finally:
        states.discard(state)


def _tell(record: RunRecord, folder: Path, what: str, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(records.of_run(record), indent=1))
    elif what == "show":
        click.echo(terminal.summary(record, width=shutil.get_terminal_size().columns, colour=False))
    else:
        click.echo("\n".join(_explain(record, folder)))


def _list(runs: tuple[RunRecord, ...], form: str) -> None:
    if form == "json":
        click.echo(json.dumps([records.of_run(record) for record in runs], indent=1))
        return
    for record in runs:
        verdict = record.verdict.value if record.verdict else "cut off"
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started_at))
        seconds = (record.finished_at or 0.0) - record.started_at
        took = f"{seconds:.1f} s" if seconds >= 0 else "?"  # cut off, or the clock was set back meanwhile
        parts = ", ".join(f"{outcome.checkpoint.name} {outcome.verdict.value}" for outcome in record.outcomes)
        click.echo(f"{record.id}  {began}  {verdict:<14} {took:>9}  {parts}")
    if not runs:
        click.echo("no run has been recorded here yet; `orxaq gate` makes the first one", err=True)


def _explain(record: RunRecord, folder: Path) -> list[str]:
    """Why a run ended as it did, a line a reason."""
    verdict = record.verdict.value if record.verdict else "cut off before its end, which counts as not passed"
    lines = [f"run {record.id}: {verdict}"]
    if record.shared_from:
        lines.append(f"  the result was taken over from run {record.shared_from}, which judged the same content")
    for outcome in record.outcomes:
        lines += _explain_outcome(outcome)
    lines += [f"  note: {note}" for note in record.notes]
    return [*lines, f"  kept in {folder}"]


def _explain_outcome(outcome: Outcome) -> list[str]:
    lines = [f"{outcome.checkpoint.name}: {outcome.verdict.value}: {outcome.why}"]
    state = "hit" if outcome.stored else "miss"
    lines += [f"  stored pass: {state}: {why}" for why in outcome.key_story]
    if outcome.key:
        lines.append(f"  key {outcome.key[:16]}")
    if outcome.breaker:
        lines.append(
            f"  circuit breaker: {outcome.breaker}, open; `orxaq breaker list {outcome.breaker}` shows how it is now,"
            f" `orxaq breaker reset {outcome.breaker}` closes it"
        )
    if outcome.replayed:
        lines.append(f"  played back: what follows was in run {outcome.replayed}; nothing was run")
    for attempt in outcome.attempts:
        found = attempt.diagnosis
        waited = f" after waiting {attempt.waited:.1f} s" if attempt.waited else ""
        lines.append(
            f"  attempt {attempt.number}{waited}: {found.cause.value}: {found.why} ({attempt.exit.duration:.1f} s)"
        )
        lines += _explain_signature(found)
        if found.cause.environmental:
            lines.append("    the machine's fault: may be tried again")
        if attempt.reduced:
            lines.append(f"    with less parallelism: {' '.join(f'{name}={value}' for name, value in attempt.reduced)}")
        lines += [
            f"    failed first, passed when run again: {test.id}: {leading(test).exception}: {meaningful_line(leading(test))}"
            for test in attempt.evidence.recovered
        ]
        lines += [f"    contradiction: {words}" for words in attempt.evidence.contradictions]
        lines += [f"    note: {words}" for words in attempt.evidence.notes]
    return lines


def _explain_signature(found: Diagnosis) -> list[str]:
    """The line that decided, and the rule that knew it."""
    known = found.signature
    where = f"line {known.number} of the output: " if known is not None and known.line else ""
    lines = [f"    decided by: {where}{found.line}"] if found.line else []
    if known is not None:
        what = f"{known.fact}, " if known.fact else ""
        lines.append(
            f"    signature: {what}{known.rule}, which says {known.action}; from {known.source or 'the configuration'}"
        )
        lines.append(f"    advice: {known.advice}")
    return lines
