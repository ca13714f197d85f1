"""The ``orxaq`` command: a file a subcommand, loaded when it is called."""

import importlib

import click

from ..version import __version__


_COMMANDS = {
    "gate": "Take this repository through its checkpoints.",
    "run": "Run any one command under the same care as a checkpoint.",
    "runs": "Look into the past: list, show and explain runs.",
    "locks": "List and judge git's lock files, and take the dead ones away.",
    "breaker": "List circuit breakers, and open, reset or disable them by hand.",
    "faults": "Run any command with faults in its way.",
    "demo": "Take a throw-away repository full of trouble through the gate.",
}


class _Lazy(click.Group):
    """Knows its subcommands by name; imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which a newcomer needs them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"{__package__}.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a misspelt name."""
        if args and args[0] not in _COMMANDS:
            import difflib  # noqa: PLC0415 - needed by nobody who spells well

            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else " `orxaq --help` lists them."
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands for --help, without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-V", message="orxaq %(version)s")
def commands() -> None:
    """Keep unattended work in a git repository alive and honest.

    \b
    Example:
      orxaq gate            run `make lint` and `make test`, leave a report
      orxaq runs explain    why the last run ended as it did
    """
