"""Ask git something, hardened: no prompt, no lock taken in passing, words in English, an end in time."""

import os

from collections.abc import Mapping
from pathlib import Path

from ..core.environment import without_git_locals
from ..errors import MachineError, RepositoryError
from ..system.process import ASK_GRACE, Answer, ask


_HARDENED = {
    "GIT_ASKPASS": "true",
    "GIT_NO_LAZY_FETCH": "1",  # a partial clone must not go to the network because somebody asked for a name
    "GIT_OPTIONAL_LOCKS": "0",  # never hold index.lock only to refresh it: the user's own git would fail
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


def git(
    directory: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    timeout: float = 30,
    input: bytes = b"",
    grace: float = ASK_GRACE,
) -> Answer:
    """What git answers in ``directory``; whether it succeeded is the caller's question.

    Raises MachineError if there is no git to ask, RepositoryError if there is no such directory.
    """
    inherited = os.environ if environment is None else environment
    # A file system monitor is a daemon of the user's: it may be stale, and it may not be there.
    command = ("git", "-c", "core.fsmonitor=false", *arguments)
    try:
        return ask(
            command,
            directory=directory,
            environment=without_git_locals(inherited) | _HARDENED,
            timeout=timeout,
            input=input,
            grace=grace,
        )
    except MachineError as error:
        # The same errno stands for "no such program" and "no such working directory".
        if not directory.is_dir():
            raise RepositoryError(f"{directory} is not a folder") from error
        raise MachineError(error.what, advice="Install git, or put it into PATH.") from error
