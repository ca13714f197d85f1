"""Disks with no room: the errors are the kernel's, and git's words are its own."""

import errno
import os
import resource
import shutil
import stat
import subprocess
import sys

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import Faults, FullDisk, Git


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and mount namespaces")

NOBODY = 65534


def test_a_file_that_is_full(full_disk: FullDisk, faults: Faults) -> None:
    """Nobody can write to it for ENOSPC, in this process or another, and each is a file of its own."""
    one, two = full_disk.file, full_disk.file
    assert one != two
    with pytest.raises(OSError, match="No space left") as caught:
        one.write_text("x")
    assert caught.value.errno == errno.ENOSPC
    done = subprocess.run(
        ["sh", "-c", 'echo x >"$1"', "sh", two], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode
    assert [str(event) for event in faults.log] == ["full_disk: a file that is full [environment]"] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could do any harm")
def test_the_machines_own_file_is_spared(full_disk: FullDisk, tmp_path: Path) -> None:
    """Code that replaces a file where its links lead replaces its own: root could put anything in the place of the system's."""
    (tmp_path / "new").write_text("content")
    os.replace(tmp_path / "new", full_disk.file.resolve())
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.parametrize("refusal", [PermissionError(), None], ids=["forbidden", "no devices"])
def test_where_no_device_can_be_made(
    full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch, refusal: OSError | None
) -> None:
    """A link to the system's own is as full."""

    def mknod(path: Path, *_: object) -> None:
        if refusal:
            raise refusal
        path.touch()  # as it looks where devices are ignored

    monkeypatch.setattr(os, "mknod", mknod)
    path = full_disk.file
    assert path.is_symlink()
    with pytest.raises(OSError, match="No space left"):
        path.write_text("x")


def test_git_on_a_full_disk(full_disk: FullDisk, isolated_git: Callable[..., Git]) -> None:
    """git cannot add a file that is larger than the disk, says so, and leaves a part of an object, and no lock."""
    isolated_git()
    ran = full_disk.run(["git", "add", "big"], size="512k", setup="git init -q .; head -c 300000 /dev/urandom >big")
    assert ran.returncode == 128
    assert "No space left on device" in ran.stderr
    assert ran.left["big"] == 300000
    assert not [name for name in ran.left if name.endswith(".lock")]


def test_a_command_that_fits(full_disk: FullDisk) -> None:
    """Its output, its code and its files come back; the disk is gone, and was seen by nobody else."""
    ran = full_disk.run(
        ["sh", "-c", "echo said; echo warned >&2; printf 12 >'new file'; exit 7"], setup="echo old >old"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "said\n", "warned\n")
    assert ran.left == {"old": 4, "new file": 2}
    assert "orxaq" not in Path("/proc/mounts").read_text()


def test_a_command_that_is_killed(full_disk: FullDisk) -> None:
    """It comes back as a shell tells it; what it left is told all the same."""
    ran = full_disk.run(["sh", "-c", "echo x >x; kill -9 $$"])
    assert (ran.returncode, ran.left) == (137, {"x": 2})


def test_a_command_that_hangs(full_disk: FullDisk) -> None:
    """It is stopped in time, with all that it started."""
    with pytest.raises(subprocess.TimeoutExpired, match="'sleep', '600'"):
        full_disk.run(["sleep", "600"], timeout=0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": "much"}, "'much' is no size of a disk.\nSay it in bytes, or as in 256k, 4m or 1g."),
        ({"size": "0"}, "'0' is no size"),
        ({"size": "10%"}, "'10%' is no size"),
        ({"setup": "echo gone wrong >&2; false"}, "The disk could not be set up: gone wrong.\nSet-up: echo gone"),
        ({"setup": "head -c 1m /dev/zero >x"}, "No space left on device"),
        ({"command": []}, "[] is no command"),
    ],
)
def test_what_is_no_disk(full_disk: FullDisk, faults: Faults, arguments: dict[str, object], words: str) -> None:
    """It is refused in words, and no trouble is logged."""
    with pytest.raises(UsageError) as caught:
        full_disk.run(**{"command": ["true"], **arguments})  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert not faults.log


def test_a_limit_on_files(full_disk: FullDisk, tmp_path: Path) -> None:
    """Python gets EFBIG beyond it, git is killed by SIGXFSZ and leaves its lock; afterwards all is as before."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with full_disk.quota(1000):
        (tmp_path / "small").write_bytes(b"x" * 1000)
        with pytest.raises(OSError, match="File too large") as caught:
            (tmp_path / "large").write_bytes(b"x" * 1001)
        child = subprocess.run(["sh", "-c", "head -c 9999 /dev/zero >child"], cwd=tmp_path, timeout=60, check=False)
    assert caught.value.errno == errno.EFBIG
    assert child.returncode
    assert (tmp_path / "child").stat().st_size == 1000
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


def test_a_limit_is_lifted_after_a_failure(full_disk: FullDisk) -> None:
    """Whatever happens within."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(KeyboardInterrupt), full_disk.quota(4096):
        raise KeyboardInterrupt
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


@pytest.mark.parametrize("bytes", [-1, 1.5, True, "1k"])
def test_what_is_no_limit(full_disk: FullDisk, bytes: object) -> None:
    """It is refused in words."""
    with pytest.raises(UsageError, match="is no number of bytes"), full_disk.quota(bytes):  # type: ignore[arg-type]
        pass


def test_a_limit_above_the_machines(pytester: pytest.Pytester) -> None:
    """Where no file may grow so large anyway, a larger limit is none."""
    pytester.makepyfile(
        """
        import resource
        import pytest
        from pytest_orxaq.errors import UsageError

        def test_one(full_disk):
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
            with pytest.raises(UsageError, match=f"beyond {2**30} bytes here as it is: {2**30 + 1} is no limit"):
                with full_disk.quota(2**30 + 1): pass
            with full_disk.quota(2**30): pass
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


WITHOUT = "def test_one(full_disk): full_disk.run(['true'])\n"


def test_without_namespaces(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no command can be given a file system of its own the test is skipped, with what the machine said."""
    pytester.makepyfile(WITHOUT)
    monkeypatch.setenv("PATH", str(pytester.mkdir("bin")))
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*cannot be given to a command here: there is no unshare(1)."])
    (pytester.path / "bin" / "unshare").write_text(
        f"#!{shutil.which('sh', path=os.defpath)}\necho not today >&2\nexit 1\n"
    )
    (pytester.path / "bin" / "unshare").chmod(0o700)
    result = pytester.runpytest_inprocess("-rs", "--orxaq-require-faults")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cannot be given to a command here: not today. (--orxaq-require-faults)"])


def test_without_the_file_that_is_full(full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without it says so."""
    monkeypatch.setattr(os.path, "exists", lambda _: False)
    with pytest.raises(pytest.skip.Exception, match="no /dev/full"):
        _ = full_disk.file


def test_a_disk_that_cannot_be_mounted(full_disk: FullDisk) -> None:
    """A size that no memory has is the machine's no, and not the test's."""
    with pytest.raises(pytest.skip.Exception, match="cannot be mounted here"):
        full_disk.run(["/bin/true"], env={"PATH": "/nowhere"})
