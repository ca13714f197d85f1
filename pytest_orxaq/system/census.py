"""The machine's processes, as far as the kernel shows them to us, and what it does not show.

One pass over ``/proc`` reads what the kernel tells everybody of every process (its name, arguments, state, parent,
users, start), and what it tells only those who might trace the process (working folder, environment, open files).
What is refused is ``None``, never empty. Nothing is opened or asked for that a dead network mount could hold up:
links are read, not followed, until somebody asks for the identity of one.
"""

import os
import re

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from mmap import PROT_READ, mmap
from pathlib import Path


PROC = Path("/proc")
INITIAL_NAMESPACE = 0xEFFFFFFC  # the number that the kernel gives to its first PID namespace, always

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD
_EXITING = 0x00000004  # PF_EXITING: it has nothing left to do but to be taken apart
_MAY_TRACE = 1 << 19  # CAP_SYS_PTRACE
_POWERS = 0b1011 | 1 << 7 | 1 << 21  # CAP_CHOWN, _DAC_OVERRIDE, _FOWNER, _SETUID, _SYS_ADMIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A living process, or a thread of the kernel. A field that is ``None`` could not be read."""

    pid: int
    parent: int
    name: str  # as the kernel has it: at most 15 bytes, and the process may change it
    command: tuple[str, ...]
    started_at: float  # Unix time by the clock as it is now
    started_after_boot: float | None = None  # seconds, exactly as the kernel tells: whole ticks, cut off
    kernel: bool = False
    stopped: bool = False
    users: frozenset[int] = frozenset()  # real, effective, saved, and that of the file system
    powerful: bool = False  # it may act as another user, or change owners
    pids: tuple[int, ...] = ()  # its number in each PID namespace, ours first
    program: str | None = None  # the path of what it executes
    directory: str | None = None
    environment: Mapping[str, str] | None = None  # git's variables only
    opened: tuple[tuple[int, str], ...] | None = None  # descriptors, and the files' paths where they have one
    root: str = ""  # put before an absolute path of the process's to make it one of ours
    here: str = ""  # the same for a relative path

    @property
    def readable(self) -> bool:
        """Whether everything that ties a process to files could be read."""
        return None not in {self.directory, self.opened} and self.environment is not None

    def reach(self, path: str) -> str:
        """The path by which we get to what the process calls ``path``, be it in another mount namespace."""
        return f"{self.root}{path}" if path.startswith("/") else f"{self.here}/{path}"

    def file(self, descriptor: int, path: str) -> str:
        """The path by which we get to a file that the process has open."""
        return f"{PROC}/{self.pid}/fd/{descriptor}" if self.root else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """All processes that were shown at one time."""

    processes: Mapping[int, Seen] = field(default_factory=dict)
    kernel_threads: frozenset[str] = frozenset()  # their names
    gaps: tuple[str, ...] = ()  # why there may be processes that were not shown; sentences
    alone: bool = True  # ours is the machine's first PID namespace, so that no process has a number unknown to us

    def ancestors(self, pid: int) -> frozenset[int]:
        """The parent of a process, its parent, and so on."""
        found: set[int] = set()
        while (seen := self.processes.get(pid)) is not None and seen.parent not in found:
            pid = seen.parent
            found.add(pid)
        return frozenset(found)


def take(offset: float) -> Census:
    """Count and describe the living. Never raises: what cannot be seen is a gap.

    ``offset`` is the Unix time of the boot, by the clock as it is now.
    """
    if not (PROC / "self/stat").exists():
        return Census(processes=_elsewhere(), gaps=("this system does not show all processes (no /proc)",), alone=False)
    processes: dict[int, Seen] = {}
    threads = set()
    gaps = list(_hidden())
    for pid in _pids():
        try:
            seen = look_at(pid, offset=offset)
            if seen is not None and seen.kernel:
                threads.add(seen.name)
            elif seen is not None:
                processes[pid] = seen
        except PermissionError:
            gaps.append(f"of process {pid} not even the name may be read")
    initial = _is_initial()
    if not initial:
        gaps.append("this is a container: who works outside of it cannot be seen")
    return Census(processes=processes, gaps=tuple(gaps), kernel_threads=frozenset(threads), alone=initial)


