"""Run one command and stop everything it started, whatever happens; a script of its own: ``python -I -S supervisor.py``.

The gate cannot do this from inside: when it is killed, nobody cleans up. So this small process stands between the
two. It adopts every orphan of the command (``PR_SET_CHILD_SUBREAPER``), so that no double fork and no new session
leaves its sight, and it watches a *lifeline*: a pipe whose other end only the gate holds, and which the kernel closes
when the gate dies, of whatever.

stdin is the lifeline: first a request (:func:`encode`), later perhaps one byte, the signal that asks to stop.
stdout is the result: a line when the command was started, a line when all is over, both JSON.
stderr becomes the stdout and stderr of the command.

Start-up is paid for every attempt, so this imports as little as can be and nothing of the package.
"""
# pathlib and contextlib cost more than they are worth here.
# ruff: noqa: SIM105

import ctypes
import os
import select
import sys
import time


TYPE_CHECKING = False  # `typing` would cost more than everything else here
if TYPE_CHECKING:
    import signal

    from collections.abc import Iterable, Iterator, Mapping, Sequence
else:
    import _signal as signal  # the same functions without the enums, which cost 4 ms

PR_SET_CHILD_SUBREAPER = 36
INTERRUPT_GRACE = 1.0  # after the interrupt; make needs a moment to delete half-made targets
TERMINATE_GRACE = 0.7
SWEEP = 1.0  # longest wait for the killed to be gone: only what hangs in the kernel takes this long
LADDER = INTERRUPT_GRACE + TERMINATE_GRACE + SWEEP
SETTLE = 0.2  # for helpers that end by themselves just after the command
LEAK_GRACE = 0.5
GATE_CHECK = 1.0  # how often to look whether the gate is still the parent: a fork of it may hold the lifeline
LISTED = 50  # processes named at most


# ---------------------------------------------------------------- request

Request = tuple[list[bytes], bytes, dict[bytes, bytes]]  # command, directory, environment


def encode(command: "Sequence[str]", directory: str, environment: "Mapping[str, str]", timeout: float | None) -> bytes:
    """The request for a command, as the gate writes it onto the lifeline."""
    words = ["inf" if timeout is None else repr(timeout), directory, str(len(command)), *command]
    words += [f"{name}={value}" for name, value in environment.items()]
    if not command or any("\0" in word for word in words) or any("=" in name for name in environment):
        raise ValueError("an empty command, or a character that no command or environment can carry")
    body = b"\0".join(map(os.fsencode, words))
    return b"%d\n" % len(body) + body


def _decode(lifeline: int) -> tuple[Request, float]:
    """Command, directory, environment and timeout from the lifeline."""
    head = b""
    while not head.endswith(b"\n"):
        head += os.read(lifeline, 1) or sys.exit("the gate died before it said what to run")
    body = b""
    while len(body) < int(head):
        body += os.read(lifeline, int(head) - len(body)) or sys.exit("the gate died before it said what to run")
    timeout, directory, count, *words = body.split(b"\0")
    command, pairs = words[: int(count)], words[int(count) :]
    environment = dict(pair.split(b"=", 1) for pair in pairs)
    return (command, directory, environment), float(timeout)


# ---------------------------------------------------------------- what the kernel tells


def content(path: str) -> bytes:
    """A small file, empty when it is not there (any more)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    found = b""
    try:
        while chunk := os.read(descriptor, 65536):
            found += chunk
    except OSError:  # ESRCH: it ended while we read
        pass
    finally:
        os.close(descriptor)
    return found


def stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat behind the command's name, from the state on; empty when there is no such process."""
    return content(f"/proc/{pid}/stat").rpartition(b")")[2].split()


HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # CONFIG_PROC_CHILDREN


def children(parent: int) -> "Iterator[int]":
    """The children of a process; none where the system does not tell."""
    return _children_by_task(parent) if HAS_CHILDREN_FILES else _children_by_scan(parent)


def _children_by_task(parent: int) -> "Iterator[int]":
    for task in _entries(f"/proc/{parent}/task"):
        yield from map(int, content(f"/proc/{parent}/task/{task}/children").split())


def _children_by_scan(parent: int) -> "Iterator[int]":
    for pid in processes():
        if (fields := stat(pid)) and int(fields[1]) == parent:
            yield pid


def processes() -> list[int]:
    """Every process of the machine."""
    return [int(name) for name in _entries("/proc") if name.isdigit()]


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def descendants(root: int) -> "Iterator[int]":
    """Everything below a process, parents first; what ends while we look may be missing."""
    waiting = [root]
    while waiting:
        for child in children(waiting.pop()):
            yield child
            waiting.append(child)


