"""Faults around one command, without pytest: said as text, laid in its way, undone when it has ended."""

import os
import shlex

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NoReturn

from ..errors import MachineError, UsageError
from ..system.process import accompany
from . import leftovers
from .commands import Commands
from .presets import PRESETS
from .troubles import FaultEvent, Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended among its faults."""

    code: int  # -N: by signal N
    events: tuple[FaultEvent, ...]
    unfired: tuple[str, ...]  # what nothing came upon, as it was said


class _Alone(Faults):
    """Faults of no test."""

    def lacks(self, reason: str) -> NoReturn:
        """Raise MachineError: nothing can be skipped here."""
        raise MachineError(reason)


# ---------------------------------------------------------------- vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A kind of fault that can be said."""

    form: str
    about: str
    means: Callable[[str], bool]  # whether a text is one of this kind
    lay: Callable[[Faults, str], object]


def _command(faults: Faults, said: str) -> None:
    called, _, plan = said.partition("=")
    try:
        name, *match = shlex.split(called)
    except ValueError:
        raise UsageError(f"The fault {said!r} names no command.", advice=ADVICE) from None
    Commands(faults).flaky(name, match=match or None, plan=plan)


VOCABULARY = (
    Word(
        form="COMMAND=PLAN",
        about="The command fails by the plan, for whoever calls it by its name; 'git push=PLAN': only calls with that word.",
        means=lambda said: "=" in said,
        lay=_command,
    ),
)

STEPS = {
    "ok": "the real command runs",
    "fail": "exits with 1; fail(128) with 128",
    "hang": "does not end by itself",
    "signal": "dies of SIGKILL; signal(TERM) of SIGTERM",
}

ADVICE = "A fault is said as git=2*fail(128)->ok or 'git push=GIT_503'; `orxaq faults --list` has all words."


def listed() -> str:
    """The vocabulary, with what a good gate should make of each failure."""
    lines = ["faults", *(f"  {word.form:<16}{word.about}" for word in VOCABULARY)]
    lines += ["", "steps of a plan, as in 2*fail(128)->hang->ok"]
    lines += [f"  {name:<16}{about}" for name, about in STEPS.items()]
    lines += ["", "failures of programs, as steps", f"  {'':<16}{'program':<9}{'exit':<6}truth"]
    lines += [f"  {each.name:<16}{each.program:<9}{each.rc:<6}{each.truth}" for each in PRESETS.values()]
    return "\n".join(lines)


# ---------------------------------------------------------------- run


def run(command: Sequence[str], said: Iterable[str], *, seed: int) -> Ended:
    """Run a command with faults in its way; it has our input, output, terminal and signals.

    Raises UsageError for a fault that there is not, before anything is started, and for a command that cannot be
    started; MachineError for a fault that cannot be made here.
    """
    with ExitStack() as stack:
        notes = leftovers.begin()
        stack.callback(notes.close)
        faults = _Alone(seed=seed, name="", folder=notes.folder, leftovers=notes, require=True)
        stack.callback(faults.close)
        stack.enter_context(notes.marked(faults.mark))
        for each in said:
            _meant(each).lay(faults, each)
        try:
            code = accompany(command, environment=os.environ)
        except MachineError as error:
            raise UsageError(error.what, advice="What stands behind -- is run as it is, by no shell.") from error
        unfired = (words.partition(": ")[2] for words in faults.unfired())
        return Ended(code=code, events=tuple(faults.log), unfired=tuple(unfired))


def _meant(said: str) -> Word:
    for word in VOCABULARY:
        if word.means(said):
            return word
    raise UsageError(f"There is no fault {said!r}.", advice=ADVICE)
