"""``python -m pytest_orxaq`` and the console script: the one door for errors."""

import sys

from .errors import OrxaqError
from .model import ExitCode


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. A user's mistake prints words, a bug of ours a traceback."""
    import click  # noqa: PLC0415 - so that even a broken installation of click ends in words

    from .cli import commands  # noqa: PLC0415

    try:
        code = commands.main(arguments, prog_name="orxaq", standalone_mode=False)
        return code if isinstance(code, int) else ExitCode.PASSED
    except OrxaqError as error:
        return _say(error.exit_code, f"orxaq: {error}")
    except click.ClickException as error:
        error.show(sys.stderr)
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        return _say(ExitCode.INTERRUPTED, "orxaq: interrupted")
    except BrokenPipeError:
        # Whoever read us is gone; without this Python complains again while it shuts down.
        sys.stdout = None
        return ExitCode.FAILED
    except Exception:  # noqa: BLE001 - the last door: anything that gets here is a bug
        import traceback  # noqa: PLC0415 - costs as much as the whole start-up otherwise

        report = "This is a bug in pytest-orxaq. Please report it with the lines above and `orxaq --version`."
        return _say(ExitCode.BUG, f"{traceback.format_exc()}\norxaq: {report}")


def _say(code: ExitCode, words: str) -> ExitCode:
    sys.stderr.write(words + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
