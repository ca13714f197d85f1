"""``orxaq breaker``: circuit breakers by hand."""

import difflib
import json
import os
import time

from math import isfinite

import click

from ..core import escaping
from ..core.breaker import Row, State, anchored, remaining
from ..errors import MachineError, UsageError
from ..resilience.breaker import Breaker
from ..resilience.premises import BREAKERS, state_at
from ..system.breakers import Shared, StoreError


@click.command(name="breaker")
@click.argument("what", type=click.Choice(["list", "open", "reset", "disable"]), default="list")
@click.argument("name", default="", metavar="[NAME]")
@click.option("--why", default="by hand", show_default=True, help="What those are told who are refused, and you later.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(what: str, name: str, why: str, form: str) -> int:
    """List the circuit breakers of this repository, or set one by hand: for all processes, until it is reset.

    `open` lets nobody call, `disable` lets everybody call and counts nothing, `reset` begins anew, closed.

    \b
    Examples:
      orxaq breaker
      orxaq breaker open pypi --why "maintenance until noon"
      orxaq breaker reset pypi
    """
    rows = _rows()
    if what != "list" or name:
        _check(name, rows, what)
    if what != "list":
        _set(what, name, why)
        rows = _rows()
    _tell({name: rows[name]} if name else rows, form)
    return 0


def _rows() -> dict[str, tuple[Row, str]]:
    """The breakers of this repository by name, and who changed each last."""
    path = str(state_at(os.environ).common / BREAKERS)
    try:
        return Shared(path).rows() if os.path.exists(path) else {}
    except StoreError as error:
        raise MachineError(str(error), advice="Breakers work without it, each process for itself.") from error


def _check(name: str, rows: dict[str, tuple[Row, str]], what: str) -> None:
    if name in rows:
        return
    if not name:
        raise UsageError(f"`orxaq breaker {what}` needs a name", advice="`orxaq breaker` lists those that are known.")
    close = difflib.get_close_matches(name, rows, n=1)
    hint = (
        f"Did you mean {close[0]!r}?"
        if close
        else "`orxaq breaker` lists those that are known: it has to be used first."
    )
    raise UsageError(f"there is no circuit breaker {name!r} here", advice=hint)


def _set(what: str, name: str, why: str) -> None:
    breaker = Breaker(name)
    match what:
        case "open":
            breaker.force_open(why)
        case "disable":
            breaker.disable(why)
        case _:
            breaker.reset()
    if not breaker.snapshot().shared:
        raise MachineError(
            f"the circuit breaker {name!r} was not changed: its store cannot be written",
            advice="Is somebody holding it?",
        )


def _tell(rows: dict[str, tuple[Row, str]], form: str) -> None:
    now = time.time()
    if form == "json":
        found = [_data(name, anchored(row, now), by, now) for name, (row, by) in rows.items()]
        click.echo(json.dumps({"schema": 1, "breakers": found}, indent=1))
        return
    for name, (row, by) in rows.items():
        click.echo(escaping.one_line(_line(name, anchored(row, now), by, now)))
    if not rows:
        click.echo("no circuit breaker has been used here yet", err=True)


def _data(name: str, row: Row, by: str, now: float) -> dict[str, object]:
    wait = remaining(row, now)
    return {
        "name": name,
        "state": str(row.state),
        "why": row.why,
        "failures": row.fails,
        "trips": row.trips,
        "retry_after": wait if isfinite(wait) else None,
        "changed_by": by,
    }


def _line(name: str, row: Row, by: str, now: float) -> str:
    wait = remaining(row, now)
    due = f"probe in {wait:.0f} s" if wait else "the next call is the probe"
    until = due if row.state is State.OPEN else ""
    counted = f"failures in a row: {row.fails}" if row.state is State.CLOSED and row.fails else ""
    details = "; ".join(filter(None, (row.why, counted, until, by and f"set by {by}")))
    return f"{name:<20} {row.state!s:<12} {details}"
