"""Readings of the kernel are right where it offers them, and missing where it does not."""

import mmap
import os
import resource
import sys
import time

from pathlib import Path

import pytest

from pytest_orxaq.model import Resources, Stall
from pytest_orxaq.system import process, resources


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="readings of the Linux kernel")


def test_machine(tmp_path: Path) -> None:
    """The description of the machine has plausible figures."""
    machine = resources.machine(tmp_path)
    assert machine.platform.startswith("Linux ")
    assert sys.executable in machine.python
    assert machine.cpus >= 1
    assert len(machine.load) == 3
    assert 0 < (machine.memory_available or 0) <= (machine.memory_total or 0)
    assert 0 < (machine.disk_free or 0) <= (machine.disk_total or 0)
    assert dict(machine.limits)["open files"] != ""


def test_nothing_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a kernel that tells nothing, every reading is missing and none invented."""
    monkeypatch.setattr(resources, "PROC", tmp_path)
    monkeypatch.setattr(os, "getloadavg", failing)
    machine = resources.machine(tmp_path / "gone")
    assert (machine.memory_total, machine.memory_available, machine.disk_total, machine.disk_free) == (None,) * 4
    assert machine.pressure == ()
    assert machine.load == ()
    assert resources.oom_kills() is None
    meter = resources.Meter()
    assert meter.sample([os.getpid()]) is None
    known = Resources(peak_memory=1, method="rusage", cpu=2.0)
    assert meter.finish(known) == known


def failing() -> tuple[float, float, float]:
    raise OSError


def kernel(folder: Path, **files: str) -> None:
    """Files as the kernel would offer them; a double underscore is a slash."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


PRESSURE = "some avg10={} avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def test_stall_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stalls are shares of the time since the meter was made, at most all of it; of a pressure now the machine tells."""
    monkeypatch.setattr(resources, "PROC", tmp_path)
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for name in resources.PRESSURES:
        kernel(tmp_path, **{f"pressure__{name}": PRESSURE.format("1.50", 1_000_000)})
    meter = resources.Meter()
    totals = {"cpu": 3_000_000, "memory": 1_000_000, "io": 99_000_000}
    for name, total in totals.items():
        kernel(tmp_path, **{f"pressure__{name}": PRESSURE.format("0.00", total)})
    assert meter.finish(Resources()).stall == Stall(cpu=0.2, memory=0.0, io=1.0)
    assert resources.machine(tmp_path).pressure == (("cpu", 0.0), ("memory", 0.0), ("io", 0.0))


UNIFIED = "31 23 0:41 / {0}/unified rw - cgroup2 cgroup2 rw\n"
LEGACY = "30 23 0:33 /ours {0}/memory rw - cgroup cgroup rw,memory\n"


@pytest.mark.parametrize(
    ("membership", "files", "kills"),
    [
        ("0::/a/b\n", {"unified__a__b__memory.events": "low 0\noom 3\noom_kill 2\n"}, 2),
        ("4:memory:/ours/x\n0::/\n", {"memory__x__memory.oom_control": "under_oom 0\noom_kill 5\n"}, 5),
        ("4:memory:/ours/x\n0::/\n", {"vmstat": "pgfault 1\noom_kill 9\n"}, 9),
        ("", {}, None),
    ],
)
def test_oom_kills(
    membership: str, files: dict[str, str], kills: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills for memory are counted in our own control group of either kind, else for the machine, else not at all."""
    monkeypatch.setattr(resources, "PROC", tmp_path)
    mounts = (UNIFIED + LEGACY).format(tmp_path)
    kernel(tmp_path, self__cgroup=membership, self__mountinfo=mounts, **files)
    assert resources.oom_kills() == kills


def test_rise_of_oom_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only kills since the meter was made count."""
    monkeypatch.setattr(resources, "PROC", tmp_path)
    kernel(tmp_path, vmstat="oom_kill 9\n")
    meter = resources.Meter()
    kernel(tmp_path, vmstat="oom_kill 11\n")
    assert meter.finish(Resources()).oom_kills == 2


def test_peak_of_a_tree(tmp_path: Path) -> None:
    """Three processes that hold memory at once are added up, and memory that they share counts once."""
    size = 40_000_000
    script = (
        "import mmap, os, time\n"
        f"shared = mmap.mmap(-1, {size}); shared.write(b'x' * {size})\n"
        "for _ in range(2):\n"
        "    if not os.fork(): break\n"
        f"own = b'y' * {size}\n"
        f"for at in range(0, {size}, 4096): shared[at]\n"
        "time.sleep(1)\n"
    )
    meter = resources.Meter()
    seen: list[int] = []
    exit = process.run(
        (sys.executable, "-I", "-S", "-c", script),
        directory=tmp_path,
        environment={},
        output=tmp_path / "output",
        timeout=30,
        sampler=meter,
        tick=lambda progress: seen.append(progress.memory or 0),
    )
    peak = exit.resources.peak_memory or 0
    assert exit.code == 0
    if exit.resources.method == "proc":
        assert 4 * size <= peak < 5.2 * size
    assert max(seen) >= 4 * size


def test_known_peak_stays_when_it_is_higher() -> None:
    """A figure of the kernel beats the samples when it is higher, and keeps its name."""
    meter = resources.Meter()
    with mmap.mmap(-1, 4096):
        assert (meter.sample([os.getpid(), 2**22 + 1]) or 0) > 0
    known = Resources(peak_memory=2**50, method="cgroup")
    assert meter.finish(known).peak_memory == 2**50
    assert meter.finish(known).method == "cgroup"
    assert meter.finish(Resources()).method == "proc"


def test_own_memory_is_exact() -> None:
    """A process whose exact memory is hidden from us counts with its rough one."""
    assert resources._either(None, 5) == 5
    assert resources._either(3, 5) == 3


def test_name_of_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A boot is named as the kernel names it; where it does not, host and kernel are no name of a boot."""
    monkeypatch.setattr(resources, "PROC", tmp_path)
    assert resources.boot_id() == ""
    kernel(tmp_path, sys__kernel__random__boot_id="0b5c-11\n")
    assert resources.boot_id() == "0b5c-11"


def test_spare_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open file counts against the limit; where open files are not listed, the limit is all that is known."""
    before = resources.spare_descriptors()
    with (tmp_path / "file").open("w"):
        assert resources.spare_descriptors() == before - 1
    monkeypatch.setattr(resources, "OPEN", tmp_path / "none")
    assert resources.spare_descriptors() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
