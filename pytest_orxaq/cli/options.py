"""What several commands take: kinds of option values, and the place where they were called."""

from pathlib import Path

import click

from ..core import durations
from ..errors import RepositoryError


class Duration(click.ParamType[float]):
    """``30m``, ``90s``, ``1h30m`` or plain seconds; the value is seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; click's usage error for anything else."""
        try:
            return durations.parse(float(str(value)) if str(value).replace(".", "", 1).isdigit() else value)
        except ValueError as error:
            self.fail(f"{error}", param, ctx)


DURATION = Duration()


def here() -> Path:
    """The current folder; ``RepositoryError`` if it has been deleted."""
    try:
        return Path.cwd()
    except OSError as error:
        raise RepositoryError(
            f"the current folder cannot be named: {error.strerror}", advice="It may have been deleted: cd to another."
        ) from error
