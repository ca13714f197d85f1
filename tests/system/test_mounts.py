"""File systems, and the ways that lead over them."""

import os
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_orxaq.system.mounts import Mount, Ways, mount_of


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """A file of ours, open for reading."""
    (tmp_path / "file").write_text("x")
    opened = os.open(tmp_path / "file", os.O_RDONLY)
    yield opened
    os.close(opened)


def test_the_file_system_is_told(descriptor: int) -> None:
    """Of a file the kind is known, of a proc file that it is not local, of what is no descriptor nothing."""
    assert mount_of(descriptor).kind
    assert mount_of(descriptor).local
    with Path("/proc/self/stat").open() as file:
        assert mount_of(file.fileno()) == Mount(kind="proc", point="/proc", device=os.stat("/proc").st_dev)
    assert mount_of(10**6) == Mount()
    assert not Mount().local


def test_a_file_on_no_mount_is_nowhere() -> None:
    """A pipe lies on a mount that no table has."""
    reader, writer = os.pipe()
    assert mount_of(reader) == Mount()
    os.close(reader)
    os.close(writer)


def table(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """Have the kernel tell of other mounts."""
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, *a: content if path.name == "mountinfo" else read(path, *a))


@pytest.mark.parametrize(
    ("options", "kind", "mapped"),
    [("rw", "ext4", False), ("rw,idmapped", "ext4", True), ("rw", "vfat", True), ("rw", "nfs4", False)],
)
def test_owners_that_mean_nothing(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, options: str, kind: str, *, mapped: bool
) -> None:
    """Where user numbers are translated, or files have none, a file's owner is not who made it."""
    number = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii").split("mnt_id:")[1].split()[0]
    table(monkeypatch, f"{number} 1 8:1 / / {options} shared:1 master:2 - {kind} /dev/x rw\n")
    found = mount_of(descriptor)
    assert (found.kind, found.mapped, found.local) == (kind, mapped, kind != "nfs4")


def number_of(place: Path) -> str:
    """The number of the mount that a folder lies on; none if it may not be looked at."""
    try:
        descriptor = os.open(place, os.O_PATH)
    except OSError:
        return "0"
    facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii").split()
    os.close(descriptor)
    return facts[facts.index("mnt_id:") + 1]


@pytest.fixture
def ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Ways:
    """Of a process whose root is the folder of the test, with a network mount in it, another below, and links to them."""
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/x rw",
        r"2 1 0:9 / /far\040away rw - nfs4 server:/ rw",
        "3 2 8:2 / /far\\040away/near rw - xfs /dev/y rw",
        "4 1 0:8 / /made rw - fuse.mergerfs x rw",
        "5 1 0:7 / /covered rw - nfs4 server:/ rw",
        "6 5 8:2 / /covered rw - tmpfs tmpfs rw",
        *(f"{number_of(place)} 1 8:2 / /work rw - ext4 /dev/x rw" for place in (tmp_path, Path("/proc/7/cwd"))),
    ]
    table(monkeypatch, "\n".join(lines) + "\n")
    (tmp_path / "work").mkdir()
    for name, target in (
        *(("out", "/far away/x"), ("up", "../made"), ("again", "loop"), ("loop", "again"), ("chain", "out/..")),
        *(("here", "."), ("gone", "/nowhere/../made/x")),
    ):
        (tmp_path / "work" / name).symlink_to(target)
    trusted = getattr(request, "param", ())
    return Ways(7, root=str(tmp_path), here="/proc/7/cwd", directory="/work", trusted=trusted)


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("{root}/work", None),
        ("{root}", None),
        ("{root}/far away", "/far away"),
        ("{root}/far away/near/x", "/far away"),
        ("{root}/covered/x", None),
        ("{root}/made/../work", "/made"),
        ("{here}", None),
        ("{here}/.", None),
        ("{here}/../made/x", "/made"),
        ("{here}/out", "/far away"),
        ("{here}/up/x", "/made"),
        ("{here}/here/here/up", "/made"),
        ("{here}/chain", "/far away"),
        ("{here}/gone", "/made"),
        ("{here}/again", None),
        ("{here}/../../../../x", None),
        ("{here}/\0", None),
    ],
)
def test_ways_over_what_may_not_answer(ways: Ways, tmp_path: Path, path: str, point: str | None) -> None:
    """Found by the table alone and by links that were read on the way there; even where it leads on to what answers."""
    far = ways.far(path.format(root=tmp_path, here="/proc/7/cwd"))
    assert (far and far.point) == point


@pytest.mark.parametrize("ways", [[os.makedev(0, 9)]], indirect=True)
def test_what_has_answered_is_trusted(ways: Ways, tmp_path: Path) -> None:
    """The file system that a repository lies on must be asked; others of its kind need not."""
    assert ways.far(f"{tmp_path}/far away/x") is None
    assert ways.far(f"{tmp_path}/made/x") is not None


@pytest.mark.usefixtures("ways")
def test_what_cannot_be_told_of_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder out of the process's own sight may be anywhere; without tables of mounts, paths are plain ones."""
    lost = Ways(7, root="/r", here="/proc/7/cwd", directory="(unreachable)/x")
    assert lost.far("/proc/7/cwd/y") == Mount()
    assert lost.far("elsewhere") == Mount()
    table(monkeypatch, "")
    assert Ways(7, root="/r", here="/h", directory="/").far("/h/x") is None
    assert Ways(10**9, root="/r", here="/h", directory="/").far("/h/x") is None
    assert Ways(7, root="", here="/h", directory="/").far("/h/x") is None


def test_who_answers() -> None:
    """The kernel itself does, a server need not; and only a server on another machine shows nothing of this one."""
    assert Mount(kind="proc").answers
    assert not Mount(kind="proc").local
    assert not Mount(kind="fuse.bindfs").answers
    assert not Mount(kind="fuse.bindfs").remote
    assert Mount(kind="nfs4").remote
    assert not Mount(kind="autofs").answers
