"""``orxaq gate``: take this repository through its checkpoints."""

import os
import sys

from pathlib import Path

import click

from .. import gate
from ..core import verdicts
from ..model import Verdict
from . import console
from .options import DURATION, here


@click.command(name="gate")
@click.argument("checkpoints", nargs=-1, metavar="[CHECKPOINT]...")
@click.option("--deep", is_flag=True, help="Run the deep checkpoints too.")
@click.option(
    "--fresh",
    is_flag=True,
    help="Run it all: ignore stored passes, failures that repeat themselves, and open circuit breakers.",
)
@click.option(
    "--keep-going", "-k", is_flag=True, help="After a checkpoint that did not pass, run the others all the same."
)
@click.option(
    "--timeout",
    type=DURATION,
    metavar="DURATION",
    help="For everything together, such as 10m (default: deadline of the configuration, 30m).",
)
@click.option(
    "--report-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="ORXAQ_REPORT_DIR",
    show_envvar=True,
    help="Where reports go (default: .orxaq in the work tree).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="The machine's result on stdout: the run as JSON, or each event as it happens.",
)
@click.option(
    "--lock-timeout",
    type=DURATION,
    metavar="DURATION",
    envvar="ORXAQ_LOCK_TIMEOUT",
    show_envvar=True,
    help="How long to wait for another gate in this work tree (default: the deadline).",
)
@click.option(
    "--fail-on-flaky",
    is_flag=True,
    envvar="ORXAQ_FAIL_ON_FLAKY",
    show_envvar=True,
    help="Exit 1 if something passed only when tried again.",
)
def command(
    checkpoints: tuple[str, ...],
    deep: bool,
    fresh: bool,
    keep_going: bool,
    timeout: float | None,
    report_dir: Path | None,
    form: str,
    lock_timeout: float | None,
    fail_on_flaky: bool,
) -> int:
    """Take this repository through its checkpoints (default: lint, then test).

    Each checkpoint is a command, `make NAME` unless configured otherwise. It runs unattended: within time,
    without prompts, and nothing that it starts outlives it. What was the machine's fault is tried again; what
    was the code's fault is not. What ended three times in a row in the same way, with nothing changed, is not run
    at once again: a failure is played back (1), and what the machine spoils is skipped for a while (5).
    A report is left in .orxaq/report.html.

    \b
    Examples:
      orxaq gate
      orxaq gate test --timeout 10m --format json

    \b
    Exit codes:
      0 passed or flaky      3 unproven           75 another gate is at work here
      1 failed               4 infrastructure     124 timed out
      2 usage or config      5 skipped            130, 143 cancelled
    """
    request = gate.Request(
        directory=here(),
        checkpoints=checkpoints,
        deep=deep,
        fresh=fresh,
        keep_going=keep_going,
        timeout=timeout,
        report_dir=report_dir,
        lock_timeout=lock_timeout,
        arguments=("orxaq", *sys.argv[1:]),
    )
    with console.opened(form, os.environ) as audience:
        finished = gate.run(request, audience, os.environ)
    console.conclude(finished.record, finished.report, form)
    verdict = finished.record.verdict or verdicts.of_run(())
    if verdict is Verdict.FLAKY and fail_on_flaky:
        click.echo("orxaq: flaky is taken for a failure here, by --fail-on-flaky or ORXAQ_FAIL_ON_FLAKY", err=True)
    return verdicts.exit_code(verdict, finished.record.outcomes, fail_on_flaky=fail_on_flaky)
