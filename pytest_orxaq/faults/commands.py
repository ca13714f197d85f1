"""Commands that fail on purpose: a real executable in front of the real one, for whoever calls it by its name."""

import ast
import fcntl
import functools
import marshal
import os
import re
import signal as signals
import sys
import time

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from ..core import faultplans
from ..core.faultplans import Plan, Step
from ..errors import UsageError
from . import choices, shim
from .presets import PRESETS, Preset
from .troubles import FaultEvent, Faults, Truth


Then = Literal["real", "fail", "ok"]
Phase = Literal["before", "during", "after"]  # of a call: the real command has not begun, is at work, has ended

KIND = "flaky_command"
STEPS = ("fail", "hang", "signal", *PRESETS)  # what a plan may say, besides ok
ENDING = 5.0  # seconds that hanging calls have to end once they are let go; they take a few thousandths
LONGEST = 127  # of a first line that names an interpreter, on old Linux

_NOTHING_TO_RUN = "Say then='fail' or then='ok' for a command that is not installed: nothing is to run."

# What starts the shim: isolated from Python's own variables, and without looking for packages, which takes long.
INTERPRETER: tuple[str, ...] = (sys.executable, "-ISXutf8")

_NAME = re.compile(r"[^/\0\n]{1,255}")  # of a file in a folder of the PATH
_HARMLESS = {"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGINFO"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the command that counted."""

    argv: tuple[str, ...]  # the command's name first
    n: int  # from 1
    failed: bool  # whether trouble was made of it
    cwd: str  # empty if it had been removed
    at: float = field(compare=False, repr=False)  # seconds of the machine's monotonic clock
    index: int = field(compare=False, repr=False)  # of its outcome
    pid: int = field(compare=False, repr=False)


# ---------------------------------------------------------------- outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What a failing call says and how it ends, unless its step has words of its own."""

    rc: int = 1
    stdout: str | bytes = ""
    stderr: str | bytes = ""
    hang: bool = False
    signal: int | None = None
    run_real_first: bool = False
    delay: float = 0.0

    @property
    def step(self) -> Step:
        """As a plan would say it."""
        if self.hang:
            return Step(name="hang")
        if self.signal is not None:
            return Step(name="signal", arguments=(_signal_name(self.signal),))
        return Step(name="fail", arguments=(str(self.rc),) if self.rc != 1 else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of a call."""

    words: str
    truth: Truth | None  # None where all goes well
    order: tuple[str, int, bytes, bytes, float, bool]  # as the shim reads it


_HELD = Outcome(words="held", truth="environment", order=("held", 0, b"", b"", 0.0, False))


def _outcome(step: Step, trouble: Trouble, then: Then, ends_well: bool) -> Outcome:
    """What a step of a plan stands for. Raises UsageError for arguments that it cannot have."""
    words = str(replace(step, count=1))
    if step.name == "ok":
        _allow(step, 0)
        kind = "real" if then == "real" else "exit"
        return Outcome(words=words, truth=None, order=(kind, 0, b"", b"", 0.0, False))
    kind, number = "exit", trouble.rc
    truth: Truth = "transient" if ends_well else "permanent"
    out, err = trouble.stdout, trouble.stderr
    if step.name in PRESETS:
        preset = PRESETS[step.name]
        _allow(step, 0)
        number, truth, out, err = preset.rc, preset.truth, "", preset.stderr
    elif step.name == "signal":
        _allow(step, 1)
        kind, number = "signal", signal_number(step.arguments[0] if step.arguments else signals.SIGKILL)
    elif step.name == "hang":
        _allow(step, 0)
        kind = "hang"
    else:
        _allow(step, 1)
        number = _exit_code(step.arguments[0]) if step.arguments else trouble.rc
    said = (os.fsencode(out), os.fsencode(err))
    return Outcome(words=words, truth=truth, order=(kind, number, *said, trouble.delay, trouble.run_real_first))


def _allow(step: Step, most: int) -> None:
    if len(step.arguments) > most:
        raise UsageError(
            f"{step} says too much: {step.name} takes {'one argument' if most else 'no argument'}.",
            advice="Such are fail(128), signal(TERM), hang and the names of failures like GIT_503.",
        )


def _exit_code(said: object) -> int:
    digits = isinstance(said, str) and said.isascii() and said.isdigit()
    code = int(str(said)) if type(said) is int or digits else -1
    if not 0 <= code <= 255:
        raise UsageError(f"{said!r} is no exit code.", advice="Exit codes are from 0 to 255.")
    return code


def signal_number(said: str | int) -> int:
    """The number of a signal that ends a process. Raises UsageError for others, with what may have been meant."""
    try:
        if isinstance(said, int) or said.isdigit():
            number = signals.Signals(int(said))
        else:
            number = signals.Signals[f"SIG{said.upper().removeprefix('SIG')}"]
    except (AttributeError, ValueError, KeyError):
        names = [known.name for known in signals.Signals]
        meant = choices.meant(f"SIG{said.upper().removeprefix('SIG')}" if isinstance(said, str) else said, names)
        raise UsageError(f"There is no signal {said!r}.{meant}", advice="Such are KILL, TERM, SEGV and 9.") from None
    if number.name in _HARMLESS:
        raise UsageError(f"{number.name} does not end a process.", advice="KILL, TERM, SEGV, ABRT and others do.")
    return int(number)


def _signal_name(number: int) -> str:
    return signals.Signals(signal_number(number)).name.removeprefix("SIG")


# ---------------------------------------------------------------- the command


class FlakyCommand:
    """A command that fails by a plan: ``calls``, ``failures``, ``path``."""

    def __init__(self, name: str, plan: Plan, outcomes: Sequence[Outcome], room: Path) -> None:
        """``outcomes`` are those of the plan's steps, of what holds after them, and of a call when all trouble is over."""
        self.name = name
        self.plan = plan
        self.outcomes = tuple(outcomes)
        self.path = room / "bin" / name
        self._room = room
        self._lifeline = -1

    def __repr__(self) -> str:
        return f"FlakyCommand({self.name!r}, {str(self.plan)!r})"

    @property
    def calls(self) -> list[Call]:
        """Every call that counted, in the order of their numbers."""
        try:
            lines = (self._room / "calls").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [self._call(line) for line in lines if line.endswith(b"])")]  # one is cut off where its writer died

    def _call(self, line: bytes) -> Call:
        number, at, index, pid, folder, argv = ast.literal_eval(line.decode("ascii"))
        return Call(
            argv=tuple(map(os.fsdecode, argv)),
            n=number,
            failed=self.outcomes[index].truth is not None,
            cwd=os.fsdecode(folder),
            at=at,
            index=index,
            pid=pid,
        )

    @property
    def failures(self) -> int:
        """How many calls trouble was made of."""
        return sum(call.failed for call in self.calls)

    @property
    def bell(self) -> Path:
        """A named pipe into which each call that hangs writes a byte, if somebody reads."""
        return self._room / "bell"

    def hold(self) -> None:
        """Write the hook that holds a git while it has its locks."""
        hook = self._room / "hooks" / "reference-transaction"
        hook.parent.mkdir()
        hook.write_bytes(_program(self._room, "hold"))
        hook.chmod(0o755)

    def install(self, match: str | Sequence[str] | None) -> None:
        """Write the executable and what it needs."""
        orders = {
            "name": os.fsencode(self.name),
            "match": match if match is None or isinstance(match, str) else [os.fsencode(word) for word in match],
            "outcomes": [outcome.order for outcome in self.outcomes],
            "steps": [(step.count, index) for index, step in enumerate(self.plan.steps)],
            "then": len(self.plan.steps),
            "calm": len(self.plan.steps) + 1,
        }
        self.path.parent.mkdir()
        (self.path.parent / shim.SIGN).touch()
        (self._room / "orders").write_bytes(marshal.dumps(orders))
        os.mkfifo(self.bell, 0o600)
        self._lifeline = os.open(self._room / "lifeline", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lifeline, fcntl.LOCK_EX)
        self.path.write_bytes(_program(self._room))
        self.path.chmod(0o755)

    def make_peace(self) -> None:
        """No trouble any more: hanging calls fail now, and those to come go well."""
        with suppress(FileNotFoundError), self._locked("count"):  # a test may remove the folder with all that is in it
            (self._room / "peace").touch()
        fcntl.flock(self._lifeline, fcntl.LOCK_UN)

    def close(self) -> None:
        """End all calls that are in trouble. What is called by a PATH that somebody kept is the real command from now on."""
        self.make_peace()
        os.close(self._lifeline)
        until = time.monotonic() + ENDING
        with suppress(FileNotFoundError), self._locked("inside", fcntl.LOCK_SH) as inside:
            while not _alone(inside):
                if time.monotonic() > until:
                    self._kill()
                    return
                time.sleep(0.001)

    def _kill(self) -> None:
        """Those who do not hear that they are to end: stopped ones."""
        for call in self.calls:
            if call.failed and os.fsencode(self.path) in _command_line(call.pid):
                os.kill(call.pid, signals.SIGKILL)

    @contextmanager
    def _locked(self, name: str, how: int = fcntl.LOCK_EX) -> Iterator[int]:
        descriptor = os.open(self._room / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield descriptor
        finally:
            os.close(descriptor)


def _alone(inside: int) -> bool:
    """Whether no call is inside."""
    try:
        fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@functools.cache
def _compiled() -> bytes:
    path = Path(shim.__file__)
    return marshal.dumps(compile(path.read_bytes(), str(path), "exec", dont_inherit=True))


def _program(room: Path, function: str = "main") -> bytes:
    """The executable: the shim's code, compiled already, and its room."""
    code = room / "shim"
    code.write_bytes(_compiled())
    folder = os.path.realpath(room)
    main = f"import marshal\nwith open({str(code)!r}, 'rb') as file: exec(marshal.load(file))\n{function}({folder!r})\n"
    first = f"#!{' '.join(INTERPRETER)}\n"
    if len(first) <= LONGEST and " " not in INTERPRETER[0] and len(INTERPRETER) == 2:
        return os.fsencode(first + main)
    # The kernel cannot start such an interpreter: a shell does, and hands this file on.
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in (*INTERPRETER, "-c", main))
    return os.fsencode(f'#!/bin/sh\nexec {quoted} "$@"\n')


# ---------------------------------------------------------------- making


class Commands:
    """Puts failing commands in front of real ones, and takes them away again."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def flaky(
        self,
        name: str,
        *,
        fail: int = 1,
        skip: int = 0,
        rc: int = 1,
        stdout: str | bytes = "",
        stderr: str | bytes = "",
        match: str | Sequence[str] | None = None,
        then: Then = "real",
        hang: bool = False,
        signal: int | None = None,
        run_real_first: bool = False,
        delay: float = 0.0,
        required: bool = True,
        plan: str | Plan | Preset | None = None,
    ) -> FlakyCommand:
        """Have a command fail: for whoever calls it by its name, in whatever language, until the end of the test.

        ``skip`` calls go well, then ``fail`` calls fail, and after these the real command runs (``then="real"``), all
        fail (``"fail"``), or none does anything and all succeed (``"ok"``).
        ``rc``, ``stdout``, ``stderr``: how it fails; or it hangs until the end of the test (``hang``), or dies of a
        ``signal``. Before that it may do its work (``run_real_first``), or take ``delay`` seconds.
        ``match``: only calls with these words among their arguments, in this order, count; or, of a text, those whose
        arguments, joined by blanks, this regular expression finds. All others run the real command.
        ``plan``: all of it in words, such as ``2*GIT_503->ok``; or a failure such as ``GIT_503`` for the ``fail`` calls.
        ``required``: the test fails if no call did.

        Raises UsageError for what there is not, with the choices.
        """
        if sys.platform == "win32":
            self._faults.lacks("Commands that fail on purpose need a POSIX system.")
        trouble = Trouble(
            rc=_exit_code(rc),
            stdout=stdout,
            stderr=stderr,
            hang=hang,
            signal=signal,
            run_real_first=run_real_first,
            delay=delay,
        )
        _check(name, trouble, match, then, fail, skip)
        wanted = _plan(plan, trouble, fail, skip, then)
        self._require_real(name, wanted, then, run_real_first=run_real_first)
        return self._lay(FlakyCommand(name, wanted, _outcomes(wanted, trouble, then), self._room()), match, required)

    def counting(self, name: str) -> FlakyCommand:
        """A command that only counts its calls. It is on no PATH, and nobody's to close. Raises UsageError for what there is not."""
        _check(name, Trouble(), None, "real", 0, 0)
        return self._aside(name, Plan(steps=()), Trouble())

    def halting(self, name: str, n: int, phase: Phase = "before") -> FlakyCommand:
        """A command that hangs in its nth call: before the real one runs, after it has ended, or with git's locks taken.

        It is on no PATH, and nobody's to close. Of calls at the same time, those that come later hang too, or, if it is
        not ``before``, run. Raises UsageError for what there is not.
        """
        trouble = Trouble(hang=True, run_real_first=phase == "after")
        _check(name, trouble, None, "real", n, 0)
        made = self._aside(
            name, _plan(None, trouble, 1, n - 1, "fail" if phase == "before" else "real"), trouble, phase
        )
        if phase == "during":
            made.hold()
        return made

    def _aside(self, name: str, plan: Plan, trouble: Trouble, phase: Phase = "before") -> FlakyCommand:
        self._require_real(name, plan, "real", run_real_first=True, advice="Name one that is installed.")
        outcomes = _outcomes(plan, trouble, "real")
        if phase == "during":
            outcomes[len(plan.steps) - 1] = _HELD
        made = FlakyCommand(name, plan, outcomes, self._room())
        made.install(None)
        return made

    def _lay(self, made: FlakyCommand, match: str | Sequence[str] | None, required: bool) -> FlakyCommand:
        made.install(match)
        self._faults.stack.callback(made.close)
        self._faults.on_heal(made.make_peace)
        self._faults.stack.callback(_in_front(str(made.path.parent)))
        self._faults.listen(lambda: _events(made, self._faults.since))
        bad = [outcome.truth for outcome in made.outcomes if outcome.truth]
        self._faults.arm(
            KIND,
            truth=bad[0] if bad else "transient",
            what=f"{made.name}={made.plan}" + (f" for calls with {match!r}" if match else ""),
            required=required and bool(bad),
            times=lambda: made.failures,
        )
        return made

    def _room(self) -> Path:
        """A folder whose programs can be started, and that a PATH can name."""
        room = self._faults.new_room()
        if not os.access(INTERPRETER[0], os.X_OK):
            self._faults.lacks(
                f"No program of Python's can be started: {INTERPRETER[0] or 'its interpreter'} cannot be."
            )
        if os.pathsep in str(room):
            self._faults.lacks(f"No PATH can name a folder with {os.pathsep!r} in its name: {room}")
        if os.statvfs(room).f_flag & getattr(os, "ST_NOEXEC", 0):
            self._faults.lacks(f"No program can be started from {room}: its file system is mounted with noexec.")
        return room

    def _require_real(
        self, name: str, plan: Plan, then: Then, *, run_real_first: bool, advice: str = _NOTHING_TO_RUN
    ) -> None:
        passes_on = then == "real" and any(step.name == "ok" for step in (*plan.steps, plan.then))
        if passes_on or run_real_first:
            choices.program(name, advice)


def _check(name: str, trouble: Trouble, match: str | Sequence[str] | None, then: str, fail: int, skip: int) -> None:
    """Raise UsageError for what cannot be meant."""
    choices.text(name, "name")
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise UsageError(f"{name!r} is no name of a command.", advice="Say it as it is found on the PATH, such as git.")
    choices.check(then, get_args(Then), "value of then")
    for word, count in (("fail", fail), ("skip", skip)):
        choices.whole(count, word, most=faultplans.MOST)
    for word, said in (("stdout", trouble.stdout), ("stderr", trouble.stderr)):
        choices.text(said, word, raw=True)
    choices.seconds(trouble.delay, "delay")
    if trouble.hang and trouble.signal is not None:
        raise UsageError("A call cannot both hang and die of a signal.", advice="Say hang or signal.")
    _check_match(match)


def _check_match(match: object) -> None:
    if isinstance(match, str):
        try:
            re.compile(match)
        except re.error as error:
            advice = "A text is a regular expression; a list of words is taken as they stand."
            raise UsageError(f"match={match!r} cannot be read: {error}.", advice=advice) from None
    elif match is not None and not (
        isinstance(match, Sequence) and match and all(isinstance(word, str) for word in match)
    ):
        advice = "A text is a regular expression; a list has words. Without it, all calls count."
        raise UsageError(f"match={match!r} says nothing about calls.", advice=advice)


def _plan(plan: str | Plan | Preset | None, trouble: Trouble, fail: int, skip: int, then: Then) -> Plan:
    """What is planned, however it was said."""
    if plan is None or isinstance(plan, Preset):
        name, arguments = (plan.name, ()) if plan else (trouble.step.name, trouble.step.arguments)
        counted = [Step(name="ok", count=skip)] if skip else []
        bad = Step(name=name, arguments=arguments, count=fail or 1)
        if then == "fail":
            return Plan(steps=tuple(counted), then=Step(name=name, arguments=arguments))
        return Plan(steps=(*counted, bad) if fail else tuple(counted))
    if (fail, skip) != (1, 0) or then == "fail" or trouble.hang or trouble.signal is not None:
        advice = "With a plan there is no fail, skip, hang, signal or then='fail'."
        raise UsageError("What the plan says is said twice.", advice=advice)
    return faultplans.parse(str(plan), STEPS)


def _outcomes(plan: Plan, trouble: Trouble, then: Then) -> list[Outcome]:
    ends_well = plan.then.name == "ok"
    return [_outcome(step, trouble, then, ends_well) for step in (*plan.steps, plan.then, faultplans.OK)]


def _events(command: FlakyCommand, since: Callable[[float], float]) -> Iterable[FaultEvent]:
    for call in command.calls:
        outcome = command.outcomes[call.index]
        if outcome.truth is not None:
            what = f"{command.name}: {outcome.words}, call {call.n}"
            yield FaultEvent(kind=KIND, truth=outcome.truth, detail=what, at=since(call.at))


def _in_front(folder: str) -> Callable[[], None]:
    """Put a folder first on the PATH; returns what takes it off again, whatever else is on it then."""
    before = os.environ.get("PATH")
    os.environ["PATH"] = os.pathsep.join((folder, os.defpath if before is None else before))

    def take_off() -> None:
        rest = [other for other in os.environ.get("PATH", "").split(os.pathsep) if other != folder]
        os.environ["PATH"] = os.pathsep.join(rest)
        if before is None and os.environ["PATH"] == os.defpath:
            del os.environ["PATH"]

    return take_off
