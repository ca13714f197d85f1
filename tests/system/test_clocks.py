"""The clock that can be set against the one that cannot."""

import os
import time

from pathlib import Path

import pytest

from pytest_orxaq.system import clocks
from pytest_orxaq.system.clocks import offset_at_boot, offset_now, since_boot


def test_the_offset_is_the_time_of_the_boot() -> None:
    """Unix time is the offset and the time since boot, now and a moment later."""
    assert abs(offset_now() + since_boot() - time.time()) < 1
    assert abs(offset_now() - offset_now()) < 0.2


@pytest.mark.parametrize(("kind", "told"), [("devtmpfs", True), ("tmpfs", False)])
def test_the_first_device_file_tells_the_clock_at_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, told: bool
) -> None:
    """It is the oldest change time among the kernel's own device files; in a container's folder it means nothing."""
    devices = tmp_path / "dev"
    devices.mkdir()
    for name in ("zero", "null"):
        (devices / name).write_text("")
    monkeypatch.setattr(clocks, "DEVICES", devices)
    read = Path.read_text
    table = f"udev {devices} tmpfs rw 0 0\nudev {devices} {kind} rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda path, *a: table if path.name == "mounts" else read(path, *a))
    assert offset_at_boot() == ((devices / "zero").stat().st_ctime if told else None)
    for entry in list(devices.iterdir()):
        entry.unlink()
    assert offset_at_boot() is None


def test_a_system_without_mounts_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table of mounts, no answer."""

    def refuse(*_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert offset_at_boot() is None


@pytest.mark.skipif(not os.path.ismount("/dev"), reason="there is no folder of devices")
def test_this_machine_answers_or_not() -> None:
    """The answer is a time that was, or none."""
    found = offset_at_boot()
    assert found is None or 0 < found <= time.time()


def test_a_kernel_without_time_namespaces_has_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a namespace that is not the machine's first one may tell another time since boot."""
    monkeypatch.setattr(clocks, "NAMESPACE", tmp_path / "none")
    assert clocks.is_shared()
    monkeypatch.setattr(clocks, "NAMESPACE", tmp_path)
    assert not clocks.is_shared()