def described(pid: int) -> str:
    """A process as JSON: pid, command line, age; empty for one that has ended."""
    fields = stat(pid)
    if not fields or fields[0] in b"ZX":
        return ""
    command = content(f"/proc/{pid}/cmdline")[:1000].replace(b"\0", b" ").decode("utf-8", "replace").strip()
    uptime = float(content("/proc/uptime").split()[0])
    age = max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    return f'{{"pid": {pid}, "command": {_quoted(command)}, "age": {age:.3f}}}'


def _quoted(text: str) -> str:
    """Text as a JSON string."""
    safe = (c if c.isprintable() else f"\\u{min(ord(c), 0xFFFD):04x}" for c in text.translate({34: "'", 92: "/"}))
    return f'"{"".join(safe)}"'


# ---------------------------------------------------------------- control group


def _own_group() -> str:
    """Our own control group (v2) as a path, empty where there is none."""
    lines = content("/proc/self/cgroup").decode("utf-8", "replace").splitlines()
    inside = next((line[3:] for line in lines if line.startswith("0::")), "/..")
    for line in content("/proc/self/mountinfo").decode("utf-8", "replace").splitlines():
        fields, _, rest = line.partition(" - ")
        root, mount = fields.split()[3:5]
        if rest.startswith("cgroup2 ") and (inside + "/").startswith(root.rstrip("/") + "/") and "/.." not in inside:
            return (mount + inside[len(root.rstrip("/")) :]).rstrip("/")
    return ""


def _make_group() -> str:
    """A control group for this attempt, empty where we may not have one; nothing depends on it."""
    above = _own_group()
    group = f"{above}/orxaq-{os.getpid()}"
    try:
        if not above:
            return ""
        os.mkdir(group)
    except OSError:
        return ""
    return group


