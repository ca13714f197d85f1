"""Measure what a command uses, and describe the machine: readings of the Linux kernel, each missing where it offers none."""

import os
import resource
import sys
import time

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..model import Machine, Resources, Stall


PROC = Path("/proc")
OPEN = Path("/dev/fd")
PRESSURES = ("cpu", "memory", "io")
NEW_PEAK = 1.02  # how much more than ever before makes a peak worth its exact, dear measurement
LIMITS = {
    "address space": resource.RLIMIT_AS,
    "core file size": resource.RLIMIT_CORE,
    "cpu time": resource.RLIMIT_CPU,
    "file size": resource.RLIMIT_FSIZE,
    "open files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "stack": resource.RLIMIT_STACK,
}


class Meter:
    """Measures one command: made just before it, fed with its processes while it runs, asked at its end."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._stalled = _pressure("total")
        self._oom_kills = oom_kills()
        self._resident = 0  # the most so far, as a sum in which shared pages count for each process
        self._peak = 0  # the same, each page counted once

    def sample(self, pids: Sequence[int]) -> int | None:
        """Memory of the processes together, None where the kernel does not tell."""
        sizes = {pid: size for pid in pids if (size := _resident(pid)) is not None}
        total = sum(sizes.values())
        if total > self._resident * NEW_PEAK:
            self._resident = total
            exact = (_proportional(pid) for pid in sizes)
            self._peak = max(self._peak, sum(map(_either, exact, sizes.values())))
        return total if sizes else None

    def finish(self, known: Resources) -> Resources:
        """What is known of the reaped, completed; of several figures for the peak each is a lower bound, so the highest."""
        sampled = self._peak > (known.peak_memory or 0)
        before, after = self._oom_kills, oom_kills()
        return replace(
            known,
            peak_memory=self._peak if sampled else known.peak_memory,
            method="proc" if sampled else known.method,
            stall=self._stall(),
            oom_kills=0 if before is None or after is None else max(0, after - before),
        )

    def _stall(self) -> Stall | None:
        after, seconds = _pressure("total"), time.monotonic() - self._began_at
        if seconds <= 0 or any(name not in reading for reading in (self._stalled, after) for name in PRESSURES):
            return None
        share = {name: min(1.0, (after[name] - self._stalled[name]) / 1e6 / seconds) for name in PRESSURES}
        return Stall(cpu=share["cpu"], memory=share["memory"], io=share["io"])


def spare_descriptors() -> int:
    """How many more files this process may have open; where it is not told how many are, as many as are allowed."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return allowed - len(os.listdir(OPEN))
    except OSError:
        return allowed


def machine(top: Path) -> Machine:
    """The machine as it is now, with the disk that holds ``top``."""
    memory = dict(_pairs("meminfo"))
    disk_total, disk_free = _disk(top)
    system = os.uname()
    return Machine(
        platform=f"{system.sysname} {system.release} {system.machine}",
        python=f"{sys.implementation.name} {sys.version.split()[0]} {sys.executable}",
        cpus=_cpus(),
        load=_load(),
        memory_total=memory.get("MemTotal:"),
        memory_available=memory.get("MemAvailable:"),
        disk_total=disk_total,
        disk_free=disk_free,
        pressure=tuple(_pressure("avg10").items()),
        limits=tuple((name, _limit(number)) for name, number in LIMITS.items()),
    )


def oom_kills() -> int | None:
    """How many processes the kernel has killed for memory: of our control group, else of the machine."""
    for path in (
        _memory_group("cgroup2", "") / "memory.events",
        _memory_group("cgroup", "memory") / "memory.oom_control",
    ):
        counts = dict(_pairs(path))
        if "oom_kill" in counts:
            return counts["oom_kill"]
    return dict(_pairs("vmstat")).get("oom_kill")


def _memory_group(kind: str, controller: str) -> Path:
    """Our control group in the unified hierarchy (no controller) or in that of a controller; a path to nothing without."""
    membership = (line.split(":", 2) for line in _lines("self/cgroup"))
    inside = next((path for _, names, path in membership if controller in names.split(",")), None)
    for line in _lines("self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        type_and_options = rest.split()
        if inside and type_and_options[0] == kind and (not controller or controller in type_and_options[-1].split(",")):
            root, mount = fields.split()[3:5]
            return Path(mount, os.path.relpath(inside, root))
    return Path(os.devnull)


def _pressure(figure: str) -> dict[str, float]:
    """A figure of pressure stall information by resource: the share of time in which some task had to wait."""
    found = {}
    for name in PRESSURES:
        for line in _lines(f"pressure/{name}"):
            kind, *words = line.split()
            if kind == "some":
                found[name] = float(dict(word.split("=", 1) for word in words)[figure])
    return found


def _resident(pid: int) -> int | None:
    """Resident memory of a process in bytes."""
    words = "".join(_lines(f"{pid}/statm")).split()
    return int(words[1]) * resource.getpagesize() if words else None


def _proportional(pid: int) -> int | None:
    """The same, every shared page divided by those who share it: exact in a sum, and dear."""
    return dict(_pairs(f"{pid}/smaps_rollup")).get("Pss:")


def _either(exact: int | None, rough: int) -> int:
    return rough if exact is None else exact


def _pairs(path: str | Path) -> Iterator[tuple[str, int]]:
    """The lines "name number [kB]" of a kernel file, kB as bytes."""
    for line in _lines(path):
        name, *rest = line.split()
        if rest and rest[0].isdigit():
            yield name, int(rest[0]) * (1024 if rest[1:] == ["kB"] else 1)


def _lines(path: str | Path) -> list[str]:
    """The lines of a file below /proc (or anywhere), none where it cannot be read."""
    try:
        return (PROC / path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _load() -> tuple[float, ...]:
    try:
        return os.getloadavg()
    except OSError:
        return ()


def _cpus() -> int:
    """The processors that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def _disk(top: Path) -> tuple[int | None, int | None]:
    """Size and free bytes of the file system that holds a path."""
    try:
        found = os.statvfs(top)
    except OSError:
        return None, None
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def _limit(number: int) -> str:
    soft, hard = (
        ("unlimited" if value == resource.RLIM_INFINITY else str(value)) for value in resource.getrlimit(number)
    )
    return soft if soft == hard else f"{soft} (at most {hard})"


def boot_id() -> str:
    """The name of this boot of this machine; empty where the kernel gives none, and then equal to none."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
