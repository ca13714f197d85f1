"""Names that change places, and names that are given."""

import errno
import os
import subprocess
import sys

from pathlib import Path

import pytest

from pytest_orxaq.system import exchange as module
from pytest_orxaq.system.exchange import Unsupported, exchange, give_name


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """A file and an empty folder."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder").mkdir()
    return tmp_path / "file", tmp_path / "folder"


def test_a_file_and_a_folder_change_places(both: tuple[Path, Path]) -> None:
    """What has a name is another thing afterwards, and each is the same as before."""
    file, folder = both
    inodes = [path.stat().st_ino for path in both]
    exchange(file, folder)
    assert file.is_dir()
    assert folder.read_text() == "content"
    assert [path.stat().st_ino for path in both] == inodes[::-1]
    exchange(file, folder)
    assert [path.stat().st_ino for path in both] == inodes


def test_names_that_are_not_text(tmp_path: Path) -> None:
    """Any name that a file can have is exchanged."""
    one, other = (Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/\xff", b"/\xfe\n"))
    one.write_text("one")
    other.write_text("other")
    exchange(one, other)
    assert one.read_text() == "other"


def test_neither_name_is_ever_free(both: tuple[Path, Path]) -> None:
    """Somebody who tries to take the name all the time does not get it."""
    file, folder = both
    thief = (
        "import os, sys\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    while not os.path.exists(sys.argv[2]):\n"
        "        try: os.open(sys.argv[1], os.O_CREAT | os.O_EXCL)\n"
        "        except FileExistsError: continue\n"
        "        print('taken')\n"
        "finally: print('over')\n"
    )
    stop = file.parent / "stop"
    with subprocess.Popen([sys.executable, "-c", thief, file, stop], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(2000):
            exchange(file, folder)
        stop.touch()
        assert process.communicate(timeout=60)[0] == "over\n"


def test_what_is_missing_is_said(both: tuple[Path, Path]) -> None:
    """If one of them is not there, nothing is done."""
    file, folder = both
    folder.rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        exchange(file, folder)
    assert caught.value.filename == str(file)
    assert file.read_text() == "content"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV])
def test_a_file_system_that_cannot(both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """What the kernel says for "not here" is told apart from failures."""
    monkeypatch.setattr(module, "_exchange", lambda *_: number)
    with pytest.raises(Unsupported):
        exchange(*both)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_library_that_has_no_such_call(
    both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """An old C library, or none that can be called, is a system that cannot."""
    import ctypes

    def none(*_: object, **__: object) -> dict[str, object]:
        raise AttributeError

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", none)
    with pytest.raises(Unsupported):
        exchange(*both)


# ---------------------------------------------------------------- giving a name


def test_a_free_name_is_given(both: tuple[Path, Path]) -> None:
    """The file has both names then."""
    file, folder = both
    folder.rmdir()
    assert give_name(file, folder)
    assert file.samefile(folder)


def test_a_taken_name_is_not_given(both: tuple[Path, Path]) -> None:
    """Whatever has the name keeps it, even if it is a link that leads nowhere."""
    file, folder = both
    assert not give_name(file, folder)
    folder.rmdir()
    folder.symlink_to("nowhere")
    assert not give_name(file, folder)
    assert folder.is_symlink()


def test_one_name_a_file(both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file can have one name only, it is renamed, and never over another."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    file, folder = both
    assert not give_name(file, folder)
    folder.rmdir()
    assert give_name(file, folder)
    assert folder.read_text() == "content"
    assert not file.exists()


def test_other_failures_are_failures(both: tuple[Path, Path]) -> None:
    """A file that is not there cannot be given a name."""
    file, folder = both
    with pytest.raises(FileNotFoundError):
        give_name(folder / "gone", folder / "x")
    with pytest.raises(OSError, match="Not a directory"):
        give_name(file, file / "x")