def _write(path: str, text: bytes) -> None:
    """Write to a kernel file; that it does not take it is no concern."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, text)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def remove_group(group: str) -> None:
    """Remove an empty control group, and those that gates inside it left."""
    try:
        inner = [entry.path for entry in os.scandir(group) if entry.is_dir(follow_symlinks=False)]
        for path in inner:
            remove_group(path)
        os.rmdir(group)
    except OSError:
        pass


def kill_group(group: str) -> None:
    """Kill everything in a control group at once: the one way that no fork can outrun."""
    _write(f"{group}/cgroup.kill", b"1")


# ---------------------------------------------------------------- the command's tree


def _kill(pid: int, number: int) -> None:
    """Send a signal; that the process has ended meanwhile, or may not be touched, shows later."""
    try:
        os.kill(pid, number)
    except OSError:
        pass


class Tree:
    """The leader and everything that came from it."""

    def __init__(self, leader: int, group: str, *, adopts: bool) -> None:
        self.leader = leader
        self.group = group
        self.adopts = adopts
        self.status: int | None = None  # the leader's, once it is reaped
        self.ended_at = 0.0
        self.waited = True  # whether the leader ever waited for a child; true where nobody can say
        self.cpu = 0.0
        self.largest = 0

    def collect(self) -> bool:
        """Reap what has ended; whether nothing at all is left.

        As long as the leader's status is not safe, never ``waitpid(-1)``: it would take the leader for anybody.
        Afterwards it is the proof: a subreaper without children has no descendants, so ECHILD means that all are gone.
        """
        if self.status is None:
            for pid in children(os.getpid()):
                if pid != self.leader:
                    self._reap(pid)
            self._look_at_leader()
        if self.status is None:
            return False
        while True:
            try:
                if not self._reap(-1):
                    return not self.adopts and not self._group_lives()
            except ChildProcessError:
                return self.adopts or not self._group_lives()

    def _look_at_leader(self) -> None:
        """Take the leader's status when it has ended."""
        if hasattr(os, "waitid"):  # on macOS from Python 3.13 on only
            if not os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            # A zombie's faults of waited-for children: none means that it waited for none, for no program runs
            # without a page fault. A make that found nothing to do ends like this.
            faults = stat(self.leader)[8:9]
            self.waited = faults != [b"0"]
        self._reap(self.leader)

    def _reap(self, pid: int) -> bool:
        try:
            found, status, usage = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            if pid == -1:
                raise
            return False  # listed as a child, and yet reaped: it was there twice
        if not found:
            return False
        self.cpu += usage.ru_utime + usage.ru_stime
        self.largest = max(self.largest, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        if found == self.leader and self.status is None:
            self.status, self.ended_at = status, time.monotonic()
        return True

    def _group_lives(self) -> bool:
        """Whether the leader's process group has members; for systems that let orphans go."""
        try:
            os.killpg(self.leader, 0)
        except OSError:  # ESRCH; or EPERM, the word of BSD for a group of zombies
            return False
        return True

    def signal_group(self, number: int) -> None:
        """Send a signal to the leader's process group, and wake what is stopped so that it can hear it."""
        if self.status is None or not self.adopts:  # a reaped leader's number may be somebody else's group by now
            for each in (number, signal.SIGCONT):
                try:
                    os.killpg(self.leader, each)
                except OSError:
                    if self.status is None:  # it has not come to have a group of its own yet
                        _kill(self.leader, each)

    def signal_all(self, number: int, but: "Iterable[int]" = ()) -> set[int]:
        """Send a signal to everything descended; who was there."""
        found = set()
        for pid in descendants(os.getpid()):
            found.add(pid)
            if pid not in but:
                for each in (number,) if number == signal.SIGKILL else (number, signal.SIGCONT):
                    _kill(pid, each)
        return found

    def alive(self) -> list[str]:
        """What lives, described. The caller knows that something does: what hops from process to process is hard to see."""
        for _ in range(3):
            found = [text for text in map(described, descendants(os.getpid())) if text]
            if found:
                return found[:LISTED]
        return ['{"pid": 0, "command": "unknown", "age": 0.0}']


# ---------------------------------------------------------------- supervision


class Supervision:
    """One command from its start to the end of everything it started."""

    def __init__(self, lifeline: int, output: int) -> None:
        self.lifeline = lifeline
        self.output = output
        self.gate = os.getppid()
        self.asked: int | None = None  # the signal that asked to stop
        self.bell, ring = os.pipe()
        os.set_blocking(self.bell, False)
        os.set_blocking(ring, False)
        signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._hear)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._hear)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a mask is inherited, and must not make us deaf

    def _hear(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD and self.asked is None:
            self.asked = number

    def wait(self, seconds: float, *, lifeline: bool = False) -> None:
        """Sleep until a signal comes, the lifeline speaks or the time is over."""
        poll = select.poll()
        poll.register(self.bell, select.POLLIN)
        if lifeline:
            poll.register(self.lifeline, select.POLLIN)
        for descriptor, _ in poll.poll(max(0.0, seconds * 1000)):
            if descriptor == self.bell:
                os.read(self.bell, 4096)
            else:
                word = os.read(self.lifeline, 1)
                self.asked = self.asked or (word[0] if word else signal.SIGTERM)  # its end: the gate is dead

    def watch(self, tree: Tree, deadline: float) -> bool:
        """Wait for the leader's end, a wish to stop, or the deadline; whether the time ran out."""
        while not (tree.collect() or tree.status is not None):
            if os.getppid() != self.gate:
                self.asked = self.asked or signal.SIGTERM
            if self.asked:
                return False
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            self.wait(min(left, GATE_CHECK), lifeline=True)
        return False

    def gone_within(self, tree: Tree, seconds: float, number: int = 0) -> bool:
        """Whether everything is gone before the time is over; newcomers get the signal too."""
        until = time.monotonic() + seconds
        told: set[int] = set()
        while not tree.collect():
            left = until - time.monotonic()
            if left <= 0:
                return False
            if number:
                told |= tree.signal_all(number, but=told)
            self.wait(min(left, 0.01))
        return True

    def swept(self, tree: Tree) -> bool:
        """Kill to a fixpoint: whether nothing is left. What forks faster than we look is met again, until it loses."""
        until = time.monotonic() + SWEEP
        before: set[int] = set()
        if tree.group:
            kill_group(tree.group)
        while not tree.collect():
            if time.monotonic() > until:
                return False
            tree.signal_group(signal.SIGKILL)
            found = tree.signal_all(signal.SIGKILL)
            if found == before:  # all known and killed: give the kernel the time
                self.wait(0.002)
            before = found
        return True

    def stop(self, tree: Tree) -> bool:
        """Interrupt, terminate, kill; whether nothing is left."""
        tree.signal_group(signal.SIGINT)
        if self.gone_within(tree, INTERRUPT_GRACE):
            return True
        tree.signal_group(signal.SIGTERM)
        return self.gone_within(tree, TERMINATE_GRACE, signal.SIGTERM) or self.swept(tree)

    def stop_leaked(self, tree: Tree) -> tuple[list[str], bool]:
        """Stop what outlived the leader: who that was, and whether nothing is left."""
        if self.gone_within(tree, SETTLE):
            return [], True
        leaked = tree.alive()
        tree.signal_group(signal.SIGTERM)
        return leaked, self.gone_within(tree, LEAK_GRACE, signal.SIGTERM) or self.swept(tree)


def _exec(command: list[bytes], directory: bytes, environment: dict[bytes, bytes]) -> str:
    """Become the command; returns only why that is impossible."""
    try:
        os.chdir(directory)
    except OSError as error:
        return f"{os.fsdecode(directory)}: {error.strerror}"
    places = [b""]
    if b"/" not in command[0]:
        places = [place or b"." for place in environment.get(b"PATH", os.defpath.encode()).split(b":")]
    why = ""
    for place in places:
        try:
            os.execve(os.path.join(place, command[0]), command, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError) as error:
            why = why or f"{os.fsdecode(command[0])}: {error.strerror}"
        except OSError as error:  # found, but of no use: says more than "not found" in a later place
            return f"{os.fsdecode(command[0])}: {error.strerror}"
    return why


def _become(output: int, group: str, tell: int, request: Request) -> None:
    """The child's part of the fork."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    if group:
        _write(f"{group}/cgroup.procs", b"0")
    os.dup2(output, 1)
    os.dup2(output, 2)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            # Ignored signals are inherited over exec: with SIGCHLD ignored, `make` believes that `false` succeeded.
            signal.signal(number, signal.SIG_DFL)
        except (
            OSError,
            ValueError,
        ):  # pragma: no cover - C libraries that count signals which they keep for themselves
            pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.write(tell, _exec(*request).encode("utf-8", "replace"))
    os._exit(127)


def _start(supervision: Supervision) -> tuple[Tree, int, float, float]:
    """Start the command: its tree, where a failed exec says why, when it was, and when its time is over."""
    request, timeout = _decode(supervision.lifeline)
    adopts = sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    group = _make_group() if adopts else ""
    listen, tell = os.pipe()  # closed by a successful exec
    started_at = time.monotonic()
    # Until the child has our handlers off, a signal that comes early must wait, or it would be heard by nobody.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    leader = os.fork()
    if leader:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    else:
        try:
            _become(supervision.output, group, tell, request)
        finally:
            os._exit(127)
    os.close(tell)
    os.close(supervision.output)
    return Tree(leader, group, adopts=adopts), listen, started_at, started_at + timeout


def supervise(lifeline: int, result: int, output: int) -> None:
    """Run the command that the lifeline asks for, and report."""
    supervision = Supervision(lifeline, output)
    tree, listen, started_at, deadline = _start(supervision)
    try:
        _report(result, {"leader": tree.leader, "group": _quoted(tree.group), "started_at": started_at})
        timed_out = supervision.watch(tree, deadline)
        by_itself = tree.status is not None
        leaked, gone = supervision.stop_leaked(tree) if by_itself else ([], supervision.stop(tree))
        emptied_at = time.time()
        not_started = _reason(listen)
        status = None if not_started else tree.status
        facts: dict[str, object] = {
            "code": None if status is None or not os.WIFEXITED(status) else os.WEXITSTATUS(status),
            "signal": None if status is None or not os.WIFSIGNALED(status) else os.WTERMSIG(status),
            "duration": (tree.ended_at or time.monotonic()) - started_at,
            "emptied_at": emptied_at,
            "timed_out": timed_out,
            "cancelled": None if by_itself or timed_out else supervision.asked,
            "not_started": _quoted(not_started),
            "ran_nothing": by_itself and not tree.waited and not not_started,
            "leaked": f"[{', '.join(leaked)}]",
            "survivors": f"[{', '.join([] if gone else tree.alive())}]",
            "cpu": tree.cpu,
            "largest": tree.largest,
            "peak": int(content(f"{tree.group}/memory.peak") or 0) or None,
        }
        _report(result, facts)
    finally:
        if tree.status is None:  # a bug of ours, or memory ran out: the command must not outlive it
            supervision.swept(tree)
        remove_group(tree.group)


def _reason(descriptor: int) -> str:
    """Why exec failed, empty when it did not."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 4096).decode("utf-8", "replace")
    except BlockingIOError:  # killed before it came to exec
        return ""


_JSON = {None: "null", False: "false", True: "true"}


def _report(result: int, facts: "Mapping[str, object]") -> None:
    """Write a line of JSON; strings come quoted."""
    values = (_JSON[value] if value is None or isinstance(value, bool) else value for value in facts.values())
    line = ", ".join(f'"{name}": {value}' for name, value in zip(facts, values, strict=True))
    data = f"{{{line}}}\n".encode("utf-8", "replace")
    try:
        while data:
            data = data[os.write(result, data) :]
    except OSError:  # nobody listens any more: the work is done all the same
        pass


def main() -> None:
    """Take the three standard streams out of the command's reach, then supervise."""
    lifeline, result, output = os.dup(0), os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    try:
        supervise(lifeline, result, output)
    except Exception as error:  # noqa: BLE001 - whatever it is, the gate is to hear of it
        _report(result, {"broken": _quoted(repr(error))})
    os._exit(0)  # nothing is left to tidy, and tidying takes milliseconds


if __name__ == "__main__":
    main()
