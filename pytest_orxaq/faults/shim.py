"""What stands in a command's place on the PATH: counts the call, makes the trouble that is planned, or becomes the real command.

It runs as a program of its own (``python -I -S``), in whatever process calls the command, and imports next to nothing:
its start is what a call costs. Its folder has, beside ``bin``, ``orders`` (what to do), ``count`` (the number of the last
call, under a lock), ``calls`` (a line a call), ``lifeline`` (locked by who made it, for as long as hanging calls hang),
``inside`` (held by each call that hangs), ``bell`` (a pipe that hears of each), and ``peace`` (once all trouble is over).
"""

# The fast half of `signal`: the other makes enumerations, which take as long as all else here.
import _signal as signals  # type: ignore[import-not-found]
import fcntl
import marshal
import os
import sys
import time

from collections.abc import Callable
from typing import Any, NoReturn


ASIDE = "ORXAQ_UNTROUBLED"  # in the environment of what the fixtures themselves call: that is no call of the code under test
PASSED_BY = "ORXAQ_SHIMS"  # folders of the shims that have handed this call on
SIGN = ".orxaq"  # a file in the folder of each shim, by which others know it

IGNORED = [getattr(signals, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signals, name)]
ENOEXEC = 8  # a script without a first line that says what it is: shells run it themselves
NOT_FOUND, NOT_RUN, BROKEN = 127, 126, 125  # exit codes, those of a shell


def main(room: str) -> NoReturn:
    """Take one call."""
    argv = [os.fsencode(word) for word in sys.argv[1:]]
    _interruptible()
    with open(f"{room}/orders", "rb") as file:
        orders = marshal.load(file)  # noqa: S302 - our own
    name: bytes = orders["name"]
    try:
        if ASIDE in os.environ or not concerned(orders["match"], argv):
            become(name, room, argv)
        outcome, inside = _take_number(room, orders, [name, *argv])
        _act(outcome, inside, room, name, argv)
    except OSError as error:
        _say(2, b"orxaq: this call of %s cannot be counted: %s\n" % (name, str(error).encode()))
    os._exit(BROKEN)


def _interruptible() -> None:
    """An interrupt ends us as it would end others: without a traceback."""
    if signals.getsignal(signals.SIGINT) is signals.default_int_handler:
        signals.signal(signals.SIGINT, signals.SIG_DFL)


# ---------------------------------------------------------------- the plan


def concerned(match: Any, argv: list[bytes]) -> bool:
    """Whether a call is one of those that count."""
    if match is None:
        return True
    if isinstance(match, str):
        import re  # noqa: PLC0415 - takes a while, and few ask for it

        return re.search(match, os.fsdecode(b" ".join(argv))) is not None
    rest = iter(argv)
    return all(word in rest for word in match)


def planned(number: int, orders: dict[str, Any]) -> int:
    """Which of the outcomes a call has, by its number."""
    for count, outcome in orders["steps"]:
        if number <= count:
            return int(outcome)
        number -= count
    return int(orders["then"])


