"""The attempt's folder: both ends of it in one room.

The gate makes it and offers it to the command; the witness inside pytest (``carried/``) writes to it; the gate reads
what is there. Tests can write there as well, so reading takes nothing for granted: it never waits, never follows a
link, never reads without a bound and never raises. A journal in doubt is a session with damage, anything else a note.
"""

import os
import re
import stat

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from .core import testimony
from .errors import MachineError, UsageError
from .model import JUnitFile, JUnitState, Session


_JOURNAL = re.compile(r"tests-(\d{1,10})-[0-9a-f]{8}\.jsonl")
_JUNIT = re.compile(r"junit-\d{1,10}-[0-9a-f]{8}\.xml")
_FILES = 20_000  # a suite that tests a pytest plugin leaves a nested journal a test
_LINE = 16 * 1024 * 1024  # a test with fifty failures of full size stays below
_TOTAL = 1024 * 1024 * 1024  # all journals of an attempt together
_JUNIT_FILES = 10_000
_CHUNK = 256 * 1024
_NOTES = 20
_OUTPUT = 64 * 1024 * 1024  # several times what the runner keeps

Seen = tuple[int, int, int]  # of a file: its number, size and time


class JUnitReader(Protocol):
    """Something that reads JUnit: ``core.junit.read``."""

    def __call__(self, chunks: Iterable[bytes], *, path: str) -> JUnitFile: ...


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The folder of one attempt, and the secret that marks what is of this attempt."""

    folder: Path
    nonce: str


# ------------------------------------------------------------------ the gate's end, before


def create(parent: Path, name: str, nonce: str) -> Mailbox:
    """Make an attempt's folder, for its owner only."""
    folder = parent.absolute() / name
    if os.pathsep in str(folder):
        raise UsageError(
            f"the folder {folder} has a {os.pathsep!r} in its path, which lists of folders cannot hold",
            advice="point ORXAQ_STATE_DIR at a folder without one",
        )
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise MachineError(f"cannot make the folder {folder}: {error.strerror}") from error
    return Mailbox(folder=folder, nonce=nonce)


def offer(
    mailbox: Mailbox, environment: Mapping[str, str], *, carried: Path | None, autoload_disabled: bool = False
) -> dict[str, str]:
    """The environment with which a command finds the mailbox, and its pytest the witness if there is one to carry."""
    offered = dict(environment)
    offered.pop("ORXAQ_WITNESS", None)  # a gate inside a test is no nested session
    offered["ORXAQ_ATTEMPT"] = _joined(environment.get("ORXAQ_ATTEMPT", ""), str(mailbox.folder))
    offered["ORXAQ_NONCE"] = mailbox.nonce
    if carried is not None and os.pathsep not in str(
        carried
    ):  # else no list of folders can name it, and other evidence must do
        offered["PYTHONPATH"] = _joined(str(carried), environment.get("PYTHONPATH", ""))
        if autoload_disabled:
            # Only then: with PYTHONPATH set anew by the recipe, pytest would die of this.
            offered["PYTEST_ADDOPTS"] = f"{environment.get('PYTEST_ADDOPTS', '')} -p orxaq_witness".lstrip()
    return offered


def junit_before(globs: Iterable[str], top: Path) -> dict[Path, Seen]:
    """The JUnit files that lie there before the attempt: what is still as it was afterwards is no evidence of it."""
    found = {}
    for path in (path for pattern in globs for path in _matches(top, pattern)):
        with suppress(OSError):
            found[path] = _seen(path.stat())
    return found


def _joined(*folders: str) -> str:
    return os.pathsep.join(folder for folder in folders if folder)


# ------------------------------------------------------------------ the gate's end, after


def read_sessions(mailbox: Mailbox) -> tuple[tuple[Session, ...], tuple[str, ...]]:
    """Every pytest process that testified, oldest first, and notes about oddities."""
    names, notes = _listed(mailbox.folder)
    sessions: list[Session] = []
    left = _TOTAL
    for name in names:
        if _JOURNAL.fullmatch(name):
            session, size = _read_journal(mailbox, name, left)
            sessions.append(session)
            left -= size
        elif not _JUNIT.fullmatch(name):
            notes.append(f"the mailbox holds a stranger: {name!r}")
    if len(names) > _FILES:
        sessions.append(Session(name="", damage=f"the mailbox holds more than {_FILES} files; not all were read"))
    if len(notes) > _NOTES:
        notes[_NOTES:] = [f"and {len(notes) - _NOTES} more oddities"]
    return tuple(sorted(sessions, key=lambda session: (session.opened_at, session.name))), tuple(notes)


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """The names in a folder, one more than we care to read at most, and what was odd about it."""
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) > _FILES:
                    break
    except OSError as error:
        return [], [f"the mailbox cannot be read: {error.strerror}"]
    return sorted(names), []


