"""Processes that fork, or are killed, in the middle of their work on a store of breakers; each prints what it found.

``python breaker_victims.py fork|fork-busy|kill PATH [SCENARIO]``
"""

import json
import os
import signal
import sys
import threading

from collections.abc import Callable
from typing import Any

from pytest_orxaq.core.breaker import (
    Ask,
    Command,
    Event,
    Report,
    Return,
    Row,
    Rules,
    State,
    Verdict,
    hint,
    step,
    tightness,
)
from pytest_orxaq.system import breakers
from pytest_orxaq.system.breakers import Change, Shared, StoreError, store_at


RULES = Rules(threshold=2, window=30, cooldown=10, cooldown_max=20, probe_timeout=10)
PATIENT = Rules(threshold=10**6)


def do(store: Shared, event: Event, now: float = 0.0, rules: Rules = RULES) -> Change:
    """Let something happen to the breaker."""
    return store.change("net", lambda row: step(row, event, now, rules))


def fail(store: Shared) -> Change:
    """A call fails."""
    return do(store, Report(epoch=0, failure="refused"), rules=PATIENT)


def wait_for(child: int) -> int:
    """How a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def as_child(work: Callable[[], object]) -> int:
    """Do something in a forked child; how it ended."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return wait_for(child)


def fork(path: str) -> dict[str, Any]:
    """Parent and child, in turn."""
    store = store_at(path)
    fail(store)
    ended = as_child(lambda: (fail(store), fail(store)))
    fail(store)
    return {"child": ended, "fails": store.rows()["net"][0].fails}


def fork_busy(path: str) -> dict[str, Any]:
    """A thread is inside of a change while its process forks."""
    store = store_at(path)
    fail(store)
    breakers.PATIENCE = 0.05
    inside, go_on = threading.Event(), threading.Event()

    def slow(row: Row) -> Any:
        inside.set()
        go_on.wait()
        return step(row, Report(epoch=0, failure="refused"), 0.0, PATIENT)

    thread = threading.Thread(target=lambda: store.change("net", slow))
    thread.start()
    inside.wait()
    listen, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            fail(store)
        except StoreError as error:
            os.write(tell, str(error).encode())
        os._exit(0)
    go_on.set()
    thread.join()
    wait_for(child)
    return {"child": os.read(listen, 1000).decode(), "fails": store.rows()["net"][0].fails}


# ---------------------------------------------------------------- killed at every point

OPENED = (Report(epoch=0, failure="x"), Report(epoch=0, failure="x"))
# What went before, and during what the process is killed; all at the time 0, but for asks: a cooldown later.
SCENARIOS: dict[str, tuple[tuple[Event, ...], Event]] = {
    "streak": ((), OPENED[0]),
    "open": (OPENED[:1], OPENED[1]),
    "probe": (OPENED, Ask(token="p")),
    "close": ((*OPENED, Ask(token="p")), Report(epoch=2, token="p")),
    "return": ((*OPENED, Ask(token="p")), Return(token="p")),
    "force": ((), Command(state=State.FORCED_OPEN)),
    "reset": ((Command(state=State.FORCED_OPEN),), Command(state=State.CLOSED)),
}


class Countdown:
    """Kills its process at a given point."""

    def __init__(self, left: int) -> None:
        self.left = left

    def point(self) -> None:
        """One more."""
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


class Connection:
    """A connection whose every statement is two points."""

    def __init__(self, real: Any, countdown: Countdown) -> None:
        self.real, self.countdown = real, countdown

    def execute(self, *words: Any) -> Any:
        """Before it, and after it."""
        self.countdown.point()
        done = self.real.execute(*words)
        self.countdown.point()
        return done


class Words:
    """Hints, of which each that is written is two points."""

    def __init__(self, real: Any, countdown: Countdown) -> None:
        self.real, self.countdown = real, countdown

    def __getitem__(self, slot: int) -> int:
        return int(self.real[slot])

    def __setitem__(self, slot: int, word: int) -> None:
        self.countdown.point()
        self.real[slot] = word
        self.countdown.point()


def kill(path: str, scenario: str) -> dict[str, Any]:
    """Kill a child at its first point, another at its second, and so on, until one lives."""
    wrong: list[str] = []
    number = 0
    while True:
        number += 1
        place = f"{path}{number}"
        ended = as_child(lambda place=place, number=number: act(place, scenario, number))  # type: ignore[misc]
        wrong += [f"point {number}: {words}" for words in amiss(place)]
        if ended != -signal.SIGKILL:
            wrong += ["it failed"] * (ended != 0)
            return {"points": number - 1, "wrong": wrong}


def act(path: str, scenario: str, number: int) -> None:
    """Take the breaker there, and die at a point."""
    before, event = SCENARIOS[scenario]
    store = Shared(path)
    for each in before:
        do(store, each, now=10.0 if isinstance(each, Ask) else 0.0)
    do(store, Ask(token=""), now=0.0)
    countdown = Countdown(number)
    store._connection = Connection(store._connection, countdown)  # type: ignore[assignment]
    store._words = Words(store._words, countdown)  # type: ignore[assignment]
    do(store, event, now=10.0)


def amiss(path: str) -> list[str]:
    """What is wrong for those who come after."""
    store = Shared(path)
    row, _ = store.rows()["net"]
    words, slot = store._words, 1
    found = []
    if tightness(words[slot]) < tightness(hint(row)):
        found.append(f"the hint is {words[slot]:#x}, and the row {row}")
    asked = do(store, Ask(token="x"), now=10.0)
    if asked.words[asked.slot] != hint(asked.after):
        found.append("a look does not mend the hint")
    later = do(store, Ask(token="y"), now=40.0)
    if (later.answer.verdict is Verdict.REFUSED) != (row.state is State.FORCED_OPEN):
        found.append(f"wedged: {later}")
    return found


if __name__ == "__main__":
    result = {"fork": fork, "fork-busy": fork_busy, "kill": kill}[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
    sys.stdout.write(json.dumps(result))
