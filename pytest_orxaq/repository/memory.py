"""What earlier runs remember that helps to judge a lock: clocks, locks seen before, and deaths of our own.

Three small files in the repository's common state folder. They are advice: what is damaged is set aside, what is
missing proves nothing, and what cannot be written is not remembered.
"""

import json
import os
import time

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..core.records import SCHEMA, from_data, to_data
from ..core.steadiness import EXACT, Anchor
from ..model import Lock, OwnDeath, Snapshot
from ..system import clocks
from ..system.resources import boot_id
from ..system.state import read_json, write_atomically


CLOCK, SIGHTINGS, DEATHS = "clock.json", "sightings.json", "deaths.jsonl"
MOMENTS_KEPT = 64
COARSE = 0.02  # seconds by which a file system's clock, which ticks, may be behind
DEATHS_READ = 256 * 1024  # bytes at the end of the file: a thousand deaths

Note = Callable[[str], object]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The clock as it was read once."""

    boot: str
    wall: float  # Unix time
    offset: float  # Unix time of the boot by the same clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """When a lock was first seen as it still is."""

    path: str
    snapshot: Snapshot
    boot: str
    at: float  # seconds since that boot


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A command of ours that worked in the repository, and is gone with everything that it started."""

    boot: str
    actor: str  # what it was: a command line, or run and attempt
    began_at: float  # Unix time
    ended_at: float  # when nothing of it was left
    present: tuple[str, ...] | None  # paths of the locks that were there when it began; None: nobody looked


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything remembered, with the clock as it is now."""

    boot: str = ""  # empty: it is not known, and nothing remembered is of it
    offset: float = 0.0  # Unix time of the boot, by the clock as it is now
    since_boot: float = 0.0  # seconds, now
    anchors: tuple[Anchor, ...] = ()  # of this boot, in the order of time
    sightings: tuple[Sighting, ...] = ()
    deaths: tuple[Death, ...] = ()

    def death_of(self, path: str, snapshot: Snapshot) -> OwnDeath | None:
        """The death of ours in whose time a lock was last changed; rather one that did not find it when it began."""
        changed_at = snapshot.changed_at / 1e9
        found = [
            OwnDeath(
                actor=death.actor,
                began_at=death.began_at,
                ended_at=death.ended_at,
                absent_before=death.present is not None and path not in death.present,
            )
            for death in self.deaths
            if self.boot and death.boot == self.boot and death.began_at - COARSE <= changed_at <= death.ended_at
        ]
        return max(found, key=lambda death: (death.absent_before, death.ended_at), default=None)

    def sighting_of(self, path: str, snapshot: Snapshot) -> Sighting | None:
        """When in this boot a lock was first seen exactly as it is now."""
        of_this_boot = (seen for seen in self.sightings if self.boot and seen.boot == self.boot)
        return next((seen for seen in of_this_boot if seen.path == path and seen.snapshot == snapshot), None)


def recall(folder: Path, *, note: Note = lambda _: None) -> Memory:
    """What the files in ``folder`` hold. Never raises for what they are."""
    boot = _boot()
    return Memory(
        boot=boot,
        offset=clocks.offset_now(),
        since_boot=clocks.since_boot(),
        anchors=tuple(_anchors(folder, boot, note)),
        sightings=tuple(_rows(Sighting, folder / SIGHTINGS, note)),
        deaths=tuple(_deaths(folder / DEATHS)),
    )


def record_clock(folder: Path, *, note: Note = lambda _: None) -> None:
    """Remember the clock as it is now, for the locks that are made from here on; writes only if it is another one."""
    now = Moment(boot=_boot(), wall=time.time(), offset=clocks.offset_now())
    moments = list(_rows(Moment, folder / CLOCK, note))
    last = next((moment for moment in reversed(moments) if moment.boot == now.boot), None)
    if now.boot and (last is None or abs(last.offset - now.offset) > EXACT):
        _write(folder / CLOCK, [*moments[1 - MOMENTS_KEPT :], now])


def record_sightings(folder: Path, seen: Iterable[tuple[Lock, Snapshot]], memory: Memory) -> None:
    """Remember all the locks that are there now, and since when each has been as it is; writes only what is new."""
    now = clocks.since_boot()
    sightings = tuple(
        memory.sighting_of(lock.path, snapshot) or Sighting(path=lock.path, snapshot=snapshot, boot=memory.boot, at=now)
        for lock, snapshot in seen
    )
    if memory.boot and sightings != memory.sightings:
        _write(folder / SIGHTINGS, sightings)


def record_death(folder: Path, *, actor: str, began_at: float, ended_at: float, present: Iterable[str] | None) -> None:
    """Remember that a command of ours is gone with everything that it started: never before it is.

    Times are Unix time; ``ended_at`` is when nothing of it was left. ``present`` are the paths of all locks that were there when it began, ``None`` if nobody
    looked: then its death proves nothing.
    """
    found = None if present is None else tuple(sorted(present))
    death = Death(boot=_boot(), actor=actor, began_at=began_at, ended_at=ended_at, present=found)
    line = json.dumps(to_data(death, exact=True)).encode("ascii") + b"\n"
    if not death.boot:
        return
    with suppress(OSError):
        _forget_old(folder / DEATHS)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(folder / DEATHS, flags, 0o600)
        try:
            os.write(descriptor, line)  # in one call, so that lines of others stay whole
        finally:
            os.close(descriptor)


def _boot() -> str:
    """The name of this boot, if the time since it is told to us as to everybody; else empty, which is like no other."""
    return boot_id() if clocks.is_shared() else ""


# ---------------------------------------------------------------- files


def _anchors(folder: Path, boot: str, note: Note) -> Iterator[Anchor]:
    at_boot = clocks.offset_at_boot()
    if at_boot is not None:
        yield Anchor(at=0.0, offset=at_boot, rough=True)
    for moment in _rows(Moment, folder / CLOCK, note):
        if boot and moment.boot == boot:
            yield Anchor(at=moment.wall - moment.offset, offset=moment.offset)


def _rows(kind: type[Row], path: Path, note: Note) -> Iterator[Row]:
    """The rows of a state file that make sense."""
    content = read_json(path, schema=SCHEMA, note=note)
    rows = content.get("rows") if isinstance(content, dict) else None
    yield from _sensible(kind, rows if isinstance(rows, list) else [])


def _deaths(path: Path) -> Iterator[Death]:
    """The latest deaths. A line that was cut off, or is none, is passed over."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size
            file.seek(max(0, size - DEATHS_READ))
            lines = file.read(DEATHS_READ).splitlines()
        for line in lines:
            with suppress(ValueError, RecursionError):
                yield from _sensible(Death, [json.loads(line)])


def _sensible(kind: type[Row], rows: Iterable[object]) -> Iterator[Row]:
    for row in rows:
        with suppress(ValueError):
            yield from_data(kind, row)


def _write(path: Path, rows: Sequence[object]) -> None:
    with suppress(OSError):  # what cannot be remembered makes later judgements more careful, nothing else
        write_atomically(path, json.dumps({"schema": SCHEMA, "rows": to_data(rows, exact=True)}).encode("ascii"))


def _forget_old(path: Path) -> None:
    """Keep the latest half of a journal of deaths that has grown long."""
    with suppress(FileNotFoundError):
        if path.stat(follow_symlinks=False).st_size > 2 * DEATHS_READ:
            kept = [json.dumps(to_data(death, exact=True)).encode("ascii") + b"\n" for death in _deaths(path)]
            write_atomically(path, b"".join(kept))