def _read_journal(mailbox: Mailbox, name: str, left: int) -> tuple[Session, int]:
    """One journal, and how many bytes it took."""
    try:
        with _regular(mailbox.folder / name, follow=False) as file:
            lines = _Lines(file, left)
            session = testimony.read(lines, name=name, nonce=mailbox.nonce)
    except OSError as error:
        return Session(name=name, damage=f"it cannot be read: {error.strerror or error}"), 0
    damage = lines.damage or session.damage
    if not damage and not name.startswith(f"tests-{session.pid}-"):
        damage = "it is not of the process that its name says"
    if damage:
        session = replace(session, damage=damage, closed_at=None, exit_status=None)
    return session, lines.size


class _Lines:
    """The lines of a file, within bounds."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self._left = left
        self.size = 0
        self.damage = ""

    def __iter__(self) -> Iterator[bytes]:
        while line := self._file.readline(_LINE):
            self.size += len(line)
            if len(line) == _LINE or self.size > self._left:
                self.damage = "it is larger than any witness writes"
                return
            yield line


@contextmanager
def _regular(path: Path, *, follow: bool) -> Iterator[BinaryIO]:
    """A regular file, open for reading; anything else is an OSError, and is not waited for."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        yield file


def read_output(path: Path) -> tuple[bytes, str]:
    """The output of an attempt, and why it cannot be read; its file lies beside the mailbox, within reach of tests."""
    try:
        with _regular(path, follow=False) as file:
            return file.read(_OUTPUT), ""
    except OSError as error:
        return b"", error.strerror or str(error)


def read_junit(
    mailbox: Mailbox,
    globs: Iterable[str],
    top: Path,
    *,
    since_wall: float,
    before: Mapping[Path, Seen],
    read: JUnitReader,
) -> tuple[JUnitFile, ...]:
    """The JUnit files that other producers left where the configuration says.

    Stale is what was written before the attempt began, by the file's time and the clock; and, since clocks jump and
    files are copied with their times, what is as it was *before*.
    """
    files: dict[str, JUnitFile] = {}
    for pattern in globs:
        found = [path for path in _matches(top, pattern) if mailbox.folder not in path.parents]
        if not found:
            why = f"nothing matches {pattern!r}"
            files[pattern] = JUnitFile(path=pattern, state=JUnitState.MISSING, why=why)
        elif len(found) > _JUNIT_FILES:
            why = f"more than {_JUNIT_FILES} files match {pattern!r}"
            files[pattern] = JUnitFile(path=pattern, state=JUnitState.REFUSED, why=why)
        else:
            for path in found:
                shown = os.path.relpath(path, top)
                if shown not in files:
                    stale = partial(_stale, since_wall=since_wall, before=before.get(path))
                    files[shown] = _read_junit_file(path, shown, read, stale)
    return tuple(files.values())


def read_witness_junit(mailbox: Mailbox, *, read: JUnitReader) -> tuple[JUnitFile, ...]:
    """The JUnit files that the witness left: an artefact, to be checked against the journals."""
    names, _ = _listed(mailbox.folder)
    kept = [name for name in names if _JUNIT.fullmatch(name)]
    return tuple(_read_junit_file(mailbox.folder / name, name, read, None) for name in kept[:_JUNIT_FILES])


def _matches(top: Path, pattern: str) -> list[Path]:
    """What a glob below the top finds, one more than we care to read at most."""
    found: list[Path] = []
    try:
        for path in top.glob(pattern):
            found.append(path)
            if len(found) > _JUNIT_FILES:
                break
    except (OSError, ValueError, NotImplementedError):  # a pattern that pathlib refuses matches nothing
        return []
    return sorted(found)


def _read_junit_file(
    path: Path, shown: str, read: JUnitReader, stale: Callable[[os.stat_result], bool] | None
) -> JUnitFile:
    # A user may link the newest report to a fixed name; in the mailbox nobody has a reason to.
    try:
        with _regular(path, follow=stale is not None) as file:
            if stale is not None and stale(os.fstat(file.fileno())):
                return JUnitFile(path=shown, state=JUnitState.STALE, why="it is older than the attempt")
            return read(iter(lambda: file.read(_CHUNK), b""), path=shown)
    except OSError as error:
        return JUnitFile(path=shown, state=JUnitState.REFUSED, why=f"it cannot be read: {error.strerror or error}")


def _seen(status: os.stat_result) -> Seen:
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _stale(status: os.stat_result, *, since_wall: float, before: Seen | None) -> bool:
    """Whether a file was last written before a moment, as far as its file system can tell."""
    if _seen(status) == before:
        return True
    if status.st_mtime_ns % 1_000_000_000 == 0:
        return status.st_mtime < int(since_wall)  # some keep whole seconds only
    return status.st_mtime < since_wall - 0.02  # the kernel stamps files by a clock that ticks every 1 to 10 ms
