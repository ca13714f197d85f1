"""``orxaq run``: any one command under the same care as a checkpoint."""

import os
import sys

import click

from .. import gate
from ..core import verdicts
from ..model import Verdict
from . import console
from .options import DURATION, here


@click.command(name="run", context_settings={"ignore_unknown_options": False})
@click.option(
    "--timeout",
    type=DURATION,
    metavar="DURATION",
    help="For all attempts together, such as 10m (default: deadline of the configuration, 30m).",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How often to try again after trouble that is the machine's fault.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="The machine's result on stdout: the run as JSON, or each event as it happens.",
)
@click.argument("command_line", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(timeout: float | None, retries: int, form: str, command_line: tuple[str, ...]) -> int:
    """Run COMMAND unattended: within time, without prompts, leaving no process behind.

    If it ran, its own exit code is this command's; 124 means that the time ran out, 130 or 143 that it was
    cancelled, 4 that a signal killed it, 2 that it could not be started.

    \b
    Example:
      orxaq run --timeout 5m -- ./deploy.sh staging
    """
    request = gate.Request(
        directory=here(),
        command=command_line,
        timeout=timeout,
        retries=retries,
        arguments=("orxaq", *sys.argv[1:]),
    )
    with console.opened(form, os.environ) as audience:
        finished = gate.run(request, audience, os.environ)
    console.conclude(finished.record, finished.report, form)
    outcome = finished.record.outcomes[-1]
    own = outcome.attempts[-1].exit.code
    if own is not None and outcome.verdict not in {Verdict.TIMED_OUT, Verdict.CANCELLED}:
        return own
    return verdicts.exit_code(outcome.verdict, finished.record.outcomes, fail_on_flaky=False)
