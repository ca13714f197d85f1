"""Kinds of option values that several commands take."""

import click

from ..core import durations


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
