"""``orxaq faults``: any command with faults in its way, without pytest."""

import json
import random
import sys

from dataclasses import asdict
from typing import TextIO

import click

from ..errors import UsageError
from ..faults import around


_COMMAND = "orxaq.command"  # where what stands behind -- is kept


class _Split(click.Command):
    """Takes what stands behind ``--`` as the command to run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, of what stands before it."""
        ours, behind = (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        ctx.meta[_COMMAND] = behind
        return super().parse_args(ctx, ours)


@click.command(name="faults", cls=_Split, options_metavar="[OPTIONS]")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Make what is left to chance as with this number."
)
@click.option(
    "--log", type=click.File("w", encoding="utf-8", lazy=False), help="Write what happened there, as JSON lines."
)
@click.option("--allow-unfired", is_flag=True, help="Exit 0 though a fault was never met.")
@click.option("--list", "listing", is_flag=True, help="Say which faults there are, with their truths.")
@click.argument("said", nargs=-1, metavar="FAULT... -- COMMAND...")
@click.pass_context
def command(
    ctx: click.Context, seed: int | None, log: TextIO | None, allow_unfired: bool, listing: bool, said: tuple[str, ...]
) -> int:
    """Run COMMAND with faults in its way, whatever it is written in.

    Its own exit code is this command's, 128+N if signal N ended it; but 1 if it succeeded without meeting one of the
    faults. 2 means that a fault is none, or that the command could not be started.

    \b
    Example:
      orxaq faults 'git push=2*GIT_503->ok' -- ./release.sh
      orxaq faults pip=PIP_503 --log faults.jsonl -- make deploy
    """
    if listing:
        click.echo(around.listed())
        return 0
    if not said or not ctx.meta[_COMMAND]:
        what = "There is no COMMAND: it stands behind --." if said else "There is no FAULT."
        raise UsageError(what, advice=around.ADVICE)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    ended = around.run(ctx.meta[_COMMAND], said, seed=seed)
    if log is not None:
        log.writelines(json.dumps(line) + "\n" for line in ({"seed": seed}, *map(asdict, ended.events)))
    return _concluded(ended, allow_unfired=allow_unfired)


def _concluded(ended: around.Ended, *, allow_unfired: bool) -> int:
    code = ended.code if ended.code >= 0 else 128 - ended.code
    if allow_unfired or not ended.unfired:
        return code
    for words in ended.unfired:
        sys.stderr.write(
            f"orxaq: never fired: {words}. The command did not come that way; --allow-unfired allows it.\n"
        )
    return code or 1
