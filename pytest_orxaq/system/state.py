"""Our state on disk: where it is, how it is written and read, and the lock of a work tree."""

import fcntl
import hashlib
import json
import os
import stat
import time

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import BusyError, MachineError


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The two folders of our state, which exist and can be written to."""

    own: Path  # of this work tree
    common: Path  # of the repository, shared by its work trees
    lasting: bool = True  # False: a temporary folder, gone after the run, so that nothing is remembered
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> Path:
        """A folder a run."""
        return self.own / "runs"

    @property
    def events(self) -> Path:
        """Journals, a file a process."""
        return self.own / "events"

    @property
    def lock(self) -> Path:
        """The file whose lock is the work tree's."""
        return self.own / "lock"

    @property
    def passes(self) -> Path:
        """A file a stored pass."""
        return self.common / "passes"

    @property
    def quarantine(self) -> Path:
        """What was moved out of git's way, and can be restored."""
        return self.common / "quarantine"


def open_state(
    own: Path, common: Path, environ: Mapping[str, str], *, repository_id: str, within_git: bool = True
) -> State:
    """The first place for state that can be written to, made if it is missing.

    ``own`` and ``common`` are the places in git's folders; outside of git they only name what the state is of.
    ``ORXAQ_STATE_DIR`` overrides them; a read-only ``.git`` (some sandboxes mount it so) falls back to the user's
    state folder, and at last to a temporary one.
    """
    failures = []
    for state in _places(own, common, environ, repository_id, within_git=within_git):
        try:
            for folder in (state.own, state.common, state.runs, state.events, state.passes, state.quarantine):
                _make_folder(folder)
            _try_to_write(state.own)
            _try_to_write(state.common)
        except OSError as error:
            failures.append(f"{error.filename or state.own}: {error.strerror}")
        else:
            note = f"state is kept in {state.common}: nothing better can be written to ({'; '.join(failures)})"
            return replace(state, notes=(note,)) if failures else state
    return _temporary_state(failures)


def discard(state: State) -> None:
    """Delete state that does not last; all other stays."""
    if not state.lasting:
        _delete(state.own)


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file so that readers see the old content or the new one, whole. ``durable``: it survives a power cut."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask took away
            file.write(data)
            file.flush()
            if durable:
                os.fsync(descriptor)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    if durable:
        _sync_folder(path.parent)