def look_at(pid: int, *, offset: float) -> Seen | None:
    """One process; ``None`` if it is dead (a zombie too).

    Raises PermissionError if not even that may be known of it which everybody may know.
    """
    folder = PROC / str(pid)
    try:
        told = _Told((folder / "stat").read_bytes())
        status = (folder / "status").read_bytes()
        command = (folder / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None  # gone meanwhile
    if told.dead:
        return None
    directory, environment, opened = _link(folder / "cwd"), _variables(folder), _opened(folder)
    if None in {directory, opened} and _died(folder):
        return None
    return Seen(
        pid=pid,
        parent=told.parent,
        name=told.name,
        command=tuple(os.fsdecode(word) for word in command.removesuffix(b"\0").split(b"\0")),
        started_at=offset + told.started,
        started_after_boot=told.started,
        kernel=bool(told.flags & _KERNEL_THREAD),
        stopped=told.state in "Tt",
        users=frozenset(_numbers(status, b"Uid")),
        powerful=bool(int((_field(status, b"CapEff") or b"0"), 16) & _POWERS),
        pids=tuple(_numbers(status, b"NSpid")) or (pid,),
        program=_link(folder / "exe"),
        directory=directory,
        environment=environment,
        opened=opened,
        root=str(folder / "root"),
        here=str(folder / "cwd"),
    )


def lives_on(seen: Seen) -> bool:
    """Whether a process is still there; true where that cannot be told."""
    return not seen.root or not _died(PROC / str(seen.pid))


def identity(path: str | Path) -> tuple[int, int] | None:
    """Device and inode of what a path or one of the kernel's links leads to; ``None`` if it cannot be told.

    ``/proc/PID/cwd``, ``/proc/PID/root/…`` and ``/proc/PID/fd/N`` lead there also from another mount namespace,
    where the text of the link would mean something else.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def may_write(seen: Seen, name: str, file: tuple[int, int]) -> bool:
    """Whether a process has a file open for writing; false if that cannot be told.

    ``name`` is what the file is called, ``file`` its identity.
    """
    return any(
        identity(seen.file(descriptor, path)) == file and _mode(seen.pid, descriptor) not in {None, os.O_RDONLY}
        for descriptor, path in seen.opened or ()
        if os.path.basename(path).removesuffix(" (deleted)") == name
    )


def same_users(pid: int) -> bool:
    """Whether user numbers mean to a process what they mean to us (the kernel shows these maps to everybody)."""
    try:
        return (PROC / str(pid) / "uid_map").read_bytes() == (PROC / "self/uid_map").read_bytes()
    except OSError:
        return False


def mapped(pid: int) -> frozenset[str]:
    """The names of the files that a process has mapped, libraries above all; none if that cannot be told."""
    try:
        content = (PROC / str(pid) / "maps").read_bytes()
    except OSError:
        return frozenset()
    return frozenset(map(os.fsdecode, re.findall(rb"/([^/\n]+)$", content, re.MULTILINE)))


def program_says(pid: int, word: bytes) -> bool:
    """Whether the file that a process executes has a word in it, whatever it is called; false if it cannot be read."""
    try:
        with (PROC / str(pid) / "exe").open("rb") as file, mmap(file.fileno(), 0, prot=PROT_READ) as program:
            return program.find(word) >= 0
    except (OSError, ValueError):
        return False


# ---------------------------------------------------------------- one process


class _Told:
    """The kernel's line about a process; its name may hold anything, parentheses and line breaks too."""

    def __init__(self, line: bytes) -> None:
        head, _, rest = line.rpartition(b") ")
        words = rest.split()
        self.name = os.fsdecode(head.partition(b"(")[2])
        self.state = words[0].decode()
        self.parent = int(words[1])
        self.flags = int(words[6])
        self.started = int(words[19]) / os.sysconf("SC_CLK_TCK")
        # A leader may end before its threads: then the process lives on under the state of a zombie.
        self.dead = (self.state in "ZXx" or bool(self.flags & _EXITING)) and int(words[17]) <= 1


def _died(folder: Path) -> bool:
    """Whether a process ended while it was looked at, which is why nothing more could be read."""
    try:
        return _Told((folder / "stat").read_bytes()).dead
    except OSError:
        return True


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _variables(folder: Path) -> Mapping[str, str] | None:
    try:
        content = (folder / "environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0") if entry.startswith(b"GIT_"))
    return {name: value for name, _, value in pairs}