def _take_number(room: str, orders: dict[str, Any], argv: list[bytes]) -> tuple[Any, int]:
    """Count and log the call; its outcome, and a descriptor by which it is known to be inside."""
    counter = os.open(f"{room}/count", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(counter, fcntl.LOCK_EX)
    number = int(os.read(counter, 20) or b"0") + 1
    # Number first: whoever is killed in between takes one along, and none is given out twice.
    os.pwrite(counter, b"%d" % number, 0)
    index = orders["calm"] if os.path.exists(f"{room}/peace") else planned(number, orders)
    outcome = orders["outcomes"][index]
    line = (number, time.monotonic(), index, os.getpid(), _folder(), argv)
    log = os.open(f"{room}/calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _say(log, f"{line!r}\n".encode())
    os.close(log)
    inside = os.open(f"{room}/inside", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(inside, fcntl.LOCK_SH)
    os.close(counter)
    return outcome, inside


def _folder() -> bytes:
    try:
        return os.getcwdb()
    except OSError:  # it has been removed
        return b""


def _act(outcome: Any, inside: int, room: str, name: bytes, argv: list[bytes]) -> NoReturn:
    kind, number, out, err, delay, real_first = outcome
    if kind == "real":
        become(name, room, argv)
    if kind == "held":
        become(name, room, argv, hooks=True)
    if delay:
        time.sleep(delay)
    if real_first:
        _run_first(name, room, argv)
    _say(1, out)
    _say(2, err)
    if kind == "hang":
        _hang(room)
    if kind == "signal":  # pragma: no cover - what measures dies of it too
        _die(number)
    os.close(inside)
    os._exit(number)


def _say(descriptor: int, said: bytes) -> None:
    try:
        while said:
            said = said[os.write(descriptor, said) :]
    except OSError:  # nobody listens
        return


def _hang(room: str) -> None:
    """Wait until whoever laid this lets go, or is dead."""
    try:
        bell = os.open(f"{room}/bell", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(bell, b"!")
        os.close(bell)
    except OSError:  # nobody is left to hear it, or has heard enough
        pass
    lifeline = os.open(f"{room}/lifeline", os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(lifeline, fcntl.LOCK_SH)


def _die(number: int) -> None:  # pragma: no cover - as above
    """As the signal has it, without a dump of the memory."""
    import resource  # noqa: PLC0415 - as seldom as that

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number != signals.SIGKILL:
        signals.signal(number, signals.SIG_DFL)
    signals.pthread_sigmask(signals.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)


# ---------------------------------------------------------------- the real command


def become(name: bytes, room: str, argv: list[bytes], *, hooks: bool = False) -> NoReturn:
    """Be the next command of this name on the PATH from now on; with ``hooks``, it is a git that has those of the room."""
    # Python ignores these; whether our caller did cannot be told, and nearly none does.
    for number in IGNORED:
        signals.signal(number, signals.SIG_DFL)
    _start(os.execve, name, room, argv, hooks=hooks)
    raise AssertionError


def hold(room: str) -> NoReturn:
    """Be git's hook for changes of refs: with its locks taken and nothing of the change made, wait."""
    if sys.argv[1] == "prepared":
        _hang(room)
    os._exit(0)


def _run_first(name: bytes, room: str, argv: list[bytes]) -> None:
    """Let the real command do its work; what it exits with is lost."""

    ends = [signals.SIGTERM, signals.SIGHUP]
    # What comes before it is known who is to hear of it waits until then.
    before = signals.pthread_sigmask(signals.SIG_BLOCK, ends)

    def beside(path: bytes, command: list[bytes], environment: dict[bytes, bytes]) -> int:
        return os.posix_spawn(path, command, environment, setsigmask=before, setsigdef=IGNORED)

    child = _start(beside, name, room, argv)
    for number in ends:
        signals.signal(number, lambda received, _: os.kill(child, received))
    signals.pthread_sigmask(signals.SIG_SETMASK, before)
    os.waitpid(child, 0)


def _start(
    how: Callable[[bytes, list[bytes], dict[bytes, bytes]], int],
    name: bytes,
    room: str,
    argv: list[bytes],
    *,
    hooks: bool = False,
) -> int:
    """Start the real command; where there is none, or it cannot be, end as a shell does."""
    environment = inherited()
    own = os.fsencode(f"{room}/bin")
    found = following(name, own, environment)
    if found is None:
        _say(2, b"%s: command not found (on the PATH after %s)\n" % (name, own))
        os._exit(NOT_FOUND)
    if hooks:
        _add_hooks(environment, os.fsencode(f"{room}/hooks"))
    # By its full path: Python, for one, finds its home by this word.
    command = [found, *argv]
    try:
        return how(found, command, environment)
    except OSError as error:
        if error.errno == ENOEXEC:
            return how(b"/bin/sh", [b"sh", *command], environment)
        _say(2, b"%s: %s\n" % (found, os.fsencode(error.strerror or "")))
        os._exit(NOT_RUN)


def _add_hooks(environment: dict[bytes, bytes], folder: bytes) -> None:
    """Have git look for its hooks in a folder, whatever else it was told in its environment."""
    count = int(environment.get(b"GIT_CONFIG_COUNT") or b"0")
    environment[b"GIT_CONFIG_KEY_%d" % count] = b"core.hooksPath"
    environment[b"GIT_CONFIG_VALUE_%d" % count] = folder
    environment[b"GIT_CONFIG_COUNT"] = b"%d" % (count + 1)


def inherited() -> dict[bytes, bytes]:
    """The environment as it was handed to us: Python adds to it where the locale is C."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    return {name: value for name, equals, value in (entry.partition(b"=") for entry in entries) if equals}


def following(name: bytes, own: bytes, environment: dict[bytes, bytes]) -> bytes | None:
    """The next command of this name; where that is another shim, it is told in the environment who was asked already."""
    passed_by = [folder for folder in environment.pop(PASSED_BY.encode(), b"").split(b"\n") if folder] + [own]
    folders = environment.get(b"PATH", os.fsencode(os.defpath)).split(b":")
    here = [index for index, folder in enumerate(folders) if os.path.realpath(folder or b".") == own]
    # Who calls us by our path, on a PATH without us, means the first.
    for folder in folders[here[0] + 1 :] if here else folders:
        path = os.path.join(folder or b".", name)
        place = os.path.realpath(folder or b".")
        if place in passed_by or not os.path.isfile(path) or not os.access(path, os.X_OK):
            continue
        if os.path.realpath(path) == os.path.join(own, name):  # a link to ourselves
            continue
        if os.path.exists(os.path.join(place, SIGN.encode())):
            environment[PASSED_BY.encode()] = b"\n".join(passed_by)
        return path
    return None
