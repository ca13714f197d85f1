"""Crashes at every step: an automation is killed at each of its calls in turn, repeated, and looked at."""

import itertools
import os
import shlex
import signal as signals
import sys
import traceback
import warnings

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import pytest

from ..errors import UsageError
from . import choices
from .commands import Commands, Phase
from .killing import Doomed, NeverCame, Run
from .moments import OnCommand
from .troubles import Faults


KIND = "crash_sweep"
FIRST = 5  # failures that are shown whole; of the others, where
LINES = 12  # of output, in a failure

Argv = Sequence[str | os.PathLike[str]]


class SweepWarning(UserWarning):
    """Not all points were tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPoint:
    """Where the automation was killed, and what became of it when it was run again."""

    n: int  # the call, from 1, of all commands together; 0: it was not killed
    phase: Phase | Literal["none"]
    argv: tuple[str, ...]  # of the call, as it was when nobody was killed; the command's name first
    returncode: int  # of the run that was the last
    output: str = field(repr=False)  # of that run, both streams

    def __str__(self) -> str:
        return f"{self.phase} call {self.n}, {shlex.join(self.argv)}" if self.n else "without any crash"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashFailure:
    """A point from which it did not recover."""

    point: CrashPoint
    why: str  # as sentences
    error: BaseException | None = field(repr=False)  # what the check raised


class SweepFailed(AssertionError):  # noqa: N818 - a fact about the test
    """There are points from which the automation does not recover: ``failures``, of ``points``."""

    def __init__(self, report: str, points: Sequence[CrashPoint], failures: Sequence[CrashFailure]) -> None:
        super().__init__(report)
        self.points = tuple(points)
        self.failures = tuple(failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A call, as it was when nobody was killed."""

    n: int
    name: str
    nth: int  # of the calls of this command
    argv: tuple[str, ...]


# ---------------------------------------------------------------- the sweep


