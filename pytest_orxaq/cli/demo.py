"""``orxaq demo``: a throw-away repository full of trouble, taken through the gate."""

import os
import sys
import tempfile

from pathlib import Path

import click

from .. import demonstration, gate
from . import console


@click.command(name="demo")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to build it (default: a new temporary folder; it must be empty).",
)
def command(directory: Path | None) -> int:
    """Build a small repository full of trouble and take it through the gate.

    It has a lint that passes, a test that fails, a download that works at the second try, a server that is left
    running, and a stale git lock. The command exits 0 if the gate found out about each of them.

    \b
    Example:
      orxaq demo
    """
    place = directory or Path(tempfile.mkdtemp(prefix="orxaq-demo-"))
    demonstration.build(place, python=sys.executable)
    click.echo(f"a repository full of trouble: {place}", err=True)
    request = gate.Request(directory=place, keep_going=True, arguments=("orxaq", "gate", "--keep-going"))
    with console.opened("text", os.environ) as audience:
        finished = gate.run(request, audience, os.environ)
    console.conclude(finished.record, finished.report, "text")
    missed = demonstration.missed(finished.record)
    for words in missed:
        click.echo(f"not as it should be: {words}", err=True)
    click.echo(str(finished.report or ""))
    return 1 if missed else 0
