"""What can go wrong, as one tree.

OrxaqError                  printed without a traceback; ``exit_code`` says how the command ends
├── UsageError              2   the user's mistake: command line, place, configuration
│   ├── ConfigError         2   the configuration, with file and line
│   └── RepositoryError     2   no repository here, or none that has a work tree
├── BusyError               75  another gate holds the work tree
└── MachineError            4   the machine refused: git broken, nothing writable
"""

from .model import ExitCode


class OrxaqError(Exception):
    """What happened, where, and what to do; never a bug of ours."""

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.what}\n{self.advice}" if self.advice else self.what


class UsageError(OrxaqError):
    """The user's mistake."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """The configuration cannot be read or makes no sense."""


class RepositoryError(UsageError):
    """There is no repository here, or none with a work tree."""


class BusyError(OrxaqError):
    """Another gate holds the work tree."""

    exit_code = ExitCode.BUSY


class MachineError(OrxaqError):
    """The machine refused."""

    exit_code = ExitCode.INFRASTRUCTURE
