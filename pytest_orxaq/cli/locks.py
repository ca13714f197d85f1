"""``orxaq locks``: list git's locks, judge them, release the dead."""

import json
import os
import time

from pathlib import Path

import click

from .. import recovery
from ..core import escaping, records
from ..model import LockState
from ..repository import locks
from ..repository.locks import Examined, Survey
from .options import DURATION


_MARKS = {LockState.LIVE: "●", LockState.DEAD: "✗", LockState.UNKNOWN: "?"}


@click.command(name="locks")
@click.argument("path", type=click.Path(path_type=Path), default=Path(), metavar="[PATH]")
@click.option("--recover", is_flag=True, help="Take the dead ones out of git's way; each is kept, and can be restored.")
@click.option(
    "--min-age",
    type=DURATION,
    metavar="DURATION",
    help="How long a lock must be unchanged before it may be dead by elimination (default: of the configuration, 5m).",
)
@click.option(
    "--assume-exclusive",
    is_flag=True,
    help="Declare that nobody else works in this repository, seen or not; it is written down with each lock.",
)
@click.option(
    "--terminate-holder",
    is_flag=True,
    help="Ask the git that is proven to hold a lock to end (SIGTERM, upon which it removes its locks); nobody else.",
)
@click.option("--restore", metavar="ID", help="Put a released lock back; the beginning of its id will do.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    path: Path,
    recover: bool,
    min_age: float | None,
    assume_exclusive: bool,
    terminate_holder: bool,
    restore: str | None,
    form: str,
) -> int:
    """List git's lock files in the repository at PATH, and say of each whether it is live, dead, or unknown.

    Dead needs a proof: a command of ours that is gone, git's own pid file, a boot since, a declared exclusive use,
    or that every process of this machine was seen, none can hold it, and it has been unchanged for long enough. What
    is not proven dead is left alone.

    \b
    Examples:
      orxaq locks
      orxaq locks --recover
      orxaq locks --restore 20261124T1015

    \b
    Exit codes:
      0 no lock is left              2 usage, or no repository     75 another recovery is at work
      1 a lock remains               4 the machine refused
    """
    with recovery.opened(path, os.environ, floor=min_age, tenancy=assume_exclusive) as grounds:
        if restore is not None:
            restored = recovery.restore(grounds, restore)
            _say(form, f"{restored.lock.path} is back in its place", records.to_data(restored))
            return 0
        if terminate_holder:
            for words in recovery.terminate_holders(grounds, pause=_pause):
                click.echo(words, err=True)
        survey = locks.survey(grounds, release=recover, pause=_pause)
    if form == "json":
        click.echo(json.dumps(_data(survey), indent=1))
    else:
        click.echo("\n".join(_lines(survey, recover=recover)))
    return 1 if survey.remaining else 0


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _say(form: str, words: str, data: object) -> None:
    click.echo(json.dumps(data, indent=1) if form == "json" else escaping.terminal(words))


def _data(survey: Survey) -> dict[str, object]:
    """The survey for programs; ``schema`` changes when a field changes its meaning."""
    counted = {state.value: 0 for state in LockState}
    for each in survey.examined:
        counted[each.judgement.state.value] += 1
    return {
        "schema": 1,
        "counts": {**counted, "released": len(survey.examined) - len(survey.remaining)},
        "locks": [_lock_data(each) for each in survey.examined],
        "operations": list(survey.operations),
        "uncovered": list(survey.uncovered),
        "repaired": list(survey.repaired),
    }


def _lock_data(each: Examined) -> dict[str, object]:
    return {
        **_object(each.lock),
        "remains": each.remains,
        "judgement": records.to_data(each.judgement),
        "signals": {name: value for name, value in _object(each.signals).items() if name != "lock"},
        "recovery": None
        if each.recovery is None
        else {"released": each.recovery.released, "id": each.recovery.id, "why_not": each.recovery.why_not},
    }


def _object(value: object) -> dict[str, object]:
    data = records.to_data(value)
    return data if isinstance(data, dict) else {}


def _lines(survey: Survey, *, recover: bool) -> list[str]:
    lines = [escaping.terminal(f"repaired: {words}") for words in survey.repaired]
    for each in survey.examined:
        lines += [escaping.terminal(line) for line in _lock_lines(each)]
    if not survey.examined:
        lines.append("no lock is in git's way")
    lines += [escaping.terminal(f"left half done, not touched: {words}") for words in survey.operations]
    lines += [escaping.terminal(f"not looked at: {words}") for words in survey.uncovered]
    if not recover and any(each.judgement.state is LockState.DEAD and each.remains for each in survey.examined):
        lines.append("take the dead away:  orxaq locks --recover")
    return lines


def _lock_lines(each: Examined) -> list[str]:
    judgement, recovered = each.judgement, each.recovery
    lines = [
        f"{_MARKS[judgement.state]} {judgement.state.value}  {each.lock.path}  ({each.lock.kind.value}, {_age(each)})",
        f"    {judgement.why}",
    ]
    if judgement.holder is not None:
        lines.append(f"    process {judgement.holder.pid}: {judgement.holder.command}")
    lines += [f"    not seen: {words}" for words in judgement.unseen]
    if judgement.state is LockState.UNKNOWN and each.remains:
        lines.append("    if you know that no other git works here: orxaq locks --recover --assume-exclusive")
    if recovered is not None and recovered.released:
        lines.append(f"    released; to put it back: orxaq locks --restore {recovered.id}")
    elif recovered is not None:
        lines.append(f"    not released: {recovered.why_not}")
    return lines


def _age(each: Examined) -> str:
    seconds = each.signals.age
    if seconds < 0:
        return "from the future"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} old"
    return f"{seconds:.0f} s old"
