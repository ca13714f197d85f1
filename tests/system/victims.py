"""Scripts that misbehave: ``python -I -S victims.py NAME MARK``. MARK stands in every command line, to find them by.

Each says ``ready`` once its trouble stands, and dies by itself after LIFE seconds, should the runner not stop it.
"""

import os
import signal
import sys
import time


LIFE = 25.0
DIES_AT = time.monotonic() + LIFE


def linger() -> None:
    """Stay alive, whatever is said politely and cannot be heard while asleep."""
    while time.monotonic() < DIES_AT:
        time.sleep(0.05)
    os._exit(3)


def ready() -> None:
    os.write(1, b"ready\n")


def daemonise() -> bool:
    """Fork twice into a session of its own, stdout kept; whether this is the daemon."""
    listen, tell = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.write(tell, b"!")
        return True
    os.waitpid(child, 0)
    os.read(listen, 1)  # the daemon stands
    return False


def in_group() -> None:
    """A child in the same process group."""
    if os.fork():
        ready()
    linger()


def set_sid() -> None:
    """A child in a session of its own."""
    if os.fork():
        ready()
    else:
        os.setsid()
    linger()


def double_fork() -> None:
    """A daemon that holds stdout, under a command that hangs."""
    if not daemonise():
        ready()
    linger()


def exit_0() -> None:
    """A daemon that holds stdout, and a command that succeeds."""
    if daemonise():
        linger()
    ready()


def no_environment() -> None:
    """A daemon that wears no mark: its environment is empty."""
    if daemonise():
        os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, "just_linger", sys.argv[2]], {})
    ready()
    linger()


def just_linger() -> None:
    linger()


def stubborn() -> None:
    """A command and a child that are deaf to everything polite."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    in_group()


def hop(pause: float) -> None:
    """Be somebody else every moment, each time in a new session."""
    if daemonise():
        while time.monotonic() < DIES_AT:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(pause)
        os._exit(3)
    ready()
    linger()


def re_fork() -> None:
    hop(0.003)


def tight_re_fork() -> None:
    hop(0)


def exit_0_hopping() -> None:
    """What outlives a successful command changes its number all the time."""
    listen, tell = os.pipe()
    if daemonise():
        os.write(tell, b"!")
        while time.monotonic() < DIES_AT:
            if os.fork():
                os._exit(0)
            os.setsid()
        os._exit(3)
    os.read(listen, 1)
    ready()


def stopped() -> None:
    """A command that stops itself, and would never hear a signal."""
    ready()
    os.kill(os.getpid(), signal.SIGSTOP)
    linger()


def silent() -> None:
    """Closes its output early and goes on for a moment."""
    ready()
    os.close(1)
    os.close(2)
    time.sleep(0.3)


def cleans_up() -> None:
    """Handles the interrupt in its own way."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(42))
    ready()
    linger()


def orphans() -> None:
    """Leaves many orphans behind, each of which ends quickly: zombies, unless somebody adopts them."""
    for _ in range(50):
        child = os.fork()
        if not child:
            if os.fork():
                os._exit(0)
            sum(range(100_000))
            os._exit(0)
        os.waitpid(child, 0)
    ready()


def kills_supervisor() -> None:
    """Shoots its parent, a daemon and a scrubbed one at its side."""
    supervisor = os.getppid()
    if daemonise():
        linger()
    ready()
    os.kill(supervisor, signal.SIGKILL)
    linger()


def stops_supervisor() -> None:
    """Puts its parent to sleep, for ever."""
    supervisor = os.getppid()
    if daemonise():
        linger()
    ready()
    os.kill(supervisor, signal.SIGSTOP)
    linger()


def terminates_supervisor() -> None:
    """Asks its parent to leave."""
    ready()
    os.kill(os.getppid(), signal.SIGTERM)
    linger()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