def _opened(folder: Path) -> tuple[tuple[int, str], ...] | None:
    """The descriptors that have a path; that a list was given does not mean that its links may be read."""
    found = []
    try:
        for number in os.listdir(folder / "fd"):
            try:
                text = os.readlink(folder / "fd" / number)
            except FileNotFoundError:  # closed meanwhile
                continue
            if text.startswith("/"):
                found.append((int(number), text))
    except OSError:
        return None
    return tuple(found)


def _mode(pid: int, descriptor: int) -> int | None:
    """Whether a descriptor is for reading, writing or both; ``None`` if that cannot be told."""
    try:
        flags = _field((PROC / str(pid) / "fdinfo" / str(descriptor)).read_bytes(), b"flags")
    except OSError:
        return None
    return int(flags, 8) & os.O_ACCMODE if flags else None


def _field(status: bytes, name: bytes) -> bytes:
    found = re.search(rb"^%b:\s*(.*)$" % name, status, re.MULTILINE)
    return found[1] if found else b""


def _numbers(status: bytes, name: bytes) -> Iterator[int]:
    return (int(word) for word in _field(status, name).split())


# ---------------------------------------------------------------- the whole


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(PROC) if name.isdigit()]
    except OSError:
        return []


def _is_initial() -> bool:
    """Whether we see the machine's first PID namespace, through a /proc of that namespace."""
    try:
        first = os.stat(PROC / "self/ns/pid").st_ino == INITIAL_NAMESPACE
        return first and os.readlink(PROC / "self") == str(os.getpid())
    except OSError:
        return False


_HIDING = re.compile(r"\bhidepid=(?!0\b|off\b)")


def _hidden() -> Iterator[str]:
    try:
        mounts = (PROC / "self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        mounts = []
    options = [words[3] for words in map(str.split, mounts) if words[1:2] == [str(PROC)]]
    if not options:
        yield "it is not known how much /proc shows"
    elif _HIDING.search(options[-1]) and not _may_trace_all():
        yield "/proc hides the processes of other users (hidepid)"


def _may_trace_all() -> bool:
    """Whether nothing is hidden from us: not for being root alone, but with its power over every user's processes."""
    try:
        powers = int(_field((PROC / "self/status").read_bytes(), b"CapEff"), 16)
        users = (PROC / "self/uid_map").read_bytes().split()
    except (OSError, ValueError):
        return False
    return bool(powers & _MAY_TRACE) and users == [b"0", b"0", b"4294967295"]


# ---------------------------------------------------------------- without /proc


def _elsewhere() -> dict[int, Seen]:
    """The processes that psutil can describe: enough to find a holder, never enough to say that there is none."""
    import psutil  # noqa: PLC0415 - costly, and wanted only where there is no /proc

    found = {}
    wanted = ["pid", "ppid", "name", "cmdline", "create_time", "status", "exe", "cwd", "environ", "open_files"]
    for process in psutil.process_iter(wanted):
        told = process.info
        if told["status"] == psutil.STATUS_ZOMBIE:
            continue
        variables = told["environ"]
        found[process.pid] = Seen(
            pid=process.pid,
            parent=told["ppid"] or 0,
            name=told["name"] or "",
            command=tuple(told["cmdline"] or ()),
            started_at=told["create_time"] or 0.0,
            stopped=told["status"] == psutil.STATUS_STOPPED,
            pids=(process.pid,),
            program=told["exe"] or None,
            directory=told["cwd"] or None,
            environment=variables and {name: value for name, value in variables.items() if name.startswith("GIT_")},
            here=told["cwd"] or "",
            opened=None if told["open_files"] is None else tuple((file.fd, file.path) for file in told["open_files"]),
        )
    return found
