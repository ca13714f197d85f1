"""``python -m pytest_orxaq`` and the console script: the one door for errors."""

import errno
import os
import sys

from .errors import OrxaqError
from .model import ExitCode


# What is neither the user's mistake nor a bug of ours: no room, no descriptors, a disk that fails.
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. A user's mistake prints words, a bug of ours a traceback."""
    _open_what_is_closed()
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
    except Exception as error:  # noqa: BLE001 - the last door: anything else that gets here is a bug
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            place = f"{error.filename}: " if error.filename else ""
            return _say(ExitCode.INFRASTRUCTURE, f"orxaq: the machine refused: {place}{error.strerror}")
        import traceback  # noqa: PLC0415 - costs as much as the whole start-up otherwise

        report = "This is a bug in pytest-orxaq. Please report it with the lines above and `orxaq --version`."
        return _say(ExitCode.BUG, f"{traceback.format_exc()}\norxaq: {report}")


def _open_what_is_closed() -> None:
    """Put something in place of standard streams that are closed: else the next file opened would get their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _say(code: ExitCode, words: str) -> ExitCode:
    sys.stderr.write(words + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