class Sweeps:
    """Makes sweeps."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def sweep(
        self,
        cmd: Argv | Callable[[Path], Argv],
        *,
        setup: Callable[[], Path],
        check: Callable[[Path, CrashPoint], object],
        command: str | Sequence[str] = "git",
        phases: Sequence[Phase] = ("before", "after"),
        max_points: int = 200,
        reruns: int = 1,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> list[CrashPoint]:
        """Kill an automation at each of its calls of a command in turn, run it again, and have the outcome checked.

        ``cmd``: a list of words, or what makes one of the folder. ``setup`` makes the folder in which it runs, a fresh
        one each time. ``check`` looks at the folder when the automation has been repeated, and raises if it is not as it
        should be; also once when nobody was killed. ``command``: whose calls are counted, one name or more. ``phases``:
        the real command has not run yet (``before``), has run to its end and the automation does not know it
        (``after``), or, for git, has its locks (``during``). ``reruns``: how often it is repeated; the last one
        has to end with 0. ``timeout``: seconds for each run.

        Returns the points. Raises SweepFailed, when all points have been tried, if one of them fails; UsageError for what there is not.
        """
        if sys.platform == "win32":
            self._faults.lacks("Killing processes at a moment needs a POSIX system.")
        names = (command,) if isinstance(command, str) else tuple(command)
        _check(names, phases, max_points, reruns, timeout)
        for word, function in (("setup", setup), ("check", check)):
            choices.callback(function, word)
        one = _Sweep(self._faults, cmd, setup, check, reruns, env, timeout)
        places = one.count(names)
        wanted = [
            (place, phase)
            for place, phase in itertools.product(places, get_args(Phase))
            if phase in phases and (phase != "during" or place.name == "git")
        ]
        for place, phase in self._choice(wanted, max_points):
            one.crash(place, phase)
        one.conclude(f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} called {_times(len(places))}")
        return one.points

    def _choice(self, wanted: Sequence[tuple[_Place, Phase]], most: int) -> Iterator[tuple[_Place, Phase]]:
        """All, or as many as there may be: evenly spread, and with another seed others."""
        if len(wanted) <= most:
            yield from wanted
            return
        said = f"crash_sweep tries {most} of {len(wanted)} points, chosen by the seed {self._faults.seed}."
        warnings.warn(f"{said} For all of them: max_points={len(wanted)}.", SweepWarning, stacklevel=4)
        start = self._faults.rng.random()
        yield from (wanted[int((index + start) * len(wanted) / most)] for index in range(most))


class _Sweep:
    """One sweep."""

    def __init__(
        self,
        faults: Faults,
        cmd: Argv | Callable[[Path], Argv],
        setup: Callable[[], Path],
        check: Callable[[Path, CrashPoint], object],
        reruns: int,
        env: Mapping[str, str] | None,
        timeout: float,
    ) -> None:
        self.points: list[CrashPoint] = []
        self._failures: list[CrashFailure] = []
        self._faults = faults
        self._cmd = cmd
        self._setup = setup
        self._check = check
        self._reruns = reruns
        self._env = env
        self._timeout = timeout

    def count(self, names: Sequence[str]) -> list[_Place]:
        """Run it undisturbed, and see that all is well then; its calls, in their order. Raises SweepFailed."""
        with ExitStack() as stack:
            commands = [Commands(self._faults).counting(name) for name in names]
            for one in commands:
                stack.callback(one.close)
            where = self._folder()
            run = Run(self._argv(where), where, self._env, self._timeout)
            front = os.pathsep.join(str(one.path.parent) for one in commands)
            self._judge(where, _NOWHERE, run, {"PATH": os.pathsep.join((front, run.search))})
            calls = sorted((call.at, one.name, call.n, call.argv) for one in commands for call in one.calls)
        if self._failures:
            self._fail("It fails without any crash")
        if not calls:
            self._fail(f"It never calls {' or '.join(names)}: nothing was tried")
        return [_Place(n=n, name=name, nth=nth, argv=argv) for n, (_, name, nth, argv) in enumerate(calls, 1)]

    def crash(self, place: _Place, phase: Phase) -> None:
        """Kill it at a point, repeat it, and look at it."""
        where = self._folder()
        moment = OnCommand(place.name, place.nth, phase)
        point = CrashPoint(n=place.n, phase=phase, argv=place.argv, returncode=0, output="")
        run = Doomed(self._argv(where), moment, signals.SIGKILL, True, where, self._env, self._timeout)
        try:
            run.go(self._faults)
        except NeverCame as error:
            if phase != "during" or not error.ended:  # a git that takes no lock of a ref is nowhere in the middle
                self._note(point, f"It was never killed there. {error}", error)
            return
        self._faults.note(KIND, "environment", f"SIGKILL {moment}")
        for _ in range(self._reruns - 1):
            self._again(where)
        self._judge(where, point, Run(self._argv(where), where, self._env, self._timeout), {})

    def conclude(self, facts: str) -> None:
        """Raise SweepFailed if any point has failed."""
        if self._failures:
            self._fail(f"It does not recover from {len(self._failures)} of {len(self.points)} crashes ({facts})")

    def _again(self, where: Path) -> None:
        try:
            Run(self._argv(where), where, self._env, self._timeout).finish(self._faults, {})
        except NeverCame:  # the last repetition counts
            return

    def _judge(self, where: Path, place: CrashPoint, run: Run, changes: Mapping[str, str]) -> None:
        """The run that counts: how it ends, and what the check says."""
        late = None
        try:
            returncode = run.finish(self._faults, changes)
        except NeverCame as error:
            late, returncode = error, -signals.SIGKILL
        point = CrashPoint(n=place.n, phase=place.phase, argv=place.argv, returncode=returncode, output=run.output)
        again = "The repeated run" if place.n else "The run"
        faults = [f"{again} did not end within {self._timeout:g} s."] if late else []
        if returncode != 0 and not late:
            faults.append(f"{again} ended with {returncode}.")
        objection = self._objection(where, point)
        if objection is not None:
            faults.append(_told(objection))
        self._note(point, "\n".join(faults), objection or late)

    def _objection(self, where: Path, point: CrashPoint) -> BaseException | None:
        try:
            self._check(where, point)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, the other points are tried
            return error
        return None

    def _note(self, point: CrashPoint, why: str, error: BaseException | None) -> None:
        if point.n:
            self.points.append(point)
        if why:
            self._failures.append(CrashFailure(point=point, why=why, error=error))

    def _fail(self, what: str) -> None:
        lines = [f"{what}."]
        for failure in self._failures[:FIRST]:
            said = failure.point.output.strip().splitlines()[-LINES:]
            lines += [f"{failure.point}:", *_indented([failure.why])]
            lines += _indented(["It said:", *_indented(said)]) if said else []
        if len(self._failures) > FIRST:
            lines += ["and:", *_indented(str(failure.point) for failure in self._failures[FIRST:])]
        cause = next((failure.error for failure in self._failures if failure.error), None)
        raise SweepFailed("\n".join(lines), self.points, self._failures) from cause

    def _folder(self) -> Path:
        where: object = self._setup()
        if not isinstance(where, Path) or not where.is_dir():
            raise UsageError(
                f"setup returned {where!r}.", advice="It makes the folder to run in, and returns its path."
            )
        return where

    def _argv(self, where: Path) -> list[str]:
        words = self._cmd(where) if callable(self._cmd) else self._cmd
        if isinstance(words, str):
            raise UsageError(f"{words!r} is no command.", advice="It is a list of words: ['sh', '-c', 'git pull'].")
        return [os.fspath(word) for word in words]


_NOWHERE = CrashPoint(n=0, phase="none", argv=(), returncode=0, output="")


# ---------------------------------------------------------------- words


def _check(names: Sequence[str], phases: Sequence[str], most: int, reruns: int, timeout: float) -> None:
    """Raise UsageError for what cannot be meant."""
    for phase in phases:
        choices.check(phase, get_args(Phase), "phase of a call")
    if not names or not phases:
        raise UsageError("There is nothing to sweep.", advice="Say a command, such as git, and a phase.")
    if "during" in phases and "git" not in names:
        raise UsageError(f"Nobody knows when {names[0]} is in the middle.", advice="Only git can be held: by a hook.")
    for word, number in (("max_points", most), ("reruns", reruns)):
        choices.whole(number, word, least=1)
    choices.seconds(timeout, "timeout", more_than=0)


def _told(error: BaseException) -> str:
    """What a check has raised, and where."""
    # Below ours; of one that takes other arguments there is nothing below.
    place = (traceback.extract_tb(error.__traceback__) * 2)[1]
    said = str(error).strip()
    name = type(error).__name__
    return f"{name} at {Path(place.filename).name}:{place.lineno}{': ' if said else ''}{said}"


def _indented(texts: "Iterator[str] | Sequence[str]") -> list[str]:
    return [f"  {line}" for text in texts for line in text.splitlines()]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
