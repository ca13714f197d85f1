"""Torture a circuit breaker: processes share one, whoever holds the probe may be killed, and what must not happen is counted.

Each process writes what it does to one file, a line at a time, with a clock that nobody sets. Afterwards the file is
read: no epoch has two probes, no probe begins before the one before it ended or its lease was over, no call is made
while the breaker is not closed, and probes never stop coming.

Usage: python benchmarks/soak_breaker.py PROBES [--seed N] [--workers N]
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pytest_orxaq.resilience import Breaker, BreakerOpenError, Permit


LEASE = 0.3  # seconds that a probe keeps the others out
COOLDOWN, COOLDOWN_MAX = 0.01, 0.04
SILENCE = 20.0  # seconds without a probe after which it counts as wedged: a busy machine is slow
KILLED = 0.2  # of the probes' holders
ANSWERED = 0.1  # of the probes


# ---------------------------------------------------------------- a process that calls


def work(store: str, log: str, seed: str) -> None:
    """Call for ever; every probe is held for a while, and mostly fails; every other call fails."""
    dice = random.Random(seed)
    breaker = Breaker(
        "soak",
        threshold=3,
        cooldown=COOLDOWN,
        cooldown_max=COOLDOWN_MAX,
        probe_timeout=LEASE,
        store=store,
        on=lambda error: isinstance(error, OSError),
    )
    journal = os.open(log, os.O_WRONLY | os.O_APPEND)

    def note(what: str, permit: Permit, *more: object) -> None:
        line = " ".join(map(str, (what, permit.epoch, os.getpid(), time.monotonic(), *more)))
        os.write(journal, f"{line}\n".encode())

    while True:
        wanted = time.monotonic()
        try:
            permit = breaker.acquire()
        except BreakerOpenError as refused:
            time.sleep(dice.uniform(0, min(refused.retry_after, COOLDOWN_MAX)))
            continue
        if not permit.probe:
            note("call", permit)
            permit.failure("no")
            continue
        note("begin", permit, wanted)
        time.sleep(dice.uniform(0.002, 0.03))
        fate = dice.random()
        note("end", permit, "ok" if fate < ANSWERED else "other")
        if fate < ANSWERED:
            permit.success()
        elif fate < 2 * ANSWERED:
            permit.cancel()
        else:
            permit.failure("no")


# ---------------------------------------------------------------- what it came to


@dataclass(slots=True)
class Probe:
    """One trial call, as its holder wrote it down."""

    epoch: int
    pid: int
    wanted: float
    begun: float
    ended: float | None = None
    answered: bool = False

    @property
    def over(self) -> float:
        """When another may begin."""
        lease = self.wanted + LEASE
        return lease if self.ended is None else min(lease, self.ended)


@dataclass(slots=True)
class Story:
    """All that happened."""

    probes: list[Probe] = field(default_factory=list)
    calls: set[int] = field(default_factory=set)  # epochs of those that were no probes


def read(lines: list[str]) -> Story:
    """The story in a file, without a last line that somebody could not finish."""
    story = Story()
    for line in lines:
        what, epoch, pid, at, *more = line.split()
        match what:
            case "call":
                story.calls.add(int(epoch))
            case "begin":
                story.probes.append(Probe(int(epoch), int(pid), float(more[0]), float(at)))
            case _:
                for probe in reversed(story.probes):
                    if (probe.epoch, probe.pid) == (int(epoch), int(pid)):
                        probe.ended, probe.answered = float(at), more[0] == "ok"
                        break
    return story


def violations(story: Story) -> Iterator[str]:
    """What must not have happened."""
    # A process may be slow to write: the epochs say what came first.
    probes = sorted(story.probes, key=lambda probe: (probe.epoch, probe.begun))
    for before, after in pairwise(probes):
        if before.epoch == after.epoch:
            yield f"DUPLICATE: epoch {after.epoch} has a probe of {before.pid} and one of {after.pid}"
        elif after.begun < before.over:
            early = before.over - after.begun
            yield f"OVERLAP: the probe of epoch {after.epoch} began {early:.3f} s before that of {before.epoch} was over"
        if after.begun - max(before.begun, before.over) > SILENCE:
            yield f"WEDGE: no probe for {after.begun - before.begun:.1f} s after epoch {before.epoch}"
    closed = {0} | {probe.epoch + 1 for probe in probes if probe.answered}
    for epoch in sorted(story.calls - closed):
        yield f"CALL: one was made in epoch {epoch}, in which it was not closed"


# ---------------------------------------------------------------- the run


class Soak:
    """The processes, and who kills them."""

    def __init__(self, room: Path, seed: str, workers: int) -> None:
        self.room, self.seed, self.workers = room, seed, workers
        self.log = room / "log"
        self.log.touch()
        self.dice = random.Random(seed)
        self.living: dict[int, subprocess.Popen[bytes]] = {}
        self.started = self.killed = self.seen = 0
        self.rest = ""

    def start(self) -> None:
        """One more process."""
        self.started += 1
        command = [sys.executable, __file__, "--work", str(self.room / "breakers.db"), str(self.log)]
        one = subprocess.Popen([*command, f"{self.seed}:{self.started}"])
        self.living[one.pid] = one

    def watch(self, probes: int) -> str:
        """Let them work until there were so many probes; what was wrong with the processes themselves."""
        for _ in range(self.workers):
            self.start()
        last = time.monotonic()
        with self.log.open() as log:
            while self.seen < probes:
                began = self.begun(log.read())
                if began:
                    last = time.monotonic()
                if time.monotonic() - last > SILENCE:
                    return f"WEDGE: no probe for {SILENCE:.0f} s, after {self.seen}"
                for pid in began:
                    self.seen += 1
                    if self.dice.random() < KILLED:
                        self.kill(pid)
                for one in list(self.living.values()):
                    if one.poll() is not None:
                        return f"FAILED: a process ended with {one.returncode}"
                time.sleep(0.001)
        return ""

    def begun(self, text: str) -> list[int]:
        """The processes whose probes have begun since."""
        *lines, self.rest = (self.rest + text).split("\n")
        return [int(line.split()[2]) for line in lines if line.startswith("begin")]

    def kill(self, pid: int) -> None:
        """Kill whoever holds the probe, or has just held it, and start another."""
        one = self.living.pop(pid, None)
        if one is not None:
            one.send_signal(signal.SIGKILL)
            one.wait()
            self.killed += 1
            self.start()

    def end(self) -> None:
        """Leave nobody behind."""
        for one in self.living.values():
            one.kill()
            one.wait()


def main(arguments: list[str] | None = None) -> int:
    """1 if something did not hold."""
    parser = argparse.ArgumentParser(description="Torture a shared circuit breaker.")
    parser.add_argument("probes", type=int)
    parser.add_argument("--seed", default=str(random.randrange(10**6)))
    parser.add_argument("--workers", type=int, default=8)
    given = parser.parse_args(arguments)
    print(f"{given.probes} probes, {given.workers} processes, seed {given.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as room:
        soak = Soak(Path(room), given.seed, given.workers)
        try:
            failure = soak.watch(given.probes)
        finally:
            soak.end()
        story = read(soak.log.read_text().split("\n")[:-1])
    wrong = [*([failure] if failure else []), *violations(story)]
    held = sum(probe.ended is None for probe in story.probes)
    print(
        f"{len(story.probes)} probes in {time.monotonic() - began:.0f} s, {sum(p.answered for p in story.probes)} answered;"
    )
    print(f"{soak.killed} processes were killed, {held} of them in the middle of their probe")
    print("\n".join(wrong) or "0 duplicate probes, 0 overlapping, 0 wedges.")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
    sys.exit(main())
