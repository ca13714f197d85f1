"""When a process is to be killed: after a while, or at something that it does. What it does is waited for, not guessed."""

import os
import re
import time

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from ..errors import UsageError
from . import choices
from .arrivals import Arrival
from .choices import check
from .commands import Commands, Phase
from .troubles import Faults


Reached = Callable[[bytes], bool]  # told all output so far, whether the moment has come


@dataclass(frozen=True, slots=True)
class After:
    """So many seconds after its start."""

    seconds: float

    def __str__(self) -> str:
        return f"after {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class OnOutput:
    """When this regular expression finds something in what it has said, on either stream."""

    regex: str

    def __str__(self) -> str:
        return f"on output {self.regex!r}"


@dataclass(frozen=True, slots=True)
class OnFile:
    """When this file, folder or link comes to be, or is there already; a path within the folder where it runs."""

    path: Path | str

    def __str__(self) -> str:
        return f"on file {Path(self.path).name}"


@dataclass(frozen=True, slots=True)
class OnCommand:
    """When it, or what it starts, calls this command for the nth time.

    ``before``: the command does not get to run. ``after``: it has run to its end, and who called it does not know yet.
    ``during``, for git: it has taken the locks of the refs that it is about to change; a call that changes none goes on.
    """

    name: str
    n: int = 1
    phase: Phase = "before"

    def __str__(self) -> str:
        return f"{'on' if self.phase == 'before' else self.phase} call {self.n} of {self.name}"


Moment = After | OnOutput | OnFile | OnCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How a moment is recognised."""

    reached: Reached
    descriptor: int = -1  # readable when it is worth looking, if that is not told by output and time alone
    changes: Mapping[str, str] = field(default_factory=dict)  # to the environment of the process
    let_go: Callable[[], object] = bool  # what was held for the moment may go on


def watch(moment: Moment, faults: Faults, folder: Path, search: str, stack: ExitStack) -> Watch:
    """Begin to look out for a moment, before the process starts; ``stack`` ends it. Raises UsageError for one that is none."""
    match moment:
        case After(seconds=seconds):
            choices.seconds(seconds, "seconds")
            until = time.monotonic() + seconds
            return Watch(reached=lambda _: time.monotonic() >= until)
        case OnOutput(regex=regex):
            return Watch(reached=_finder(regex))
        case OnFile(path=path) if str(path) not in {"", "."}:
            choices.path(path)
            arrival = stack.enter_context(Arrival(folder / path))
            return Watch(reached=lambda _: arrival.happened(), descriptor=arrival.descriptor)
        case OnCommand(name=name, n=n, phase=phase):
            choices.whole(n, "n", least=1)
            check(phase, get_args(Phase), "phase of a call")
            if phase == "during" and name != "git":
                raise UsageError(
                    f"Nobody knows when {name} is in the middle.", advice="Only git can be held: by a hook."
                )
            command = Commands(faults).halting(name, n, phase)
            stack.callback(command.close)
            bell = os.open(command.bell, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, bell)
            path = os.pathsep.join((str(command.path.parent), search))
            return Watch(
                reached=_listener(bell),
                descriptor=bell,
                changes={"PATH": path},
                let_go=command.make_peace,
            )
        case _:
            raise UsageError(
                f"{moment!r} is no moment.",
                advice="Moments are After(0.5), OnOutput('ready'), OnFile('x.lock') and OnCommand('git', 2), from 0 and from 1.",
            )


def _finder(regex: str) -> Reached:
    choices.text(regex, "OnOutput's regex")
    try:
        pattern = re.compile(regex.encode())
    except re.error as error:
        raise UsageError(
            f"OnOutput({regex!r}) cannot be read: {error}.", advice="It is a regular expression."
        ) from None
    if pattern.search(b""):
        advice = "Say words that come when it is time."
        raise UsageError(f"OnOutput({regex!r}) finds something before anything is said.", advice=advice)
    return lambda said: pattern.search(said) is not None


def _listener(bell: int) -> Reached:
    """Hears the bell that a call rings when it has come to where it hangs."""
    rung = False

    def reached(_: bytes) -> bool:
        nonlocal rung
        rung = rung or _read(bell) != b""
        return rung

    return reached


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except BlockingIOError:
        return b""