def read_json(
    path: Path, *, schema: int | None = None, note: Callable[[str], object] = lambda _: None
) -> object | None:
    """What a state file says, or None if there is nothing to believe. Never raises for what the file is or holds.

    A file that is damaged is set aside under another name, with a note. If ``schema`` is given, so is one that is
    not an object with ``"schema"`` equal to it.
    """
    try:
        content = json.loads(_read(path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        _set_aside(path, f"is damaged ({_first_line(error)})", note)
        return None
    except OSError as error:
        note(f"{path} cannot be read: {error.strerror}")
        return None
    found = content.get("schema") if isinstance(content, dict) else None
    if schema is None or (type(found) is int and found == schema):
        return content  # type: ignore[no-any-return]
    newer = type(found) is int and found > schema
    _set_aside(path, "is of a newer pytest-orxaq" if newer else "is not of a form that is known here", note)
    return None


@contextmanager
def work_tree_lock(
    path: Path,
    *,
    holder: Mapping[str, str | int],
    timeout: float,
    on_wait: Callable[[Mapping[str, object]], object],
) -> Iterator[float]:
    """Hold the lock of a work tree; gives the seconds that were waited for it.

    ``holder`` says who we are to those who wait for us; ``on_wait`` is told who holds the lock, at first and when
    that changes. The kernel releases the lock when its holder dies, however that happens. Raises BusyError after
    ``timeout``.
    """
    asked = time.monotonic()
    descriptor = _locked(path, timeout, on_wait)
    beside = path.with_name(f"{path.name}.json")
    try:
        # A word to those who wait: not worth failing for.
        with suppress(OSError):
            write_atomically(beside, json.dumps(dict(holder)).encode())
        yield time.monotonic() - asked
    finally:
        with suppress(OSError):
            beside.unlink()
        # By name: closing alone leaves the lock with a child that was forked and has not yet executed its program.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def make_self_ignoring(folder: Path) -> None:
    """Make a folder in a work tree that git does not see, as pytest's cache does."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_atomically(ignore, b"# Made by pytest-orxaq.\n*\n")


def prune(folder: Path, keep: int) -> int:
    """Delete all but the ``keep`` youngest entries of a folder, oldest first; what cannot be deleted stays."""
    try:
        entries = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.name) for entry in os.scandir(folder)]
    except OSError:  # also an entry that another process deletes right now: the next run prunes
        return 0
    left = {name for _, name in entries if name.startswith(_DOOMED)}
    doomed = sorted(entry for entry in entries if entry[1] not in left)
    doomed = doomed[: max(len(doomed) - keep, 0)]
    for name in left:
        _delete(folder / name)
    for _, name in doomed:
        # Renamed first, so that nobody reads half a run if this is interrupted.
        with suppress(OSError):
            (folder / name).rename(folder / f"{_DOOMED}{name}")
            _delete(folder / f"{_DOOMED}{name}")
    return len(doomed)


# ---------------------------------------------------------------- places


def _places(
    own: Path, common: Path, environ: Mapping[str, str], repository_id: str, *, within_git: bool
) -> Iterator[State]:
    """Where state may be, best first."""
    asked = environ.get("ORXAQ_STATE_DIR", "")
    if asked:
        yield _outside(Path(asked).absolute(), own, common, repository_id)
        return
    if within_git:
        yield State(own=own, common=common)
    home = environ.get("XDG_STATE_HOME", "")
    if home.startswith("/"):  # the specification: a relative path is invalid, and to be ignored
        yield _outside(Path(home) / "orxaq", own, common, repository_id)
    elif environ.get("HOME", "").startswith("/"):
        yield _outside(Path(environ["HOME"]) / ".local" / "state" / "orxaq", own, common, repository_id)


def _outside(base: Path, own: Path, common: Path, repository_id: str) -> State:
    """State outside git's folders, where work trees need names of their own."""
    shared = base / repository_id
    if own == common:
        return State(own=shared, common=shared)
    name = hashlib.sha256(os.fsencode(own)).hexdigest()[:16]
    return State(own=shared / "work-trees" / name, common=shared)


def _temporary_state(failures: list[str]) -> State:
    import tempfile  # noqa: PLC0415 - costs a start-up's time, and is hardly ever needed

    failures = failures or ["neither XDG_STATE_HOME nor HOME names a folder"]
    try:
        folder = Path(tempfile.mkdtemp(prefix="orxaq-"))
    except OSError as error:
        raise MachineError(
            f"there is no place for state: {'; '.join(failures)}; {error.strerror}",
            advice="Set ORXAQ_STATE_DIR to a folder that can be written to.",
        ) from error
    note = f"nothing is remembered of this run: no place for state can be written to ({'; '.join(failures)})"
    state = State(own=folder, common=folder, lasting=False, notes=(note,))
    for place in (state.runs, state.events, state.passes, state.quarantine):
        _make_folder(place)
    return state


def _make_folder(path: Path) -> None:
    """Make a folder and its missing parents, for us alone."""
    try:
        path.mkdir(0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
    except FileNotFoundError:
        if path.parent.is_dir():  # below /proc, say: there nothing can be made
            raise
        _make_folder(path.parent)
        _make_folder(path)
    else:
        path.chmod(0o700)  # whatever the umask took away


def _try_to_write(folder: Path) -> None:
    """Raise OSError if nothing can be written here: permissions tell little about a file system."""
    name = folder / f".try.{os.getpid()}.{os.urandom(4).hex()}"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    name.unlink()


# ---------------------------------------------------------------- files


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; a file system that cannot has done what it could."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_LARGEST = 64 << 20  # bytes that a state file can sensibly have


def _read(path: Path) -> bytes:
    with open(path, "rb", opener=_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a file")
        if status.st_size > _LARGEST:
            raise ValueError(f"{status.st_size} bytes")
        return file.read()


def _at_once(path: str, flags: int) -> int:
    # A named pipe in the file's place would be waited for.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _set_aside(path: Path, what: str, note: Callable[[str], object]) -> None:
    for number in range(1, 100):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not os.path.lexists(aside):
            break
    else:
        note(f"{path} {what}; it is not used, and stays because there are many such files beside it")
        return
    try:
        path.rename(aside)
    except OSError as error:
        note(f"{path} {what}; it is not used, and cannot be set aside: {error.strerror}")
    else:
        note(f"{path} {what}; it was set aside as {aside.name}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


_DOOMED = ".deleted-"


def _delete(path: Path) -> None:
    import shutil  # noqa: PLC0415 - costs a start-up's time, and most runs delete nothing

    if path.is_symlink() or not path.is_dir():
        with suppress(OSError):
            path.unlink()
        return
    # Tests leave folders without permissions in their mailbox.
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            for entry in os.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    Path(entry).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


# ---------------------------------------------------------------- lock


def _locked(path: Path, timeout: float, on_wait: Callable[[Mapping[str, object]], object]) -> int:
    """The descriptor that holds the lock."""
    until = time.monotonic() + timeout
    pause, patient, told = 0.02, False, None
    while (descriptor := _try_to_lock(path)) is None:
        remaining = until - time.monotonic()
        held_by = holder_of(path)
        if remaining <= 0:
            raise BusyError(
                f"another gate holds this work tree: {_spelled(held_by)}",
                advice="Wait for it, or allow more time to wait with --lock-timeout.",
            )
        # Not at the first failure: right after the lock changed hands, the words beside it are the old holder's.
        if patient and held_by != told:
            told = held_by
            on_wait(held_by)
        patient = True
        # Random pauses: those who wait for the same lock must not keep in step.
        time.sleep(min(pause * (0.5 + os.urandom(1)[0] / 510), remaining))
        pause = min(pause * 2, 0.5)
    return descriptor


def _try_to_lock(path: Path) -> int | None:
    """The descriptor that holds the lock, None if somebody else holds it."""
    with ExitStack() as opened:
        try:
            # Never inherited: a process that outlives us would keep the work tree locked.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            opened.callback(os.close, descriptor)
            if not _lock(descriptor, path):
                return None
        except OSError as error:
            raise MachineError(
                f"{path} cannot be locked: {error.strerror}",
                advice="Set ORXAQ_STATE_DIR to a folder on a local file system.",
            ) from error
        opened.pop_all()
    return descriptor


def _lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have deleted the file in between; then this lock is nobody's.
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def holder_of(path: Path) -> dict[str, object]:
    """What the holder of the lock says about itself; nothing if it has not said it yet."""
    try:
        told = json.loads(_read(path.with_name(f"{path.name}.json")))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _spelled(holder: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in holder.items()) or "it does not say who it is"
